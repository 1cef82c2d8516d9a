//! A length of time as a message tells it: `2.5 s`, below a second `30 ms`.

use std::fmt;
use std::time::Duration;

/// Shows a length of time to people; parses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownDuration(pub Duration);

impl fmt::Display for ShownDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What rounds to 1.0 s is told so.
        match self.0.as_millis() {
            millis if millis < 950 => write!(f, "{millis} ms"),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_time_is_told_in_milliseconds() {
        let shown = [2500, 1000, 960, 949, 30].map(|ms| ShownDuration(Duration::from_millis(ms)).to_string());
        assert_eq!(shown, ["2.5 s", "1.0 s", "1.0 s", "949 ms", "30 ms"]);
    }
}
