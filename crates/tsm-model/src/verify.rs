//! Compares a model's outputs with recorded ones, row by row.
//!
//! ```text
//! frames_u8 [T, H, W, 3] ─ normalise ─┬─ T rows expected, causal   stream frame by frame ─► logits, states
//!                                     ├─ T rows expected, two-way  clips ─► logits a segment
//!                                     └─ T / n_segment rows        clips ─► consensus
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::Checkpoint;
use crate::device::ComputeError;
use crate::executor::{StateTensor, StepError};
use crate::model::{ExecutorChoice, Model};
use crate::path_fault::why_unread;

/// What to do where outputs were recorded of something else.
const OTHER_MODEL: &str = "give the --model that it was recorded of";

/// Recorded tensors by name.
#[derive(Debug, Default)]
pub struct Vectors {
    tensors: BTreeMap<String, Tensor>,
}

/// The largest difference of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowDifference {
    /// `logits[3]`, `state.0`.
    pub name: String,
    /// Largest absolute difference; infinite where a value is not a number.
    pub largest: f64,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file system refuses.
    #[error("{}: {}", path.display(), why_unread(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A vector file is none.
    #[error("{}: not a file of recorded tensors (.safetensors): {fault}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: ComputeError,
    },
    /// A directory, a pipe or a device.
    #[error("{}: it is no regular file; give a file of recorded tensors (.safetensors)", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Two files hold different tensors of one name.
    #[error("{}: `{name}` is in an earlier --vectors file, too; leave one of them out", path.display())]
    Twice {
        /// The second file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// There is no such tensor.
    #[error(
        "the vectors hold no `{name}`, but {}; give --vectors files in which the reference recorded `frames_u8` \
         [T, H, W, 3] (8-bit RGB) and the `logits` or `probabilities` that came out",
        some_of(found)
    )]
    Missing {
        /// What was looked for.
        name: String,
        /// What is there.
        found: Vec<String>,
    },
    /// A tensor has a shape that cannot be compared.
    #[error("`{name}` is {found}, but this model needs {needed}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape and data type.
        found: String,
        /// What would do, and where it comes from.
        needed: String,
    },
    /// The vectors hold a state that this model has not.
    #[error(
        "the vectors hold `{name}`, but here this model has {states} states; give the causal --model that they were \
         recorded of"
    )]
    NoSuchState {
        /// The tensor.
        name: String,
        /// States that could be compared; 0 where clips were evaluated.
        states: usize,
    },
    /// The network failed.
    #[error("{0}")]
    Step(#[from] StepError),
    /// A tensor operation failed.
    #[error("{0}")]
    Compute(#[from] ComputeError),
}

impl From<candle_core::Error> for VerifyError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.into())
    }
}

/// The first of these names, and how many more there are: a file of weights has hundreds.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    const LONGEST: usize = 40;
    let short = |name: &String| name.chars().take(LONGEST).collect();
    let mut told: Vec<String> = names.iter().take(SHOWN).map(short).collect();
    if names.len() > SHOWN {
        told.push(format!("{} more", names.len() - SHOWN));
    }
    match told.pop() {
        None => "nothing at all".to_owned(),
        Some(last) if told.is_empty() => last,
        Some(last) => format!("{} and {last}", told.join(", ")),
    }
}

impl Vectors {
    /// Reads and unites files of recorded tensors.
    ///
    /// # Errors
    /// [`VerifyError::Read`], [`VerifyError::NotAFile`], [`VerifyError::Unreadable`], [`VerifyError::Twice`].
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self, VerifyError> {
        let mut tensors = BTreeMap::new();
        for path in paths {
            let path = path.as_ref();
            let refused = |source| VerifyError::Read { path: path.to_owned(), source };
            if !std::fs::metadata(path).map_err(refused)?.is_file() {
                return Err(VerifyError::NotAFile { path: path.to_owned() });
            }
            let unreadable = |fault: candle_core::Error| VerifyError::Unreadable {
                path: path.to_owned(),
                fault: fault.into(),
            };
            for (name, tensor) in candle_core::safetensors::load(path, &Device::Cpu).map_err(unreadable)? {
                if tensors.insert(name.clone(), tensor).is_some() {
                    return Err(VerifyError::Twice { path: path.to_owned(), name });
                }
            }
        }
        Ok(Self { tensors })
    }

    fn get(&self, name: &str) -> Result<&Tensor, VerifyError> {
        self.tensors.get(name).ok_or_else(|| VerifyError::Missing {
            name: name.to_owned(),
            found: self.tensors.keys().cloned().collect(),
        })
    }

