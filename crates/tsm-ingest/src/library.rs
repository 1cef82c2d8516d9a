//! Starting `GStreamer` once, and refusing one that is too old.

use std::sync::OnceLock;

use gstreamer as gst;

use crate::error::SourceError;

/// What Debian 12 ships; `add-reference-timestamp-meta` of `rtspsrc` came with it.
const OLDEST: (u32, u32) = (1, 22);

/// Starts `GStreamer`; later calls repeat the first answer.
///
/// # Errors
/// [`SourceError::OldGStreamer`] where the installed version is older than 1.22, [`SourceError::Other`] where it does
/// not start at all.
pub fn init() -> Result<(), SourceError> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER
        .get_or_init(|| gst::init().map(|()| crate::element_ranks::apply()).map_err(|e| e.to_string()))
        .clone()
        .map_err(|message| SourceError::Other {
            message: format!("GStreamer does not start: {message}; install gstreamer1.0-plugins-base"),
        })?;
    let (major, minor, micro) = gstreamer_version();
    if (major, minor) < OLDEST {
        return Err(SourceError::OldGStreamer { found: format!("{major}.{minor}.{micro}") });
    }
    Ok(())
}

/// The version of the `GStreamer` library in use: major, minor, micro.
pub fn gstreamer_version() -> (u32, u32, u32) {
    let (major, minor, micro, _nano) = gst::version();
    (major, minor, micro)
}
