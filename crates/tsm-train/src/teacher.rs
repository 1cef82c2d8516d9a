//! Models that a network learns to imitate, evaluated on the very pictures it sees; where one looks at motion, all of
//! them on these before they are mixed, and what they say is mixed alike.
//!
//! Source: distillation (arXiv 1503.02531). Their logits are averaged; they never change. A teacher that is used to
//! other pictures, or to another time between them, would teach what it does not know: it is refused.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tsm_model::checkpoint::{Checkpoint, CheckpointError, SpecOverrides};
use tsm_model::device::ComputeError;
use tsm_model::spec::SamplingKind;
use tsm_model::{Model, ModelSpec, MotionFeatures, ShiftKind};

use crate::frame_shares::FrameShares;

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
    #[error("{}: the teacher normalises pictures differently from the network; give another teacher", path.display())]
    Normalisation {
        /// The file.
        path: PathBuf,
    },
    /// It learned from what this run does not show.
    #[error("{}: the teacher learned from {theirs}, this run shows {ours}; pass {flag}, or another teacher", path.display())]
    Habits {
        /// The file.
        path: PathBuf,
        /// What it is used to.
        theirs: String,
        /// What the run shows.
        ours: String,
        /// The flag that makes them agree.
        flag: String,
    },
}

impl Teachers {
    /// Opens the teachers of a run that makes a model like `student`.
    ///
    /// # Errors
    /// [`TeacherError`] of the first that cannot teach.
    pub fn open(paths: &[PathBuf], student: &ModelSpec, device: &Device) -> Result<Self, TeacherError> {
        let open = |path: &PathBuf| {
            let checkpoint = Checkpoint::open(path, &SpecOverrides::default())?;
            check(path, &checkpoint.spec, student)?;
            Ok(Model::load(&checkpoint, device.clone())?)
        };
        paths.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them reads motion off the pictures: it must be asked before they are mixed.
    pub fn look_at_motion(&self) -> bool {
        self.0.iter().any(|teacher| teacher.spec().motion_features != MotionFeatures::None)
    }

    /// Mean clip logits `[n, classes]` for pictures `[n * t, 3, h, w]`, of which a teacher that streams takes each
    /// frame for its share; none without teachers.
    ///
    /// # Errors
    /// If the pictures do not fit a teacher, or the device fails.
    pub fn logits(
        &mut self,
        pictures: &Tensor,
        n: usize,
        shares: &FrameShares,
    ) -> candle_core::Result<Option<Tensor>> {
        let (rows, c, h, w) = pictures.dims4()?;
        let clips = pictures.reshape((n, rows / n, c, h, w))?;
        let mut sum: Option<Tensor> = None;
        for teacher in &mut self.0 {
            let streams = teacher.spec().shift.is_streamable();
            let logits = teacher.forward_clip(&clips).map_err(candle_core::Error::wrap)?;
            let logits = if streams { shares.mean(&logits.segments)? } else { logits.consensus };
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

/// Refuses a teacher that is used to something else than what a run of `student` shows.
fn check(path: &Path, teacher: &ModelSpec, student: &ModelSpec) -> Result<(), TeacherError> {
    let path = path.to_owned();
    if teacher.classes != student.classes {
        return Err(TeacherError::Classes { path });
    }
    if (teacher.input.mean, teacher.input.std) != (student.input.mean, student.input.std) {
        return Err(TeacherError::Normalisation { path });
    }
    let habits = |theirs, ours, flag| Err(TeacherError::Habits { path, theirs, ours, flag });
    let sizes = [teacher, student].map(|spec| format!("pictures of {0}x{0}", spec.input.size_px));
    if teacher.input.size_px != student.input.size_px {
        let [theirs, ours] = sizes;
        return habits(theirs, ours, format!("--size {}", teacher.input.size_px));
    }
    // Where nothing looks ahead, a clip may be of any length.
    let looks_ahead = matches!(teacher.shift.kind, ShiftKind::Mit | ShiftKind::Paddle);
    if looks_ahead && teacher.shift.segments != student.shift.segments {
        let [theirs, ours] =
            [teacher, student].map(|spec| format!("clips of {} frames", spec.shift.segments));
        return habits(theirs, ours, format!("--segments {}", teacher.shift.segments));
    }
    let (their, our) = (&teacher.sampling, &student.sampling);
    let is_timed = |kind| kind == SamplingKind::FixedInterval;
    // To a network without shift and motion time is nothing; a foreign file does not say how its frames were chosen.
    let is_timeless =
        teacher.shift.kind == ShiftKind::None && teacher.motion_features == MotionFeatures::None;
    if is_timeless || their.kind == SamplingKind::Unknown {
        return Ok(());
    }
    if is_timed(their.kind) && is_timed(our.kind) {
        let [their_hz, our_hz] = [their, our].map(|sampling| 1000.0 / sampling.frame_interval_millis);
        // What a file rounds is no difference.
        if (their_hz - our_hz).abs() > 0.01 * our_hz {
            let [theirs, ours] = [their_hz, our_hz].map(|hz| format!("{hz:.2} frames a second"));
            return habits(theirs, ours, format!("--fps {their_hz:.2}"));
        }
    } else if is_timed(their.kind) != is_timed(our.kind) {
        let [theirs, ours] =
            [their.kind, our.kind].map(|kind| format!("frames chosen by {} sampling", kind.name()));
        return habits(theirs, ours, format!("--sampling {}", their.kind.name()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tsm_model::InputSpec;

    use super::*;
    use crate::recipe::{Preset, Recipe};
    use crate::start::model_spec;

    fn spec(recipe: &Recipe) -> ModelSpec {
        model_spec(recipe, &["a".to_owned(), "b".to_owned()])
    }

    #[test]
    fn a_teacher_of_other_habits_is_refused_with_the_flag_that_agrees() {
        let few = || Preset::Few.recipe();
        let student = spec(&few());
        let said = |teacher: &ModelSpec| check(Path::new("t"), teacher, &student).unwrap_err().to_string();
        assert!(check(Path::new("t"), &student, &student).is_ok());
        let wide = spec(&Recipe { size: 224, ..few() });
        assert_eq!(
            said(&wide),
            "t: the teacher learned from pictures of 224x224, this run shows pictures of 160x160; pass --size 224, or another teacher"
        );
        let two_way = |segments| spec(&Recipe { segments, shift: ShiftKind::Mit, ..few() });
        assert!(check(Path::new("t"), &two_way(8), &student).is_ok());
        assert!(
            said(&two_way(16))
                .contains("clips of 16 frames, this run shows clips of 8 frames; pass --segments 16")
        );
        assert!(check(Path::new("t"), &spec(&Recipe { segments: 16, ..few() }), &student).is_ok());
        assert!(said(&spec(&Recipe { fps: 25.0, ..few() })).contains("25.00 frames a second"));
        let uniform = Recipe { sampling: SamplingKind::Uniform, ..few() };
        assert!(said(&spec(&uniform)).contains("pass --sampling uniform"));
        let timeless =
            Recipe { shift: ShiftKind::None, motion_features: MotionFeatures::None, fps: 25.0, ..few() };
        assert!(check(Path::new("t"), &spec(&timeless), &student).is_ok());
        let moving = Recipe { motion_features: MotionFeatures::Flow, ..timeless };
        assert!(said(&spec(&moving)).contains("25.00 frames a second"), "motion has a speed");
        let others = ModelSpec { classes: vec!["a".to_owned()], ..student.clone() };
        assert!(said(&others).contains("the teacher's classes"));
        let grey =
            ModelSpec { input: InputSpec { mean: [0.0; 3], ..student.input.clone() }, ..student.clone() };
        assert!(said(&grey).contains("normalises"));
    }
}
