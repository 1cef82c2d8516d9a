//! What a file is, by its first bytes; and the bytes themselves, without trusting its length.
//!
//! ```text
//! "PK\3\4" ─ torch zip    0x80 ─ torch legacy    u64 length, "{" ─ safetensors    else ─ named and refused
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::error::{CheckpointError, Fault, shown};
use super::raw::{ElementKind, RawTensor, RawTensors};
use super::{torch_legacy, torch_zip};

/// The metadata key that makes a `.safetensors` ours.
pub(super) const OWN_KEY: &str = "tsm";

/// The largest file we read. ResNet-152 with its optimiser's state is a tenth of it.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Bytes that tell what a file is.
const HEAD_BYTES: usize = 512;

/// A file that has been told apart; its tensors are still bytes.
pub(super) enum Content<'a> {
    /// Our own format: the JSON under [`OWN_KEY`] and the tensors.
    Own { description: String, tensors: RawTensors<'a> },
    /// Somebody else's.
    Foreign(RawTensors<'a>),
}

/// Reads a file that looks like a model; of anything else only the beginning.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |source| CheckpointError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "it is a directory" } else { "it is no regular file" };
        return Err(Fault::NotAModel(format!("{found}; name the file of the checkpoint")).at(path));
    }
    if metadata.len() > MAX_FILE_BYTES {
        let found = format!("it has {} bytes, the limit is {MAX_FILE_BYTES}", metadata.len());
        return Err(Fault::NotAModel(found).at(path));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
    kind(&bytes, metadata.len()).map_err(|fault| fault.at(path))?;
    // The limit again: a file may grow while it is read.
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|source: io::Error| failed(source))?;
    Ok(bytes)
}

/// Whether a regular file is a `.safetensors` in good order, or has nothing in it to lose.
pub(super) fn is_replaceable(path: &Path) -> Result<bool, CheckpointError> {
    let failed = |source| CheckpointError::Read { path: path.to_owned(), source };
    let is_empty = std::fs::metadata(path).map_err(failed)?.len() == 0;
    match read(path) {
        Ok(bytes) => Ok(SafeTensors::read_metadata(&bytes).is_ok()),
        Err(CheckpointError::NotAModel { .. } | CheckpointError::Damaged { .. }) => Ok(is_empty),
        Err(error) => Err(error),
    }
}

/// Tells the formats apart and finds the tensors.
pub(super) fn parse(bytes: &[u8]) -> Result<Content<'_>, Fault> {
    match kind(bytes, bytes.len() as u64)? {
        Kind::Zip => torch_zip::read(bytes).map(Content::Foreign),
        Kind::Pickle => torch_legacy::read(bytes).map(Content::Foreign),
        Kind::Safetensors => parse_safetensors(bytes),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zip,
    Pickle,
    Safetensors,
}

fn kind(head: &[u8], len: u64) -> Result<Kind, Fault> {
    // A file of the kernel's (/proc) says 0 and has bytes all the same.
    let len = len.max(head.len() as u64);
    if head.is_empty() {
        return Err(Fault::NotAModel("it is empty (0 bytes); copy or download it again".to_owned()));
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Kind::Zip);
    }
    if let [0x80, 1..=5, ..] = head {
        return Ok(Kind::Pickle);
    }
    if let Some((declared, [b'{', ..])) = head.split_first_chunk::<8>() {
        let declared = u64::from_le_bytes(*declared);
        if declared <= len - 8 {
            return Ok(Kind::Safetensors);
        }
        if declared < MAX_FILE_BYTES {
            let text = format!("its header has {declared} bytes, the file only {len}: it is cut off");
            return Err(Fault::Damaged(text));
        }
    }
    Err(Fault::NotAModel(format!(
        "{}; pass a .safetensors file or a checkpoint of torch (.pth, .pth.tar, .pt)",
        description(head)
    )))
}

