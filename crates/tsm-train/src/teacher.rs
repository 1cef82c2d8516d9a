//! Models that a network learns to imitate, evaluated on the very pictures it sees.
//!
//! Source: distillation (arXiv 1503.02531). Their logits are averaged; they never change.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tsm_model::checkpoint::{Checkpoint, CheckpointError, SpecOverrides};
use tsm_model::device::ComputeError;
use tsm_model::{InputSpec, Model};

/// Any number of teachers, none included.
#[derive(Debug, Default)]
pub struct Teachers(Vec<Model>);

/// Why a model cannot teach.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TeacherError {
    /// It cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It cannot be put on the device.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It knows other classes.
    #[error("{}: the teacher's classes are not those of the data; train it on the same classes", path.display())]
    Classes {
        /// The file.
        path: PathBuf,
    },
    /// It wants pictures with other means or deviations.
    #[error("{}: the teacher normalises pictures differently from the network", path.display())]
    Normalisation {
        /// The file.
        path: PathBuf,
    },
}

impl Teachers {
    /// Opens the teachers of a run on these classes.
    ///
    /// # Errors
    /// [`TeacherError`] of the first that cannot teach.
    pub fn open(
        paths: &[PathBuf],
        classes: &[String],
        input: &InputSpec,
        device: &Device,
    ) -> Result<Self, TeacherError> {
        let open = |path: &PathBuf| Self::open_one(path, classes, input, device);
        paths.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    fn open_one(
        path: &Path,
        classes: &[String],
        input: &InputSpec,
        device: &Device,
    ) -> Result<Model, TeacherError> {
        let checkpoint = Checkpoint::open(path, &SpecOverrides::default())?;
        if checkpoint.spec.classes != classes {
            return Err(TeacherError::Classes { path: path.to_owned() });
        }
        let own = &checkpoint.spec.input;
        if (own.mean, own.std) != (input.mean, input.std) {
            return Err(TeacherError::Normalisation { path: path.to_owned() });
        }
        Ok(Model::load(&checkpoint, device.clone())?)
    }

    /// Mean clip logits `[n, classes]` for pictures `[n * t, 3, h, w]`; none without teachers.
    ///
    /// # Errors
    /// If the pictures do not fit a teacher, or the device fails.
    pub fn logits(&mut self, pictures: &Tensor, n: usize) -> candle_core::Result<Option<Tensor>> {
        let (rows, c, h, w) = pictures.dims4()?;
        let clips = pictures.reshape((n, rows / n, c, h, w))?;
        let mut sum: Option<Tensor> = None;
        for teacher in &mut self.0 {
            let logits = teacher.forward_clip(&clips).map_err(candle_core::Error::wrap)?.consensus;
            sum = Some(match sum {
                Some(sum) => (sum + logits)?,
                None => logits,
            });
        }
        #[expect(clippy::cast_precision_loss, reason = "teachers are few")]
        let count = self.0.len() as f64;
        sum.map(|sum| sum / count).transpose()
    }
}
