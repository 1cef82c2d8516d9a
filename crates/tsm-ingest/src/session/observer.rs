//! Watches the decoder from outside: what goes in, what comes out, and what the stream says about its colour.
//!
//! ```text
//!  … parser ──(caps, parameter sets, count)──> decoder ──(count, flags)──> … appsink ──> note_frame
//! ```
//!
//! Judges nothing; [`crate::file`] does.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::colour::{self, SaidColour, parameter_sets};
use crate::frame::Continuity;

mod gif_times;
mod joints;
mod open_pictures;
mod start;

use joints::Joints;
use open_pictures::OpenPictures;
use start::{Picture, Start};

/// Name of a GIF's compressed caps.
const GIF: &str = "image/gst-libav-gif";

#[derive(Debug, Default)]
pub(crate) struct Observer {
    state: Mutex<State>,
    joints: Arc<Joints>,
    /// The pictures of a GIF, counted once.
    gif_pictures: OnceLock<Option<u64>>,
}

#[derive(Debug, Default)]
struct State {
    decoder: Option<Decoder>,
    in_band: Option<SaidColour>,
    seen: Summary,
    open: OpenPictures,
    start: Start,
    demuxer: Option<gst::Element>,
    /// Since when the consumer is done with all it was given; none while it works, and before the first frame.
    hungry_since: Option<Instant>,
    /// Compressed pictures without PTS (MPEG-4 in AVI) that no decoded picture answers yet; they can only be counted.
    undated: u64,
}

#[derive(Debug)]
struct Decoder {
    element: gst::Element,
    sink: gst::Pad,
    src: gst::Pad,
}

/// What was seen of a stream so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Summary {
    /// Compressed pictures that went into the decoder.
    pub(crate) pictures_in: u64,
    /// Pictures that came out of it.
    pub(crate) pictures_out: u64,
    /// Of these, flagged as damaged.
    pub(crate) corrupted: u64,
    /// Compressed pictures, after the first decoded one, that no decoded picture answers.
    pub(crate) lost: u64,
    /// Frames that reached the consumer.
    pub(crate) frames: u64,
    /// The last frame's time as the container counts.
    pub(crate) last_pts: Option<Duration>,
    /// How long the last frame is shown, by its own word or by the time since the one before it.
    pub(crate) last_length: Duration,
    /// Length the container declares.
    pub(crate) duration: Option<Duration>,
    /// Streams the container holds, video and others.
    pub(crate) streams: usize,
    /// Warnings about the container (lost packets of a transport stream).
    pub(crate) container_warnings: Vec<String>,
    /// Name of the compressed caps, for example `video/x-h264`.
    pub(crate) codec: Option<String>,
    /// Pictures the file holds, where they were counted: of a GIF.
    pub(crate) pictures_promised: Option<u64>,
}

impl Summary {
    /// Whether this is a GIF and its last picture was seen: its demuxer (`GStreamer` 1.22) reads on for ever there.
    pub(crate) fn is_gif_at_end(&self) -> bool {
        /// A picture's own length where pictures cannot be counted: the slowest common GIF has one a second.
        const LAST_PICTURE: Duration = Duration::from_secs(1);
        if self.codec.as_deref() != Some(GIF) {
            return false;
        }
        // A last picture may be held for any time, so the duration tells the end only of a user's own pipeline, where
        // not every picture reaches the consumer, and of a file that cannot be counted.
        let is_by_time = || {
            let times = self.duration.zip(self.last_pts);
            times.is_some_and(|(duration, last)| last + LAST_PICTURE >= duration)
        };
        match self.pictures_promised {
            Some(promised) => {
                self.pictures_in >= promised && (self.frames >= self.pictures_out || is_by_time())
            }
            None => is_by_time(),
        }
    }
}

impl Observer {
    /// Watches every video decoder that is, or will be, in `pipeline`.
    pub(crate) fn attached(pipeline: &gst::Pipeline) -> Arc<Self> {
        let observer = Arc::new(Self::default());
        observer.joints.listen(&pipeline.bus().expect("a pipeline has a bus from its making"));
        for element in pipeline.iterate_recurse().into_iter().flatten() {
            observer.watch(&element);
        }
        let weak = Arc::downgrade(&observer);
        pipeline.connect_deep_element_added(move |_, _, element| {
            if let Some(observer) = weak.upgrade() {
                observer.watch(element);
            }
        });
        observer
    }

    pub(crate) fn note_frame(&self, time: Option<gst::ClockTime>, length: Option<gst::ClockTime>) {
        let mut state = self.state();
        let seen = &mut state.seen;
        seen.frames += 1;
        if let Some(time) = time.map(Duration::from) {
            let since_last = seen.last_pts.map_or(Duration::ZERO, |last| time.saturating_sub(last));
            seen.last_length = length.map_or(since_last, Duration::from);
            seen.last_pts = seen.last_pts.max(Some(time));
        }
    }

