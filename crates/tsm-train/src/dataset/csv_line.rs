//! Which line of a table a record stands on: quoted fields may hold line breaks.

use std::path::Path;

use super::DatasetError;

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
