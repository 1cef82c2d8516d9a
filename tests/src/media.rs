//! Clips of several codecs, containers and shapes, made on this machine from real ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shared;

/// The folder that made clips are kept in.
fn folder() -> PathBuf {
    let folder = shared::workspace().join("target/test-media");
    std::fs::create_dir_all(&folder).expect("target can be written");
    folder
}

/// A clip made by `ffmpeg -i INPUT ARGUMENTS NAME`, once.
///
/// # Panics
/// If ffmpeg is missing or refuses.
#[track_caller]
pub fn ffmpeg(input: &Path, arguments: &str, name: &str) -> PathBuf {
    make(name, |made| {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y"]);
        command.arg("-i").arg(input).args(arguments.split_whitespace()).arg(made);
        command
    })
}

/// A clip made by `gst-launch-1.0 LAUNCH ! filesink`, once.
///
/// # Panics
/// If GStreamer's tools are missing or refuse.
#[track_caller]
pub fn gstreamer(launch: &str, name: &str) -> PathBuf {
    make(name, |made| {
        // gst-launch waits for ever after some errors.
        let mut command = Command::new("timeout");
        let line = format!("{launch} ! filesink location={}", made.display());
        command.args(["30", "gst-launch-1.0", "-q"]).args(line.split_whitespace());
        command
    })
}

/// A clip that was cut off after six tenths of its bytes, as a copy that broke.
///
/// # Panics
/// If ffmpeg is missing or refuses.
pub fn cut_short(clip: &Path) -> PathBuf {
    let stem = clip.file_stem().expect("a clip has a name").to_string_lossy();
    let arguments = "-c:v libx264 -pix_fmt yuv420p -g 30 -movflags +faststart";
    let whole = ffmpeg(clip, arguments, &format!("{stem}-faststart.mp4"));
    let bytes = std::fs::read(&whole).expect("it was made just now");
    let cut = whole.with_file_name("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).expect("target can be written");
    cut
}

/// The H.264 stream of a clip without a container, for a camera that loops it.
///
/// # Panics
/// If ffmpeg is missing or refuses.
pub fn elementary_h264(clip: &Path) -> PathBuf {
    let stem = clip.file_stem().expect("a clip has a name").to_string_lossy();
    let arguments = "-an -vf scale=320:240,fps=25 -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -bsf:v h264_mp4toannexb -f h264";
    ffmpeg(clip, arguments, &format!("{stem}.h264"))
}

/// Makes a file under another name first, so that a test beside this one never sees half of it.
#[track_caller]
fn make(name: &str, command: impl FnOnce(&Path) -> Command) -> PathBuf {
    let path = folder().join(name);
    if !path.exists() {
        let extension =
            path.extension().expect("the extension names the container").to_string_lossy().into_owned();
        let unfinished = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile_in(folder());
        let unfinished = unfinished.expect("target can be written").into_temp_path();
        let mut command = command(&unfinished);
        let status = command.stdin(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{command:?} failed; scripts/setup.sh --tests");
        unfinished.persist(&path).expect("both lie in one folder");
    }
    path
}
