//! Cameras of this machine: which one, which element reads it, in which mode.
//!
//! ```text
//!  selector ── devices.rs ──> V4L2 node or PipeWire node ── template ──> source ! capsfilter(mode) ! decodebin ! …
//! ```

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::devices::{self, Camera, CameraApi, Mode};
use crate::error::SourceError;
use crate::pipeline::builtin;
use crate::source::CameraSelector;
use crate::template;

/// The pipeline of a camera, in a mode that suits recognition.
pub(crate) fn build(selector: &CameraSelector) -> Result<(gst::Pipeline, gst_app::AppSink), SourceError> {
    let camera = match selector {
        CameraSelector::Index(index) => nth(*index)?,
        CameraSelector::Known { index, node, name } => known(*index, node, name)?,
        CameraSelector::Node(node) => {
            present(node)?;
            // Without udev no list has it, and then the driver chooses the mode.
            let node = node.display().to_string();
            match devices::cameras()?.into_iter().find(|camera| camera.node == node) {
                Some(camera) => camera,
                None => {
                    Camera { index: 0, name: node.clone(), node, api: CameraApi::V4l2, modes: Vec::new() }
                }
            }
        }
    };
    let text = match camera.api {
        CameraApi::V4l2 => template::WEBCAM,
        CameraApi::PipeWire => template::WEBCAM_PIPEWIRE,
    };
    let (pipeline, sink) = builtin(text, Some(&camera.node))?;
    if let (Some(mode), Some(filter)) = (chosen(&camera.modes), pipeline.by_name("mode")) {
        tracing::debug!(camera = %camera.name, ?mode, "camera mode");
        filter.set_property("caps", mode.caps());
    }
    Ok((pipeline, sink))
}

fn nth(index: usize) -> Result<Camera, SourceError> {
    let mut cameras = devices::cameras()?;
    let count = cameras.len();
    if index < count {
        return Ok(cameras.swap_remove(index));
    }
    let detail = match count {
        0 => " (this machine has none that GStreamer sees)".to_owned(),
        1 => " (there is only camera 0)".to_owned(),
        _ => format!(" (there are 0 to {})", count - 1),
    };
    Err(SourceError::CameraAbsent { camera: format!("webcam:{index}"), detail })
}

/// A camera seen before: at its node, or, where it came back at another one, the only one of its name.
fn known(index: usize, node: &str, name: &str) -> Result<Camera, SourceError> {
    let cameras = devices::cameras()?;
    let mut named = cameras.iter().filter(|camera| camera.name == name);
    let only = named.next().filter(|_| named.next().is_none());
    let found = cameras.iter().find(|camera| camera.node == node && camera.name == name).or(only);
    found.cloned().ok_or_else(|| SourceError::CameraAbsent {
        camera: format!("webcam:{index}"),
        detail: format!(" ({name} was it)"),
    })
}

/// Whether the node is there and may be opened.
fn present(node: &Path) -> Result<(), SourceError> {
    let camera = node.display().to_string();
    match std::fs::File::open(node) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound => Err(SourceError::CameraAbsent { camera, detail: String::new() }),
            std::io::ErrorKind::PermissionDenied => Err(not_permitted(camera)),
            std::io::ErrorKind::ResourceBusy => Err(SourceError::CameraBusy { camera }),
            // Anything else is for v4l2src to say.
            _ => Ok(()),
        },
    }
}

/// The error of a camera the user may not open.
pub(crate) fn not_permitted(place: String) -> SourceError {
    SourceError::PermissionDenied {
        place,
        remedy: "join the video group (sudo usermod -aG video $USER) and log in again".to_owned(),
    }
}

/// The mode to ask for: about 640x480 to 1280x720 at 15 frames a second or more, raw before MJPEG where both do.
fn chosen(modes: &[Mode]) -> Option<&Mode> {
    modes.iter().filter(|mode| mode.is_usable()).min_by_key(|mode| penalty(mode))
}

/// Lower is better: too slow, then off size, then compressed, then plain distance from 640x480.
fn penalty(mode: &Mode) -> (bool, u64, bool, u64) {
    const WANTED_HZ: f64 = 15.0;
    let pixels = u64::from(mode.width_px) * u64::from(mode.height_px);
    let off_size = (320 * 240_u64).saturating_sub(pixels) + pixels.saturating_sub(1280 * 720);
    let slow = !mode.rates_hz.is_empty() && mode.rates_hz.iter().all(|&hz| hz < WANTED_HZ - 0.5);
    (slow, off_size, mode.is_compressed(), pixels.abs_diff(640 * 480))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(format: &str, width_px: u32, height_px: u32, hz: f64) -> Mode {
        Mode { format: format.to_owned(), width_px, height_px, rates_hz: vec![hz] }
    }

    #[test]
    fn a_middle_size_at_full_rate_is_chosen() {
        let modes = [
            mode("image/jpeg", 3840, 2160, 30.0),
            mode("YUY2", 1920, 1080, 5.0),
            mode("YUY2", 640, 480, 30.0),
            mode("YUY2", 160, 120, 30.0),
            mode("image/jpeg", 640, 480, 30.0),
        ];
        assert_eq!(chosen(&modes), Some(&modes[2]));
    }

    #[test]
    fn mjpeg_beats_raw_that_is_too_slow() {
        let modes = [mode("YUY2", 1280, 720, 10.0), mode("image/jpeg", 1280, 720, 30.0)];
        assert_eq!(chosen(&modes), Some(&modes[1]));
    }

    #[test]
    fn a_camera_without_modes_is_left_to_its_driver() {
        assert_eq!(chosen(&[]), None);
    }
}
