//! Finds where recordings were joined end to end in one MPEG transport stream.
//!
//! ```text
//!  tsdemux ──"pid 256: dts 1.4 s"──> bus ──> Joints: stamp jumps? ─┐
//!     └──(0:04.366, times made continuous)── pad probe ────────────┴──> first picture of the next recording
//! ```
//!
//! The demuxer gives the pictures of all of them one continuous time, so a jump shows only in the stamps of the stream
//! itself. It tells these (`emit-stats`) on its streaming thread before it pushes the picture they belong to. Other
//! containers that can be joined (MPEG programme streams) tell nothing, and their joints go unnoticed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::frame::Continuity;

/// Ticks of a stamp in a second (ISO/IEC 13818-1, section 2.4.3.7).
const TICKS_HZ: i64 = 90_000;

/// A stamp has 33 bits.
const WRAPS_AT: i64 = 1 << 33;

/// A gap over which features of the past say nothing any more.
const LONGEST_GAP: i64 = TICKS_HZ;

/// Some encoders stamp the time of display only, which runs back at every reordered picture, but never this far.
const LONGEST_REORDERING: i64 = TICKS_HZ / 2;

/// What the stamps of a transport stream have shown.
#[derive(Debug, Default)]
pub(super) struct Joints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: HashMap<u32, Stamps>,
    /// Times, as the demuxer makes them, of first pictures that have not come out of the decoder yet.
    ahead: VecDeque<gst::ClockTime>,
}

/// The stamps of one elementary stream.
#[derive(Debug, Default, Clone, Copy)]
struct Stamps {
    /// Of decoding where there is one, else of display.
    next: Option<i64>,
    last: Option<i64>,
}

impl Stamps {
    fn note(&mut self, decoding: Option<u64>, display: Option<u64>) {
        let ticks = |stamp: u64| i64::try_from(stamp).ok();
        if let Some(decoding) = decoding.and_then(ticks) {
            self.next = Some(decoding);
        } else if self.next.is_none() {
            self.next = display.and_then(ticks);
        }
    }

    /// Whether the picture that the noted stamps belong to follows a jump.
    fn is_jump(&mut self) -> bool {
        let Some(next) = self.next.take() else { return false };
        let Some(last) = self.last.replace(next) else { return false };
        let step = (next - last + WRAPS_AT / 2).rem_euclid(WRAPS_AT) - WRAPS_AT / 2;
        !(-LONGEST_REORDERING..=LONGEST_GAP).contains(&step)
    }
}

impl Joints {
    /// Keeps the demuxer's messages from the bus, where nobody else wants them.
    pub(super) fn listen(self: &Arc<Self>, bus: &gst::Bus) {
        let joints = Arc::clone(self);
        bus.set_sync_handler(move |_, message| match message.structure() {
            Some(told) if told.name() == "tsdemux" => {
                joints.note_stamps(told);
                gst::BusSyncReply::Drop
            }
            _ => gst::BusSyncReply::Pass,
        });
    }

    /// Follows `element` if it is the demuxer.
    pub(super) fn watch(self: &Arc<Self>, element: &gst::Element) {
        if element.factory().is_none_or(|factory| factory.name() != "tsdemux") {
            return;
        }
        element.set_property("emit-stats", true);
        let joints = Arc::clone(self);
        element.connect_pad_added(move |_, pad| {
            let Some(pid) = video_pid(&pad.name()) else { return };
            let joints = Arc::clone(&joints);
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
                    joints.note_picture(pid, pts);
                }
                gst::PadProbeReturn::Ok
            });
        });
    }

    /// Broken at the first decoded picture, by its time, that comes from another recording than the one before it.
    pub(super) fn continuity(&self, pts: Option<gst::ClockTime>) -> Continuity {
        let mut state = self.state();
        let Some(pts) = pts.filter(|_| !state.ahead.is_empty()) else { return Continuity::Kept };
        let reached = state.ahead.iter().take_while(|first| **first <= pts).count();
        state.ahead.drain(..reached);
        if reached > 0 { Continuity::Broken } else { Continuity::Kept }
    }

    fn note_stamps(&self, told: &gst::StructureRef) {
        let stamp = |name: &str| told.get::<u64>(name).ok();
        let Ok(pid) = told.get::<u32>("pid") else { return };
        self.state().streams.entry(pid).or_default().note(stamp("dts"), stamp("pts"));
    }

    fn note_picture(&self, pid: u32, pts: gst::ClockTime) {
        let mut state = self.state();
        if state.streams.entry(pid).or_default().is_jump() {
            tracing::debug!(pid, %pts, "the stamps of the transport stream jump");
            state.ahead.push_back(pts);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The packet identifier in the name of a video pad: `video_0_0100` is 256 in programme generation 0.
fn video_pid(pad: &str) -> Option<u32> {
    let (_generation, pid) = pad.strip_prefix("video_")?.rsplit_once('_')?;
    u32::from_str_radix(pid, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Continuity::{Broken, Kept};

    /// Which pictures, by their place, follow a jump.
    fn jumps(stamps: &[(Option<u64>, u64)]) -> Vec<usize> {
        let mut followed = Stamps::default();
        let is_jump = |(decoding, display): (Option<u64>, u64)| {
            followed.note(decoding, None);
            followed.note(None, Some(display));
            followed.is_jump()
        };
        let found: Vec<bool> = stamps.iter().copied().map(is_jump).collect();
        found.iter().enumerate().filter_map(|(place, is_jump)| is_jump.then_some(place)).collect()
    }

    #[test]
    fn a_jump_of_the_decoding_stamps_is_found() {
        let part = [(126_000, 132_000), (129_000, 141_000), (132_000, 135_000), (135_000, 138_000)];
        let part: Vec<_> =
            (0..20).flat_map(|round| part.map(|(d, p)| (d + round * 12_000, p + round * 12_000))).collect();
        let stamps: Vec<_> = [&part[..], &part[..]].concat().iter().map(|(d, p)| (Some(*d), *p)).collect();
        assert_eq!(jumps(&stamps), [80]);
    }

    #[test]
    fn reordering_without_decoding_stamps_is_no_jump() {
        assert!(jumps(&[(None, 0), (None, 12_000), (None, 3_000), (None, 6_000), (None, 24_000)]).is_empty());
    }

    #[test]
    fn a_gap_over_a_second_is_a_jump_and_the_end_of_the_counter_is_none() {
        assert_eq!(jumps(&[(None, 0), (None, 90_000), (None, 180_001)]), [2]);
        assert!(jumps(&[(None, (1 << 33) - 3000), (None, 0), (None, 3000)]).is_empty());
    }

    #[test]
    fn a_joint_is_passed_once_by_the_first_picture_that_reaches_it() {
        let joints = Joints::default();
        let at = gst::ClockTime::from_mseconds;
        for (stamp, pts) in [(90_000, at(0)), (93_000, at(33)), (3_000, at(67))] {
            joints.state().streams.entry(256).or_default().note(Some(stamp), None);
            joints.note_picture(256, pts);
        }
        let found = [at(0), at(33), at(67), at(100)].map(|pts| joints.continuity(Some(pts)));
        assert_eq!(found, [Kept, Kept, Broken, Kept]);
    }

    #[test]
    fn the_pads_name_tells_the_packet_identifier() {
        assert_eq!(video_pid("video_0_0100"), Some(256));
        assert_eq!(video_pid("video_1_01011"), Some(0x1011));
        assert_eq!(video_pid("audio_0_0101"), None);
    }
}
