//! `tsm devices`: the cameras of this machine and what they can deliver.

use serde_json::json;
use tsm_ingest::{Camera, CameraApi, Mode};

use crate::args::live::DevicesArgs;
use crate::exit_code::{Exit, Failure};
use crate::talk;

/// Prints a camera a paragraph, or one JSON array.
///
/// # Errors
/// Where `GStreamer` does not start.
pub(crate) fn run(args: &DevicesArgs) -> Result<Exit, Failure> {
    let cameras = tsm_ingest::cameras()?;
    if args.json {
        let all: Vec<_> = cameras.iter().map(as_json).collect();
        talk::result(&json!(all).to_string())?;
    } else if cameras.is_empty() {
        talk::result("no camera found; plug one in, or see docs/troubleshooting.md")?;
    } else {
        for camera in &cameras {
            talk::result(&as_text(camera))?;
        }
    }
    Ok(Exit::Done)
}

const fn api(camera: &Camera) -> &'static str {
    match camera.api {
        CameraApi::V4l2 => "v4l2",
        CameraApi::PipeWire => "pipewire",
    }
}

fn as_text(camera: &Camera) -> String {
    let Camera { index, name, node, modes, .. } = camera;
    let mut text = format!("webcam:{index}  {name}  ({node}, {})", api(camera));
    for Mode { format, width_px, height_px, rates_hz } in modes {
        let rates: Vec<String> = rates_hz.iter().map(|hz| format!("{hz:.0}")).collect();
        text = format!("{text}\n  {width_px}x{height_px} {format}");
        if !rates.is_empty() {
            text = format!("{text} at {} frames/s", rates.join(", "));
        }
    }
    text
}

fn as_json(camera: &Camera) -> serde_json::Value {
    let mode = |mode: &Mode| {
        let Mode { format, width_px, height_px, rates_hz } = mode;
        json!({"format": format, "width": width_px, "height": height_px, "rates_hz": rates_hz})
    };
    let modes: Vec<_> = camera.modes.iter().map(mode).collect();
    json!({"index": camera.index, "name": camera.name, "node": camera.node, "api": api(camera), "modes": modes})
}