    /// Whether the decoded picture of this time goes on from the one before it.
    pub(crate) fn continuity(&self, container_time: Option<gst::ClockTime>) -> Continuity {
        self.joints.continuity(container_time)
    }

    /// The consumer has a frame to work on.
    pub(crate) fn note_busy(&self) {
        self.state().hungry_since = None;
    }

    /// The consumer waits for the next frame.
    pub(crate) fn note_hungry(&self, now: Instant) {
        self.state().hungry_since = Some(now);
    }

    /// Since when the consumer waits; none while it works, and before the first frame.
    pub(crate) fn hungry_since(&self) -> Option<Instant> {
        self.state().hungry_since
    }

    pub(crate) fn note_warning(&self, warning: &gst::message::Warning) {
        if warning.error().matches(gst::StreamError::Demux) {
            let text = reason(warning.error().message(), &warning.debug().unwrap_or_default());
            self.state().seen.container_warnings.push(text);
        }
    }

    /// What the stream itself says about its colour: container or parser caps first, then its parameter sets.
    pub(crate) fn said_colour(&self) -> SaidColour {
        let state = self.state();
        let Some(decoder) = &state.decoder else {
            return SaidColour::Raw;
        };
        // What comes behind it was converted, and its caps tell how.
        if decoder.src.current_caps().is_some_and(|caps| colour::is_rgb(&caps)) {
            return SaidColour::Raw;
        }
        match decoder.sink.current_caps() {
            Some(caps) => SaidColour::of_compressed(&caps).or(state.in_band.unwrap_or_default()),
            None => state.in_band.unwrap_or_default(),
        }
    }

    /// The decoder's factory name, for example `avdec_h264`.
    pub(crate) fn decoder_name(&self) -> Option<String> {
        self.state().decoder.as_ref().and_then(|d| d.element.factory()).map(|f| f.name().to_string())
    }

    /// The compressed caps.
    pub(crate) fn codec_caps(&self) -> Option<gst::Caps> {
        self.state().decoder.as_ref().and_then(|d| d.sink.current_caps())
    }

    /// The compressed format in words, or `raw`.
    pub(crate) fn codec_name(&self) -> String {
        match self.codec_caps() {
            Some(caps) => gstreamer_pbutils::pb_utils_get_codec_description(&caps).to_string(),
            None => "raw".to_owned(),
        }
    }

    /// Whether a decoder has got something.
    pub(crate) fn has_input(&self) -> bool {
        self.state().seen.pictures_in > 0
    }

    pub(crate) fn has_frames(&self) -> bool {
        self.state().seen.frames > 0
    }

    /// Everything seen so far.
    pub(crate) fn summary(&self, pipeline: &gst::Pipeline) -> Summary {
        let duration = pipeline.query_duration::<gst::ClockTime>();
        let codec = self.codec_caps().and_then(|c| c.structure(0).map(|s| s.name().to_string()));
        let is_gif = codec.as_deref() == Some(GIF);
        let promised = is_gif.then(|| *self.gif_pictures.get_or_init(|| gif_pictures(pipeline))).flatten();
        let state = self.state();
        let mut summary = state.seen.clone();
        summary.pictures_promised = promised;
        summary.lost += u64::try_from(state.open.len()).unwrap_or(u64::MAX);
        // One undated picture may be the empty one that ends a packed stream (DivX).
        summary.lost += state.undated.saturating_sub(1);
        // Where as many came out as went in, only a time was rewritten (at the joint of two recordings).
        summary.lost = summary.lost.min(summary.pictures_in.saturating_sub(summary.pictures_out));
        summary.duration = duration.map(Into::into);
        summary.codec = codec;
        summary.streams = state.demuxer.as_ref().map_or(0, |d| usize::from(d.num_src_pads()));
        summary
    }

