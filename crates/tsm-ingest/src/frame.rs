//! One decoded picture, mapped where the decoder left it, with its times.
//!
//! ```text
//!  gst::Sample ── VideoInfo (planes, strides, from VideoMeta) ──> Frame ── component(i) ──> rows of samples
//! ```
//!
//! Copies no pixels and converts nothing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use crate::frame_format::FrameFormat;

/// Presentation time: running time of the pipeline's segment, 0 at the start of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pts(pub Duration);

impl Pts {
    /// The time since the start of the stream.
    pub fn since_start(self) -> Duration {
        self.0
    }
}

/// One picture; holds its `GStreamer` buffer until dropped.
pub struct Frame {
    pub(crate) pixels: gst_video::VideoFrame<gst_video::video_frame::Readable>,
    pub(crate) format: Arc<FrameFormat>,
    pub(crate) pts: Option<Pts>,
    pub(crate) arrival: Instant,
    pub(crate) age_nanos: Option<i64>,
    pub(crate) continuity: Continuity,
}

/// Whether a picture goes on from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// As far as the container tells; the PTS may still jump.
    Kept,
    /// The container's own stamps jump here, though the PTS run on: recordings joined in one transport stream.
    Broken,
}

impl Frame {
    /// What the samples mean; the same `Arc` for every frame until the stream changes.
    pub fn format(&self) -> &Arc<FrameFormat> {
        &self.format
    }

    /// When the picture is to be shown, where the stream says so.
    pub fn pts(&self) -> Option<Pts> {
        self.pts
    }

    /// Whether the picture goes on from the one before it, where its PTS do not tell.
    pub fn continuity(&self) -> Continuity {
        self.continuity
    }

    /// When the decoded picture reached this crate.
    pub fn arrival(&self) -> Instant {
        self.arrival
    }

    /// How old the picture was at [`Frame::arrival`], where the source tells it: the RTP sender's NTP time, or the
    /// running time of a local camera's buffer.
    ///
    /// `None` also where the sender's clock is ahead of ours by more than 0.1 s: its age is then unknown.
    pub fn capture_age(&self) -> Option<Duration> {
        /// Two clocks kept by NTP differ by less.
        const CLOCKS_DIFFER_NANOS: i64 = 100_000_000;
        let age = self.age_nanos.filter(|age| *age > -CLOCKS_DIFFER_NANOS)?;
        Some(Duration::from_nanos(u64::try_from(age).unwrap_or(0)))
    }

    /// [`Frame::capture_age`] in nanoseconds as the two clocks have it, which may be negative: only its changes mean
    /// something where the clocks do not agree.
    pub fn age_by_clocks_nanos(&self) -> Option<i64> {
        self.age_nanos
    }

    /// Name of the pixel format, for example `I420`.
    pub(crate) fn pixel_format_name(&self) -> &'static str {
        self.pixels.format().to_str().as_str()
    }

    /// The samples of component `index` (see [`crate::PixelLayout`] for what they are).
    ///
    /// # Panics
    /// If the format has no such component.
    pub fn component(&self, index: usize) -> ComponentView<'_> {
        let info = self.pixels.format_info();
        let plane = info.plane()[index];
        let offset = sample_offset(info, index);
        let stride = self.pixels.plane_stride()[usize::try_from(plane).expect("at most four planes")];
        let data = self.pixels.plane_data(plane).expect("a mapped frame has every plane its format names");
        ComponentView {
            data: &data[offset..],
            row_stride_bytes: usize::try_from(stride)
                .expect("negative strides are refused when the frame is made"),
            sample_step_bytes: usize::try_from(info.pixel_stride()[index])
                .expect("sample steps are positive"),
        }
    }
}

/// Where in a pixel the samples of a component begin. GStreamer tells it of P010's last component in samples, of all
/// others in bytes (seen with 1.22): what takes two bytes begins at none of its odd ones.
fn sample_offset(info: gst_video::VideoFormatInfo, index: usize) -> usize {
    let offset = usize::try_from(info.poffset()[index]).expect("a component's offset within a pixel fits");
    let bits = info.depth()[index] + info.shift()[index];
    if bits > 8 && !offset.is_multiple_of(2) { 2 * offset } else { offset }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("pts", &self.pts)
            .field("size_px", &(self.format.width_px, self.format.height_px))
            .field("format", &self.pixels.format())
            .field("age_nanos", &self.age_nanos)
            .finish_non_exhaustive()
    }
}

/// Where the samples of one component lie: sample (x, y) starts at `y * row_stride_bytes + x * sample_step_bytes`.
#[derive(Debug, Clone, Copy)]
pub struct ComponentView<'a> {
    /// Bytes from the component's first sample on; the last row may end without padding.
    pub data: &'a [u8],
    /// From one row to the next.
    pub row_stride_bytes: usize,
    /// From one sample to its right neighbour.
    pub sample_step_bytes: usize,
}
