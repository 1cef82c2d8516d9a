//! What a selftest leaves: a value for programs, and events for whoever watches.

use serde::Serialize;

use crate::latency::{Latency, Measured};
use crate::machine::Machine;
use crate::plan::{DataType, Scope};

/// What the table's rows are called in [`Running`].
pub(crate) const STEP: &str = "step";

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Passed {
        /// What was asked for.
        expected: String,
        /// What came.
        got: String,
    },
    /// It does not.
    Failed {
        /// What was asked for.
        expected: String,
        /// What came.
        got: String,
    },
    /// The device cannot do this at all, and says so.
    NotAvailable {
        /// What it says.
        reason: String,
    },
}

/// A check and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What was checked: `golden`, `pixels`, `shift`, `clip`, `batch`, `reference`, `drift`, `training`.
    pub check: &'static str,
    /// The network, or what was given to an operation that has none.
    pub network: String,
    /// What it computes in.
    pub data_type: DataType,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub secs: f64,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Running {
    /// The check, as in [`Check::check`], or `step` for a row of the table.
    pub what: &'static str,
    /// The network, or what is given to an operation that has none.
    pub network: String,
    /// What it computes in.
    pub data_type: DataType,
    /// Streams of a row of the table.
    pub streams: Option<usize>,
}

/// Something to tell while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// The machine is known.
    Machine(&'a Machine),
    /// A check or a row of the table begins.
    Begins(&'a Running),
    /// A check ended.
    Check(&'a Check),
    /// A row of the table is there.
    Latency(&'a Latency),
}

/// All of it, or as much as there is so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How much was tried.
    pub scope: Scope,
    /// Whether it came to its end, every check holds and every row that fits the memory was measured.
    pub passed: bool,
    /// Whether it came to its end.
    pub ended: bool,
    /// What was under way when this was written: where a run that was cut off stood.
    pub running: Option<Running>,
    /// Every check.
    pub checks: Vec<Check>,
    /// Every row of the table.
    pub latency: Vec<Latency>,
    /// How long all took.
    pub secs: f64,
}

impl Report {
    /// The report of a run that begins.
    pub(crate) const fn begun(machine: Machine, scope: Scope) -> Self {
        let latency = Vec::new();
        Self {
            machine,
            scope,
            passed: false,
            ended: false,
            running: None,
            checks: Vec::new(),
            latency,
            secs: 0.0,
        }
    }

    /// Whether nothing failed.
    pub(crate) fn holds(checks: &[Check], latency: &[Latency]) -> bool {
        let failed_check = |check: &Check| matches!(check.verdict, Verdict::Failed { .. });
        let failed_row = |row: &Latency| matches!(row.measured, Measured::Failed { .. });
        !checks.is_empty() && !checks.iter().any(failed_check) && !latency.iter().any(failed_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verdict: Verdict) -> Check {
        let (check, network, data_type) = ("clip", String::new(), DataType::F32);
        Check { check, network, data_type, verdict, secs: 0.0 }
    }

    #[test]
    fn one_failure_fails_all_and_what_a_device_cannot_do_is_none() {
        let (expected, got) = (String::new(), String::new());
        let good = check(Verdict::Passed { expected: expected.clone(), got: got.clone() });
        let bad = check(Verdict::Failed { expected, got });
        let absent = check(Verdict::NotAvailable { reason: String::new() });
        assert!(Report::holds(&[good.clone(), absent.clone()], &[]));
        assert!(!Report::holds(&[good, bad, absent], &[]));
        assert!(!Report::holds(&[], &[]), "nothing was checked");
    }
}
