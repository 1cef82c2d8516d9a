//! What is said of a command line that cannot be followed: one line.
//!
//! ```text
//! clap::Error ─ rendered ─ one line ─ what a number must be, in place of what Rust's parser missed ─► stderr
//! ```

use std::error::Error as _;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::exit_code::Exit;
use crate::talk;

/// How reports are given to be compared.
const COMPARE_USAGE: &str = "give reports as --first A/validation.json --second B/validation.json";

/// Answers `--help` and `--version`, or says in one line what is wrong with the flags.
pub(crate) fn explain(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // Help and version go to stdout; a reader that left early has seen enough.
        let _closed = error.print();
        return Exit::Done;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _closed = error.print();
        return Exit::BadInput;
    }
    let command = asked_command();
    let said = said(error, command.as_deref());
    let command = command.map_or_else(String::new, |command| format!("{command} "));
    talk::line(&format!("tsm: {said}; see tsm {command}--help"));
    Exit::BadInput
}

/// What is wrong with the flags of `command`, in a line.
fn said(error: &clap::Error, command: Option<&str>) -> String {
    let rendered = error.render().to_string();
    // Of a usage of several lines only the first says so.
    let is_usage = |line: &str| line.starts_with("Usage:") || line.starts_with("tsm ");
    let says = |line: &&str| !line.is_empty() && !is_usage(line) && !line.starts_with("For more");
    let text: Vec<&str> = rendered.lines().map(str::trim).filter(says).collect();
    let text = text.join(" ").replace(" tip: ", "; ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    if command == Some("compare") && error.kind() == ErrorKind::UnknownArgument {
        // Reports are given by flags, which a person who names two files cannot know.
        return format!("{text}; {COMPARE_USAGE}");
    }
    match number_wanted(error, command) {
        Some((complaint, wanted)) => {
            format!("{}: {wanted}", text.strip_suffix(&format!(": {complaint}")).unwrap_or(text))
        }
        None => text.to_owned(),
    }
}

/// Where Rust's own parser of numbers complains, its words and what is wanted.
fn number_wanted(error: &clap::Error, command: Option<&str>) -> Option<(String, String)> {
    let complaint = error.source()?;
    let of_whole = complaint.downcast_ref::<ParseIntError>();
    let is_whole = of_whole.is_some();
    if !is_whole && !complaint.is::<ParseFloatError>() {
        return None;
    }
    let allowed = match error.get(ContextKind::InvalidArg) {
        // Flags of one name may mean other things to other commands.
        Some(ContextValue::String(argument)) if command == Some("train") => {
            argument.split_whitespace().next().and_then(allowed)
        }
        _ => None,
    };
    let is_too_large = of_whole.is_some_and(|error| *error.kind() == IntErrorKind::PosOverflow);
    let wanted = match (is_whole, allowed) {
        (true, None) if is_too_large => "give a smaller whole number".to_owned(),
        (true, None) => "give a whole number of at least 0".to_owned(),
        (false, None) => "give a number, such as 0.5".to_owned(),
        (true, Some(allowed)) => format!("give a whole number; it must be {allowed}"),
        (false, Some(allowed)) => format!("give a number; it must be {allowed}"),
    };
    Some((complaint.to_string(), wanted))
}

/// What a training recipe says of a flag. The flags of other commands say themselves what they take.
#[cfg(feature = "video")]
fn allowed(flag: &str) -> Option<&'static str> {
    tsm_train::recipe::allowed_number(flag.trim_start_matches('-'))
}

#[cfg(not(feature = "video"))]
const fn allowed(_flag: &str) -> Option<&'static str> {
    None
}

/// The command that was asked for.
fn asked_command() -> Option<String> {
    let arguments = std::env::args_os().skip(1);
    let words = arguments.filter_map(|argument| argument.into_string().ok());
    let first = words.into_iter().find(|word| !word.starts_with('-'))?;
    Cli::command().find_subcommand(&first).map(|command| command.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::num::{NonZeroU64, NonZeroUsize};
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    fn error(arguments: &[&str]) -> Option<clap::Error> {
        Cli::try_parse_from(arguments).err()
    }

    /// Every flag of every command that takes a number, as command and flag.
    fn numbers() -> Vec<(String, String)> {
        let numbers = [
            TypeId::of::<f64>(),
            TypeId::of::<f32>(),
            TypeId::of::<usize>(),
            TypeId::of::<u64>(),
            TypeId::of::<u32>(),
            TypeId::of::<NonZeroUsize>(),
            TypeId::of::<NonZeroU64>(),
            TypeId::of::<Duration>(),
        ];
        let mut found = Vec::new();
        for command in Cli::command().get_subcommands() {
            let takes_number =
                |arg: &&clap::Arg| numbers.iter().any(|of| arg.get_value_parser().type_id() == *of);
            let flags = command.get_arguments().filter(takes_number).filter_map(|arg| arg.get_long());
            found.extend(flags.map(|flag| (command.get_name().to_owned(), format!("--{flag}"))));
        }
        found
    }

    #[test]
    fn what_is_no_number_is_told_what_is_wanted_by_every_flag() {
        let flags = numbers();
        assert!(cfg!(not(feature = "video")) || flags.len() > 60, "only {} flags take a number", flags.len());
        for (command, flag) in flags {
            for value in ["abc", "", "1,5", "nan", "inf", "-1", "1e400", "99999999999999999999999"] {
                let given = format!("{flag}={value}");
                let Some(error) = error(&["tsm", &command, &given]) else { continue };
                // A number out of a recipe's range is the recipe's to refuse; what is missing besides is told here.
                let said = said(&error, Some(&command));
                let is_other = error.kind() == ErrorKind::MissingRequiredArgument;
                let is_told = [": give ", " is not in "].iter().any(|words| said.contains(words));
                assert!(is_told || (is_other && value.parse::<f64>().is_ok()), "{command} {given}: {said}");
                assert!(!said.contains('\n'), "{said}");
            }
        }
    }

    #[cfg(feature = "video")]
    #[test]
    fn a_recipes_range_is_told_with_the_kind_of_number() {
        let check = |flag: &str, value: &str, expected: &str| {
            let error = error(&["tsm", "train", &format!("{flag}={value}")]).unwrap();
            let said = said(&error, Some("train"));
            assert!(said.ends_with(&format!(": {expected}")), "{said}");
        };
        check("--lr", "abc", "give a number; it must be above 0 and below a million");
        check("--jitter-hue", "", "give a number; it must be at least 0 and below 0.5");
        check("--batch", "2.5", "give a whole number; it must be 1 to 100000");
        check("--size", "big", "give a whole number; it must be a multiple of 32 up to 1024");
        check("--cache-mib", "-1", "give a whole number of at least 0");
        check("--folds", "0", "give a whole number of at least 1");
        check("--seed", "99999999999999999999999", "give a smaller whole number");
    }
}
