//! A frame takes nothing from Rust's allocator on its whole way, once the first ones have passed. A program of its own:
//! the count is the process's, all threads together.
//!
//! ```text
//!  decoder ─ appsink ─ Frame ─ intake ─ queue ─ preprocess ─ step ─ decision ─ writer ─ JsonLines, Text, Tally
//!                                                                               count of each frame's report ┘
//! ```
//!
//! What `GStreamer` itself takes, in C, is not counted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tsm_ingest::{SessionOptions, Source};
use tsm_kernels::allocations::CountingAllocator;
use tsm_live::report::{FrameReport, SourceReport};
use tsm_live::settings::{DecisionRule, DecisionSettings, LiveSettings, RateChoice, Retries};
use tsm_live::sinks::{JsonLines, Sink, Text, TextStyle};
use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::{Device, Model};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Frames after which everything has its size: the decision's window, the decoder's reordering, every buffer.
const SETTLED: usize = 20;

/// Frames counted.
const COUNTED: usize = 40;

/// Frames before the end of a run, which takes what it needs while the last reports are written.
const ENDING: usize = 5;

#[test]
fn no_frame_allocates_once_the_first_have_passed() {
    let clip = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clips").join(name);
    let sources = [
        // Recorded: every frame waits for the model.
        vec![Source::File(clip("asl-walk.mkv"))],
        vec![Source::File(clip("pose-squats.mp4"))],
        // Prepared side by side.
        vec![Source::File(clip("asl-walk.mkv")), Source::File(clip("pose-squats.mp4"))],
        // Its demuxer tells stamps with every picture.
        vec![transport_stream(&clip("asl-walk.mkv"))],
        // Live: frames may be dropped, and their age is looked at.
        vec![Source::Test],
    ];
    for sources in sources {
        let counts = counts_of_frames(&sources);
        assert_eq!(counts.len(), SETTLED + COUNTED + ENDING, "{sources:?}");
        let settled = &counts[SETTLED..][..COUNTED];
        let taken: Vec<usize> = settled.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            taken.iter().all(|count| *count == 0),
            "{sources:?}: blocks taken, frame by frame: {taken:?}"
        );
    }
}

/// The H.264 of a Matroska file, as an MPEG transport stream carries it.
fn transport_stream(clip: &Path) -> Source {
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join("allocations.launch");
    let launch = "filesrc location={device} ! matroskademux ! h264parse ! mpegtsmux ! tsdemux ! h264parse
        ! avdec_h264 max-threads=1 ! appsink name=tsm sync=false max-buffers=2 enable-last-sample=false qos=false";
    std::fs::write(&template, launch).unwrap();
    Source::custom(&template, clip.to_str()).unwrap()
}

/// Labels `sources` and tells how many blocks had been taken when each frame's report was written.
fn counts_of_frames(sources: &[Source]) -> Vec<usize> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tsm-cli/models/actions.safetensors");
    let checkpoint = Checkpoint::open(&model, &SpecOverrides::default()).unwrap();
    let mut model = Model::load(&checkpoint, Device::Cpu).unwrap();
    let labels: Arc<[String]> = model.spec().classes.clone().into();
    let tally = Tally::default();
    let sinks: Vec<Box<dyn Sink>> = vec![
        Box::new(JsonLines::new(io::sink(), Arc::clone(&labels))),
        Box::new(Text::new(io::sink(), Arc::clone(&labels), TextStyle::Plain, 1)),
        Box::new(Text::new(io::sink(), labels, TextStyle::Living { width_cells: || 60 }, 1)),
        Box::new(tally.clone()),
    ];
    let (_stop, stopped) = crossbeam_channel::bounded(1);
    tsm_live::run(&mut model, sources, &settings(), sinks, None, &stopped).unwrap();
    tally.counts.lock().unwrap().clone()
}

fn settings() -> LiveSettings {
    LiveSettings {
        rate: RateChoice::All,
        decision: DecisionSettings {
            window: Some(8),
            rule: DecisionRule::Confirm { frames: 2 },
            temperature: 1.0,
            top_k: 5,
        },
        session: SessionOptions::default(),
        stall_timeout: Duration::from_mins(1),
        retries: Retries::Forever,
        frame_limit: Some(u64::try_from(SETTLED + COUNTED + ENDING).unwrap()),
    }
}

/// Notes the count at each frame.
#[derive(Clone)]
struct Tally {
    counts: Arc<Mutex<Vec<usize>>>,
}

impl Default for Tally {
    /// With room for all notes: they must not count themselves.
    fn default() -> Self {
        Self { counts: Arc::new(Mutex::new(Vec::with_capacity(1000))) }
    }
}

impl Sink for Tally {
    fn frame(&mut self, _report: &FrameReport) -> io::Result<()> {
        self.counts.lock().unwrap().push(ALLOCATOR.count());
        Ok(())
    }

    fn source(&mut self, _report: &SourceReport) -> io::Result<()> {
        Ok(())
    }
}