/// What a file that is no model seems to be.
fn description(head: &[u8]) -> String {
    const MAGIC: [(&[u8], &str); 11] = [
        (b"\x1f\x8b", "it is a gzip file, unpack it first"),
        (b"\xfd7zXZ\0", "it is an xz file, unpack it first"),
        (b"BZh", "it is a bzip2 file, unpack it first"),
        (b"7z\xbc\xaf", "it is a 7z archive, unpack it first"),
        (b"\x28\xb5\x2f\xfd", "it is a zstd file, unpack it first"),
        (b"PK", "it is an empty zip archive"),
        (b"\x89HDF", "it is an HDF5 file (Keras)"),
        (b"GGUF", "it is a GGUF file (a language model)"),
        (b"\x7fELF", "it is a program"),
        (b"version https://git-lfs", "it is a git-lfs pointer, run `git lfs pull`"),
        (b"RIFF", "it is a sound or video file"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_owned();
    }
    if head.get(257..262) == Some(b"ustar") {
        return "it is a tar archive, unpack it first".to_owned();
    }
    if head.get(4..8) == Some(b"ftyp") {
        return "it is a video file (mp4)".to_owned();
    }
    let start = head.trim_ascii_start().to_ascii_lowercase();
    if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        return "it is an HTML page (a download that ended on a web page?)".to_owned();
    }
    if is_text(head) {
        let text = String::from_utf8_lossy(head);
        let line: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
        return format!("it is a text file that begins with `{}`", shown(&line));
    }
    let first: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("it begins with the bytes {}", first.join(" "))
}

/// UTF-8 without control characters; the last character may be cut.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

fn parse_safetensors(bytes: &[u8]) -> Result<Content<'_>, Fault> {
    let damaged = |error| Fault::Damaged(format!("safetensors: {}", shown(&format!("{error}"))));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        let kind = element_kind(view.dtype()).ok_or_else(|| {
            Fault::Unsupported(format!(
                "`{}` has the data type {:?}; weights are read as f32, f16, bf16 and f64",
                shown(&name),
                view.dtype()
            ))
        })?;
        let raw = RawTensor::packed(view.data(), kind, view.shape().to_vec())?;
        tensors.push((name, raw));
    }
    let tensors = RawTensors { format: "safetensors", tensors };
    let description = header.metadata().as_ref().and_then(|metadata| metadata.get(OWN_KEY));
    Ok(match description {
        Some(description) => Content::Own { description: description.clone(), tensors },
        None => Content::Foreign(tensors),
    })
}

const fn element_kind(dtype: Dtype) -> Option<ElementKind> {
    Some(match dtype {
        Dtype::F32 => ElementKind::F32,
        Dtype::F16 => ElementKind::F16,
        Dtype::BF16 => ElementKind::Bf16,
        Dtype::F64 => ElementKind::F64,
        Dtype::BOOL | Dtype::U8 | Dtype::I8 => ElementKind::Whole(1),
        Dtype::I16 | Dtype::U16 => ElementKind::Whole(2),
        Dtype::I32 | Dtype::U32 => ElementKind::Whole(4),
        Dtype::I64 | Dtype::U64 => ElementKind::Whole(8),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        match parse(bytes) {
            Err(fault) => fault.at(Path::new("m.pth")).to_string(),
            Ok(_) => panic!("{bytes:?} was taken for a model"),
        }
    }

    #[test]
    fn what_is_no_model_is_named() {
        for (bytes, says) in [
            (&b""[..], "m.pth is not a model: it is empty (0 bytes)"),
            (b"\n<!DOCTYPE html><html>", "HTML page"),
            (b"hello there\nworld", "a text file that begins with `hello there`"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\xfd7zXZ\0rest", "xz file, unpack it first"),
            (b"\x00\x01\x02\x03\xff\xfe\xfd\xfc\xfb", "begins with the bytes 00 01 02 03 ff fe fd fc"),
            (b"\xff\0\0\0\0\0\0\0{\"a\":", "is cut off"),
            (b"PK\x05\x06", "empty zip"),
        ] {
            let line = refusal(bytes);
            assert!(line.contains(says), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_directory_and_a_missing_file_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let line = read(folder.path()).unwrap_err().to_string();
        assert!(
            line.ends_with("is not a model: it is a directory; name the file of the checkpoint"),
            "{line}"
        );
        let line = read(&folder.path().join("none.pth")).unwrap_err().to_string();
        assert!(line.contains("none.pth: no such file"), "{line}");
    }
}