    /// The tensor to compare with: `expect`, else `logits`, else `probabilities`.
    fn expected(&self, expect: Option<&str>) -> Result<(String, &Tensor), VerifyError> {
        let fallback = if self.tensors.contains_key("logits") { "logits" } else { "probabilities" };
        let has_neither = expect.is_none() && !self.tensors.contains_key(fallback);
        let name = if has_neither { "logits" } else { expect.unwrap_or(fallback) };
        Ok((name.to_owned(), self.get(name)?))
    }
}

/// Runs `checkpoint` on `device` over the recorded frames and compares.
///
/// The frames' size goes before the model's own. Names that begin with `prob` are compared with
/// the softmax of the logits.
///
/// # Errors
/// [`VerifyError`] if there is nothing to compare, or the network fails.
pub fn verify(
    checkpoint: Checkpoint,
    device: Device,
    vectors: &Vectors,
    expect: Option<&str>,
) -> Result<Vec<RowDifference>, VerifyError> {
    verify_with(checkpoint, device, ExecutorChoice::default(), vectors, expect)
}

/// As [`verify`], run by the executor of `choice`.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    mut checkpoint: Checkpoint,
    device: Device,
    choice: ExecutorChoice,
    vectors: &Vectors,
    expect: Option<&str>,
) -> Result<Vec<RowDifference>, VerifyError> {
    let (name, expected) = vectors.expected(expect)?;
    let frames = vectors.get("frames_u8")?;
    let [t, h, w, 3] = *frames.dims() else {
        return Err(shape("frames_u8", frames, "[T, H, W, 3]"));
    };
    if t == 0 || h != w || h == 0 || h % 32 != 0 || frames.dtype() != DType::U8 {
        let needed =
            "square frames of 8 bits whose side is a multiple of 32, and one at least; record them so";
        return Err(shape("frames_u8", frames, needed));
    }
    checkpoint.spec.input.size_px = h;
    let classes = checkpoint.spec.classes.len();
    let clips = t / checkpoint.spec.shift.segments.max(1);
    let rows = match *expected.dims() {
        [rows, columns] if columns == classes && (rows == t || rows == clips) => rows,
        _ => {
            let by_clip = if clips > 0 { format!(" or [{clips}, {classes}]") } else { String::new() };
            return Err(shape(&name, expected, &format!("[{t}, {classes}]{by_clip}; {OTHER_MODEL}")));
        }
    };
    let input = normalised(frames, &checkpoint)?;
    let mut model = Model::load_with(&checkpoint, device, DType::F32, choice)?;
    let (found, states) = if rows == t && model.spec().shift.is_streamable() {
        stream(&mut model, &input)?
    } else {
        (clip_rows(&mut model, &input, rows == t)?, Vec::new())
    };
    let found = if name.starts_with("prob") { candle_nn::ops::softmax(&found, 1)? } else { found };
    let mut differences = row_differences(&name, &found, expected)?;
    let state_number = |name: &String| name.strip_prefix("state.")?.parse::<usize>().ok();
    if let Some(extra) =
        vectors.tensors.keys().find(|name| state_number(name).is_some_and(|n| n >= states.len()))
    {
        return Err(VerifyError::NoSuchState { name: extra.clone(), states: states.len() });
    }
    for (index, state) in states.iter().enumerate() {
        if let Some(expected) = vectors.tensors.get(&format!("state.{index}")) {
            differences.push(state_difference(index, state, expected)?);
        }
    }
    Ok(differences)
}

/// `(x / 255 - mean) / std` as `[T, 3, H, W]`.
fn normalised(frames: &Tensor, checkpoint: &Checkpoint) -> Result<Tensor, VerifyError> {
    let input = &checkpoint.spec.input;
    let channel = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu)?.reshape((1, 3, 1, 1));
    let unit = (frames.to_dtype(DType::F32)?.permute((0, 3, 1, 2))? / 255.0)?;
    Ok(unit.broadcast_sub(&channel(input.mean)?)?.broadcast_div(&channel(input.std)?)?.contiguous()?)
}

fn stream(model: &mut Model, input: &Tensor) -> Result<(Tensor, Vec<StateTensor>), VerifyError> {
    let (t, classes) = (input.dim(0)?, model.spec().classes.len());
    let mut state = model.fresh_state();
    let mut rows = vec![0.0; t * classes];
    for (frame, row) in (0..t).zip(rows.chunks_exact_mut(classes)) {
        let picture: Vec<f32> = input.get(frame)?.flatten_all()?.to_vec1()?;
        model.step(&picture, &mut [&mut state], row)?;
    }
    let states = model.export_state(&state)?;
    Ok((Tensor::from_vec(rows, (t, classes), &Device::Cpu)?, states))
}

