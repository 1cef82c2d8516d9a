//! Threads for what a step's frames need besides the network, where the executor has none of its own.
//!
//! ```text
//! executor on the CPU  its Team ── idle between steps ──┬─► preparing frames, motion
//! executor on a GPU    none ── SpareThreads ────────────┘
//! ```

use std::num::NonZeroUsize;

use tsm_kernels::blocked::Team;

/// Streams for which a thread is worth its waking: each has a quarter of a millisecond's work or more.
const STREAMS_A_WORKER: usize = 2;

/// The caller alone until there are streams to share.
#[derive(Debug)]
pub(crate) struct SpareThreads {
    most: NonZeroUsize,
    team: Team,
}

impl SpareThreads {
    /// `most` at most, the caller included.
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self { most, team: Team::new(1) }
    }

    /// Those for a step of so many streams, or of fewer: the caller, and half as many others as there are streams.
    pub(crate) fn team_for(&mut self, streams: usize) -> &mut Team {
        let parts = self.most.get().min(1 + streams.div_ceil(STREAMS_A_WORKER));
        if self.team.parts() < parts {
            self.team = Team::new(parts);
        }
        &mut self.team
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_with_the_streams_up_to_the_most() {
        let mut spare = SpareThreads::new(NonZeroUsize::new(3).unwrap());
        let parts = [0, 1, 2, 3, 100, 1].map(|streams| spare.team_for(streams).parts());
        assert_eq!(parts, [1, 2, 2, 3, 3, 3]);
        assert_eq!(SpareThreads::new(NonZeroUsize::MIN).team_for(8).parts(), 1);
    }
}
