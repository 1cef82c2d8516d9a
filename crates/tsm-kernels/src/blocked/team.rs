//! A few threads that do one job together, as often as a network has layers.
//!
//! ```text
//!  caller    run(job) ─► claims part 0, then every part that nobody has ─► waits for those at work ─► returns
//!  worker 1  spins, then parks ─► claims part 1, then others ─► done
//!  worker n  spins, then parks ─► claims part n, then others ─► done
//! ```
//!
//! A layer takes some ten microseconds, so a worker looks out for the next job for a while before it sleeps. Each
//! thread begins with its own part, whose rows lie in its cache; a part that its worker does not come to, because a
//! decoder has its core, is another thread's. The threads are the team's own: they are named, and joined when it is
//! dropped. A caller that has to wait for something else lets the others begin without it ([`Team::run_beside`]).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Turns of waiting before a thread sleeps: a few layers of a small network.
const SPINS_BEFORE_SLEEP: usize = 2_000;

/// Turns of waiting for the others before the caller lets other programs run.
const SPINS_BEFORE_YIELD: usize = 200;

/// What is done for each part.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// Threads that share the parts of a job; the caller is one of them.
#[derive(Debug)]
pub struct Team {
    board: Arc<Board>,
    workers: Vec<JoinHandle<()>>,
}

/// Items of which the threads of a team each take the next, until none is left; for work of unlike length.
#[derive(Debug)]
pub struct Shared<I>(Mutex<I>);

impl<I: Iterator> Shared<I> {
    /// All of `items`, in their order.
    pub fn new(items: I) -> Self {
        Self(Mutex::new(items))
    }

    /// The next item; the lock is held for as long as that takes.
    pub fn take_next(&self) -> Option<I::Item> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// What the caller tells the workers and they tell it.
#[derive(Debug)]
struct Board {
    /// Workers that run: counted once each, as they begin.
    begun: AtomicUsize,
    /// Where the caller's reference to its job lies; valid while a part of it is claimed and not done.
    job: AtomicPtr<&'static Job<'static>>,
    /// Jobs announced so far.
    announced: AtomicUsize,
    /// For each part, the last job of which it was claimed; a part of job `n` is free while this is `n - 1`.
    claimed: Box<[AtomicUsize]>,
    /// Parts of the last job that are not done.
    left: AtomicUsize,
    has_panicked: AtomicBool,
    is_over: AtomicBool,
}

impl Team {
    /// A team of `threads` threads, the caller included; at least one; all of them have begun. Where the system refuses
    /// a thread, the others do its part.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let board = Arc::new(Board::new(threads));
        let workers = (1..threads)
            .map_while(|number| {
                let board = Arc::clone(&board);
                thread::Builder::new()
                    .name(format!("tsm-step-{number}"))
                    .spawn(move || board.work(number))
                    .ok()
            })
            .collect();
        let team = Self { board, workers };
        // A thread takes memory of its own as it begins, which may not be in the middle of a step.
        while team.board.begun.load(Ordering::Acquire) < team.workers.len() {
            thread::yield_now();
        }
        team
    }

    /// Parts of a job: one for each thread that was asked for, the caller included.
    pub fn parts(&self) -> usize {
        self.board.claimed.len()
    }

    /// Runs `job` once for each part, with numbers from 0 on, on whatever thread comes to it, and waits for all.
    ///
    /// # Panics
    /// If the job does, on any thread.
    pub fn run(&mut self, job: &Job<'_>) {
        self.run_beside(job, || ());
    }

