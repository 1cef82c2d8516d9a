//! A supervisor under a clock that jumps, with a script in the camera's place: hours pass in microseconds.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::bounded;
use tsm_ingest::SessionOptions;

use super::*;
use crate::newest_frame::newest_frame;
use crate::settings::{DecisionRule, DecisionSettings, RateChoice};

/// Waiting moves it on at once.
#[derive(Debug, Clone)]
struct JumpingClock {
    origin: Instant,
    passed_nanos: Arc<AtomicU64>,
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl JumpingClock {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
    fn new() -> Self {
        Self { origin: Instant::now(), passed_nanos: Arc::default(), waits: Arc::default() }
    }

    fn jump(&self, duration: Duration) {
        self.passed_nanos.fetch_add(duration.as_nanos().try_into().unwrap(), Ordering::Relaxed);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Instant {
        self.origin + Duration::from_nanos(self.passed_nanos.load(Ordering::Relaxed))
    }

    fn wait(&self, wait: Duration, _stop: &Receiver<Never>) -> Waited {
        self.waits.lock().unwrap().push(wait);
        self.jump(wait);
        Waited::ToTheEnd
    }
}

/// What a connection does.
#[derive(Debug, Clone)]
enum Act {
    /// Is refused at once.
    Refused(SourceError),
    /// Gives so many frames, then this.
    Frames(u64, Then),
}

#[derive(Debug, Clone)]
enum Then {
    Silence,
    End,
}

/// Plays the acts in order; then somebody asks for a stop.
struct Script {
    acts: Mutex<VecDeque<Act>>,
    stop: Mutex<Option<Sender<Never>>>,
    clock: JumpingClock,
    /// Whether it takes a while to know what it is.
    is_address: bool,
    progress: Arc<StreamProgress>,
}

impl Connector for Script {
    fn prepared(
        &self,
        _source: &Source,
        _options: &SessionOptions,
        _intake: Intake,
    ) -> Result<Box<dyn Connection>, SourceError> {
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| {
            drop(self.stop.lock().unwrap().take());
            Act::Frames(0, Then::Silence)
        });
        match act {
            Act::Refused(error) => Err(error),
            Act::Frames(left, then) => Ok(Box::new(Played {
                left: AtomicU64::new(left),
                looks_untold: AtomicU64::new(if self.is_address { 3 } else { 0 }),
                then,
                clock: self.clock.clone(),
                progress: Arc::clone(&self.progress),
            })),
        }
    }
}

struct Played {
    left: AtomicU64,
    /// How many more looks until it tells that it is live.
    looks_untold: AtomicU64,
    then: Then,
    clock: JumpingClock,
    progress: Arc<StreamProgress>,
}

impl Connection for Played {
    fn liveness(&self) -> Option<Liveness> {
        (self.looks_untold.load(Ordering::Relaxed) == 0).then_some(Liveness::Live)
    }

    fn play(&self) -> Result<(), SourceError> {
        assert!(self.progress.is_live(), "frames may come now, and would be taken for a file's");
        Ok(())
    }

    fn next_event(&self, timeout: Duration) -> Option<SessionEvent> {
        self.clock.jump(timeout);
        if self.looks_untold.load(Ordering::Relaxed) > 0 {
            if matches!((&self.then, self.left.load(Ordering::Relaxed)), (Then::End, 0)) {
                return Some(SessionEvent::EndOfStream);
            }
            self.looks_untold.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        if self.left.load(Ordering::Relaxed) > 0 {
            self.left.fetch_sub(1, Ordering::Relaxed);
            self.progress.note_arrival(self.clock.now());
            return None;
        }
        matches!(self.then, Then::End).then_some(SessionEvent::EndOfStream)
    }

    fn silence_fault(&self, waited: Duration) -> SourceError {
        SourceError::NoAnswer { place: "cam".to_owned(), timeout: waited }
    }
}

/// Everything a supervisor told, and how long it waited each time.
struct Told {
    notices: Vec<Notice>,
    waits: Vec<Duration>,
}

impl Told {
    /// `state attempt` of each change.
    fn states(&self) -> Vec<String> {
        let text = |notice: &Notice| match notice {
            Notice::Source(report) => format!("{} {}", report.state, report.attempt),
            Notice::Finished { .. } => "finished".to_owned(),
            Notice::Failed { .. } => "failed".to_owned(),
            Notice::GivenUp { attempts, .. } => format!("given up {attempts}"),
        };
        self.notices.iter().map(text).collect()
    }

