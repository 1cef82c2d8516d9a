//! The cameras of this machine and their modes, by `GStreamer`'s device providers.
//!
//! V4L2 cameras come first, then those only `PipeWire` has; a camera both list is given once, as V4L2. Opens no camera
//! (the providers ask the drivers) and reports no changes: every call gives what is there then.

use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::error::SourceError;

/// What `GStreamer` calls a camera.
const CAMERA_CLASS: &str = "Video/Source";

/// A camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// What `webcam:N` counts.
    pub index: usize,
    /// The name its maker gave it.
    pub name: String,
    /// `/dev/video0`, or the name of the `PipeWire` node.
    pub node: String,
    /// Which way it is read.
    pub api: CameraApi,
    /// What it can deliver.
    pub modes: Vec<Mode>,
}

/// Which way a camera is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CameraApi {
    /// The kernel's `Video4Linux`.
    V4l2,
    /// The `PipeWire` daemon.
    PipeWire,
}

/// One size of one format and its frame rates.
#[derive(Debug, Clone, PartialEq)]
pub struct Mode {
    /// `YUY2`, `NV12` and so on, or `image/jpeg` and other compressed types.
    pub format: String,
    /// Columns.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Frames a second, fastest first; empty where the camera does not say.
    pub rates_hz: Vec<f64>,
}

impl Mode {
    pub(crate) fn is_compressed(&self) -> bool {
        self.format.contains('/')
    }

    /// Whether our pipeline can read it: raw video, or compressed video `decodebin` knows.
    pub(crate) fn is_usable(&self) -> bool {
        self.width_px > 0 && self.height_px > 0 && !self.format.contains("bayer")
    }

    /// The caps that ask for this mode; the rate is left to the camera's best.
    pub(crate) fn caps(&self) -> gst::Caps {
        let size = |builder: gst::caps::Builder<gst::caps::NoFeature>| {
            let width = i32::try_from(self.width_px).unwrap_or(i32::MAX);
            let height = i32::try_from(self.height_px).unwrap_or(i32::MAX);
            builder.field("width", width).field("height", height)
        };
        if self.is_compressed() {
            return size(gst::Caps::builder(self.format.as_str())).build();
        }
        size(gst::Caps::builder("video/x-raw").field("format", self.format.as_str())).build()
    }
}

/// Lists the cameras.
///
/// # Errors
/// Where `GStreamer` does not start.
pub fn cameras() -> Result<Vec<Camera>, SourceError> {
    crate::library::init()?;
    let mut found: Vec<Camera> = devices().iter().filter_map(camera).collect();
    found.sort_by(|a, b| (a.api, &a.node).cmp(&(b.api, &b.node)));
    Ok(numbered(found))
}

/// What the providers of cameras see now.
///
/// A provider is started once and never stopped: that of `PipeWire` (0.3.65) shares its connection and its thread with
/// the process's `pipewiresrc`, and where it was stopped beside one, a camera that is unplugged later is removed twice
/// and the heap is spoilt. That is also why no `GstDeviceMonitor` is used, which starts and stops all of them together:
/// one whose daemon is not there yet can be started later by itself.
fn devices() -> Vec<gst::Device> {
    /// Those that run; `GStreamer` has one of each kind in a process.
    static STARTED: Mutex<Vec<gst::DeviceProvider>> = Mutex::new(Vec::new());
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut devices = Vec::new();
    for factory in &gst::DeviceProviderFactory::factories(gst::Rank::MARGINAL) {
        let Some(provider) = factory.get().filter(|_| factory.has_classes(Some(CAMERA_CLASS))) else {
            continue;
        };
        if !started.contains(&provider) && provider.can_monitor() {
            // One that does not start has no daemon, and no cameras: not a fault.
            if provider.start().is_err() {
                continue;
            }
            // Nobody reads its messages.
            provider.bus().set_flushing(true);
            started.push(provider.clone());
        }
        devices.extend(provider.devices().iter().filter(|d| d.has_classes(CAMERA_CLASS)).cloned());
    }
    devices
}

