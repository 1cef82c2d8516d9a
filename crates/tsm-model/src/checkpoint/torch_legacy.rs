//! Torch's form before 1.6, in which MIT's published files are: five pickles and the numbers.
//!
//! ```text
//! magic ─ 1001 ─ {little_endian, …} ─ the object ─ [keys] ─ for each key: count (u64), elements
//! ```

use std::collections::HashMap;

use super::error::{Fault, shown};
use super::pickle::{Pickle, StorageRef, Value};
use super::raw::{RawTensor, RawTensors};

/// What the first pickle holds.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// What the second one holds; it never changed.
const PROTOCOL: i128 = 1001;

/// Reads the names and views of a legacy file; the numbers stay where they are.
pub(super) fn read(bytes: &[u8]) -> Result<RawTensors<'_>, Fault> {
    let mut rest = bytes;
    if next(&mut rest)?.root() != Value::Int(MAGIC) {
        let text = "it is a pickle, but not one of torch; pass a checkpoint of torch or a .safetensors file";
        return Err(Fault::NotAModel(text.to_owned()));
    }
    let protocol = next(&mut rest)?.root();
    if protocol != Value::Int(PROTOCOL) {
        return Err(Fault::Unsupported(format!("torch's legacy protocol {protocol:?}; known is {PROTOCOL}")));
    }
    let system = next(&mut rest)?;
    if system.lookup(system.root(), "little_endian") == Some(Value::Bool(false)) {
        return Err(Fault::Unsupported("a checkpoint of a big-endian machine".to_owned()));
    }
    let object = next(&mut rest)?;
    let keys = next(&mut rest)?;
    let storages = storages(&object, &keys, rest)?;
    let mut tensors = Vec::new();
    for (name, tensor) in object.state_dict()? {
        let key = tensor.storage.key;
        let data = *storages.get(key).ok_or_else(|| {
            Fault::Damaged(format!("storage `{}` of `{}` is missing", shown(key), shown(name)))
        })?;
        let (shape, strides) = (tensor.shape.clone(), tensor.strides.clone());
        tensors.push((
            name.to_owned(),
            RawTensor::view(data, tensor.storage.kind, tensor.offset, shape, strides)?,
        ));
    }
    Ok(RawTensors { format: "torch legacy", tensors })
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>, Fault> {
    let pickle = Pickle::read(rest)?;
    *rest = &rest[pickle.len()..];
    Ok(pickle)
}

/// Cuts the numbers behind the pickles into storages, in the order of `keys`.
fn storages<'a>(
    object: &Pickle<'a>,
    keys: &Pickle<'a>,
    mut rest: &'a [u8],
) -> Result<HashMap<&'a str, &'a [u8]>, Fault> {
    let mut declared: HashMap<&str, StorageRef<'_>> = HashMap::new();
    for storage in object.storages() {
        if *declared.entry(storage.key).or_insert(storage) != storage {
            return Err(Fault::Damaged(format!("storage `{}` is declared in two ways", shown(storage.key))));
        }
    }
    let keys = keys
        .items(keys.root())
        .ok_or_else(|| Fault::Damaged("the list of storages is missing".to_owned()))?;
    let mut storages = HashMap::new();
    for key in keys {
        let Value::Text(key) = *key else {
            return Err(Fault::Damaged("a storage's key is no text".to_owned()));
        };
        let wrong = |what: &str| Fault::Damaged(format!("storage `{}` {what}", shown(key)));
        let storage = declared.get(key).ok_or_else(|| wrong("belongs to no tensor"))?;
        let (count, data) = rest.split_first_chunk::<8>().ok_or_else(|| wrong("is cut off"))?;
        if u64::from_le_bytes(*count) != storage.count as u64 {
            return Err(wrong("has another length than its tensors say"));
        }
        let len = storage.count.checked_mul(storage.kind.bytes());
        let (data, behind) = len.and_then(|len| data.split_at_checked(len)).ok_or_else(|| {
            wrong(&format!("of {} elements is cut off: {} bytes are left", storage.count, data.len()))
        })?;
        if storages.insert(key, data).is_some() {
            return Err(wrong("occurs twice"));
        }
        rest = behind;
    }
    Ok(storages)
}
