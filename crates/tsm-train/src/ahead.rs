//! Work done ahead by threads and handed over in order.
//!
//! ```text
//! jobs 0 1 2 3 4 5 …       delivered: 2      depth 3: jobs 2, 3, 4 may run or wait, 5 not yet
//!            ▲ ▲ ▲
//!   tsm-loader-0, tsm-loader-1 ─ outcomes in any order ─► next(): job 2, then 3, …
//! ```
//!
//! What a job gives depends on its number alone, so the number of threads changes nothing but the time. Dropping it
//! lets running jobs end and joins the threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::clock;

/// A worker thread panicked: a fault of the program, whose message stands on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a loader thread stopped unexpectedly; please report the lines above")]
pub struct WorkerLost;

/// Threads that no disk can keep busy, and no system refuses.
pub const MOST_WORKERS: usize = 1024;

/// Jobs ahead at most, whatever was asked for.
const MOST_UNDER_WAY: u64 = 1 << 16;

/// The index that a job's number is.
pub(crate) fn index(job: u64) -> usize {
    usize::try_from(job).expect("jobs are numbered by places in memory")
}

/// Outcomes of jobs, in order.
#[derive(Debug)]
pub(crate) struct Ahead<R> {
    shared: Arc<Shared>,
    outcomes: Receiver<(u64, Option<R>)>,
    pending: BTreeMap<u64, Option<R>>,
    next: u64,
    end: u64,
    waited: Duration,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug)]
struct Progress {
    next_job: u64,
    delivered: u64,
    is_stopped: bool,
}

impl<R: Send + 'static> Ahead<R> {
    /// Starts `workers` threads on the jobs `jobs`, at most `depth` of them ahead of what was handed over. Each
    /// thread has a worker of its own from `make_worker`.
    ///
    /// # Errors
    /// What the system says if a thread cannot be started.
    pub(crate) fn start<W>(
        jobs: std::ops::Range<u64>,
        workers: usize,
        depth: u64,
        make_worker: impl Fn() -> W,
    ) -> std::io::Result<Self>
    where
        W: FnMut(u64) -> R + Send + 'static,
    {
        let progress = Progress { next_job: jobs.start, delivered: jobs.start, is_stopped: false };
        let shared = Arc::new(Shared { progress: Mutex::new(progress), changed: Condvar::new() });
        let depth = depth.clamp(1, MOST_UNDER_WAY);
        // Never full: no more than `depth` outcomes are under way.
        let (sender, outcomes) = crossbeam_channel::bounded(index(depth));
        let (next, end) = (jobs.start, jobs.end.max(jobs.start));
        let (pending, waited) = (BTreeMap::new(), Duration::ZERO);
        let mut ahead = Self { shared, outcomes, pending, next, end, waited, workers: Vec::new() };
        for number in 0..workers.max(1) {
            let (shared, sender, mut work) = (Arc::clone(&ahead.shared), sender.clone(), make_worker());
            let run = move || {
                while let Some(job) = shared.next_job(end, depth) {
                    let mut outcome = Outcome { job, sender: &sender, value: None };
                    outcome.value = Some(work(job));
                }
            };
            let thread = std::thread::Builder::new().name(format!("tsm-loader-{number}")).spawn(run)?;
            ahead.workers.push(thread);
        }
        Ok(ahead)
    }

    /// The outcome of the next job; waits for it. `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Result<R, WorkerLost>> {
        if self.next == self.end {
            return None;
        }
        let began = clock::now();
        while !self.pending.contains_key(&self.next) {
            let Ok((job, outcome)) = self.outcomes.recv() else { return Some(Err(WorkerLost)) };
            self.pending.insert(job, outcome);
        }
        self.waited += began.elapsed();
        let outcome = self.pending.remove(&self.next).flatten();
        self.next += 1;
        self.shared.lock().delivered = self.next;
        self.shared.changed.notify_all();
        Some(outcome.ok_or(WorkerLost))
    }

    /// How long [`Ahead::next`] has waited in all.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// The job whose outcome comes next.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }
}

impl<R> Drop for Ahead<R> {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _panicked = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, as soon as it is not too far ahead; `None` where there is none.
    fn next_job(&self, end: u64, depth: u64) -> Option<u64> {
        let mut progress = self.lock();
        loop {
            if progress.is_stopped || progress.next_job == end {
                return None;
            }
            if progress.next_job < progress.delivered.saturating_add(depth) {
                progress.next_job += 1;
                return Some(progress.next_job - 1);
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Sent when dropped, with a value or, after a panic, without.
struct Outcome<'a, R> {
    job: u64,
    sender: &'a Sender<(u64, Option<R>)>,
    value: Option<R>,
}

impl<R> Drop for Outcome<'_, R> {
    fn drop(&mut self) {
        // Nobody waits for it any more if the other end is gone.
        let _closed = self.sender.send((self.job, self.value.take()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn outcomes_come_in_order_whatever_the_number_of_threads() {
        for workers in [1, 2, 5] {
            let mut ahead = Ahead::start(3..100, workers, 7, || |job| job * job).unwrap();
            let all: Vec<u64> = std::iter::from_fn(|| ahead.next()).map(Result::unwrap).collect();
            assert_eq!(all, (3..100).map(|job| job * job).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_job_runs_further_ahead_than_the_depth() {
        let delivered = Arc::new(AtomicU64::new(0));
        let farthest = Arc::new(AtomicU64::new(0));
        let (seen, most) = (Arc::clone(&delivered), Arc::clone(&farthest));
        let mut ahead = Ahead::start(0..200, 3, 5, move || {
            let (seen, most) = (Arc::clone(&seen), Arc::clone(&most));
            move |job| {
                most.fetch_max(job - seen.load(Ordering::SeqCst).min(job), Ordering::SeqCst);
            }
        })
        .unwrap();
        for _ in 0..200 {
            ahead.next().unwrap().unwrap();
            delivered.fetch_add(1, Ordering::SeqCst);
        }
        // One more, between the hand-over and our count of it.
        assert!(farthest.load(Ordering::SeqCst) <= 5);
    }

    #[test]
    fn a_panic_is_told_and_the_rest_goes_on() {
        let mut ahead = Ahead::start(0..4, 2, 4, || |job| assert_ne!(job, 1)).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| ahead.next()).collect();
        assert_eq!(all[..2], [Ok(()), Err(WorkerLost)]);
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn it_can_be_dropped_in_the_middle() {
        let mut ahead = Ahead::start(0..u64::MAX, 2, 3, || |job| job).unwrap();
        assert_eq!(ahead.next(), Some(Ok(0)));
        drop(ahead);
    }
}