/// Drops what appears twice and counts the rest.
fn numbered(found: Vec<Camera>) -> Vec<Camera> {
    let mut kept: Vec<Camera> = Vec::new();
    for camera in found {
        let known =
            kept.iter().any(|k| k.node == camera.node || (k.api != camera.api && k.name == camera.name));
        if !known {
            kept.push(Camera { index: kept.len(), ..camera });
        }
    }
    kept
}

fn camera(device: &gst::Device) -> Option<Camera> {
    let properties = device.properties();
    let text = |key: &str| properties.as_ref().and_then(|p| p.get::<String>(key).ok());
    let v4l2_node = text("device.path").or_else(|| text("api.v4l2.path"));
    let (api, node) = match (v4l2_node, text("node.name")) {
        (Some(path), _) if path.starts_with("/dev/") => (CameraApi::V4l2, path),
        (_, Some(node)) => (CameraApi::PipeWire, node),
        _ => return None,
    };
    let modes = device.caps().map(|caps| modes(&caps)).unwrap_or_default();
    Some(Camera { index: 0, name: device.display_name().to_string(), node, api, modes })
}

/// Every fixed size in the caps, one mode a format and size.
fn modes(caps: &gst::CapsRef) -> Vec<Mode> {
    let mut modes: Vec<Mode> = Vec::new();
    for structure in caps.iter() {
        let size = |field: &str| structure.get::<i32>(field).ok().and_then(|v| u32::try_from(v).ok());
        let (Some(width_px), Some(height_px)) = (size("width"), size("height")) else { continue };
        for format in formats(structure) {
            let mode = Mode { format, width_px, height_px, rates_hz: rates(structure) };
            if !modes
                .iter()
                .any(|m| m.format == mode.format && (m.width_px, m.height_px) == (width_px, height_px))
            {
                modes.push(mode);
            }
        }
    }
    modes
}

fn formats(structure: &gst::StructureRef) -> Vec<String> {
    if structure.name() != "video/x-raw" {
        return vec![structure.name().to_string()];
    }
    if let Ok(list) = structure.get::<gst::List>("format") {
        return list.iter().filter_map(|v| v.get::<String>().ok()).collect();
    }
    structure.get::<String>("format").into_iter().collect()
}

fn rates(structure: &gst::StructureRef) -> Vec<f64> {
    let hz = |f: gst::Fraction| f64::from(f.numer()) / f64::from(f.denom());
    let mut rates: Vec<f64> = if let Ok(list) = structure.get::<gst::List>("framerate") {
        list.iter().filter_map(|v| v.get::<gst::Fraction>().ok()).map(hz).collect()
    } else if let Ok(range) = structure.get::<gst::FractionRange>("framerate") {
        vec![hz(range.max())]
    } else {
        structure.get::<gst::Fraction>("framerate").ok().map(hz).into_iter().collect()
    };
    rates.retain(|r| r.is_finite() && *r > 0.0);
    rates.sort_by(|a, b| b.total_cmp(a));
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_from_caps() {
        crate::init().unwrap();
        let caps: gst::Caps = "video/x-raw,format={YUY2,NV12},width=640,height=480,framerate={15/1,30/1}; \
                               image/jpeg,width=1280,height=720,framerate=30/1"
            .parse()
            .unwrap();
        let modes = modes(&caps);
        assert_eq!(modes.len(), 3);
        assert_eq!(
            modes[0],
            Mode { format: "YUY2".into(), width_px: 640, height_px: 480, rates_hz: vec![30.0, 15.0] }
        );
        assert!(modes[2].is_compressed());
        assert_eq!(modes[2].caps().to_string(), "image/jpeg, width=(int)1280, height=(int)720");
    }

    #[test]
    fn a_camera_listed_twice_is_given_once_as_v4l2() {
        let camera =
            |api, node: &str| Camera { index: 9, name: "cam".into(), node: node.into(), api, modes: vec![] };
        let numbered = numbered(vec![
            camera(CameraApi::V4l2, "/dev/video0"),
            camera(CameraApi::PipeWire, "v4l2_input.x"),
        ]);
        assert_eq!(numbered.len(), 1);
        assert_eq!((numbered[0].index, numbered[0].api), (0, CameraApi::V4l2));
    }
}
