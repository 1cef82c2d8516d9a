//! One line an epoch, as CSV that is read back when a run resumes.
//!
//! Numbers are written so that reading gives the same bits; what was not measured is an empty field.

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

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

    /// Drops what came after a step: a resumed run does these epochs again.
    pub fn truncate_to(&mut self, step: u64) {
        self.records.retain(|record| record.step <= step);
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

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line is not what it should be: named with its number.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let unreadable = |source| ReportError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let refused = |index: usize, what: String| ReportError::HistoryLine {
            path: path.to_owned(),
            line: index + 1,
            what,
        };
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, header)| header != HEADER) {
            return Err(refused(0, format!("is not the header '{HEADER}'")));
        }
        let mut history = Self::default();
        for (index, line) in lines {
            let record = parse(line).map_err(|what| refused(index, what))?;
            history.push(record).map_err(|error| refused(index, error.to_string()))?;
        }
        Ok(history)
    }
}

fn parse(line: &str) -> Result<EpochRecord, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [epoch, step, lr, train_loss, train_top1, valid_loss, valid_top1, valid_mean_class] = fields[..]
    else {
        return Err(format!("has {} fields, not 8", fields.len()));
    };
    let optional = |text: &str, name| (!text.is_empty()).then(|| number(text, name)).transpose();
    Ok(EpochRecord {
        epoch: number(epoch, "epoch")?,
        step: number(step, "step")?,
        lr: number(lr, "lr")?,
        train_loss: number(train_loss, "train_loss")?,
        train_top1: number(train_top1, "train_top1")?,
        valid_loss: optional(valid_loss, "valid_loss")?,
        valid_top1: optional(valid_top1, "valid_top1")?,
        valid_mean_class: optional(valid_mean_class, "valid_mean_class")?,
    })
}

fn number<T: FromStr>(text: &str, name: &str) -> Result<T, String> {
    text.parse().or(Err(format!("{name} is '{text}', which is not a number")))
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

    fn made(epochs: u32) -> History {
        let mut history = History::default();
        for epoch in 1..=epochs {
            history.push(record(epoch)).unwrap();
        }
        history
    }

    #[test]
    fn a_history_is_read_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let mut history = made(5);
        history.push(EpochRecord { train_loss: 1e-300, lr: 0.1 + 0.2, ..record(6) }).unwrap();
        history.write(&path).unwrap();
        assert_eq!(History::read(&path).unwrap(), history);
    }

    #[test]
    fn the_text_is_what_other_programs_expect() {
        let first = EpochRecord {
            epoch: 1,
            step: 66,
            lr: 0.001,
            train_loss: 2.5,
            train_top1: 0.25,
            valid_loss: None,
            valid_top1: Some(0.5),
            valid_mean_class: None,
        };
        let mut history = History::default();
        history.push(first).unwrap();
        assert_eq!(history.csv(), format!("{HEADER}\n1,66,0.001,2.5,0.25,,0.5,\n"));
    }

    #[test]
    fn a_resumed_run_goes_on_from_its_step() {
        let mut history = made(6);
        assert!(matches!(history.push(record(4)), Err(ReportError::StepOrder { step: 400, last: 600 })));
        history.truncate_to(399);
        assert_eq!(history.records().len(), 3);
        history.push(record(4)).unwrap();
        assert_eq!(history, made(4));
    }

    #[test]
    fn a_damaged_line_is_refused_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let cases = [
            ("epoch,step\n", "line 1: is not the header"),
            (&format!("{HEADER}\n1,66,0.001\n"), "line 2: has 3 fields, not 8"),
            (&format!("{HEADER}\n1,66,x,2.5,0.25,,,\n"), "line 2: lr is 'x', which is not a number"),
            (&format!("{HEADER}\n1,6,1,1,1,,,\n2,6,1,1,1,,,\n"), "line 3: step 6 cannot follow step 6"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).unwrap();
            let message = History::read(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
