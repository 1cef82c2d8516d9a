//! Values of flags that are more than a number.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use tsm_model::checkpoint::{MAX_SEGMENTS, MAX_SHIFT_DIV};
#[cfg(feature = "video")]
use tsm_train::prepare::MOST_WORKERS;

/// `--fps`: a rate, or every frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fps {
    /// Frames a second.
    Hertz(f64),
    /// Every frame.
    All,
}

/// Faster than any camera: a larger number is a mistake.
const FASTEST_HZ: f64 = 1000.0;

/// A frame in a quarter of an hour: a smaller number is a mistake, too.
const SLOWEST_HZ: f64 = 0.001;

/// Frames of the longest window: an hour at 12 frames a second.
const LONGEST_WINDOW: usize = 50_000;

/// Longer than anybody waits for a camera: a day, in seconds.
const LONGEST_SECS: f64 = 86_400.0;

impl FromStr for Fps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        match text.parse::<f64>() {
            Ok(hz) if (SLOWEST_HZ..=FASTEST_HZ).contains(&hz) => Ok(Self::Hertz(hz)),
            _ => Err(format!("give `all` or a rate from {SLOWEST_HZ} to {FASTEST_HZ}")),
        }
    }
}

/// Seconds, with or without `s` or `ms` behind.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    match number.parse::<f64>() {
        Ok(count) if count > 0.0 && count * unit <= LONGEST_SECS => Ok(Duration::from_secs_f64(count * unit)),
        _ => Err("give seconds above 0, such as 5, 2.5 or 500ms".to_owned()),
    }
}

/// A whole number of at least 1.
pub(crate) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_no_such_number| "give a whole number of at least 1".to_owned())
}

/// The most threads and streams of a step that are tried: beyond them memory runs out, or threads only get in each
/// other's way.
const LARGEST_STEP: usize = 1024;

/// Threads or streams of a step.
pub(crate) fn of_a_step(text: &str) -> Result<NonZeroUsize, String> {
    up_to(LARGEST_STEP, text)
}

/// Frames of a clip.
pub(crate) fn segments(text: &str) -> Result<NonZeroUsize, String> {
    up_to(MAX_SEGMENTS, text)
}

/// The divisor of a fold.
pub(crate) fn shift_div(text: &str) -> Result<NonZeroUsize, String> {
    up_to(MAX_SHIFT_DIV, text)
}

fn up_to(most: usize, text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(count) if count.get() <= most => Ok(count),
        _ => Err(format!("give a whole number from 1 to {most}")),
    }
}

/// Attempts: zero or more.
pub(crate) fn retries(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_no_such_number| "give a whole number of at least 0".to_owned())
}

/// Frames of a window.
pub(crate) fn window(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(frames) if frames.get() <= LONGEST_WINDOW => Ok(frames),
        _ => Err(format!("give a number from 1 to {LONGEST_WINDOW}")),
    }
}

/// A part of all, but never all of it.
pub(crate) fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if (0.0..1.0).contains(&part) => Ok(part),
        _ => Err("give a number of at least 0 and below 1, such as 0.2".to_owned()),
    }
}

/// Threads that decode.
#[cfg(feature = "video")]
pub(crate) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(count) if count.get() <= MOST_WORKERS => Ok(count),
        _ => Err(format!("give a whole number from 1 to {MOST_WORKERS}")),
    }
}

/// A difference: zero or more.
pub(crate) fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("give a number of at least 0, such as 1e-3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_rates_are_refused() {
        assert_eq!("12.5".parse(), Ok(Fps::Hertz(12.5)));
        assert_eq!("all".parse(), Ok(Fps::All));
        for wrong in ["0", "-1", "nan", "inf", "", "ALL", "1e9", "1e-300"] {
            assert!(wrong.parse::<Fps>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_is_never_all() {
        assert_eq!((part("0"), part("0.25")), (Ok(0.0), Ok(0.25)));
        for wrong in ["1", "-0.1", "nan", "inf", "", "abc", "1e400"] {
            assert!(part(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_may_carry_a_unit() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(seconds("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("3s"), Ok(Duration::from_secs(3)));
        for wrong in ["0", "-1", "s", "nan", "1e300"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
