//! A queue of one between a source and the model.
//!
//! ```text
//! streaming thread ─ FrameSender ─[one frame]─ FrameReceiver ─ model thread
//!                         └──────── wake ────────────┘
//! live      full: the older frame goes, counted in `dropped`
//! recorded  full: the sender waits; nothing is lost
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use tsm_ingest::Frame;

/// How often a waiting sender looks whether the receiver is gone.
const CLOSED_CHECK: Duration = Duration::from_millis(50);

/// A frame that is due, on its way to the model.
#[derive(Debug)]
pub(crate) struct SampledFrame {
    /// The picture.
    pub(crate) frame: Frame,
    /// Media time since the stream's beginning; runs on over reconnects.
    pub(crate) pts: Duration,
    /// Changes wherever the stream breaks: frames of different epochs share no state.
    pub(crate) epoch: u64,
    /// How far apart the source's own frames lie.
    pub(crate) source_step: Duration,
}

/// What a sender does when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Puts the newer frame in the older one's place.
    DropOlder,
    /// Waits for the receiver.
    Wait,
}

/// The receiver is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// The source's end.
#[derive(Debug, Clone)]
pub(crate) struct FrameSender {
    queue: Sender<SampledFrame>,
    older: Receiver<SampledFrame>,
    wake: Sender<()>,
    shared: Arc<Shared>,
}

/// The model's end.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    queue: Receiver<SampledFrame>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_closed: AtomicBool,
    dropped: AtomicU64,
}

/// A queue of one frame. `wake` gets a message after every frame; one pending message is enough.
pub(crate) fn newest_frame(wake: Sender<()>) -> (FrameSender, FrameReceiver) {
    let (sender, receiver) = bounded(1);
    let shared = Arc::new(Shared::default());
    let older = receiver.clone();
    (
        FrameSender { queue: sender, older, wake, shared: Arc::clone(&shared) },
        FrameReceiver { queue: receiver, shared },
    )
}

impl FrameSender {
    /// Hands a frame over.
    ///
    /// # Errors
    /// [`Closed`] once the receiver is gone.
    pub(crate) fn send(&self, frame: SampledFrame, when_full: WhenFull) -> Result<(), Closed> {
        match when_full {
            WhenFull::DropOlder => self.replace(frame)?,
            WhenFull::Wait => self.wait(frame)?,
        }
        // A pending wake-up already covers this frame.
        let _pending = self.wake.try_send(());
        Ok(())
    }

    /// Whether a frame waits to be taken by a receiver that is still there.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full() && !self.shared.is_closed.load(Ordering::Acquire)
    }

    fn replace(&self, mut frame: SampledFrame) -> Result<(), Closed> {
        loop {
            if self.shared.is_closed.load(Ordering::Acquire) {
                return Err(Closed);
            }
            match self.queue.try_send(frame) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(newer)) => {
                    if self.older.try_recv().is_ok() {
                        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                    frame = newer;
                }
                Err(TrySendError::Disconnected(_frame)) => return Err(Closed),
            }
        }
    }

    fn wait(&self, mut frame: SampledFrame) -> Result<(), Closed> {
        loop {
            if self.shared.is_closed.load(Ordering::Acquire) {
                return Err(Closed);
            }
            match self.queue.send_timeout(frame, CLOSED_CHECK) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(unsent)) => frame = unsent,
                Err(SendTimeoutError::Disconnected(_frame)) => return Err(Closed),
            }
        }
    }
}

impl FrameReceiver {
    /// The waiting frame, if there is one.
    pub(crate) fn take(&self) -> Option<SampledFrame> {
        self.queue.try_recv().ok()
    }

    /// Whether a frame waits.
    pub(crate) fn has_frame(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Frames dropped since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        // Gives pixels back to the pipeline, which may need its buffers to stop.
        let _last = self.queue.try_recv();
    }
}
