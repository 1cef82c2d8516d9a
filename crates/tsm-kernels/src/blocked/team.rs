//! A few threads that do one job together, as often as a network has layers.
//!
//! ```text
//!  caller   run(job) ─► job(0) ────────────► waits for the others ─► returns
//!  worker 1 spins, then parks ─► job(1) ──► done
//!  worker n spins, then parks ─► job(n) ──► done
//! ```
//!
//! A layer takes some ten microseconds, so a worker looks out for the next job for a while before it sleeps. The
//! threads are the team's own: they are named, and joined when it is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Turns of waiting before a thread sleeps: a few layers of a small network.
const SPINS_BEFORE_SLEEP: usize = 2_000;

/// Turns of waiting for the others before the caller lets other programs run.
const SPINS_BEFORE_YIELD: usize = 200;

/// What all threads do, each with its number.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// Threads that work on the same job at the same time; the caller is one of them.
#[derive(Debug)]
pub struct Team {
    board: Arc<Board>,
    workers: Vec<JoinHandle<()>>,
}

/// What the caller tells the workers and they tell it.
#[derive(Debug, Default)]
struct Board {
    /// Where the caller's reference to its job lies; valid while a job is running.
    job: AtomicPtr<&'static Job<'static>>,
    /// Jobs announced so far.
    announced: AtomicUsize,
    /// Workers that have not finished the last one.
    running: AtomicUsize,
    has_panicked: AtomicBool,
    is_over: AtomicBool,
}

impl Team {
    /// A team of `threads` threads, the caller included; at least one. Where the system refuses a thread, the team
    /// is smaller.
    pub fn new(threads: usize) -> Self {
        let board = Arc::new(Board::default());
        let workers = (1..threads.max(1))
            .map_while(|number| {
                let board = Arc::clone(&board);
                thread::Builder::new()
                    .name(format!("tsm-step-{number}"))
                    .spawn(move || board.work(number))
                    .ok()
            })
            .collect();
        Self { board, workers }
    }

    /// Threads of the team, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job` once on each thread, with numbers from 0 on, and waits for all of them.
    ///
    /// # Panics
    /// If the job does, on any thread.
    pub fn run(&mut self, job: &Job<'_>) {
        if self.workers.is_empty() {
            return job(0);
        }
        let erased: *mut &Job<'_> = (&raw const job).cast_mut();
        // The lifetime ends with the wait below, which outlasts every use.
        self.board.job.store(erased.cast(), Ordering::Relaxed);
        self.board.running.store(self.workers.len(), Ordering::Relaxed);
        self.board.announced.fetch_add(1, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        let wait = WaitForAll(&self.board);
        job(0);
        drop(wait);
        assert!(!self.board.has_panicked.load(Ordering::Relaxed), "a thread of the team panicked");
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

/// Waits when dropped, so that no job ends while a worker is at it, even if the caller's own part panics.
struct WaitForAll<'a>(&'a Board);

impl Drop for WaitForAll<'_> {
    fn drop(&mut self) {
        let mut turns = 0;
        while self.0.running.load(Ordering::Acquire) > 0 {
            turns += 1;
            if turns % SPINS_BEFORE_YIELD == 0 { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl Board {
    fn work(&self, number: usize) {
        let mut done = 0;
        while self.wait_for_job(done) {
            done += 1;
            let job = self.job.load(Ordering::Relaxed);
            // SAFETY: the caller's reference lives until `running` is 0, which this worker has yet to lower.
            let job: &Job<'static> = unsafe { job.read() };
            if catch_unwind(AssertUnwindSafe(|| job(number))).is_err() {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.running.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits until more than `done` jobs are announced; false when the team is dissolved.
    fn wait_for_job(&self, done: usize) -> bool {
        let mut turns = 0;
        loop {
            if self.announced.load(Ordering::Acquire) != done {
                return true;
            }
            if self.is_over.load(Ordering::Acquire) {
                return false;
            }
            turns += 1;
            if turns > SPINS_BEFORE_SLEEP { thread::park() } else { std::hint::spin_loop() }
        }
    }
}

/// The part of `total` units that falls to thread `number` of `threads`; the parts differ by one at most.
pub(super) fn share(total: usize, number: usize, threads: usize) -> std::ops::Range<usize> {
    total * number / threads..total * (number + 1) / threads
}

/// Whether threads that share `rows` rows get about the same.
pub(super) fn has_enough_rows(rows: usize, threads: usize) -> bool {
    rows >= 6 * threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_every_job_once() {
        for threads in 1..5 {
            let mut team = Team::new(threads);
            assert_eq!(team.threads(), threads);
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..200 {
                team.run(&|number| {
                    counts[number].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 200));
        }
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
    fn the_shares_are_all_units_in_order() {
        for (total, threads) in [(0, 3), (1, 2), (7, 2), (100, 7)] {
            let all: Vec<usize> = (0..threads).flat_map(|number| share(total, number, threads)).collect();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
        }
    }
}
