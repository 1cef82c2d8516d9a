//! Which parameter learns how fast, and which decays: MIT's and Paddle's groups, and plain ones.
//!
//! | group | `mit` lr, decay | `paddle` | `paddlevideo` | `plain` |
//! |---|---|---|---|---|
//! | convolutions | 1, 1 | 1, 1 | 1, 1 | 1, 1 |
//! | linear weight (new head) | 5, 1 (1, 1) | 1, 1 | 5, 1 | head, 1 |
//! | linear bias (new head) | 10, 0 (2, 0) | 2, 0 | 10, 0 | head, 0 |
//! | batch norm | 1, 0 | 1, 1 | 1, 0 | 1, 0 |
//!
//! Sources: MIT `models.py` (`get_optim_policies`), Paddle v1.5.1 `tsm_res_model.py`, `PaddleVideo` 2.x.

use serde::{Deserialize, Serialize};
use tsm_model::Architecture;

/// Whose multipliers are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupPreset {
    /// MIT's `get_optim_policies`, `fc_lr5` where the head is new.
    Mit,
    /// Paddle v1.5.1 to 1.8: everything decays, the linear bias learns twice as fast.
    Paddle,
    /// `PaddleVideo` 2.x.
    #[serde(rename = "paddlevideo")]
    PaddleVideo,
    /// No decay of batch norm and biases; the head as fast as it is told.
    Plain,
}

/// Whether the linear layer starts from nothing or from a checkpoint of the same classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadStart {
    /// Fresh random weights.
    New,
    /// The checkpoint's.
    Kept,
}

/// What the step of a parameter is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multipliers {
    /// Of the learning rate.
    pub lr: f64,
    /// Of the weight decay.
    pub decay: f64,
}

/// What a parameter is for the optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Convolution,
    LinearWeight,
    LinearBias,
    BatchNorm,
}

impl GroupPreset {
    /// The multipliers of the trained parameter `name` of `network`; `head_lr` is for
    /// [`Self::Plain`] with a new head.
    pub fn multipliers(
        self,
        network: &Architecture,
        name: &str,
        head: HeadStart,
        head_lr: f64,
    ) -> Multipliers {
        let (lr, decay) = match (self, role(network, name)) {
            (_, Role::Convolution) | (Self::Paddle, Role::LinearWeight | Role::BatchNorm) => (1.0, 1.0),
            (Self::Mit | Self::PaddleVideo | Self::Plain, Role::BatchNorm) => (1.0, 0.0),
            (Self::Mit, Role::LinearWeight) => (if head == HeadStart::New { 5.0 } else { 1.0 }, 1.0),
            (Self::Mit, Role::LinearBias) => (if head == HeadStart::New { 10.0 } else { 2.0 }, 0.0),
            (Self::Paddle, Role::LinearBias) => (2.0, 0.0),
            (Self::PaddleVideo, Role::LinearWeight) => (5.0, 1.0),
            (Self::PaddleVideo, Role::LinearBias) => (10.0, 0.0),
            (Self::Plain, Role::LinearWeight) => (if head == HeadStart::New { head_lr } else { 1.0 }, 1.0),
            (Self::Plain, Role::LinearBias) => (if head == HeadStart::New { head_lr } else { 1.0 }, 0.0),
        };
        Multipliers { lr, decay }
    }

    /// Whether running variances take the biased batch variance, as Paddle's do; torch's do not.
    pub const fn has_biased_variance(self) -> bool {
        matches!(self, Self::Paddle | Self::PaddleVideo)
    }
}

fn role(network: &Architecture, name: &str) -> Role {
    if name == Architecture::MOTION_WEIGHT {
        return Role::LinearWeight;
    }
    let (owner, field) = name.rsplit_once('.').unwrap_or((name, ""));
    match field {
        _ if owner != network.linear && network.convs().any(|conv| conv.norm == owner) => Role::BatchNorm,
        "bias" => Role::LinearBias,
        _ if owner == network.linear => Role::LinearWeight,
        _ => Role::Convolution,
    }
}

#[cfg(test)]
mod tests {
    use tsm_model::{Backbone, ModelSpec};

    use super::*;

    fn check(preset: GroupPreset, head: HeadStart, expected: [(f64, f64); 4]) {
        let network = Architecture::of(&ModelSpec::new(Backbone::Resnet18, 5));
        let names = ["layer1.0.conv1.weight", "fc.weight", "fc.bias", "layer1.0.bn1.bias"];
        for (name, (lr, decay)) in names.into_iter().zip(expected) {
            let found = preset.multipliers(&network, name, head, 3.0);
            assert_eq!(found, Multipliers { lr, decay }, "{name} of {preset:?}");
        }
    }

    #[test]
    fn a_new_head_learns_faster_as_in_the_references() {
        check(GroupPreset::Mit, HeadStart::New, [(1.0, 1.0), (5.0, 1.0), (10.0, 0.0), (1.0, 0.0)]);
        check(GroupPreset::Mit, HeadStart::Kept, [(1.0, 1.0), (1.0, 1.0), (2.0, 0.0), (1.0, 0.0)]);
        check(GroupPreset::Paddle, HeadStart::New, [(1.0, 1.0), (1.0, 1.0), (2.0, 0.0), (1.0, 1.0)]);
        check(GroupPreset::Plain, HeadStart::New, [(1.0, 1.0), (3.0, 1.0), (3.0, 0.0), (1.0, 0.0)]);
    }
}
