//! `tsm selftest`: shows that this machine and device compute what they should, and how fast.

use std::ops::ControlFlow;
use std::path::Path;

use tsm_model::atomic_file;
use tsm_model::path_fault::why_unwritten;
use tsm_selftest::{Check, Event, Latency, Machine, Measured, Plan, Report, Running, Verdict};

use crate::args::selftest::SelftestArgs;
use crate::exit_code::{Exit, Failure};
use crate::{model_source, talk};

/// Prints a line a check and a row a measurement; writes JSON where asked, anew after each of them, so that a run that
/// is cut off leaves what it has.
///
/// # Errors
/// A device that cannot be opened, a report that cannot be written: said before the first check.
pub(crate) fn run(args: &SelftestArgs, is_quiet: bool) -> Result<Exit, Failure> {
    let device = args.device.open()?;
    let is_cpu = device.is_cpu();
    let plan = Plan::new(args.scope(is_cpu), args.data_types(is_cpu));
    let built_in = model_source::shipped()?;
    let (json, mut broken) = (args.json.as_deref(), None);
    let report = tsm_selftest::run(&device, &plan, &built_in, &mut |event, so_far| {
        // The file first: what was said is in it.
        if let Some(Err(failure)) = json.map(|path| write(path, so_far)) {
            broken = Some(failure);
            return ControlFlow::Break(());
        }
        if !is_quiet && broken.is_none() {
            broken = tell(event).err();
        }
        // A reader that went away ends the talk, and the run where nobody else waits for it.
        if broken.is_some() && json.is_none() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(path) = json.filter(|_| report.ended) {
        write(path, &report)?;
    }
    if let Some(failure) = broken {
        return Err(failure);
    }
    talk::result(&last_line(&report))?;
    Ok(if report.passed { Exit::Done } else { Exit::Differs })
}

fn write(path: &Path, report: &Report) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report)?;
    let cannot = |error| Failure::bad_input(format!("{}: {}", path.display(), why_unwritten(&error)));
    atomic_file::replace(path, text.as_bytes()).map_err(cannot)
}

fn tell(event: &Event<'_>) -> Result<(), Failure> {
    let line = match event {
        Event::Machine(machine) => title(machine),
        Event::Begins(running) => {
            tracing::info!("{}", running_line(running));
            return Ok(());
        }
        Event::Check(check) => check_line(check),
        Event::Latency(row) => latency_line(row),
    };
    talk::result(&talk::escaped(&line))
}

/// What begins, for those who ask by `-v` what takes so long.
fn running_line(running: &Running) -> String {
    let Running { what: name, network, data_type, streams } = running;
    let streams = match streams {
        None => String::new(),
        Some(1) => ", 1 stream".to_owned(),
        Some(streams) => format!(", {streams} streams"),
    };
    format!("begins: {} {network}, {}{streams}", data_type.name(), what(name))
}

fn title(machine: &Machine) -> String {
    format!("tsm {} ({} build) on {}, {}", machine.version, machine.build, machine.one_line(), machine.os)
}

fn check_line(check: &Check) -> String {
    let Check { check: name, network, data_type, verdict, secs } = check;
    let what = what(name);
    let start = |word: &str| format!("{word:<8} {:<4} {network:<15} {what:<36}", data_type.name());
    match verdict {
        Verdict::Passed { got, .. } => format!("{} {got} ({secs:.1} s)", start("ok")),
        Verdict::Failed { expected, got } => format!("{} expected {expected}, got {got}", start("FAILED")),
        Verdict::NotAvailable { reason } => format!("{} not available: {reason}", start("-")),
    }
}

/// A check in words.
fn what(check: &str) -> &str {
    match check {
        "golden" => "recorded outputs",
        "pixels" => "pictures to input, to the bit",
        "shift" => "shift and cache, to the bit",
        "clip" => "streaming = the causal clip",
        "reference" => "this device = the reference on a CPU",
        "batch" => "a stream alone = in a batch, reset",
        "bytes" => "frames of bytes = normalised ones",
        "drift" => "no drift",
        "training" => "training: a loss that falls",
        "step" => "latency of a step",
        other => other,
    }
}

fn latency_line(row: &Latency) -> String {
    let Latency { network, data_type, streams, secs, measured, .. } = row;
    let unit = if *streams == 1 { "stream " } else { "streams" };
    let start = |word: &str| format!("{word:<8} {:<4} {network:<15} {streams:>3} {unit}", data_type.name());
    match measured {
        Measured::Measured { steps, p50_millis, p99_millis, on_device_p50_millis, frames_hz } => format!(
            "{}  p50 {p50_millis:>9.3} ms  p99 {p99_millis:>9.3} ms{}  {frames_hz:>9.0} frames/s  ({steps} steps, {secs:.1} s)",
            start("step"),
            on_device_p50_millis
                .map_or_else(String::new, |millis| format!("  on the device {millis:>9.3} ms")),
        ),
        Measured::Skipped { reason } => format!("{}  skipped: {reason}", start("-")),
        Measured::Failed { reason } => format!("{}  expected a step, got {reason}", start("FAILED")),
    }
}

fn last_line(report: &Report) -> String {
    let failed = |check: &&Check| matches!(check.verdict, Verdict::Failed { .. });
    let absent = |check: &&Check| matches!(check.verdict, Verdict::NotAvailable { .. });
    let verdict = if report.passed { "all checks hold" } else { "FAILED" };
    format!(
        "selftest {}: {verdict}; {} checks, {} failed, {} not available, {:.0} s",
        report.scope.name(),
        report.checks.len(),
        report.checks.iter().filter(failed).count(),
        report.checks.iter().filter(absent).count(),
        report.secs
    )
}
