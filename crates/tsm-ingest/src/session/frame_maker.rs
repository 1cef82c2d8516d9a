//! Turns samples of the appsink into [`Frame`]s: format from caps and tags, PTS, arrival, age.
//!
//! Runs on the streaming thread; a caps change makes a new `Arc<FrameFormat>`, nothing else does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use crate::clock::{arrival_now, ntp_now_nanos};
use crate::colour;
use crate::frame::{Frame, Pts};
use crate::frame_format::{FrameFormat, Orientation};
use crate::pipeline::AgeSource;
use crate::sink_caps;

use super::observer::Observer;

/// An age beyond this is a sender whose clock was never set, not an old picture.
const OLDEST_BELIEVED: Duration = Duration::from_hours(24);

pub(super) struct FrameMaker {
    observer: Arc<Observer>,
    age_source: AgeSource,
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    orientation: Arc<Mutex<Orientation>>,
    current: Option<Current>,
}

/// What holds until the next change of caps or orientation.
struct Current {
    caps: gst::Caps,
    orientation: Orientation,
    info: gst_video::VideoInfo,
    format: Arc<FrameFormat>,
}

impl FrameMaker {
    pub(super) fn new(observer: Arc<Observer>, age_source: AgeSource, pipeline: &gst::Pipeline) -> Self {
        Self {
            observer,
            age_source,
            pipeline: pipeline.downgrade(),
            orientation: Arc::default(),
            current: None,
        }
    }

    /// Follows the orientation tag, and offers to take buffers with strides of the decoder's choice, so that no
    /// element copies a picture only to pack its rows.
    pub(super) fn watch_pad(&self, pad: &gst::Pad) {
        let orientation = Arc::clone(&self.orientation);
        let events = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::QUERY_DOWNSTREAM;
        pad.add_probe(events, move |_, info| {
            if let Some(event) = info.event() {
                note_orientation(event, &orientation);
            }
            if let Some(query) = info.query_mut()
                && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
            {
                allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// The frame of a sample.
    ///
    /// # Errors
    /// One line, where the sample has no caps or buffer or its caps are no raw video we read.
    pub(super) fn frame(&mut self, sample: &gst::Sample) -> Result<Frame, String> {
        let arrival = arrival_now();
        let caps = sample.caps().ok_or_else(sink_caps::none)?;
        let buffer = sample.buffer_owned().ok_or("a sample without a buffer")?;
        let orientation = *self.orientation.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match self.current.take() {
            Some(current) if current.orientation == orientation && *current.caps == *caps => current,
            before => self.changed(before, &caps.to_owned(), orientation)?,
        };
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let running_time = segment.and_then(|s| s.to_running_time(buffer.pts()));
        // The container's duration counts from 0, where the first picture need not be: Matroska's demuxer leaves the
        // offset in the PTS and takes it out of the segment.
        let (container_time, length) = (buffer.pts(), buffer.duration());
        let age_nanos = self.age_nanos(&buffer, running_time);
        let pixels = gst_video::VideoFrame::from_buffer_readable(buffer, &current.info)
            .map_err(|_buffer| "a buffer smaller than its picture".to_owned())?;
        if pixels.plane_stride().iter().any(|&stride| stride < 0) {
            return Err("a picture stored bottom up; put videoconvert before the appsink".to_owned());
        }
        self.observer.note_frame(container_time.max(running_time), length);
        let frame = Frame {
            pixels,
            format: Arc::clone(&current.format),
            pts: running_time.map(|t| Pts(t.into())),
            arrival,
            age_nanos,
            continuity: self.observer.continuity(container_time),
        };
        self.current = Some(current);
        Ok(frame)
    }

    fn changed(
        &self,
        before: Option<Current>,
        caps: &gst::Caps,
        orientation: Orientation,
    ) -> Result<Current, String> {
        let is_raw = caps.structure(0).is_none_or(|structure| structure.name() == "video/x-raw");
        if let Some(got) = sink_caps::in_words(caps).filter(|_got| !is_raw) {
            return Err(format!("its appsink gets {got}; {}", sink_caps::remedy(&got)));
        }
        let info =
            gst_video::VideoInfo::from_caps(caps).map_err(|e| format!("caps are no raw video: {e}"))?;
        let said = self.observer.said_colour();
        let format = colour::frame_format(&info, caps, said, orientation)?;
        tracing::debug!(?format, "picture format");
        // The same meaning under other caps (a new interlace mode, say) keeps its Arc: nothing changed for the reader.
        let format = match before {
            Some(before) if *before.format == format => before.format,
            _ => Arc::new(format),
        };
        Ok(Current { caps: caps.clone(), orientation, info, format })
    }

    fn age_nanos(&self, buffer: &gst::BufferRef, running_time: Option<gst::ClockTime>) -> Option<i64> {
        match self.age_source {
            AgeSource::Unknown => None,
            AgeSource::SenderNtp => ntp_age_nanos(buffer),
            AgeSource::RunningTime => ntp_age_nanos(buffer).or_else(|| {
                let now = self.pipeline.upgrade()?.current_running_time()?;
                i64::try_from(now.saturating_sub(running_time?).nseconds()).ok()
            }),
        }
    }
}

/// Age by the sender's NTP time, where the buffer carries it (after the first RTCP sender report).
fn ntp_age_nanos(buffer: &gst::BufferRef) -> Option<i64> {
    let meta = buffer
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find(|meta| meta.reference().structure(0).is_some_and(|s| s.name() == "timestamp/x-ntp"))?;
    believable(ntp_now_nanos() - i128::from(meta.timestamp().nseconds()))
}

/// A negative age is two clocks that differ by that much; a day is nonsense in either direction.
fn believable(age_nanos: i128) -> Option<i64> {
    let limit = i128::try_from(OLDEST_BELIEVED.as_nanos()).unwrap_or(i128::MAX);
    if age_nanos.abs() > limit {
        return None;
    }
    i64::try_from(age_nanos).ok()
}

fn note_orientation(event: &gst::Event, orientation: &Mutex<Orientation>) {
    let value = match event.view() {
        gst::EventView::StreamStart(_) => Orientation::Upright,
        gst::EventView::Tag(tag) => match tag.tag().get::<gst::tags::ImageOrientation>() {
            Some(value) => Orientation::from_tag(value.get()),
            None => return,
        },
        _ => return,
    };
    *orientation.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_ahead_of_ours_is_kept_and_nonsense_is_unknown() {
        assert_eq!(believable(5_000_000), Some(5_000_000));
        assert_eq!(believable(-5_000_000), Some(-5_000_000));
        assert_eq!(believable(i128::from(u64::MAX)), None);
        assert_eq!(believable(-90_000_000_000_000), None);
    }
}
