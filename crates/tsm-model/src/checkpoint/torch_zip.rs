//! Torch's zip form (1.6 and later): `<name>/data.pkl` and one stored entry a storage.
//!
//! ```text
//! archive ─┬─ <name>/data.pkl ─ pickle ─► names, views ──┐
//!          └─ <name>/data/0, 1, … raw little-endian ─────┴─► RawTensors
//! ```
//!
//! Torch stores its entries uncompressed, so they are used where they lie; each one's checksum is
//! verified. Compressed entries and entries that share bytes are refused: nothing here grows.

use std::collections::HashMap;
use std::io::{self, Cursor};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::error::{Fault, first_line, shown};
use super::pickle::Pickle;
use super::raw::{RawTensor, RawTensors};

/// Reads the names and views of an archive; the numbers stay where they are.
pub(super) fn read(bytes: &[u8]) -> Result<RawTensors<'_>, Fault> {
    let mut archive = Archive::open(bytes)?;
    let root = archive.root()?;
    let order = archive.index.get(&format!("{root}byteorder")).cloned();
    if let Some(range) = order
        && bytes[range].trim_ascii() != b"little"
    {
        return Err(Fault::Unsupported("a checkpoint of a big-endian machine".to_owned()));
    }
    let pickle = Pickle::read(archive.entry(&format!("{root}data.pkl"))?)?;
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    let mut tensors = Vec::new();
    for (name, tensor) in pickle.state_dict()? {
        let storage = tensor.storage;
        let data = if let Some(data) = storages.get(storage.key) {
            *data
        } else {
            let data = archive.entry(&format!("{root}data/{}", storage.key))?;
            storages.insert(storage.key, data);
            data
        };
        let declared = storage.count.checked_mul(storage.kind.bytes());
        let data = declared.and_then(|declared| data.get(..declared)).ok_or_else(|| {
            Fault::Damaged(format!(
                "storage `{}` of `{}` declares {} elements, its entry has {} bytes",
                shown(storage.key),
                shown(name),
                storage.count,
                data.len()
            ))
        })?;
        let raw =
            RawTensor::view(data, storage.kind, tensor.offset, tensor.shape.clone(), tensor.strides.clone())?;
        tensors.push((name.to_owned(), raw));
    }
    Ok(RawTensors { format: "torch zip", tensors })
}

/// An archive whose entries are stored, lie within the file and do not overlap.
struct Archive<'a> {
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
    index: HashMap<String, Range<usize>>,
    positions: HashMap<String, usize>,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
        if zip.has_duplicate_names() {
            return Err(Fault::Damaged("zip: two entries have the same name".to_owned()));
        }
        let mut index = HashMap::new();
        let mut positions = HashMap::new();
        let mut ranges = Vec::with_capacity(zip.len());
        for position in 0..zip.len() {
            let entry = zip.by_index_raw(position).map_err(|error| damaged(&error))?;
            let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
            if entry.encrypted() || entry.compression() != CompressionMethod::Stored {
                let text = format!(
                    "its entry `{}` is compressed or encrypted, torch stores plainly; unpack it and pack it with `zip -0`",
                    shown(&name)
                );
                return Err(Fault::Unsupported(text));
            }
            let range = range(&entry, bytes.len()).ok_or_else(|| {
                Fault::Damaged(format!(
                    "zip: entry `{}` of {} bytes leaves the file",
                    shown(&name),
                    entry.size()
                ))
            })?;
            ranges.push((entry.header_start(), range.end as u64));
            positions.insert(name.clone(), position);
            if index.insert(name, range).is_some() {
                return Err(Fault::Damaged("zip: two entries have the same name".to_owned()));
            }
        }
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(Fault::Damaged("zip: two entries share bytes".to_owned()));
        }
        Ok(Self { bytes, zip, index, positions })
    }

    /// The folder of `data.pkl`, with its slash.
    fn root(&self) -> Result<String, Fault> {
        let mut roots = self.index.keys().filter_map(|name| name.strip_suffix("data.pkl"));
        let root = roots.find(|root| root.is_empty() || root.ends_with('/'));
        let Some(root) = root else {
            let text =
                "it is a zip archive without data.pkl; pass a checkpoint of torch or a .safetensors file";
            return Err(Fault::NotAModel(text.to_owned()));
        };
        if self.index.contains_key(&format!("{root}constants.pkl")) {
            let text = "a TorchScript program; save `model.state_dict()` with `torch.save` instead";
            return Err(Fault::Unsupported(text.to_owned()));
        }
        Ok(root.to_owned())
    }

    /// The bytes of an entry, whose checksum has been verified.
    fn entry(&mut self, name: &str) -> Result<&'a [u8], Fault> {
        let found = self.index.get(name).zip(self.positions.get(name));
        let (range, &position) =
            found.ok_or_else(|| Fault::Damaged(format!("zip: entry `{}` is missing", shown(name))))?;
        let mut reader = self.zip.by_index(position).map_err(|error| damaged(&error))?;
        io::copy(&mut reader, &mut io::sink()).map_err(|error| {
            Fault::Damaged(format!("zip: entry `{}`: {}", shown(name), first_line(&error)))
        })?;
        Ok(&self.bytes[range.clone()])
    }
}

/// Where the bytes of a stored entry lie, if within the file.
fn range<R: io::Read + ?Sized>(entry: &zip::read::ZipFile<'_, R>, file_bytes: usize) -> Option<Range<usize>> {
    if entry.size() != entry.compressed_size() {
        return None;
    }
    let start = usize::try_from(entry.data_start()?).ok()?;
    let end = start.checked_add(usize::try_from(entry.size()).ok()?)?;
    (end <= file_bytes).then_some(start..end)
}

fn damaged(error: &dyn std::fmt::Display) -> Fault {
    Fault::Damaged(format!("zip: {}", shown(&first_line(error))))
}
