//! The program `tsm`: says what somebody in front of a camera is doing, now.
//!
//! ```text
//! argv ─ args (clap, as typed) ─ commands (checked, as meant) ─ tsm-live, tsm-model, tsm-ingest
//!                                        └─ error ─ one line on stderr ─ exit code
//! ```
//!
//! Nothing here computes: this crate reads flags, opens things and prints.

mod args;
mod commands;
mod exit_code;
mod logging;
mod model_source;
mod signals;
mod talk;
mod windows;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::explain(&error).into(),
    };
    logging::start(cli.verbose, cli.quiet);
    let outcome = match &cli.command {
        Command::Live(args) => commands::live::run(args, cli.quiet),
        Command::Train(args) => commands::train::run(args, cli.quiet),
        Command::Eval(args) => commands::eval::run(args, cli.quiet),
        Command::Compare(args) => commands::compare::run(args),
        Command::Infer(args) => commands::infer::run(args),
        Command::Prepare(args) => commands::prepare::run(args, cli.quiet),
        Command::Devices(args) => commands::devices::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Convert(args) => commands::convert::run(args),
        Command::Info(args) => commands::info::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Bench(args) => commands::bench::run(args),
    };
    let exit = match outcome {
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