    fn watch(self: &Arc<Self>, element: &gst::Element) {
        self.joints.watch(element);
        let class =
            element.factory().and_then(|f| f.metadata("klass").map(ToOwned::to_owned)).unwrap_or_default();
        if class.contains("Demux") {
            self.state().demuxer = Some(element.clone());
        }
        let is_decoder = class.contains("Decoder") && (class.contains("Video") || class.contains("Image"));
        let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src")) else { return };
        if !is_decoder {
            return;
        }
        // Of several tracks the first one is shown; the others' pictures are nobody's loss.
        if self.state().decoder.as_ref().is_some_and(|decoder| decoder.element.parent().is_some()) {
            return;
        }
        if element.factory().is_some_and(|factory| factory.name() == "avdec_gif") {
            gif_times::keep(&sink, &src);
        }
        let on_input = Arc::downgrade(self);
        sink.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let (Some(observer), Some(buffer)) = (on_input.upgrade(), info.buffer()) {
                observer.note_input(pad, buffer);
            }
            gst::PadProbeReturn::Ok
        });
        let on_output = Arc::downgrade(self);
        src.add_probe(gst::PadProbeType::BUFFER, move |_, info| match (on_output.upgrade(), info.buffer()) {
            (Some(observer), Some(buffer)) if observer.note_output(buffer) == Picture::Undecodable => {
                gst::PadProbeReturn::Drop
            }
            _ => gst::PadProbeReturn::Ok,
        });
        self.state().decoder = Some(Decoder { element: element.clone(), sink, src });
    }

    fn note_input(&self, pad: &gst::Pad, buffer: &gst::BufferRef) {
        // Parameter sets come with key pictures; looking into every picture would cost for nothing.
        let in_band = (!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT))
            .then(|| pad.current_caps())
            .flatten()
            .and_then(|caps| parameter_sets::in_band(&caps, buffer));
        let mut state = self.state();
        state.in_band = in_band.or(state.in_band);
        state.seen.pictures_in += 1;
        state.start.note_input(buffer.pts(), !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
        if let Some(pts) = buffer.pts().filter(|_| !buffer.flags().contains(gst::BufferFlags::DECODE_ONLY)) {
            if state.open.insert(pts).is_some() {
                state.seen.lost += 1;
            }
        } else if buffer.pts().is_none() && is_mpeg4(pad) {
            state.undated += 1;
        }
    }

    fn note_output(&self, buffer: &gst::BufferRef) -> Picture {
        let mut state = self.state();
        let is_corrupted = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
        let picture = state.start.judge(is_corrupted);
        if state.seen.pictures_out == 0 {
            // Recordings may start in mid-group: what precedes the first decodable picture is not damage.
            if let Some(pts) = buffer.pts() {
                state.open.forget_before(pts);
            }
            state.seen.lost = 0;
        }
        state.seen.pictures_out += 1;
        state.seen.corrupted += u64::from(picture == Picture::Damaged);
        if let Some(pts) = buffer.pts()
            && !state.open.remove(pts)
        {
            state.undated = state.undated.saturating_sub(1);
        }
        picture
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pictures of the GIF that a file source of `pipeline` reads.
fn gif_pictures(pipeline: &gst::Pipeline) -> Option<u64> {
    let mut elements = pipeline.iterate_recurse().into_iter().flatten();
    let source = elements.find(|e| e.factory().is_some_and(|factory| factory.name() == "filesrc"))?;
    crate::file::gif_pictures(Path::new(&source.property::<Option<String>>("location")?))
}

/// The reason of a warning: in the debug text, behind `file.c(12): function (): /path/of/element:` and a new line, else
/// the message.
fn reason(message: &str, debug_text: &str) -> String {
    let reason = debug_text.lines().skip(1).map(str::trim).find(|line| !line.is_empty());
    reason.unwrap_or(message).trim_end_matches('.').to_owned()
}

/// The one codec whose containers leave pictures undated and whose pictures are never split in fields.
fn is_mpeg4(pad: &gst::Pad) -> bool {
    let caps = pad.current_caps();
    let structure = caps.as_ref().and_then(|caps| caps.structure(0));
    structure.is_some_and(|s| s.name() == "video/mpeg" && s.get::<i32>("mpegversion") == Ok(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warnings_reason_is_never_the_path_of_an_element() {
        let place = "tsdemux.c(12): handle (): /GstPipeline:pipeline0/GstTSDemux:tsdemux0:";
        assert_eq!(
            reason("CONTINUITY: Mismatch packet 4, stream 5.", place),
            "CONTINUITY: Mismatch packet 4, stream 5"
        );
        assert_eq!(reason("Could not demux.", &format!("{place}\npacket 4 is lost")), "packet 4 is lost");
    }

    #[test]
    fn a_gif_ends_with_its_last_picture_however_long_that_is_held() {
        let seen = |pictures_in, pictures_out, frames| Summary {
            codec: Some(GIF.to_owned()),
            pictures_promised: Some(10),
            pictures_in,
            pictures_out,
            frames,
            last_pts: Some(Duration::from_millis(900)),
            duration: Some(Duration::from_secs(4)),
            ..Summary::default()
        };
        assert!(seen(10, 10, 10).is_gif_at_end());
        assert!(seen(10, 9, 9).is_gif_at_end(), "one was lost in the decoder");
        assert!(!seen(9, 9, 9).is_gif_at_end());
        assert!(!seen(10, 10, 9).is_gif_at_end(), "the last one waits for its time");
        let uncounted = |duration| Summary {
            pictures_promised: None,
            duration: Some(Duration::from_secs(duration)),
            ..seen(10, 10, 10)
        };
        assert!(uncounted(1).is_gif_at_end() && !uncounted(4).is_gif_at_end());
        assert!(!Summary { codec: None, ..seen(10, 10, 10) }.is_gif_at_end());
    }
}
