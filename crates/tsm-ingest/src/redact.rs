//! Cuts user names and passwords out of text before a person or a log sees it.
//!
//! Works on any text, not only on clean addresses, because library messages quote addresses in the middle of a
//! sentence.

/// Replaces the `user:password@` part of every address in `text` by `***@`.
///
/// ```
/// assert_eq!(tsm_ingest::redacted("cannot open rtsp://me:secret@cam/1"), "cannot open rtsp://***@cam/1");
/// ```
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        // A password may hold a raw '/', '?' or '#' when it was not percent-encoded, and even blanks when a
        // library decoded it: everything up to the last '@' before the next address is taken for credentials,
        // as long as it is within the same quoted or blank-free word.
        let word_end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'))
            .unwrap_or(after.len());
        let (word, tail) = after.split_at(word_end);
        let address_end = word.find("://").unwrap_or(word.len());
        let (address, chained) = word.split_at(address_end);
        let after_address = after.split_at(address_end).1;
        match address.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str("***@");
                push_without_secrets(host, &mut out);
            }
            None => push_without_secrets(&without_port_that_is_none(address), &mut out),
        }
        if chained.is_empty() {
            rest = tail;
        } else {
            rest = after_address;
        }
    }
    out.push_str(&without_bare_credentials(rest));
    out
}

/// An address whose `://` was mistyped (`rtsp:/u:p@cam`, `u:p@cam/x`): what stands between a ':' and the last '@' of a
/// word goes.
fn without_bare_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match word.rsplit_once('@').and_then(|(before, host)| Some((before.split_once(':')?.0, host))) {
            Some((before, host)) => out.extend([before, ":***@", host]),
            None => out.push_str(word),
        }
    }
    out
}

/// `u:secret` where the host was forgotten: no port has letters in it.
fn without_port_that_is_none(address: &str) -> String {
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (authority, path) = address.split_at(end);
    match authority.rsplit_once(':') {
        Some((host, port))
            if !host.starts_with('[') && !port.bytes().all(|b| b.is_ascii_digit() || b == b',') =>
        {
            format!("{host}:***{path}")
        }
        _ => address.to_owned(),
    }
}

/// Names under which cameras take a password in the path or the query (`/user=admin&password=x&channel=1`).
const SECRETS: [&str; 10] =
    ["password", "passphrase", "passwd", "pass", "pwd", "pw", "token", "auth", "secret", "key"];

/// Appends `address` with the values of [`SECRETS`] blanked.
fn push_without_secrets(address: &str, out: &mut String) {
    for part in address.split_inclusive(['/', '?', '&', ';']) {
        let (body, end) = match part.char_indices().next_back() {
            Some((at, '/' | '?' | '&' | ';')) => part.split_at(at),
            _ => (part, ""),
        };
        match body.split_once('=') {
            Some((name, _)) if SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
                out.push_str(name);
                out.push_str("=***");
            }
            _ => out.push_str(body),
        }
        out.push_str(end);
    }
}

#[cfg(test)]
mod tests {
    use super::redacted;

    fn check(text: &str, expected: &str) {
        assert_eq!(redacted(text), expected);
    }

    #[test]
    fn credentials_go_and_everything_else_stays() {
        check("rtsp://cam/stream", "rtsp://cam/stream");
        check("rtsp://u:p@cam/stream?a=b@c", "rtsp://***@c");
        check("rtsp://u:p@cam:554/s", "rtsp://***@cam:554/s");
        check("rtsp://onlyuser@cam/s", "rtsp://***@cam/s");
        check("no address at all, me@home", "no address at all, me@home");
    }

    #[test]
    fn a_password_with_at_signs_and_slashes_leaves_nothing_behind() {
        check("x \"rtsp://u:p@ss/w#rd?@cam/s\" y", "x \"rtsp://***@cam/s\" y");
    }

    #[test]
    fn mistyped_addresses_keep_their_secrets() {
        check("rtsp:/u:sekret@h/x: no such file", "rtsp:***@h/x: no such file");
        check("u:sekret@host/x", "u:***@host/x");
        check("'rtsp://u:sekret' is no source", "'rtsp://u:***' is no source");
        check("rtsp://[::1]:554/x and rtsp://h:554", "rtsp://[::1]:554/x and rtsp://h:554");
    }

    #[test]
    fn passwords_in_path_and_query_are_blanked() {
        check(
            "rtsp://cam:554/user=admin&password=hunter2&channel=1",
            "rtsp://cam:554/user=admin&password=***&channel=1",
        );
        check("rtsp://cam/s?PWD=a;b=c&token=", "rtsp://cam/s?PWD=***;b=c&token=***");
        check("https://host/a=b/c?d=e", "https://host/a=b/c?d=e");
    }

    #[test]
    fn every_address_in_the_text_is_cleaned() {
        check("a http://u:p@h/ b rtsp://v:q@g/x c", "a http://***@h/ b rtsp://***@g/x c");
        check("a=rtsp://u:p@h/,b=rtsp://v:q@g/x", "a=rtsp://***@h/,b=rtsp://***@g/x");
    }
}
