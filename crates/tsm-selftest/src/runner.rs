//! The order of things: every check for every type, then the table, and last what takes long.

use std::ops::ControlFlow;
use std::time::Instant;

use tsm_model::checkpoint::Checkpoint;
use tsm_model::{Backbone, Device, Model};

use crate::clock::now;
use crate::error::SelftestError;
use crate::finding::Finding;
use crate::latency::{Latency, Measured, measure};
use crate::machine::Machine;
use crate::plan::{DataType, Plan};
use crate::report::{Check, Event, Report, Running, STEP, Verdict};
use crate::twin::Reference;
use crate::{drift, golden, laws, made_up, operations, training, twin};

/// The networks that are published and that the figures are about.
const BACKBONES: [Backbone; 2] = [Backbone::MobilenetV2, Backbone::Resnet50];

/// Networks that are trained: one of depthwise convolutions, one of whole ones with a pool. ResNet-50's are of the same
/// kinds, and take three times as long.
const TRAINED: [Backbone; 2] = [Backbone::MobilenetV2, Backbone::Resnet18];

/// Tests `device` as `plan` says; `built_in` is a model with real weights.
///
/// `told` hears of everything as it happens, with the report so far, and may end the run by [`ControlFlow::Break`].
pub fn run(
    device: &Device,
    plan: &Plan,
    built_in: &Checkpoint,
    told: &mut dyn FnMut(&Event<'_>, &Report) -> ControlFlow<()>,
) -> Report {
    let report = Report::begun(Machine::of(device), plan.scope);
    let mut runner =
        Runner { device, plan, told, report, start: now(), stopped: false, references: Vec::new() };
    runner.tell(&Event::Machine(&runner.report.machine.clone()));
    for data_type in plan.data_types.iter().copied() {
        runner.golden(built_in, data_type);
        runner.operations(data_type);
        for backbone in BACKBONES {
            runner.laws(backbone, data_type);
        }
    }
    for data_type in plan.data_types.iter().copied() {
        runner.table(data_type);
    }
    runner.training();
    for data_type in plan.data_types.iter().copied() {
        for backbone in BACKBONES {
            runner.drift(backbone, data_type);
        }
    }
    runner.end()
}

struct Runner<'a> {
    device: &'a Device,
    plan: &'a Plan,
    told: &'a mut dyn FnMut(&Event<'_>, &Report) -> ControlFlow<()>,
    report: Report,
    start: Instant,
    stopped: bool,
    /// What the reference says of each network; the data type under test is nothing to it.
    references: Vec<(Backbone, Reference)>,
}

