//! `tsm doctor`: what this machine has, what is missing, and the command that mends it.

use std::time::Duration;

use tsm_ingest::{CaptureClock, DecoderStatus, Liveness, Pace, ProbeReport, Source};
use tsm_kernels::cpu_level::CpuLevel;
use tsm_model::device::DeviceChoice;

use crate::args::live::DoctorArgs;
use crate::exit_code::{Exit, Failure};
use crate::{gpu_build, model_source, talk};

/// How long a source is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// Prints a line for each thing looked at.
///
/// # Errors
/// Where `GStreamer` does not start, or the source cannot be used.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    let (major, minor, micro) = tsm_ingest::gstreamer_version();
    tsm_ingest::init()?;
    talk::result(&format!("GStreamer  {major}.{minor}.{micro}"))?;
    let mut exit = Exit::Done;
    for decoder in tsm_ingest::decoders() {
        if decoder.element.is_none() {
            exit = Exit::Differs;
        }
        talk::result(&decoder_line(&decoder))?;
    }
    talk::result(&cameras_line()?)?;
    talk::result(&cpu_line())?;
    talk::result(&gpu_line())?;
    talk::result(&format!("model      {}", model_line(args)?))?;
    if let Some(text) = &args.source {
        let source = super::live::source(text)?;
        let options = super::live::session_options(&args.connection, Pace::AsFastAsPossible);
        talk::result(&source_line(&source, &tsm_ingest::probe(&source, &options, LOOK)?))?;
    }
    Ok(exit)
}

fn decoder_line(decoder: &DecoderStatus) -> String {
    let DecoderStatus { codec, element, package } = decoder;
    match element {
        Some(element) => format!("decoder    {codec}: {element}"),
        None => format!("decoder    {codec}: missing; run: apt-get install {package}"),
    }
}

fn cameras_line() -> Result<String, Failure> {
    let cameras = tsm_ingest::cameras()?;
    let names: Vec<String> = cameras
        .iter()
        .map(|camera| format!("webcam:{} {} ({})", camera.index, camera.name, camera.node))
        .collect();
    Ok(match names.as_slice() {
        [] => {
            "cameras    none; plug one in, and check that /dev/video* exists and your user is in group video"
                .to_owned()
        }
        names => format!("cameras    {}", names.join(", ")),
    })
}

fn cpu_line() -> String {
    let (level, best) = (CpuLevel::detected(), CpuLevel::supported());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lowered =
        if level < best { format!(" (TSM_CPU; this processor has {})", best.name()) } else { String::new() };
    format!("cpu        {}{lowered}, {cores} cores", level.name())
}

/// What `--device auto` does here. A build without CUDA opens no GPU: it tells what it would hand over to.
fn gpu_line() -> String {
    let line = if cfg!(feature = "cuda") {
        DeviceChoice::Cuda(0)
            .open()
            .map(|_device| "CUDA device 0; --device auto takes it".to_owned())
            .map_err(|error| error.to_string())
    } else {
        gpu_build::of_auto()
            .map(|build| format!("{} starts; --device auto hands over to it", build.display()))
            .map_err(|missing| missing.to_string())
    };
    talk::escaped(&line.map_or_else(
        |reason| format!("gpu        none, so that --device auto takes the processor: {reason}"),
        |what| format!("gpu        {what}"),
    ))
}

fn model_line(args: &DoctorArgs) -> Result<String, Failure> {
    let checkpoint = model_source::open(&args.model)?;
    let line = super::info::one_line(&checkpoint.spec);
    Ok(format!("{}: {line}", model_source::source(&args.model)))
}

fn source_line(source: &Source, report: &ProbeReport) -> String {
    let ProbeReport { codec, format, pixel_format, measured_hz, capture_clock, .. } = report;
    let kind = match report.liveness {
        Liveness::Live => "live",
        Liveness::Recorded => "recorded",
    };
    let decoder = report.decoder.as_deref().unwrap_or("none needed");
    let rate =
        measured_hz.map_or_else(|| "too few frames for a rate".to_owned(), |hz| format!("{hz:.1} frames/s"));
    let nominal = match format.nominal_rate {
        Some((frames, seconds)) if frames > 0 && seconds > 0 => {
            format!(" (nominal {:.1})", f64::from(frames) / f64::from(seconds))
        }
        _ => String::new(),
    };
    let clock = match capture_clock {
        CaptureClock::None => "no capture clock",
        CaptureClock::Pipeline => "capture clock: the camera's running time",
        CaptureClock::SenderNtp => "capture clock: the sender's NTP time",
    };
    let (width, height) = (format.width_px, format.height_px);
    format!(
        "source     {source}: {kind}, {codec} ({decoder}), {width}x{height} {pixel_format}, {rate}{nominal}, {clock}"
    )
}
