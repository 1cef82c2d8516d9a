//! The program `tsm`: says what somebody in front of a camera is doing, now.
//!
//! ```text
//! argv ─ args (clap, as typed) ─┬─ commands (checked, as meant) ─ tsm-live, tsm-model, tsm-ingest
//!                               │        └─ error ─ one line on stderr ─ exit code
//!                               └─ a GPU is asked for ─ gpu_build ─ exec of the tsm-cuda beside it
//! ```
//!
//! Nothing here computes: this crate reads flags, opens things and prints.

mod args;
mod commands;
mod exit_code;
mod gpu_build;
mod logging;
mod model_source;
#[cfg(feature = "video")]
mod signals;
mod talk;
#[cfg(feature = "video")]
mod windows;

use std::process::ExitCode;

use clap::Parser;
use tsm_kernels::cpu_level::{CPU_LEVEL_VARIABLE, CpuLevel};

use args::{Cli, Command};
use exit_code::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::explain(&error).into(),
    };
    logging::start(cli.verbose, cli.quiet);
    if !cli.quiet {
        warn_of_unknown_level();
    }
    let exit = match gpu_build::hand_over(cli.command.device()).and_then(|_stays| run(&cli)) {
        Ok(exit) => exit,
        Err(failure) => {
            if let Some(line) = &failure.line {
                talk::line(&format!("tsm: {line}"));
            }
            failure.exit
        }
    };
    exit.into()
}

/// Says that a CPU level of the environment changes nothing because there is none of that name.
fn warn_of_unknown_level() {
    if let Some(level) = std::env::var_os(CPU_LEVEL_VARIABLE).filter(|level| !level.is_empty())
        && level.to_str().and_then(CpuLevel::from_name).is_none()
    {
        let level = talk::escaped(&level.to_string_lossy());
        let known = CpuLevel::ALL.map(CpuLevel::name).join(", ");
        talk::line(&format!("tsm: {CPU_LEVEL_VARIABLE}={level} changes nothing; it may be {known}"));
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        #[cfg(feature = "video")]
        Command::Live(args) => commands::live::run(args, cli.quiet),
        #[cfg(feature = "video")]
        Command::Train(args) => commands::train::run(args, cli.quiet),
        #[cfg(feature = "video")]
        Command::Eval(args) => commands::eval::run(args, cli.quiet),
        #[cfg(feature = "video")]
        Command::Compare(args) => commands::compare::run(args),
        #[cfg(feature = "video")]
        Command::Infer(args) => commands::infer::run(args),
        #[cfg(feature = "video")]
        Command::Prepare(args) => commands::prepare::run(args, cli.quiet),
        #[cfg(feature = "video")]
        Command::Devices(args) => commands::devices::run(args),
        #[cfg(feature = "video")]
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Convert(args) => commands::convert::run(args),
        Command::Info(args) => commands::info::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Bench(args) => commands::bench::run(args),
        Command::Selftest(args) => commands::selftest::run(args, cli.quiet),
        #[cfg(not(feature = "video"))]
        Command::Absent(words) => Err(absent(words)),
    }
}

/// What is said of a command that needs video, by a program that was built without.
#[cfg(not(feature = "video"))]
fn absent(words: &[std::ffi::OsString]) -> Failure {
    let name = words.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned());
    let text = if ["live", "train", "eval", "compare", "infer", "prepare", "devices", "doctor"]
        .contains(&name.as_str())
    {
        format!(
            "this tsm was built without video, so it has no `{name}`; build it with the feature `video`, which needs GStreamer"
        )
    } else {
        format!("unrecognized subcommand '{name}'; see tsm --help")
    };
    Failure::bad_input(text)
}
