//! A window that shows frames with a label and a bar (`--show`).
//!
//! ```text
//!  show(&Frame) ─> appsrc ! queue(1, leaky) ! videoconvert ! textoverlay label ! textoverlay bar ! autovideosink
//! ```
//!
//! Runs as a small pipeline of its own, so that a slow or closed window never holds up recognition.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Once;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video::prelude::*;

use crate::frame::Frame;
use crate::shutdown;

/// How many blocks the bar has.
const BAR_BLOCKS: usize = 24;

const LAUNCH: &str = "appsrc name=pictures is-live=true format=time do-timestamp=true max-buffers=1 leaky-type=downstream block=false \
    ! queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream \
    ! videoflip name=upright method=none ! videoconvert ! videoscale ! video/x-raw,pixel-aspect-ratio=1/1 \
    ! textoverlay name=label valignment=top halignment=left shaded-background=true font-desc=\"Sans Bold 18\" \
    ! textoverlay name=bar valignment=bottom halignment=left shaded-background=true font-desc=\"Monospace 16\" \
    ! videoconvert ! autovideosink name=window sync=false";

/// Why there is no window.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    /// No screen to open it on.
    #[error("--show needs a display: {reason}; run on a desktop or leave out --show")]
    NoDisplay {
        /// What is missing.
        reason: String,
    },
    /// An element that is not installed.
    #[error("--show needs {what}; run: apt-get install {package}")]
    MissingPlugin {
        /// The element.
        what: String,
        /// The Debian packages.
        package: String,
    },
    /// Anything else.
    #[error("--show: {message}")]
    Other {
        /// `GStreamer`'s words.
        message: String,
    },
}

/// An open window. Dropping it closes it.
#[derive(Debug)]
pub struct Preview {
    pipeline: gst::Pipeline,
    pictures: gst_app::AppSrc,
    bus: gst::Bus,
    /// What the window is still to be called.
    title: Option<String>,
    closed: bool,
}

impl Preview {
    /// Opens a window called `title`; it appears with the first frame.
    ///
    /// # Errors
    /// [`PreviewError::NoDisplay`] where no screen is reachable,
    /// [`PreviewError::MissingPlugin`] where an element is missing.
    pub fn open(title: &str) -> Result<Self, PreviewError> {
        /// `GLib` warns on stderr where it is told twice.
        static NAMED: Once = Once::new();
        crate::library::init().map_err(|e| PreviewError::Other { message: e.to_string() })?;
        let displays = Displays::named();
        if displays.are_none() {
            return Err(PreviewError::NoDisplay {
                reason: "neither DISPLAY nor WAYLAND_DISPLAY is set".to_owned(),
            });
        }
        let (pipeline, pictures, bus) = built()?;
        // Where no display can be reached, autovideosink shows nothing in silence, or crashes in a sink that it tries.
        let held = HeldScreen::connect();
        if held.is_none() && HeldScreen::can_tell() && !displays.is_wayland_reachable() {
            return Err(PreviewError::NoDisplay { reason: displays.unreachable() });
        }
        // X11 sinks show the title of the stream, and behind it the application's name, which all windows share.
        NAMED.call_once(|| gst::glib::set_application_name("tsm"));
        let mut preview = Self { pipeline, pictures, bus, title: Some(title.to_owned()), closed: false };
        preview.start()?;
        drop(held);
        Ok(preview)
    }

    /// Shows a frame; the one before it is forgotten where the window is slower.
    pub fn show(&mut self, frame: &Frame) {
        if self.is_closed() {
            return;
        }
        let info = frame.pixels.info();
        let Ok(caps) = info.to_caps() else { return };
        if self.pictures.caps().is_none_or(|current| current != caps) {
            self.pictures.set_caps(Some(&caps));
        }
        let mut buffer = frame.pixels.buffer_owned();
        {
            // The time is this window's own; pixels stay shared.
            let buffer = buffer.make_mut();
            buffer.set_pts(gst::ClockTime::NONE);
            buffer.set_dts(gst::ClockTime::NONE);
            buffer.set_duration(gst::ClockTime::NONE);
        }
        self.turn(frame.format().orientation);
        if let Err(flow) = self.pictures.push_buffer(buffer) {
            tracing::debug!(?flow, "preview window takes no frames");
        }
        // A stream's title comes after its caps.
        if let Some(title) = self.title.take() {
            self.call(&title);
        }
    }

    fn call(&self, title: &str) {
        let mut tags = gst::TagList::new();
        let fresh = tags.get_mut().expect("nobody else has a list made just now");
        fresh.add::<gst::tags::Title>(&title, gst::TagMergeMode::Replace);
        if !self.pictures.send_event(gst::event::Tag::new(tags)) {
            tracing::debug!("the preview window takes no title");
        }
    }

    /// Writes `text` and fills the bar to `fraction` of its width (0 to 1).
    pub fn label(&mut self, text: &str, fraction: f32) {
        // The element reads markup: a name with `&` in it would not be shown at all.
        self.set_text("label", &gst::glib::markup_escape_text(text));
        self.set_text("bar", &bar(fraction));
    }