/// Logits of whole clips: a row a segment, or a row a clip.
fn clip_rows(model: &mut Model, input: &Tensor, is_by_segment: bool) -> Result<Tensor, VerifyError> {
    let segments = model.spec().shift.segments.max(1);
    let (t, classes) = (input.dim(0)?, model.spec().classes.len());
    if t % segments != 0 {
        let needed = format!(
            "a multiple of {segments} frames; record whole clips, or say how long they are: --segments"
        );
        return Err(shape("frames_u8", input, &needed));
    }
    let (_t, c, h, w) = input.dims4()?;
    let logits = model.forward_clip(&input.reshape((t / segments, segments, c, h, w))?)?;
    let rows = if is_by_segment { logits.segments.reshape((t, classes))? } else { logits.consensus };
    Ok(rows.to_device(&Device::Cpu)?)
}

fn row_differences(name: &str, found: &Tensor, expected: &Tensor) -> Result<Vec<RowDifference>, VerifyError> {
    let found: Vec<Vec<f32>> = found.to_vec2()?;
    let expected: Vec<Vec<f32>> = expected.to_dtype(DType::F32)?.to_vec2()?;
    let rows = found.iter().zip(&expected).enumerate();
    Ok(rows
        .map(|(i, (a, b))| RowDifference { name: format!("{name}[{i}]"), largest: largest(a, b) })
        .collect())
}

fn state_difference(
    index: usize,
    state: &StateTensor,
    expected: &Tensor,
) -> Result<RowDifference, VerifyError> {
    let name = format!("state.{index}");
    if expected.dims() != state.shape {
        return Err(shape(&name, expected, &format!("{:?}; {OTHER_MODEL}", state.shape)));
    }
    let expected: Vec<f32> = expected.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(RowDifference { name, largest: largest(&state.values, &expected) })
}

fn largest(a: &[f32], b: &[f32]) -> f64 {
    let difference = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    let worse = |worst: f64, next: f64| if next.is_nan() { f64::INFINITY } else { worst.max(next) };
    a.iter().zip(b).map(difference).fold(0.0, worse)
}

fn shape(name: &str, tensor: &Tensor, needed: &str) -> VerifyError {
    let found = format!("{:?} of {}", tensor.dims(), tensor.dtype().as_str());
    VerifyError::Shape { name: name.to_owned(), found, needed: needed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_cannot_be_compared_are_told_with_what_to_do() {
        let spec = crate::ModelSpec::new(crate::Backbone::MobilenetV2, 3);
        let checkpoint = Checkpoint {
            spec,
            weights: crate::checkpoint::Weights::new(),
            origin: crate::checkpoint::Origin::Own,
        };
        let check = |frames: (&[usize], DType), logits: &[usize], says: &str| {
            let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
            let tensors = [
                ("frames_u8".to_owned(), zeros(frames.0, frames.1)),
                ("logits".to_owned(), zeros(logits, DType::F32)),
            ];
            let vectors = Vectors { tensors: tensors.into() };
            let line = verify(checkpoint.clone(), Device::Cpu, &vectors, None).unwrap_err().to_string();
            assert!(line.contains(says), "{line}");
        };
        let frames = (&[2, 32, 32, 3][..], DType::U8);
        check(
            frames,
            &[2, 1000],
            "`logits` is [2, 1000] of f32, but this model needs [2, 3]; give the --model",
        );
        check(
            frames,
            &[0, 1000],
            "`logits` is [0, 1000] of f32, but this model needs [2, 3]; give the --model",
        );
        let long = (&[16, 32, 32, 3][..], DType::U8);
        check(long, &[16, 4], "needs [16, 3] or [2, 3]; give the --model");
        check(
            (&[2, 32, 32, 3], DType::F32),
            &[2, 3],
            "[2, 32, 32, 3] of f32, but this model needs square frames of 8",
        );
        check((&[0, 32, 32, 3], DType::U8), &[0, 3], "and one at least; record them so");
    }

    #[test]
    fn vectors_of_another_kind_are_told_by_a_few_names_and_what_is_wanted() {
        let line = |count: usize| {
            let found = (0..count).map(|index| format!("layer{index}.{}", "x".repeat(200))).collect();
            VerifyError::Missing { name: "logits".to_owned(), found }.to_string()
        };
        assert!(
            line(0).starts_with("the vectors hold no `logits`, but nothing at all; give --vectors files")
        );
        for (count, says) in [(1, "but layer0.xxx"), (2, "x and layer1.xxx"), (500, "x and 497 more; give")] {
            let line = line(count);
            assert!(line.contains(says) && line.contains("`frames_u8` [T, H, W, 3]"), "{line}");
            assert!(line.len() < 400, "{line}");
        }
    }
}
