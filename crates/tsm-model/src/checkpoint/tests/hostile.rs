//! Files that are cut, changed, or made to harm.

use super::made::{self, Entry, Tensors};
use crate::checkpoint::{Checkpoint, SpecOverrides};

fn refusal(bytes: &[u8]) -> String {
    let line = Checkpoint::from_bytes("m.pth", bytes, &SpecOverrides::default()).unwrap_err().to_string();
    assert!(line.contains("m.pth") && !line.contains('\n'), "{line:?}");
    line
}

#[test]
fn all_three_forms_hold_the_same_numbers() {
    let tensors = made::tiny();
    for bytes in [made::as_safetensors(&tensors, None), made::as_zip(&tensors), made::as_legacy(&tensors)] {
        let model = Checkpoint::from_bytes("m.pth", &bytes, &SpecOverrides::default()).unwrap();
        assert_eq!(model.weights.len(), tensors.len());
        for (name, (shape, values)) in &tensors {
            let tensor = model.weights.get(name).unwrap();
            assert_eq!(tensor.dims(), shape);
            assert_eq!(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), values);
        }
    }
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let tensors = made::tiny();
    for bytes in [made::as_safetensors(&tensors, None), made::as_zip(&tensors), made::as_legacy(&tensors)] {
        for cut in (1..bytes.len()).step_by(bytes.len() / 50).chain([bytes.len() - 1]) {
            refusal(&bytes[..cut]);
        }
    }
}

fn refused_zip(change: impl FnOnce(&mut Vec<Entry>)) -> String {
    let mut entries = made::zip_entries(&made::tiny());
    change(&mut entries);
    refusal(&made::zip(&entries))
}

#[test]
fn dishonest_zips_are_refused() {
    let check = |line: String, says: &str| assert!(line.contains(says), "{line}");
    check(refused_zip(|e| e[2].crc ^= 1), "entry `m/data/0`");
    check(refused_zip(|e| e[0].crc ^= 1), "entry `m/data.pkl`");
    check(refused_zip(|e| e[2].method = 8), "compressed or encrypted");
    check(refused_zip(|e| e[2].claimed_bytes = u32::MAX - 1), "leaves the file");
    check(refused_zip(|e| e[2].claimed_bytes += 64), "share bytes");
    check(refused_zip(|e| e[3].shares = Some(2)), "share bytes");
    check(refused_zip(|e| e[3].name = e[2].name.clone()), "same name");
    check(refused_zip(|e| drop(e.remove(2))), "`m/data/0` is missing");
    check(refused_zip(|e| e[2] = Entry::new("m/data/0", vec![0; 3])), "its entry has 3 bytes");
    check(refused_zip(|e| e[1] = Entry::new("m/byteorder", b"big".to_vec())), "big-endian");
    check(
        refused_zip(|e| e[0].name = "m/model.json".to_owned()),
        "is not a model: it is a zip archive without data.pkl",
    );
    check(refused_zip(|e| e[1].name = "m/constants.pkl".to_owned()), "TorchScript");
}

#[test]
fn dishonest_legacy_files_are_refused() {
    let tensors = made::tiny();
    let bytes = made::as_legacy(&tensors);
    let first = tensors.values().next().unwrap().1.len();
    let data: usize = tensors.values().map(|(_, values)| 8 + 4 * values.len()).sum();
    let mut huge = bytes.clone();
    let at = bytes.len() - data;
    assert_eq!(huge[at..at + 8], (first as u64).to_le_bytes());
    huge[at..at + 8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(refusal(&huge).contains("another length than its tensors say"));
    assert!(refusal(&bytes[..at + 4]).contains("is cut off"));
    assert!(refusal(b"\x80\x02}.").contains("it is a pickle, but not one of torch"));
    assert!(refusal(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.").contains("asks for `os.system`"));
}

fn with(name: &str, shape: &[usize], value: f32) -> Tensors {
    let mut tensors = made::tiny();
    let count = shape.iter().product();
    tensors.insert(name.to_owned(), (shape.to_vec(), vec![value; count]));
    tensors
}

#[test]
fn numbers_that_are_no_weights_are_refused_by_tensor() {
    for (value, says) in [
        (f32::NAN, "holds NaN at element 0"),
        (f32::NEG_INFINITY, "holds -inf"),
        (-1.0, "negative variance -1"),
    ] {
        let line = refusal(&made::as_zip(&with("features.0.1.running_var", &[8], value)));
        assert!(line.contains("`features.0.1.running_var`") && line.contains(says), "{line}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let line = refusal(&made::as_zip(&with("features.0.1.bias", &[9], 1.0)));
    assert!(line.contains("`features.0.1.bias` is [9], but mobilenetv2 needs [8]"), "{line}");
    let line = refusal(&made::as_zip(&with("features.19.weight", &[9], 1.0)));
    assert!(line.contains("`features.19.weight` has no place in mobilenetv2"), "{line}");
    let line = refusal(&made::as_zip(&with("classifier.1.weight", &[3, 0], 1.0)));
    assert!(line.contains("is [3, 0], but the network needs [classes, 1280]"), "{line}");
    let line = refusal(&made::as_zip(&with("classifier.1.weight", &[0, 1280], 1.0)));
    assert!(line.contains("`classifier.1.weight` has no rows, so the model has no classes; pass"), "{line}");
    let mut tensors = made::tiny();
    tensors.remove("features.7.conv.3.running_mean");
    let line = refusal(&made::as_zip(&tensors));
    assert!(line.contains("`features.7.conv.3.running_mean` [8] is missing for mobilenetv2"), "{line}");
}

#[test]
fn an_expanded_head_takes_no_memory() {
    // One element, shape [2^40, 1280], strides 0: 5 PiB if it were believed.
    let mut entries = made::zip_entries(&made::tiny());
    let pickle = &mut entries[0].data;
    let head = b"classifier.1.weight";
    let at = pickle.windows(head.len()).position(|w| w == head).unwrap();
    let count = pickle[at..].windows(3).position(|w| w == b"K\0(").unwrap() + at;
    let shape = [b"J".as_slice(), &3i32.to_le_bytes()].concat();
    assert_eq!(pickle[count + 3..count + 8], shape);
    pickle.splice(count + 3..count + 8, *b"\x8a\x06\0\0\0\0\0\x01");
    entries[0] = Entry::new("m/data.pkl", pickle.clone());
    let line = refusal(&made::zip(&entries));
    assert!(line.contains("leaves its storage of 3840 elements"), "{line}");
}
