//! Cuts user names and passwords out of text before a person or a log sees it.
//!
//! Works on any text, not only on clean addresses, because library messages quote addresses in the middle of a
//! sentence.

use std::net::{Ipv4Addr, Ipv6Addr};

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
        push_address(address, Around::Sentence, &mut out);
        if chained.is_empty() {
            rest = tail;
        } else {
            rest = after_address;
        }
    }
    out.push_str(&without_bare_credentials(rest));
    out
}

/// Appends what stands behind the `://` of an address, without its secrets.
///
/// User and password end at the `@` before the host, and neither `/` nor `?` nor `#` should be in them. Where a
/// password was not percent-encoded they are, so a later `@` may well be the one; only behind what can be nothing but a
/// host it is one of the path's.
fn push_address(address: &str, around: Around, out: &mut String) {
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (authority, path) = address.split_at(end);
    if !path.contains('@') && !authority.contains('@') {
        return push_without_secrets(&without_port_that_is_none(address), around, out);
    }
    let (user_info, host) = match authority.rsplit_once('@') {
        Some((_, host)) => ("***@", host),
        None => ("", authority),
    };
    // `domain/user:password@host` is written, too.
    let may_hide_password = path.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'));
    if is_surely_host(host) && !may_hide_password {
        out.extend([user_info, host]);
        return push_without_secrets(path, around, out);
    }
    push_without_user_info(address, around, out);
}

/// Whether this is an address in numbers. A full name is no host for sure (`p@ss.word/1@cam`: a parser has taken `p`
/// away, and left the rest of the password as host and path), nor is a port any help: `admin:1/2@cam` begins like a
/// host with one.
fn is_surely_host(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => text,
    };
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.parse::<Ipv4Addr>().is_ok() || inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// Appends `address`, of which all up to the last `@` may be user and password.
fn push_without_user_info(address: &str, around: Around, out: &mut String) {
    let Some((before, mut host)) = address.rsplit_once('@') else {
        return push_without_secrets(address, around, out);
    };
    out.push_str("***@");
    // Of `?password=a@b` the end of the password stands behind the mark.
    let option = before.rsplit(['&', ';']).next().unwrap_or_default();
    if before.contains(['/', '?']) && option.split_once('=').is_some_and(|(name, _)| is_secret(name)) {
        out.push_str("***");
        host = host.split_at(secret_len(host, before.contains('?'), around)).1;
    }
    push_without_secrets(host, around, out);
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

/// Whether it reads `name=value`. Behind a mark that stands in a password without its code there is something else; and
/// what has a `_` may go on with the password, as in `?secret_channel=1`.
fn begins_option(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    };
    // `==` ends what is written in base 64.
    text.split_once('=')
        .is_some_and(|(name, value)| is_name(name) && !value.is_empty() && !value.starts_with('='))
}

/// How much of what stands behind a secret's `=` may be of it: up to the next option.
fn secret_len(value: &str, is_query: bool, around: Around) -> usize {
    let is_mark = |c: char| matches!(c, '&' | ';') || (!is_query && matches!(c, '/' | '?'));
    let mut marks = value.match_indices(is_mark);
    let end = marks.find(|(at, _)| begins_option(value.split_at(at + 1).1));
    let option_end = end.map_or(value.len(), |(at, _)| at);
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
        Some((scheme, "://", rest)) => {
            out.extend([scheme, "://"]);
            push_address(rest, Around::Nothing, &mut out);
        }
        Some((user, mark, rest)) if rest.contains('@') => {
            out.extend([user, mark]);
            push_without_user_info(rest, Around::Nothing, &mut out);
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
    fn a_mark_behind_what_is_surely_a_host_is_the_paths() {
        let both = |text: &str, expected: &str| {
            check(text, expected);
            assert_eq!(redacted_address(text), expected, "by itself");
        };
        both("http://10.0.0.5/snap@2?x=a@b", "http://10.0.0.5/snap@2?x=a@b");
        both("http://10.0.0.5:8080?user=me@home", "http://10.0.0.5:8080?user=me@home");
        both("rtsp://[fe80::1]:554/s@1", "rtsp://[fe80::1]:554/s@1");
        both("rtsp://u:p@10.0.0.5:554/s@1", "rtsp://***@10.0.0.5:554/s@1");
        both("http://10.0.0.5/v?password=p@ss&x=1", "http://10.0.0.5/v?password=***&x=1");
    }

    #[test]
    fn a_mark_behind_what_may_be_a_user_is_not() {
        let both = |text: &str, expected: &str| {
            check(text, expected);
            assert_eq!(redacted_address(text), expected, "by itself");
        };
        both("rtsp://admin:1234/secret@cam/s", "rtsp://***@cam/s");
        both("rtsp://admin:1234#secret@cam/s", "rtsp://***@cam/s");
        both("rtsp://john.doe:1234/secret@cam/s", "rtsp://***@cam/s");
        both("rtsp://corp.local/user:secret@cam/s", "rtsp://***@cam/s");
        both("rtsp://u:a@home.example/secret@cam/s", "rtsp://***@cam/s");
        both("rtsp://c2Vj/cmV0@cam/s", "rtsp://***@cam/s");
        both("rtsp://corp.local/user%3Asecret@cam/s", "rtsp://***@cam/s");
        both("http://cam.example.org/snap@2", "http://***@2");
        both("http://cam/v?password=p@ss&x=1", "http://***@***&x=1");
        both("http://u:p@cam/v?password=p@ss", "http://***@***");
    }

    #[test]
    fn a_password_with_any_mark_in_it_is_not_shown_before_any_host() {
        let marks = ["/", "@", "?", "#", ":", "@/", "/@", ":1/", "@cam/", "?x=", "/?password=", "=", "&"];
        let hosts = ["cam", "cam:554", "cam.example.org", "10.0.0.5:554", "[::1]", "[::1]:554"];
        for (mark, host) in marks.iter().flat_map(|mark| hosts.map(|host| (mark, host))) {
            for user in ["admin", "john.doe", "me@home.example", "corp.local/me"] {
                for (password, path) in [("secret", "s"), ("secret", "s@1"), ("1", "s"), ("1", "s@1")] {
                    let text = format!("rtsp://{user}:{password}{mark}secret@{host}/{path}?a=b");
                    for shown in [redacted(&text), redacted_address(&text)] {
                        assert!(!shown.contains("secret"), "{text} is shown as {shown}");
                    }
                }
            }
        }
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
    fn marks_in_such_a_password_do_not_end_it() {
        for mark in ["#", "/", "?", ";", "&", "=", "#a=", "/ab==", "%"] {
            for before in ["x?password=", "user=a&password=", "user=a_password="] {
                for behind in ["", "&channel=1", "_channel=1", "&channel=1&stream=0"] {
                    let text = format!("rtsp://cam/{before}x{mark}secret{behind}");
                    for shown in [redacted(&text), redacted_address(&text)] {
                        assert!(!shown.contains("secret"), "{text} is shown as {shown}");
                        // In a query `_channel=1` may be the password's.
                        let is_told = behind.starts_with('_') || shown.ends_with(behind);
                        assert!(is_told, "{text} is shown as {shown}");
                    }
                }
            }
        }
        check("rtsp://cam/user=a&password=b?channel=1", "rtsp://cam/user=a&password=***?channel=1");
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
