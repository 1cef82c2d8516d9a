//! `tsm live`: an action label for every frame of cameras and files.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use tsm_ingest::{Pace, SessionOptions, Source, SourceError, Transport};
use tsm_live::report::{FrameReport, SourceReport};
use tsm_live::settings::{DecisionRule, DecisionSettings, LiveSettings, RateChoice, Retries};
use tsm_live::sinks::{FirstLine, JsonLines, Sink, SourceLog, Text, TextStyle};
use tsm_live::{Finished, OutputEnd, Viewer};
use tsm_model::{Clips, ExecutorChoice, Model, ModelSpec, PlanOptions};

use crate::args::live::{ConnectionArgs, DecisionArg, FormatArg, LiveArgs, TransportArg};
use crate::args::{Fps, Precision};
use crate::exit_code::{Exit, Failure};
use crate::model_source::{self, ModelSource, SHIPPED_NOTE};
use crate::windows::Windows;
use crate::{signals, talk};

/// Agreeing frames before a label changes, where neither flag nor model says.
const DEFAULT_CONFIRM: usize = 2;

/// Cells of a terminal that does not tell its width.
const ASSUMED_CELLS: usize = 100;

/// Runs until the sources end, Ctrl-C, or the frame limit.
///
/// # Errors
/// Anything that makes the run pointless, in one line.
pub(crate) fn run(args: &LiveArgs, is_quiet: bool) -> Result<Exit, Failure> {
    let stop = signals::stop_signal()?;
    tsm_ingest::init()?;
    let sources = sources(args)?;
    let checkpoint = model_source::open_for_streams(&args.model)?;
    let settings = settings(args, &checkpoint.spec)?;
    // Nobody asks for whole clips here: the tensors they need go with the checkpoint.
    let choice = ExecutorChoice::Fastest(PlanOptions { clips: Clips::Refused, ..PlanOptions::default() });
    let device = args.device.open()?;
    if device.is_cpu() && args.data_type == Precision::F16 {
        let why = "--data-type f16 is for a GPU, and this run is on the processor; leave it out, or name a GPU with --device cuda";
        return Err(Failure::bad_input(why));
    }
    let mut model = Model::load_with(&checkpoint, device, args.data_type.dtype(), choice)?;
    drop(checkpoint);
    let mut sinks = sinks(args, &model, &sources, is_quiet);
    let note = !is_quiet && model_source::source(&args.model) == ModelSource::Shipped;
    let is_watched = io::stderr().is_terminal();
    if note && is_watched {
        sinks.insert(0, Box::new(ShippedNote::default()));
    }
    let mut windows = if args.show { Some(Windows::open(&sources, &model)?) } else { None };
    let viewer = windows.as_mut().map(|windows| windows as &mut dyn Viewer);
    let finished = tsm_live::run(&mut model, &sources, &settings, sinks, viewer, &stop)?;
    if note && !is_watched && finished.output == OutputEnd::Open {
        // A log gets it with the summary: a run that fails leaves its error alone on stderr.
        talk::line(&format!("tsm: {SHIPPED_NOTE}"));
    }
    tell(finished, is_quiet)
}

/// The summary and the exit code of a run that did not fail as a whole.
fn tell(finished: Finished, is_quiet: bool) -> Result<Exit, Failure> {
    if finished.output == OutputEnd::BrokenPipe {
        return Ok(Exit::Done);
    }
    if !is_quiet {
        talk::line(&finished.summary.to_string());
    }
    match finished.given_up {
        None => Ok(Exit::Done),
        Some(error) => Err(Failure { exit: Exit::GivenUp, ..Failure::bad_input(error) }),
    }
}

fn sources(args: &LiveArgs) -> Result<Vec<Source>, SourceError> {
    match &args.pipeline {
        None => args.sources.iter().map(|text| source(text)).collect(),
        Some(template) if args.sources.is_empty() => Ok(vec![Source::custom(template, None)?]),
        Some(template) => custom(template, &args.sources),
    }
}

/// SOURCE as typed; what is no UTF-8 can only be a file's name.
pub(crate) fn source(text: &OsStr) -> Result<Source, SourceError> {
    text.to_str().map_or_else(|| Ok(Source::File(text.into())), Source::parse)
}

