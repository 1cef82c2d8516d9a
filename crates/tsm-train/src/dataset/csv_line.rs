//! Opens a table, and knows which line of it a record stands on: quoted fields may hold line breaks.

use std::io::Cursor;
use std::path::Path;

use super::DatasetError;

/// The records of a table; blanks around fields are left out.
pub(super) fn open(table: &Path) -> Result<csv::Reader<Cursor<Vec<u8>>>, DatasetError> {
    let bytes = std::fs::read(table).map_err(|error| DatasetError::of_io(table, "file", error))?;
    // A line that ends with CR LF ends for the reader at the CR, and the next would be counted as the same.
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.collect::<Vec<_>>().join(&b'\n');
    Ok(csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(Cursor::new(lines)))
}

/// The error of a line that cannot be read, or of a table that is none.
pub(super) fn unread(table: &Path, line: usize, error: csv::Error) -> DatasetError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => DatasetError::of_io(table, "file", source),
        _ => DatasetError::Line { path: table.to_owned(), line, reason },
    }
}

/// The line of a table that a record, or what is wrong with it, begins at.
pub(super) fn line_of(record: &Result<csv::StringRecord, csv::Error>, otherwise: usize) -> usize {
    let position = match record {
        Ok(record) => record.position(),
        Err(error) => error.position(),
    };
    position.and_then(|position| usize::try_from(position.line()).ok()).unwrap_or(otherwise)
}