impl Runner<'_> {
    /// Recorded outputs of both made-up networks and of the built-in model.
    fn golden(&mut self, built_in: &Checkpoint, data_type: DataType) {
        for backbone in BACKBONES {
            let name = backbone.name();
            self.check("golden", name, data_type, |runner| {
                let checkpoint = made_up::checkpoint(backbone, golden::SIZE_PX, golden::SEED)?;
                golden::matches_recorded(&mut runner.load(&checkpoint, data_type)?, name, data_type)
            });
        }
        self.check("golden", golden::BUILT_IN, data_type, |runner| {
            golden::matches_recorded(&mut runner.load(built_in, data_type)?, golden::BUILT_IN, data_type)
        });
    }

    /// What stands around the networks.
    fn operations(&mut self, data_type: DataType) {
        self.check("pixels", "nv12, i420, rgb", data_type, |runner| {
            operations::pictures_become_input(runner.device, data_type)
        });
        self.check("shift", "one block", data_type, |runner| {
            operations::folds_move(runner.device, data_type)
        });
    }

    /// What holds for any weights, and the reference beside the device.
    fn laws(&mut self, backbone: Backbone, data_type: DataType) {
        let name = backbone.name();
        let Some((mut model, checkpoint)) = self.made_up(backbone, data_type) else { return };
        self.check("clip", name, data_type, |_| laws::streaming_is_the_clip(&mut model, data_type));
        self.check("reference", name, data_type, |runner| {
            let reference = runner.reference(backbone, &checkpoint)?;
            twin::device_is_the_reference(&mut model, reference, data_type)
        });
        self.check("batch", name, data_type, |_| laws::neighbours_do_not_meet(&mut model, data_type));
        self.check("bytes", name, data_type, |_| laws::bytes_are_frames(&mut model));
    }

    fn drift(&mut self, backbone: Backbone, data_type: DataType) {
        let frames = self.plan.drift_frames;
        let Some((mut model, _)) = self.made_up(backbone, data_type) else { return };
        self.check("drift", backbone.name(), data_type, |_| drift::no_drift(&mut model, frames, data_type));
    }

    fn training(&mut self) {
        let size = self.plan.training_size_px;
        for backbone in TRAINED {
            self.check("training", backbone.name(), DataType::F32, |runner| {
                training::loss_falls(runner.device, backbone, size)
            });
        }
    }

    /// What steps cost.
    fn table(&mut self, data_type: DataType) {
        for backbone in BACKBONES {
            let rows = match backbone {
                Backbone::MobilenetV2 => self.plan.mobilenet_streams,
                _ => self.plan.resnet_streams,
            };
            let checkpoint = made_up::checkpoint(backbone, Plan::LATENCY_SIZE_PX, 4);
            for streams in rows.iter().copied() {
                let start = now();
                if !self.begin(STEP, backbone.name(), data_type, Some(streams)) {
                    return;
                }
                let measured = match &checkpoint {
                    Ok(checkpoint) => {
                        measure(checkpoint, self.device, data_type, streams, self.plan.measured)
                    }
                    Err(error) => Measured::Failed { reason: error.to_string() },
                };
                let (network, size_px) = (backbone.name().to_owned(), Plan::LATENCY_SIZE_PX);
                let secs = start.elapsed().as_secs_f64();
                let row = Latency { network, size_px, data_type, streams, secs, measured };
                self.report.latency.push(row.clone());
                self.report.running = None;
                self.tell(&Event::Latency(&row));
            }
        }
    }

    /// The network that the laws are shown with; none, and a failed check, where it cannot be loaded.
    fn made_up(&mut self, backbone: Backbone, data_type: DataType) -> Option<(Model, Checkpoint)> {
        if self.stopped {
            return None;
        }
        let checkpoint = made_up::checkpoint(backbone, self.plan.size_px, 2);
        let loaded = checkpoint
            .map_err(SelftestError::from)
            .and_then(|checkpoint| Ok((self.load(&checkpoint, data_type)?, checkpoint)));
        match loaded {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                self.check("load", backbone.name(), data_type, |_runner| Err(error));
                None
            }
        }
    }

    fn load(&self, checkpoint: &Checkpoint, data_type: DataType) -> Result<Model, SelftestError> {
        Ok(Model::load_as(checkpoint, self.device.clone(), data_type.dtype())?)
    }

    /// What the reference says of `backbone`, asked once.
    fn reference(
        &mut self,
        backbone: Backbone,
        checkpoint: &Checkpoint,
    ) -> Result<&Reference, SelftestError> {
        let known = self.references.iter().position(|(of, _)| *of == backbone);
        let place = known.unwrap_or(self.references.len());
        if known.is_none() {
            self.references.push((backbone, Reference::of(checkpoint)?));
        }
        Ok(&self.references[place].1)
    }

    fn check(
        &mut self,
        check: &'static str,
        network: &str,
        data_type: DataType,
        body: impl FnOnce(&mut Self) -> Result<Finding, SelftestError>,
    ) {
        let start = now();
        if !self.begin(check, network, data_type, None) {
            return;
        }
        let verdict = match body(self) {
            Ok(Finding { holds: true, expected, got }) => Verdict::Passed { expected, got },
            Ok(Finding { holds: false, expected, got }) => Verdict::Failed { expected, got },
            Err(error) => verdict_of(&error, self.device.is_cpu()),
        };
        let secs = start.elapsed().as_secs_f64();
        let check = Check { check, network: network.to_owned(), data_type, verdict, secs };
        self.report.checks.push(check.clone());
        self.report.running = None;
        self.tell(&Event::Check(&check));
    }

    /// Says what comes next; false where it is not to come, because whoever watches has had enough.
    fn begin(
        &mut self,
        what: &'static str,
        network: &str,
        data_type: DataType,
        streams: Option<usize>,
    ) -> bool {
        if self.stopped {
            return false;
        }
        let running = Running { what, network: network.to_owned(), data_type, streams };
        self.report.running = Some(running.clone());
        self.tell(&Event::Begins(&running));
        !self.stopped
    }

    fn tell(&mut self, event: &Event<'_>) {
        self.report.secs = self.start.elapsed().as_secs_f64();
        if !self.stopped {
            self.stopped = (self.told)(event, &self.report).is_break();
        }
    }

    fn end(self) -> Report {
        let Self { mut report, start, stopped, .. } = self;
        report.ended = !stopped;
        report.passed = !stopped && Report::holds(&report.checks, &report.latency);
        report.secs = start.elapsed().as_secs_f64();
        report
    }
}

