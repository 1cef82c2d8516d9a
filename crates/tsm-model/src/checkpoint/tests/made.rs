//! Small files written here: state dicts as `.safetensors`, torch zip and torch legacy.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::Architecture;
use crate::spec::{Backbone, ModelSpec};

/// Tensors by name: shape and elements.
pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A network of this width with torchvision's names; every element is another small number.
pub(super) fn network(backbone: Backbone, width: f64, classes: usize) -> Tensors {
    let spec = ModelSpec { width, ..ModelSpec::new(backbone, classes) };
    let mut next = 0u8;
    let mut value = || {
        next = next.wrapping_add(37);
        f32::from(next) / 64.0
    };
    let parameters = Architecture::of(&spec).parameters();
    let mut tensor = |count: usize| (0..count).map(|_| value()).collect::<Vec<_>>();
    parameters.into_iter().map(|p| (p.name, (p.shape.clone(), tensor(p.shape.iter().product())))).collect()
}

/// The smallest `MobileNetV2`: 3 classes.
pub(super) fn tiny() -> Tensors {
    network(Backbone::MobilenetV2, 0.05, 3)
}

pub(super) fn renamed(tensors: Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

pub(super) fn as_safetensors(tensors: &Tensors, metadata: Option<&str>) -> Vec<u8> {
    let encoded: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name.as_str(), shape.as_slice(), le_bytes(values)))
        .collect();
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    let metadata = metadata.map(|text| [("tsm".to_owned(), text.to_owned())].into());
    safetensors::serialize(views, metadata).unwrap()
}

pub(super) fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A pickled state dict; storage `i` belongs to tensor `i`. `tail` ends the persistent id.
fn state_dict(tensors: &Tensors, tail: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (key, (name, (shape, values))) in tensors.iter().enumerate() {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(b"ctorch\nFloatStorage\n");
        text(&mut out, &key.to_string());
        text(&mut out, "cuda:0");
        int(&mut out, values.len());
        out.extend([tail, b"tQK\0("].concat());
        for size in shape {
            int(&mut out, *size);
        }
        out.extend(b"t(");
        (1..=shape.len()).for_each(|axis| int(&mut out, shape[axis..].iter().product()));
        out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    out.extend(text.as_bytes());
}

fn int(out: &mut Vec<u8>, number: usize) {
    out.push(b'J');
    out.extend(i32::try_from(number).unwrap().to_le_bytes());
}

pub(super) fn as_legacy(tensors: &Tensors) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.".to_vec();
    out.extend(state_dict(tensors, b"N"));
    out.extend(b"\x80\x02](");
    (0..tensors.len()).for_each(|key| text(&mut out, &key.to_string()));
    out.extend(b"e.");
    for (_, values) in tensors.values() {
        out.extend((values.len() as u64).to_le_bytes());
        out.extend(le_bytes(values));
    }
    out
}

/// The entries of torch's zip form.
pub(super) fn zip_entries(tensors: &Tensors) -> Vec<Entry> {
    let mut entries = vec![
        Entry::new("m/data.pkl", state_dict(tensors, b"")),
        Entry::new("m/byteorder", b"little".to_vec()),
    ];
    let storages = tensors.values().enumerate();
    entries.extend(storages.map(|(key, (_, values))| Entry::new(&format!("m/data/{key}"), le_bytes(values))));
    entries
}

pub(super) fn as_zip(tensors: &Tensors) -> Vec<u8> {
    zip(&zip_entries(tensors))
}

/// One entry of a zip file, with what its headers claim.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) data: Vec<u8>,
    pub(super) crc: u32,
    pub(super) method: u16,
    pub(super) claimed_bytes: u32,
    /// Another entry whose bytes the central directory gives to this one.
    pub(super) shares: Option<usize>,
}

impl Entry {
    pub(super) fn new(name: &str, data: Vec<u8>) -> Self {
        let (crc, claimed_bytes) = (crc32(&data), u32::try_from(data.len()).unwrap());
        Self { name: name.to_owned(), data, crc, method: 0, claimed_bytes, shares: None }
    }

    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend([0u8; 2]);
        out.extend(self.method.to_le_bytes());
        out.extend([0u8; 4]);
        out.extend(self.crc.to_le_bytes());
        out.extend(self.claimed_bytes.to_le_bytes());
        out.extend(self.claimed_bytes.to_le_bytes());
        out.extend(u16::try_from(self.name.len()).unwrap().to_le_bytes());
        out.extend([0u8; 2]);
        out
    }
}

/// A zip file of these entries, as APPNOTE 4.3 describes it.
pub(super) fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut central, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        offsets.push(u32::try_from(out.len()).unwrap());
        out.extend(
            [b"PK\x03\x04\x14\0", entry.fields().as_slice(), entry.name.as_bytes(), &entry.data].concat(),
        );
    }
    for (index, entry) in entries.iter().enumerate() {
        let offset = offsets[entry.shares.unwrap_or(index)];
        central.extend(
            [b"PK\x01\x02\x14\0\x14\0", entry.fields().as_slice(), &[0; 10], &offset.to_le_bytes()].concat(),
        );
        central.extend(entry.name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let (size, start) = (u32::try_from(central.len()).unwrap(), u32::try_from(out.len()).unwrap());
    out.extend(central);
    out.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size.to_le_bytes(), &start.to_le_bytes(), b"\0\0"]
            .concat(),
    );
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