    /// Whether the user has closed the window, or it broke.
    pub fn is_closed(&mut self) -> bool {
        while let Some(message) = self.bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]) {
            if let gst::MessageView::Error(error) = message.view() {
                let error = error.error();
                // X11's sinks know no other word for a window that was closed; whatever else is said broke it.
                if error.message().contains("closed") {
                    tracing::debug!(text = %error.message(), "preview window closed");
                } else {
                    tracing::warn!(text = %error.message(), "the window of --show broke");
                }
            }
            self.closed = true;
        }
        self.closed
    }

    fn start(&mut self) -> Result<(), PreviewError> {
        // Sinks connect to the display on the way to READY, so an unreachable one shows here.
        let ready = self.pipeline.set_state(gst::State::Ready);
        if ready.is_ok() && self.pipeline.set_state(gst::State::Playing).is_ok() {
            return Ok(());
        }
        let reason = self
            .bus
            .pop_filtered(&[gst::MessageType::Error])
            .and_then(|m| match m.view() {
                gst::MessageView::Error(e) => Some(e.error().message().trim_end_matches('.').to_owned()),
                _ => None,
            })
            .unwrap_or_else(|| "the display does not answer".to_owned());
        Err(PreviewError::NoDisplay { reason })
    }

    fn set_text(&self, element: &str, text: &str) {
        if let Some(overlay) = self.pipeline.by_name(element) {
            overlay.set_property("text", text);
        }
    }

    fn turn(&self, orientation: crate::Orientation) {
        use crate::Orientation as O;
        let method = match orientation {
            O::Upright => "none",
            O::Rotate90 => "clockwise",
            O::Rotate180 => "rotate-180",
            O::Rotate270 => "counterclockwise",
            O::Flip => "horizontal-flip",
            O::FlipRotate180 => "vertical-flip",
            O::FlipRotate90 => "upper-right-diagonal",
            O::FlipRotate270 => "upper-left-diagonal",
        };
        if let Some(flip) = self.pipeline.by_name("upright") {
            flip.set_property_from_str("method", method);
        }
    }
}

/// The displays that the environment names.
struct Displays {
    x11: Option<OsString>,
    wayland: Option<OsString>,
}

impl Displays {
    fn named() -> Self {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self { x11: named("DISPLAY"), wayland: named("WAYLAND_DISPLAY") }
    }

    fn are_none(&self) -> bool {
        self.x11.is_none() && self.wayland.is_none()
    }

    /// Whether a compositor listens. Its socket lies in the user's runtime folder, unless a whole path is given.
    fn is_wayland_reachable(&self) -> bool {
        self.wayland.as_ref().is_some_and(|socket| {
            let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default());
            UnixStream::connect(folder.join(socket)).is_ok()
        })
    }

    /// What to say where neither can be reached.
    fn unreachable(&self) -> String {
        let named = [("DISPLAY", &self.x11), ("WAYLAND_DISPLAY", &self.wayland)];
        let named = named.map(|(name, value)| {
            value.as_ref().map(|value| format!("{name}={} cannot be opened", value.to_string_lossy()))
        });
        named.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A connection to the X server while sinks are tried: `autovideosink` closes that of one before it opens the next, and
/// a server that starts over whenever its last client leaves, as `xvfb-run`'s does, refuses whoever comes meanwhile.
struct HeldScreen(gst::Element);

impl HeldScreen {
    /// Whether an X server that can be reached is: without this sink others are tried blindly.
    fn can_tell() -> bool {
        gst::ElementFactory::find("ximagesink").is_some()
    }

    /// Connects; nothing where no X server can be reached.
    fn connect() -> Option<Self> {
        let held = Self(gst::ElementFactory::make("ximagesink").build().ok()?);
        held.0.set_state(gst::State::Ready).is_ok().then_some(held)
    }
}

impl Drop for HeldScreen {
    fn drop(&mut self) {
        if let Err(error) = self.0.set_state(gst::State::Null) {
            tracing::debug!(%error, "the X server is not let go of");
        }
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        shutdown::to_null(&self.pipeline);
    }
}

fn bar(fraction: f32) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the value is clamped to 0..=BAR_BLOCKS before the cast"
    )]
    let full = (fraction.clamp(0.0, 1.0) * BAR_BLOCKS as f32).round() as usize;
    "█".repeat(full.min(BAR_BLOCKS)) + &"░".repeat(BAR_BLOCKS - full.min(BAR_BLOCKS))
}

fn missing(error: &gst::glib::Error) -> PreviewError {
    PreviewError::MissingPlugin {
        what: error.message().trim_end_matches('.').to_owned(),
        package: "gstreamer1.0-x gstreamer1.0-plugins-base gstreamer1.0-plugins-good".to_owned(),
    }
}

fn built() -> Result<(gst::Pipeline, gst_app::AppSrc, gst::Bus), PreviewError> {
    let element = gst::parse::launch(LAUNCH).map_err(|error| missing(&error))?;
    let pipeline = element.downcast::<gst::Pipeline>().expect("several elements make a pipeline");
    let pictures = pipeline.by_name("pictures").and_then(|e| e.downcast::<gst_app::AppSrc>().ok());
    let bus = pipeline.bus().expect("a pipeline has a bus from its making");
    Ok((pipeline, pictures.expect("the launch line names its appsrc"), bus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_long_as_the_fraction() {
        let blocks = |fraction| bar(fraction).chars().filter(|&c| c == '█').count();
        assert_eq!(
            [blocks(0.0), blocks(0.5), blocks(1.0), blocks(7.0), blocks(f32::NAN)],
            [0, 12, 24, 24, 0]
        );
    }
}