/// An operation that a processor has not, such as one of Candle's in halves, is not available; all other errors are
/// failures. A GPU has all of them.
fn verdict_of(error: &SelftestError, is_cpu: bool) -> Verdict {
    let text = error.to_string();
    let is_absent = is_cpu
        && ["unsupported dtype", "not implemented"]
            .iter()
            .any(|words| text.to_ascii_lowercase().contains(words));
    if is_absent {
        Verdict::NotAvailable { reason: text }
    } else {
        Verdict::Failed { expected: "a network that can be evaluated".to_owned(), got: text }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::plan::Scope;

    use super::*;

    fn of(text: &str, is_cpu: bool) -> Verdict {
        verdict_of(&candle_core::Error::Msg(text.to_owned()).into(), is_cpu)
    }

    #[test]
    fn only_what_a_processor_has_not_is_not_available() {
        assert!(matches!(of("unsupported dtype F16 for op conv2d", true), Verdict::NotAvailable { .. }));
        assert!(matches!(of("shape mismatch in add", true), Verdict::Failed { .. }));
        assert!(matches!(of("no cuda implementation for shift", false), Verdict::Failed { .. }));
    }

    #[test]
    fn a_run_that_is_cut_off_leaves_what_it_measured_and_says_where_it_stood() {
        let built_in = made_up::checkpoint(Backbone::MobilenetV2, golden::SIZE_PX, golden::SEED).unwrap();
        let plan = Plan::new(Scope::Quick, vec![DataType::F32]);
        let mut last = None;
        let report = run(&Device::Cpu, &plan, &built_in, &mut |event, so_far| {
            last = Some(so_far.clone());
            let is_second =
                matches!(event, Event::Begins(running) if running.network == Backbone::Resnet50.name());
            if is_second { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let last = last.unwrap();
        assert_eq!(last.checks.len(), 1);
        assert!(matches!(last.checks[0].verdict, Verdict::Passed { .. }), "{:?}", last.checks);
        assert_eq!(last.running.as_ref().unwrap().network, Backbone::Resnet50.name());
        assert!(!last.ended && !last.passed);
        assert_eq!(report, Report { secs: report.secs, ..last }, "nothing runs after the word to stop");
    }

    #[test]
    fn the_table_comes_before_what_takes_long() {
        let built_in = made_up::checkpoint(Backbone::MobilenetV2, golden::SIZE_PX, golden::SEED).unwrap();
        let plan = Plan {
            size_px: 32,
            drift_frames: 8,
            mobilenet_streams: &[1],
            resnet_streams: &[],
            measured: Duration::ZERO,
            training_size_px: 32,
            ..Plan::new(Scope::Quick, vec![DataType::F32])
        };
        let mut order = Vec::new();
        let report = run(&Device::Cpu, &plan, &built_in, &mut |event, _so_far| {
            if let Event::Begins(running) = event {
                order.push(running.what);
            }
            ControlFlow::Continue(())
        });
        assert!(report.ended && report.running.is_none());
        order.dedup();
        assert_eq!(order[order.len() - 3..], [STEP, "training", "drift"], "{order:?}");
        assert_eq!(report.checks.len() + report.latency.len(), 3 + 2 + 2 * 4 + 1 + 2 + 2);
    }
}
