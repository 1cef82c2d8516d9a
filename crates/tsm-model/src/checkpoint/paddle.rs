//! `PaddlePaddle`'s checkpoints, known by sight alone: pickles of `NumPy` arrays, which are not read.
//!
//! ```text
//! Fault of the pickle ─ asks for NumPy, and named or written as PaddlePaddle's? ─┬─ yes ─ says whose it is
//!                                                                                └─ no ── as it was
//! ```

use std::path::Path;

use super::error::Fault;

/// Endings of the files that `PaddlePaddle` writes.
const ENDINGS: [&str; 2] = ["pdparams", "pdopt"];

/// The key under which `PaddlePaddle` 2 keeps its own names of tensors.
const OWN_NAMES: &[u8] = b"StructuredToParameterName@@";

/// The fault in words that name `PaddlePaddle`, where the file is its; any other as it was, above all that of a pickle
/// which asks for something that harms.
pub(super) fn named(fault: Fault, path: &Path, bytes: &[u8]) -> Fault {
    let asks_for_numpy = matches!(&fault, Fault::Forbidden(global) if global.starts_with("numpy."));
    let is_named =
        || path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end.eq_ignore_ascii_case(known)));
    let is_written = || bytes.windows(OWN_NAMES.len()).any(|part| part == OWN_NAMES);
    if !asks_for_numpy || !(is_named() || is_written()) {
        return fault;
    }
    let text = "a checkpoint of PaddlePaddle (NumPy arrays in a pickle, none of which was executed); read are .safetensors \
                files and torch's checkpoints (.pth, .pth.tar, .pt) of MIT's TSM and torchvision";
    Fault::Unsupported(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::{Checkpoint, SpecOverrides};

    /// `{"w": <array>}`, cut where the array is asked for, and what `PaddlePaddle` 2 writes behind.
    fn refusal(name: &str, global: &str, behind: &str) -> String {
        let bytes = [b"\x80\x02}(X\x01\0\0\0wc", global.as_bytes(), b"\n", behind.as_bytes(), b"."].concat();
        Checkpoint::from_bytes(name, &bytes, &SpecOverrides::default()).unwrap_err().to_string()
    }

    #[test]
    fn paddles_files_are_named_and_other_pickles_refused_as_before() {
        let array = "numpy.core.multiarray\n_reconstruct";
        let own_names = "StructuredToParameterName@@";
        for (name, global, behind) in
            [("m.pdparams", array, ""), ("M.PDPARAMS", "numpy\ndtype", ""), ("m.pth", array, own_names)]
        {
            let line = refusal(name, global, behind);
            let says = format!("{name}: not supported: a checkpoint of PaddlePaddle (");
            assert!(line.starts_with(&says) && line.contains("read are .safetensors"), "{line}");
        }
        for (name, global, behind) in [
            ("m.pth", array, ""),
            ("m.pdparams", "posix\nsystem", ""),
            ("m.pdparams", "posix\nsystem", own_names),
        ] {
            let line = refusal(name, global, behind);
            assert!(line.ends_with("which no checkpoint needs; nothing of it was executed"), "{line}");
        }
    }
}
