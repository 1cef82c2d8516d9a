//! Why a check could not be made.

use tsm_model::device::ComputeError;
use tsm_model::executor::StepError;

/// Why a check could not be made; in a report it is what was got instead of the expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelftestError {
    /// The network could not be evaluated.
    #[error("{0}")]
    Step(#[from] StepError),
    /// The device refused, or ran out of memory.
    #[error("{0}")]
    Compute(#[from] ComputeError),
    /// The recorded outputs inside the program are no JSON of ours.
    #[error("the recorded outputs cannot be read: {0}; this program was built from a damaged tree")]
    Golden(#[from] serde_json::Error),
    /// No outputs were recorded for a network.
    #[error(
        "no outputs of {network} were recorded; run TSM_UPDATE_GOLDEN=1 cargo test --workspace --test recorded"
    )]
    NotRecorded {
        /// The network.
        network: String,
    },
}

impl From<candle_core::Error> for SelftestError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.into())
    }
}

impl SelftestError {
    /// Whether the device had too little memory: a small one, and no fault.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        let text = self.to_string().to_ascii_lowercase();
        text.contains("out of memory") || text.contains("out_of_memory") || text.contains("alloc_failed")
    }
}
