//! Scalars for `TensorBoard`, in its event files.
//!
//! ```text
//! record: length u64 | masked CRC of the length u32 | Event (protobuf) | masked CRC of the Event u32   (little endian)
//! Event:  1 wall_time double | 2 step int64 | 3 file_version | 5 Summary | 7 SessionLog
//! ```
//!
//! Source: `record_writer.h`, `event.proto` and `summary.proto` of `TensorFlow`. The bytes are those of its own writer:
//! a field that is 0 is left out.
//! It writes scalars only, and never reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::ReportError;

/// How many files may begin in one second in one folder.
const FILES_A_SECOND: u32 = 1000;

/// Whether older event files in the folder go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// The folder's first run.
    Fresh,
    /// What older files say about later steps than this is taken back: those steps are done again.
    ResumedAfter {
        /// The step of the checkpoint resumed from.
        step: u64,
    },
}

/// An event file that grows; each call's events are handed to the system before it returns.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Begins a new file in `folder`, which is made if need be.
    ///
    /// `now` is wall time, for people: it is in the file's name and with each event.
    ///
    /// # Errors
    /// [`ReportError::Write`] where the folder or file cannot be made.
    pub fn create(folder: &Path, start: LogStart, now: SystemTime) -> Result<Self, ReportError> {
        let failed = |source| ReportError::Write { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let (path, file) = new_file(folder, now).map_err(failed)?;
        let mut writer = Self { path, file };
        writer.record(&event(now, 0, 3, b"brain.Event:2"))?;
        if let LogStart::ResumedAfter { step } = start {
            // SessionLog { status: START } makes readers drop this step and all later ones.
            writer.record(&event(now, step.saturating_add(1), 7, &[0x08, 1]))?;
        }
        Ok(writer)
    }

    /// The file written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds scalars of one step, such as `("loss/train", 1.2)`; `NaN` is written as it is.
    ///
    /// # Errors
    /// [`ReportError::Write`], for instance when the disk is full.
    pub fn scalars(
        &mut self,
        step: u64,
        now: SystemTime,
        scalars: &[(&str, f32)],
    ) -> Result<(), ReportError> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut one = Vec::new();
            put_bytes(&mut one, 1, tag.as_bytes());
            one.push((2 << 3) | FIXED32);
            one.extend(value.to_le_bytes());
            put_bytes(&mut summary, 1, &one);
        }
        self.record(&event(now, step, 5, &summary))
    }

    /// One write, so that a killed run leaves whole records but for the last.
    fn record(&mut self, event: &[u8]) -> Result<(), ReportError> {
        let failed = |source| ReportError::Write { path: self.path.clone(), source };
        self.file.write_all(&framed(event)).map_err(failed)
    }
}

/// How the names of event files begin.
pub(crate) const EVENTS: &str = "events.out.tfevents.";

/// Named by the second: readers take a folder's files in the order of their names.
fn new_file(folder: &Path, now: SystemTime) -> io::Result<(PathBuf, File)> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for number in 0..FILES_A_SECOND {
        let path = folder.join(format!("{EVENTS}{seconds:010}.tsm.{number:03}"));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many event files of this second"))
}

/// Protobuf's wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// An `Event` whose field number `field` holds `content`.
fn event(now: SystemTime, step: u64, field: u8, content: &[u8]) -> Vec<u8> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut bytes = vec![(1 << 3) | FIXED64];
    bytes.extend(seconds.to_le_bytes());
    if step > 0 {
        bytes.push((2 << 3) | VARINT);
        put_varint(&mut bytes, step);
    }
    put_bytes(&mut bytes, field, content);
    bytes
}

fn put_bytes(to: &mut Vec<u8>, field: u8, content: &[u8]) {
    to.push((field << 3) | BYTES);
    put_varint(to, content.len() as u64);
    to.extend(content);
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(event);
    record.extend(masked_crc(event).to_le_bytes());
    record
}

/// The mask keeps a checksum of data that holds checksums from being zero ('`record_writer.h`').
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| HEX[usize::from(digit)]).collect()
    }

    #[test]
    fn the_bytes_are_those_of_tensorboards_own_writer() {
        let folder = tempfile::tempdir().unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let mut writer = EventWriter::create(folder.path(), LogStart::Fresh, now).unwrap();
        writer.scalars(300, now, &[("loss", 1.5)]).unwrap();
        let name = writer.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(name, "events.out.tfevents.1700000000.tsm.000");
        // From tensorboard 2.21.0: RecordWriter and Event.SerializeToString.
        let version = "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110";
        let loss = "1b000000000000001a0d9e130900002040fc54d94110ac022a0d0a0b0a046c6f7373150000c03fedfb8f15";
        assert_eq!(hexadecimal(&std::fs::read(writer.path()).unwrap()), format!("{version}{loss}"));
    }

    #[test]
    fn a_resumed_run_begins_its_own_file_and_takes_later_steps_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path(), LogStart::Fresh, UNIX_EPOCH).unwrap();
        let second =
            EventWriter::create(folder.path(), LogStart::ResumedAfter { step: 9 }, UNIX_EPOCH).unwrap();
        assert!(second.path() > first.path());
        let (fresh, resumed) = (std::fs::read(first.path()).unwrap(), std::fs::read(second.path()).unwrap());
        assert!(resumed.starts_with(&fresh));
        let start = event(UNIX_EPOCH, 10, 7, &[8, 1]);
        assert_eq!(resumed[fresh.len()..], framed(&start));
    }

    #[test]
    fn numbers_above_seven_bits_are_continued() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 300);
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(hexadecimal(&bytes), "ac02ffffffffffffffffff01");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = EventWriter::create(&file.join("logs"), LogStart::Fresh, UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("logs: cannot be written"), "{error}");
    }
}
