//! Which line of a table a record stands on: quoted fields may hold line breaks.

/// The line of a table that a record, or what is wrong with it, begins at.
pub(super) fn line_of(record: &Result<csv::StringRecord, csv::Error>, otherwise: usize) -> usize {
    let position = match record {
        Ok(record) => record.position(),
        Err(error) => error.position(),
    };
    position.and_then(|position| usize::try_from(position.line()).ok()).unwrap_or(otherwise)
}
