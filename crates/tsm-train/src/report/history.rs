//! One line an epoch, as CSV for people and their programs.
//!
//! Numbers are written so that reading gives the same bits; what was not measured is an empty field. It is not read
//! back: a resumed run has its records from its save and writes the whole file anew.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ReportError, write_atomically};

/// The first line of the file.
const HEADER: &str = "epoch,step,lr,train_loss,train_top1,valid_loss,valid_top1,valid_mean_class";

/// What one epoch came to; accuracies are fractions in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epochs finished, so the first is 1.
    pub epoch: u32,
    /// Optimiser steps taken since the run began.
    pub step: u64,
    /// The base learning rate of the last step.
    pub lr: f64,
    /// The mean training loss of the epoch, in nats.
    pub train_loss: f64,
    /// The share of training clips right, as augmented.
    pub train_top1: f64,
    /// The mean loss over the validation clips, where they were looked at.
    pub valid_loss: Option<f64>,
    /// The share of validation clips right.
    pub valid_top1: Option<f64>,
    /// The mean over classes of the share of validation clips right.
    pub valid_mean_class: Option<f64>,
}

/// The records of a run, by rising step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    records: Vec<EpochRecord>,
}

impl History {
    /// Adds a record. Unchanged after an error.
    ///
    /// # Errors
    /// [`ReportError::StepOrder`] where its step is not above the last one's.
    pub fn push(&mut self, record: EpochRecord) -> Result<(), ReportError> {
        if let Some(last) = self.records.last().filter(|last| last.step >= record.step) {
            return Err(ReportError::StepOrder { step: record.step, last: last.step });
        }
        self.records.push(record);
        Ok(())
    }

    /// The records, by rising step.
    pub fn records(&self) -> &[EpochRecord] {
        &self.records
    }

    /// The whole file's text.
    pub fn csv(&self) -> String {
        let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let mut text = format!("{HEADER}\n");
        for record in &self.records {
            let EpochRecord { epoch, step, lr, train_loss, train_top1, .. } = record;
            let valid =
                [record.valid_loss, record.valid_top1, record.valid_mean_class].map(optional).join(",");
            writeln!(text, "{epoch},{step},{lr},{train_loss},{train_top1},{valid}")
                .expect("writing to a string does not fail");
        }
        text
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// [`ReportError::Write`]; the file before it is then unchanged.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        write_atomically(path, self.csv().as_bytes())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn record(epoch: u32) -> EpochRecord {
        let falling = 3.0 * (-f64::from(epoch) / 7.0).exp();
        let measured = epoch.is_multiple_of(2);
        EpochRecord {
            epoch,
            step: u64::from(epoch) * 100,
            lr: 0.001 * (1.0 - f64::from(epoch) / 31.0),
            train_loss: falling + 0.1,
            train_top1: 1.0 - falling / 3.1,
            valid_loss: measured.then_some(falling + 0.9),
            valid_top1: measured.then_some(0.7 - falling / 4.5),
            valid_mean_class: measured.then_some(0.66 - falling / 4.6),
        }
    }

    #[test]
    fn the_text_is_what_other_programs_expect() {
        let first = EpochRecord {
            epoch: 1,
            step: 66,
            lr: 0.1 + 0.2,
            train_loss: 2.5,
            train_top1: 0.25,
            valid_loss: None,
            valid_top1: Some(0.5),
            valid_mean_class: None,
        };
        let mut history = History::default();
        history.push(first).unwrap();
        assert_eq!(history.csv(), format!("{HEADER}\n1,66,0.30000000000000004,2.5,0.25,,0.5,\n"));
    }

    #[test]
    fn a_step_that_does_not_follow_is_refused_and_changes_nothing() {
        let mut history = History::default();
        history.push(record(6)).unwrap();
        for epoch in [4, 6] {
            let refused = history.push(record(epoch));
            assert!(matches!(refused, Err(ReportError::StepOrder { last: 600, .. })), "{refused:?}");
        }
        assert_eq!(history.records(), [record(6)]);
    }
}
