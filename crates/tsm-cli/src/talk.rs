//! The only places that write to stdout and stderr directly.

use std::io::{self, Write};

use crate::exit_code::{Exit, Failure};

/// Text from outside as it may stand in a line: a terminal obeys control characters.
pub(crate) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Says a line to the person, on stderr, without the passwords of any address in it. A closed stderr is
/// nobody to talk to.
pub(crate) fn line(text: &str) {
    let _closed = writeln!(io::stderr(), "{}", redacted(text));
}

#[cfg(feature = "video")]
fn redacted(text: &str) -> std::borrow::Cow<'_, str> {
    tsm_ingest::redacted(text).into()
}

/// Without video there are no cameras, and no command takes an address.
#[cfg(not(feature = "video"))]
fn redacted(text: &str) -> std::borrow::Cow<'_, str> {
    text.into()
}

/// Writes a command's result on stdout.
///
/// # Errors
/// A closed pipe ends the program quietly; anything else is told.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    let written = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure { line: None, exit: Exit::Done })
        }
        other => other.map_err(|error| Failure::bad_input(format!("the output cannot be written: {error}"))),
    }
}