    fn reasons(&self, wanted: SourceState) -> Vec<&str> {
        let told = self.notices.iter().filter_map(|notice| match notice {
            Notice::Source(report) if report.state == wanted => report.reason.as_deref(),
            _ => None,
        });
        told.collect()
    }
}

/// Runs a supervisor of `source` through `acts`.
fn supervised(source: &str, retries: Retries, acts: Vec<Act>) -> Told {
    let clock = JumpingClock::new();
    let source = Source::parse(source).unwrap();
    let progress = Arc::new(StreamProgress::new(matches!(source, Source::Rtsp(_))));
    let (sender, _receiver) = newest_frame(bounded(1).0);
    let (notices, told) = bounded(1000);
    let (stop_sender, stop) = bounded(0);
    let script = Script {
        acts: Mutex::new(acts.into()),
        stop: Mutex::new(Some(stop_sender)),
        clock: clock.clone(),
        is_address: matches!(source, Source::Uri(_)),
        progress: Arc::clone(&progress),
    };
    let decision = DecisionSettings {
        window: None,
        rule: DecisionRule::Confirm { frames: 2 },
        temperature: 1.0,
        top_k: 1,
    };
    let supervisor = Supervisor {
        stream: 0,
        source,
        connector: Box::new(script),
        clock: Box::new(clock.clone()),
        pinned: OnceCell::new(),
        settings: LiveSettings {
            rate: RateChoice::All,
            decision,
            session: SessionOptions::default(),
            stall_timeout: Duration::from_secs(5),
            retries,
            frame_limit: None,
        },
        rate: SampleRate::AllFrames,
        sender,
        progress,
        notices,
        stop,
    };
    supervisor.run();
    let waits = clock.waits.lock().unwrap().clone();
    Told { notices: told.try_iter().collect(), waits }
}

const CAMERA: &str = "rtsp://cam/1";
const ADDRESS: &str = "http://cam/stream";

fn refused() -> Act {
    Act::Refused(SourceError::Refused { place: "cam".to_owned(), detail: "off".to_owned() })
}

#[test]
fn a_silent_camera_is_stalled_and_tried_again() {
    let told = supervised(
        CAMERA,
        Retries::Forever,
        vec![Act::Frames(10, Then::Silence), Act::Frames(10, Then::Silence)],
    );
    let expected = [
        "connecting 0",
        "live 0",
        "stalled 0",
        "retrying 1",
        "connecting 1",
        "live 1",
        "stalled 0",
        "retrying 1",
        "connecting 1",
    ];
    assert_eq!(told.states(), expected);
    assert!(told.reasons(SourceState::Stalled).iter().all(|reason| reason.starts_with("no frame for 5.")));
}

#[test]
fn waits_double_within_their_jitter_for_as_long_as_it_takes() {
    let unauthorised = Act::Refused(SourceError::Unauthorised { place: "cam".to_owned() });
    let mut acts = vec![Act::Frames(1, Then::End)];
    acts.extend(std::iter::repeat_n(refused(), 20));
    acts.extend(std::iter::repeat_n(unauthorised, 20));
    let told = supervised(CAMERA, Retries::Forever, acts);
    assert_eq!(told.waits.len(), 41, "what would be permanent at first is not after it has worked");
    let nominal = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0].into_iter().chain(std::iter::repeat(30.0));
    for (wait, nominal) in told.waits.iter().zip(nominal) {
        let ratio = wait.as_secs_f64() / nominal;
        assert!((0.75..=1.25).contains(&ratio), "{wait:?} instead of about {nominal} s");
    }
    let longest = &told.waits[6..];
    assert!(longest.iter().any(|wait| *wait != longest[0]), "no jitter: {longest:?}");
}

#[test]
fn a_camera_that_does_not_return_is_given_up_after_its_retries() {
    let acts = vec![Act::Frames(3, Then::End), refused(), refused(), refused(), refused()];
    let told = supervised(CAMERA, Retries::AtMost(3), acts.clone());
    assert_eq!(told.states().last().unwrap(), "given up 3");
    assert_eq!(told.states().iter().filter(|state| state.starts_with("retrying")).count(), 3);
    assert_eq!(told.waits.len(), 3);
    let at_once = supervised(CAMERA, Retries::AtMost(0), acts);
    assert_eq!(at_once.states(), ["connecting 0", "live 0", "given up 0"]);
}

#[test]
fn a_frame_starts_the_count_of_attempts_and_the_waits_over() {
    let acts = vec![
        Act::Frames(3, Then::End),
        refused(),
        refused(),
        Act::Frames(1, Then::End),
        refused(),
        Act::Frames(1, Then::End),
    ];
    let told = supervised(CAMERA, Retries::AtMost(3), acts);
    let retrying: Vec<String> =
        told.states().into_iter().filter(|state| state.starts_with("retrying")).collect();
    assert_eq!(
        retrying,
        ["retrying 1", "retrying 2", "retrying 3", "retrying 1", "retrying 2", "retrying 1"]
    );
    for first in [0, 3, 5] {
        assert!(told.waits[first] <= Duration::from_millis(625), "{:?}", told.waits);
    }
}

#[test]
fn a_connection_without_a_frame_is_not_called_stalled() {
    let acts = vec![Act::Frames(3, Then::End), Act::Frames(0, Then::Silence)];
    let told = supervised(CAMERA, Retries::Forever, acts);
    let expected = ["connecting 0", "live 0", "retrying 1", "connecting 1", "retrying 2", "connecting 2"];
    assert_eq!(told.states(), expected);
    assert!(told.reasons(SourceState::Retrying)[1].contains("no answer within 10."));
}

#[test]
fn a_camera_that_never_worked_is_not_tried_again() {
    for act in [refused(), Act::Frames(0, Then::Silence), Act::Frames(0, Then::End)] {
        let told = supervised(CAMERA, Retries::Forever, vec![act.clone()]);
        assert_eq!(told.states(), ["connecting 0", "failed"], "{act:?}");
        assert_eq!(told.waits, []);
    }
}

#[test]
fn an_address_that_turns_out_live_is_so_before_its_first_frame() {
    // The assertion is in `Played::play`.
    let told = supervised(ADDRESS, Retries::AtMost(0), vec![Act::Frames(3, Then::End)]);
    assert_eq!(told.states(), ["connecting 0", "live 0", "given up 0"]);
}

#[test]
fn an_address_that_was_live_is_tried_again_whatever_it_answers() {
    let acts =
        vec![Act::Frames(3, Then::End), Act::Frames(0, Then::End), refused(), Act::Frames(1, Then::End)];
    let told = supervised(ADDRESS, Retries::AtMost(3), acts);
    let expected = [
        "connecting 0",
        "live 0",
        "retrying 1",
        "connecting 1",
        "retrying 2",
        "connecting 2",
        "retrying 3",
        "connecting 3",
        "live 3",
        "retrying 1",
        "connecting 1",
    ];
    assert_eq!(told.states(), expected);
}

#[test]
fn an_address_that_never_told_what_it_is_is_not_tried_again() {
    let told = supervised(ADDRESS, Retries::Forever, vec![Act::Frames(0, Then::End)]);
    assert_eq!(told.states(), ["finished"]);
}
