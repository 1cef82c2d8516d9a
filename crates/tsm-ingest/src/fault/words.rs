//! What is read from the sentences of `GStreamer`'s elements.

/// What the server said, in its own words and number: the last part of `GStreamer`'s sentence.
pub(super) fn with_status(text: &str, status: u32) -> String {
    let reason = text.rsplit(": ").next().unwrap_or(text);
    if reason.contains(&status.to_string()) { reason.to_owned() } else { format!("{reason} ({status})") }
}

/// The file that `filesrc` does not find: `Resource not found: No such file "clip.mp4"`.
pub(super) fn absent_file(text: &str) -> Option<&str> {
    text.split_once("No such file \"")?.1.strip_suffix('"')
}

/// The status that `souphttpsrc` quotes: `Not Found: Not Found (404)`.
pub(super) fn http_status(text: &str) -> Option<u32> {
    let (_, number) = text.strip_suffix(')')?.rsplit_once('(')?;
    number.parse().ok().filter(|status| (400..600).contains(status))
}

/// `GStreamer`'s message and, where its debug text adds a reason in its last line, that reason; never two lines.
pub(super) fn one_line(message: &str, debug_text: &str) -> String {
    let message = message.trim().trim_end_matches('.').replace('\n', " ");
    let reason = debug_text.lines().skip(1).last().map(str::trim).unwrap_or_default();
    // souphttpsrc repeats the address there, and whither it was redirected: nowhere, as a rule.
    let reason = reason.split_once(", URL: ").map_or(reason, |(reason, _address)| reason);
    if reason.is_empty() || message.contains(reason) { message } else { format!("{message}: {reason}") }
}