    /// As [`Self::run`], but the caller first does `own`, such as waiting for a GPU, and takes what parts are left.
    ///
    /// # Panics
    /// If the job does, on any thread, or `own` does; the parts are done by then.
    pub fn run_beside<R>(&mut self, job: &Job<'_>, own: impl FnOnce() -> R) -> R {
        if self.workers.is_empty() {
            let outcome = own();
            (0..self.parts()).for_each(job);
            return outcome;
        }
        let erased: *mut &Job<'_> = (&raw const job).cast_mut();
        // The lifetime ends with the wait below, which outlasts every use.
        self.board.job.store(erased.cast(), Ordering::Relaxed);
        self.board.left.store(self.parts(), Ordering::Relaxed);
        let number = self.board.announced.load(Ordering::Relaxed) + 1;
        self.board.announced.store(number, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        // Caught: the job must not be left before all of its parts are done.
        let outcome = catch_unwind(AssertUnwindSafe(own));
        self.board.take_parts(number, 0);
        self.board.wait_for_all();
        let has_panicked = self.board.has_panicked.swap(false, Ordering::Relaxed);
        let outcome = outcome.unwrap_or_else(|payload| resume_unwind(payload));
        assert!(!has_panicked, "a thread of the team panicked");
        outcome
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.is_over.store(true, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches its panics; there is nothing to be told here.
            drop(worker.join());
        }
    }
}

impl Board {
    fn new(parts: usize) -> Self {
        Self {
            begun: AtomicUsize::new(0),
            job: AtomicPtr::default(),
            announced: AtomicUsize::new(0),
            claimed: (0..parts).map(|_| AtomicUsize::new(0)).collect(),
            left: AtomicUsize::new(0),
            has_panicked: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    fn work(&self, own: usize) {
        self.begun.fetch_add(1, Ordering::Release);
        let mut done = 0;
        while let Some(number) = self.wait_for_job(done) {
            self.take_parts(number, own);
            done = number;
        }
    }

    /// Does parts of job `number` until none is free, the one of thread `own` first.
    fn take_parts(&self, number: usize, own: usize) {
        for part in (own..self.claimed.len()).chain(0..own) {
            // Looked at first: an exchange that fails takes the line from the other threads all the same.
            if self.claimed[part].load(Ordering::Relaxed) != number - 1 {
                continue;
            }
            let claim =
                self.claimed[part].compare_exchange(number - 1, number, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_err() {
                continue;
            }
            let job = self.job.load(Ordering::Relaxed);
            // SAFETY: `run` of this very job waits for the part that was just claimed, so its reference lives. Of
            // an older job no part is free, so whoever comes late claims nothing.
            let job: &Job<'static> = unsafe { job.read() };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(part))) {
                // Never dropped: a payload may panic itself, and nobody may leave before all parts are done.
                let _kept = Box::leak(payload);
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.left.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits until every part of the last job is done.
    fn wait_for_all(&self) {
        let mut turns = 0;
        while self.left.load(Ordering::Acquire) > 0 {
            turns += 1;
            if turns % SPINS_BEFORE_YIELD == 0 { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    /// Waits for a job that comes after job `done` and gives its number; none when the team is dissolved.
    fn wait_for_job(&self, done: usize) -> Option<usize> {
        let mut turns = 0;
        loop {
            let number = self.announced.load(Ordering::Acquire);
            if number != done {
                return Some(number);
            }
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            turns += 1;
            if turns > SPINS_BEFORE_SLEEP { thread::park() } else { std::hint::spin_loop() }
        }
    }
}

/// The units of `total` that fall to part `number` of `parts`; they differ by one at most.
pub(super) fn share(total: usize, number: usize, parts: usize) -> std::ops::Range<usize> {
    total * number / parts..total * (number + 1) / parts
}

/// Whether parts that share `rows` rows get about the same.
pub(super) fn has_enough_rows(rows: usize, parts: usize) -> bool {
    rows >= 6 * parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_every_job_is_done_once() {
        for threads in 1..5 {
            let mut team = Team::new(threads);
            assert_eq!(team.parts(), threads);
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for turn in 1..=2000 {
                team.run(&|part| {
                    counts[part].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == turn));
            }
        }
    }

    #[test]
    fn shared_items_are_taken_once_each() {
        let taken: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let items = Shared::new(taken.iter());
        Team::new(3).run(&|_part| {
            while let Some(item) = items.take_next() {
                item.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(taken.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn parts_that_no_worker_comes_to_are_done_by_the_caller() {
        // Its only worker ends without looking for a job.
        let mut team = Team { board: Arc::new(Board::new(3)), workers: vec![thread::spawn(|| {})] };
        for _ in 0..3 {
            let done = AtomicUsize::new(0);
            team.run(&|part| {
                done.fetch_add(1 << (8 * part), Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 0x01_01_01);
        }
    }

    #[test]
    fn the_others_begin_while_the_caller_does_its_own() {
        let begun = AtomicUsize::new(0);
        let count = |_part| _ = begun.fetch_add(1, Ordering::Release);
        for threads in 2..5 {
            let mut team = Team::new(threads);
            for turn in 1..=50 {
                begun.store(0, Ordering::Relaxed);
                let outcome = team.run_beside(&count, || {
                    // Would wait for ever if the caller's part came first, or if all parts did not go to the others.
                    while begun.load(Ordering::Acquire) < threads {
                        thread::yield_now();
                    }
                    turn
                });
                assert_eq!((outcome, begun.load(Ordering::Relaxed)), (turn, threads));
            }
        }
        assert_eq!(Team::new(1).run_beside(&count, || begun.load(Ordering::Relaxed)), 4);
        assert_eq!(begun.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_panic_beside_a_job_leaves_no_part_undone() {
        let done = AtomicUsize::new(0);
        let mut team = Team::new(3);
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.run_beside(
                &|_part| {
                    done.fetch_add(1, Ordering::Relaxed);
                },
                || panic!("the caller's own"),
            )
        }));
        let payload = result.unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"the caller's own"));
        assert_eq!(done.load(Ordering::Relaxed), 3);
        team.run(&|_| {});
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller_after_all_have_finished() {
        for culprit in 0..3 {
            let finished = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                Team::new(3).run(&|number| {
                    assert_ne!(number, culprit);
                    finished.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(result.is_err());
            assert_eq!(finished.load(Ordering::Relaxed), 2);
        }
    }

    #[test]
    fn a_payload_that_panics_when_dropped_reaches_nobody_and_the_team_goes_on() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let mut team = Team::new(3);
        for culprit in 0..3 {
            let finished = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(&|part| {
                    if part == culprit {
                        std::panic::panic_any(Bomb);
                    }
                    finished.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(result.is_err());
            assert_eq!(finished.load(Ordering::Relaxed), 2);
            team.run(&|_| {}); // what went wrong before is forgotten
        }
    }

    #[test]
    fn the_shares_are_all_units_in_order() {
        for (total, threads) in [(0, 3), (1, 2), (7, 2), (100, 7)] {
            let all: Vec<usize> = (0..threads).flat_map(|number| share(total, number, threads)).collect();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
        }
    }
}
