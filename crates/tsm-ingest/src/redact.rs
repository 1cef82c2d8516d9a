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
                push_without_secrets(host, Around::Sentence, &mut out);
            }
            None => push_without_secrets(&without_port_that_is_none(address), Around::Sentence, &mut out),
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

/// What the names hold under which cameras and recorders take a password in the path or the query:
/// `/user=admin&password=x`, `/user=admin_password=x_channel=1`, `?loginpas=x`, `?authbasic=x`.
const SECRETS: [&str; 8] = ["pas", "psw", "pwd", "secret", "token", "auth", "key", "credential"];

/// Names that only look like one of these.
const HARMLESS: [&str; 4] = ["keyframe", "keyint", "bypass", "author"];

/// Where a text ends in which an address stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Marks of the sentence may follow.
    Sentence,
    /// The address is all there is.
    Nothing,
}

/// Appends `address` with the values of [`SECRETS`] blanked.
fn push_without_secrets(address: &str, around: Around, out: &mut String) {
    let mut rest = address;
    let mut is_query = false;
    while let Some((before, value)) = rest.split_once('=') {
        is_query |= before.contains('?');
        out.push_str(before);
        out.push('=');
        rest = value;
        if is_secret(before) {
            rest = value.split_at(secret_len(value, is_query, around)).1;
            out.push_str("***");
        }
    }
    out.push_str(rest);
}

/// Whether the option whose name ends `before` its `=` holds a secret.
fn is_secret(before: &str) -> bool {
    let name = before.rsplit(['/', '?', '&', ';']).next().unwrap_or_default();
    let mut name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    name.make_ascii_lowercase();
    for harmless in HARMLESS {
        name = name.replace(harmless, "");
    }
    name.ends_with("pw") || SECRETS.iter().any(|secret| name.contains(secret))
}

/// How much of what stands behind a secret's `=` may be of it: up to the next option.
fn secret_len(value: &str, is_query: bool, around: Around) -> usize {
    let ends = |c: char| matches!(c, '&' | ';' | '#') || (!is_query && matches!(c, '/' | '?'));
    let option_end = value.find(ends).unwrap_or(value.len());
    let own = value.split_at(option_end).0;
    // `_channel=1`: what separates options in such a path may stand in a password, too.
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
    let mut marks = own.match_indices('_').filter(|_| !is_query);
    let next_name =
        marks.find(|(at, _)| own.split_at(at + 1).1.split_once('=').is_some_and(|(name, _)| is_name(name)));
    match next_name {
        Some((at, _)) => at,
        None if option_end < value.len() || around == Around::Nothing => option_end,
        None => own.trim_end_matches([')', ':', ',', '.', '…']).len(),
    }
}

/// As [`redacted`], of an address by itself: blanks and quotes in it are its own, and what stands before the last `@`
/// may be a password's, though it looks like a path.
pub(crate) fn redacted_address(text: &str) -> String {
    let found = text.split_once("://").map(|(scheme, rest)| (scheme, "://", rest));
    let found = found.or_else(|| text.split_once(':').map(|(user, rest)| (user, ":", rest)));
    let mut out = String::new();
    match found {
        Some((first, mark, rest)) if rest.contains('@') => {
            out.extend([first, mark, "***@"]);
            push_without_secrets(rest.rsplit('@').next().unwrap_or_default(), Around::Nothing, &mut out);
        }
        Some((scheme, "://", rest)) => {
            out.extend([scheme, "://"]);
            push_without_secrets(&without_port_that_is_none(rest), Around::Nothing, &mut out);
        }
        _ => push_without_secrets(text, Around::Nothing, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{redacted, redacted_address};

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
    fn recorders_addresses_lose_their_passwords_and_nothing_else() {
        check(
            "rtsp://cam:554/user=admin_password=tlJw_bo6_channel=1_stream=0.sdp?real_stream",
            "rtsp://cam:554/user=admin_password=***_channel=1_stream=0.sdp?real_stream",
        );
        check(
            "http://cam/v.cgi?loginuse=admin&loginpas=x/y&z=1",
            "http://cam/v.cgi?loginuse=admin&loginpas=***&z=1",
        );
        check("http://cam/v?authbasic=QWxh/Z_GRp==", "http://cam/v?authbasic=***");
        check("http://cam/v?pass_word=x&userpw=y&key-1=z", "http://cam/v?pass_word=***&userpw=***&key-1=***");
        check("http://cam/v?keyframes=1&bypass=1", "http://cam/v?keyframes=1&bypass=1");
        check("stream 0 (rtsp://cam/s?password=x) did not", "stream 0 (rtsp://cam/s?password=***) did not");
        check("rtsp://cam/s?pwd=x: cannot connect", "rtsp://cam/s?pwd=***: cannot connect");
    }

    #[test]
    fn in_an_address_by_itself_blanks_and_quotes_are_the_passwords() {
        let check = |text: &str, expected: &str| assert_eq!(redacted_address(text), expected);
        check("rtsp://u:it's#1@cam/s", "rtsp://***@cam/s");
        check("rtsp://us er:p@:/?#%25 + x@h/cam", "rtsp://***@h/cam");
        check("u:se cret@cam/s", "u:***@cam/s");
        check("rtsp://cam/s?password=it's me.", "rtsp://cam/s?password=***");
        check("10.0.0.1/user=admin_password=x_channel=1", "10.0.0.1/user=admin_password=***_channel=1");
        check("rtsp:/cam/user=a&password=p", "rtsp:/cam/user=a&password=***");
        check("clip 1.mp4", "clip 1.mp4");
    }

    #[test]
    fn every_address_in_the_text_is_cleaned() {
        check("a http://u:p@h/ b rtsp://v:q@g/x c", "a http://***@h/ b rtsp://***@g/x c");
        check("a=rtsp://u:p@h/,b=rtsp://v:q@g/x", "a=rtsp://***@h/,b=rtsp://***@g/x");
    }
}