fn custom(template: &Path, arguments: &[OsString]) -> Result<Vec<Source>, SourceError> {
    arguments.iter().map(|argument| Source::custom(template, Some(&argument.to_string_lossy()))).collect()
}

fn settings(args: &LiveArgs, spec: &ModelSpec) -> Result<LiveSettings, Failure> {
    // MIT's logic has a window of its own, whatever the model was given.
    let (rule, window) = match args.decision.decision {
        DecisionArg::Confirm => {
            let asked = args.decision.confirm.map(Into::into);
            let frames = asked.or(spec.decision.confirm).unwrap_or(DEFAULT_CONFIRM);
            (DecisionRule::Confirm { frames }, spec.decision.window)
        }
        DecisionArg::Mit if args.decision.confirm.is_some() => {
            let why =
                "--confirm has no say in --decision mit, which confirms in its own way; drop one of them";
            return Err(Failure::bad_input(why));
        }
        DecisionArg::Mit => (DecisionRule::mit(spec.classes.len())?, None),
    };
    Ok(LiveSettings {
        rate: match args.fps {
            None => RateChoice::Model,
            Some(Fps::Hertz(hz)) => RateChoice::Hertz(hz),
            Some(Fps::All) => RateChoice::All,
        },
        decision: DecisionSettings {
            window: args.decision.window.map(Into::into).or(window),
            rule,
            temperature: spec.temperature,
            top_k: args.top_k.into(),
        },
        session: session_options(
            &args.connection,
            if args.realtime { Pace::RealTime } else { Pace::AsFastAsPossible },
        ),
        stall_timeout: args.connection.stall_timeout,
        retries: args.connection.retries.map_or(Retries::Forever, Retries::AtMost),
        frame_limit: args.frames.map(Into::into),
    })
}

/// How pipelines are opened.
pub(crate) fn session_options(args: &ConnectionArgs, pace: Pace) -> SessionOptions {
    let transport = match args.transport {
        TransportArg::Tcp => Transport::Tcp,
        TransportArg::Udp => Transport::Udp,
    };
    SessionOptions { transport, connect_timeout: args.connect_timeout, pace }
}

fn sinks(args: &LiveArgs, model: &Model, sources: &[Source], is_quiet: bool) -> Vec<Box<dyn Sink>> {
    let labels: Arc<[String]> = model.spec().classes.clone().into();
    let names: Arc<[String]> = sources.iter().map(ToString::to_string).collect();
    let out = io::stdout();
    let labelled: Box<dyn Sink> = match args.format {
        FormatArg::Jsonl => Box::new(JsonLines::new(out, labels)),
        FormatArg::Text => {
            // A terminal that knows no escape sequences gets lines.
            let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
            let style = if out.is_terminal() && !is_dumb {
                TextStyle::Living { width_cells: terminal_cells }
            } else {
                TextStyle::Plain
            };
            // The names of a model file are anybody's.
            let labels = labels.iter().map(|label| talk::escaped(label)).collect();
            Box::new(Text::new(out, labels, style, sources.len()))
        }
    };
    let first_line = if io::stderr().is_terminal() { FirstLine::AtOnce } else { FirstLine::HeldBack };
    let mut sinks = vec![labelled];
    if !is_quiet {
        sinks.push(Box::new(SourceLog::new(io::stderr(), names, first_line)));
    }
    sinks
}

/// Tells a person before the first label what the shipped model is.
#[derive(Default)]
struct ShippedNote {
    is_said: bool,
}

impl Sink for ShippedNote {
    fn frame(&mut self, _report: &FrameReport) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_said, true) {
            talk::line(&format!("tsm: {SHIPPED_NOTE}"));
        }
        Ok(())
    }

    fn source(&mut self, _report: &SourceReport) -> io::Result<()> {
        Ok(())
    }
}

/// Width of the terminal in cells, now.
fn terminal_cells() -> usize {
    terminal_size::terminal_size().map_or(ASSUMED_CELLS, |(width, _height)| width.0.into())
}
