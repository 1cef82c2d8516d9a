//! Ends a pipeline for certain, also where a fault is still being told.
//!
//! ```text
//!  to_null:       pipeline PAUSED ─> READY ─┬─> NULL
//!                   └─ bin READY ─> READY   └── refused where an ERROR comes in just now ── asked again
//!  streaming thread:  ERROR, and a second one behind it («Internal data stream error»)
//! ```
//!
//! `GStreamer` (1.22) marks every bin that an ERROR passes on its way up as failed. That undoes nothing where a bin
//! changes its state, but one that is in READY already, because its way up was cut short, answers with the mark, and
//! its parents stop half-way. A pipeline let go of there is freed under the threads that it still runs.

use gstreamer as gst;
use gstreamer::prelude::*;

/// How often a pipeline is asked: a bin refuses only after all within it has stopped, so every time one bin more is at
/// rest; our deepest pipelines nest half as many.
const MOST_ATTEMPTS: usize = 10;

/// Takes the pipeline to NULL and waits for its threads; asks [`MOST_ATTEMPTS`] times at most.
pub(crate) fn to_null(pipeline: &gst::Pipeline) {
    for attempt in 1..=MOST_ATTEMPTS {
        let stopped = pipeline.set_state(gst::State::Null);
        tracing::debug!(attempt, ?stopped, "pipeline stopped");
        if stopped.is_ok() {
            return;
        }
    }
    tracing::warn!(pipeline = %pipeline.name(), "a pipeline does not stop; it is let go of as it is");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipeline in PAUSED with a bin that was left in READY, one of whose elements tells an ERROR while it stops.
    fn failing_while_it_stops() -> gst::Pipeline {
        crate::init().unwrap();
        let launch = "videotestsrc ! fakesink  bin. ( identity name=late )";
        let pipeline = gst::parse::launch(launch).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Paused).unwrap();
        let (paused, ..) = pipeline.state(gst::ClockTime::from_seconds(10));
        paused.unwrap();
        let late = pipeline.by_name("late").unwrap();
        late.parent().and_downcast::<gst::Bin>().unwrap().set_state(gst::State::Ready).unwrap();
        late.set_state(gst::State::Paused).unwrap();
        pipeline.bus().unwrap().set_sync_handler(move |_, message| {
            let is_stop = matches!(message.view(), gst::MessageView::StateChanged(change)
                if message.src() == Some(late.upcast_ref()) && change.current() == gst::State::Ready);
            if is_stop {
                gst::element_error!(late, gst::StreamError::Failed, ("Internal data stream error."));
            }
            gst::BusSyncReply::Drop
        });
        pipeline
    }

    #[test]
    fn an_error_told_while_a_pipeline_stops_does_not_leave_it_running() {
        let asked_once = failing_while_it_stops();
        assert!(
            asked_once.set_state(gst::State::Null).is_err(),
            "GStreamer needs no second request any more"
        );
        for pipeline in [asked_once, failing_while_it_stops()] {
            to_null(&pipeline);
            let elements = pipeline.iterate_recurse().into_iter().map(Result::unwrap);
            for element in elements.chain([pipeline.clone().upcast()]) {
                assert_eq!(element.current_state(), gst::State::Null, "{}", element.name());
            }
            // The handler holds an element, and so its bins.
            pipeline.bus().unwrap().unset_sync_handler();
        }
    }
}
