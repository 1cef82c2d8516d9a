//! The order of things: every check for every type, then the table.

use tsm_model::checkpoint::Checkpoint;
use tsm_model::{Backbone, Device, Model};

use crate::clock::now;
use crate::error::SelftestError;
use crate::finding::Finding;
use crate::latency::{Latency, Measured, measure};
use crate::machine::Machine;
use crate::plan::{DataType, Plan};
use crate::report::{Check, Event, Report, Verdict};
use crate::{drift, golden, laws, made_up, operations, training, twin};

/// The networks that are published and that the figures are about.
const BACKBONES: [Backbone; 2] = [Backbone::MobilenetV2, Backbone::Resnet50];

/// Tests `device` as `plan` says; `built_in` is a model with real weights. `told` hears of everything as it happens.
pub fn run(device: &Device, plan: &Plan, built_in: &Checkpoint, told: &mut dyn FnMut(&Event<'_>)) -> Report {
    let start = now();
    let machine = Machine::of(device);
    told(&Event::Machine(&machine));
    let mut runner = Runner { device, plan, told, checks: Vec::new(), latency: Vec::new() };
    for data_type in plan.data_types.iter().copied() {
        runner.golden(built_in, data_type);
        runner.operations(data_type);
        for backbone in BACKBONES {
            runner.laws(backbone, data_type);
        }
    }
    runner.training();
    for data_type in plan.data_types.iter().copied() {
        runner.table(data_type);
    }
    let Runner { checks, latency, .. } = runner;
    let passed = Report::holds(&checks, &latency);
    Report { machine, scope: plan.scope, passed, checks, latency, secs: start.elapsed().as_secs_f64() }
}

struct Runner<'a> {
    device: &'a Device,
    plan: &'a Plan,
    told: &'a mut dyn FnMut(&Event<'_>),
    checks: Vec<Check>,
    latency: Vec<Latency>,
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
        let (name, plan) = (backbone.name(), self.plan);
        let checkpoint = made_up::checkpoint(backbone, plan.size_px, 2);
        let loaded = checkpoint
            .map_err(SelftestError::from)
            .and_then(|checkpoint| Ok((self.load(&checkpoint, data_type)?, checkpoint)));
        let (mut model, checkpoint) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.check("load", name, data_type, |_runner| Err(error)),
        };
        self.check("clip", name, data_type, |_| laws::streaming_is_the_clip(&mut model, data_type));
        self.check("reference", name, data_type, |_| {
            twin::device_is_the_reference(&mut model, &checkpoint, data_type)
        });
        self.check("batch", name, data_type, |_| laws::neighbours_do_not_meet(&mut model, data_type));
        self.check("drift", name, data_type, |_| drift::no_drift(&mut model, plan.drift_frames, data_type));
    }

    fn training(&mut self) {
        let size = self.plan.training_size_px;
        self.check("training", "mobilenetv2", DataType::F32, |runner| {
            training::loss_falls(runner.device, size)
        });
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
                let measured = match &checkpoint {
                    Ok(checkpoint) => {
                        measure(checkpoint, self.device, data_type, streams, self.plan.measured)
                    }
                    Err(error) => Measured::Failed { reason: error.to_string() },
                };
                let (network, size_px) = (backbone.name().to_owned(), Plan::LATENCY_SIZE_PX);
                let row = Latency { network, size_px, data_type, streams, measured };
                (self.told)(&Event::Latency(&row));
                self.latency.push(row);
            }
        }
    }

    fn load(&self, checkpoint: &Checkpoint, data_type: DataType) -> Result<Model, SelftestError> {
        Ok(Model::load_as(checkpoint, self.device.clone(), data_type.dtype())?)
    }

    fn check(
        &mut self,
        check: &'static str,
        network: &str,
        data_type: DataType,
        body: impl FnOnce(&Self) -> Result<Finding, SelftestError>,
    ) {
        let start = now();
        let verdict = match body(self) {
            Ok(Finding { holds: true, expected, got }) => Verdict::Passed { expected, got },
            Ok(Finding { holds: false, expected, got }) => Verdict::Failed { expected, got },
            Err(error) => verdict_of(&error),
        };
        let secs = start.elapsed().as_secs_f64();
        let check = Check { check, network: network.to_owned(), data_type, verdict, secs };
        (self.told)(&Event::Check(&check));
        self.checks.push(check);
    }
}

/// An operation that a device has not is not available; all other errors are failures.
fn verdict_of(error: &SelftestError) -> Verdict {
    let text = error.to_string();
    let is_absent = ["no cuda implementation", "unsupported dtype", "not implemented"]
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
    use super::*;

    fn of(text: &str) -> Verdict {
        verdict_of(&candle_core::Error::Msg(text.to_owned()).into())
    }

    #[test]
    fn only_what_a_device_has_not_is_not_available() {
        assert!(matches!(of("no cuda implementation for shift"), Verdict::NotAvailable { .. }));
        assert!(matches!(of("shape mismatch in add"), Verdict::Failed { .. }));
    }
}
