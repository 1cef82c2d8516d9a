//! Makes small videos of many kinds, and damages some, once for all tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Name and number of frames of every intact file.
pub(crate) const INTACT: &[(&str, usize)] = &[
    ("h264.mp4", 100),
    ("moov-last.mp4", 100),
    ("mpeg4.avi", 100),
    ("vp8.webm", 100),
    ("mjpeg.avi", 100),
    ("hevc.mp4", 100),
    ("h264.ts", 100),
    ("h264.mkv", 100),
    ("sparse.mp4", 34),
    ("one.mp4", 1),
    ("still.png", 1),
    ("long-sound.mp4", 50),
    ("slow.mp4", 4),
    ("open-group.mkv", 80),
    ("pngs.mov", 10),
    ("sound.flv", 50),
    ("sound.wmv", 50),
    ("sound.ogv", 50),
    ("vp8.ivf", 50),
];

/// Red 200, green 60, blue 40.
const SOLID: [&str; 4] = ["-f", "lavfi", "-i", "color=c=0xC83C28:s=64x64:r=10:d=1"];

const PICTURE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=4"];

/// Says aloud that a test does not run here.
///
/// # Panics
/// Where `TSM_REQUIRE_SHARED=1` says that it must.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var("TSM_REQUIRE_SHARED").as_deref() != Ok("1"), "must not be skipped: {why}");
    eprintln!("skipped: {why}");
}

/// The folder of the files, `None` where ffmpeg is missing.
pub(crate) fn made() -> Option<&'static Path> {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let dir = DIR.get_or_init(make).as_deref();
    if dir.is_none() {
        skipped("ffmpeg is not installed");
    }
    dir
}

fn make() -> Option<PathBuf> {
    Command::new("ffmpeg").arg("-version").output().ok()?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made-files");
    fs::create_dir_all(&dir).expect("the target folder is writable");
    let from_picture = |out: &str, args: &str| ffmpeg(&dir, &PICTURE, args, out);
    from_picture("h264.mp4", "-c:v libx264 -movflags +faststart");
    from_picture("moov-last.mp4", "-c:v libx264");
    from_picture("mpeg4.avi", "-c:v mpeg4 -bf 2");
    from_picture("vp8.webm", "-c:v libvpx -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 16");
    from_picture("mjpeg.avi", "-c:v mjpeg");
    from_picture("hevc.mp4", "-c:v libx265 -x265-params log-level=none -movflags +faststart");
    from_picture("h264.ts", "-c:v libx264");
    from_picture("h264.mkv", "-c:v libx264");
    from_picture("sparse.mp4", "-vf select=not(mod(n\\,3)) -vsync vfr -c:v libx264");
    from_picture("one.mp4", "-frames:v 1 -c:v libx264");
    from_picture("still.png", "-frames:v 1");
    from_picture("anamorphic.mp4", "-t 1 -vf setsar=16/11 -c:v libx264");
    from_picture("hd.mp4", "-t 0.4 -s 1280x720 -c:v libx264");
    from_picture(
        "hd709.mp4",
        "-t 0.4 -s 1280x720 -c:v libx264 -colorspace bt709 -color_primaries bt709 -color_trc bt709",
    );
    from_picture("full.mp4", "-t 0.4 -vf scale=out_range=full -pix_fmt yuvj420p -c:v libx264");
    from_picture(
        "full-hevc.mp4",
        "-t 0.4 -vf scale=out_range=full -pix_fmt yuvj420p -c:v libx265 -x265-params log-level=none",
    );
    ffmpeg(&dir, &["-f", "lavfi", "-i", "sine=d=3"], "", "sound.m4a");
    let both = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i", "sine=d=6"];
    ffmpeg(&dir, &both, "-c:v libx264", "long-sound.mp4");
    let both = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2"];
    ffmpeg(&dir, &both, "-c:v libx264 -c:a aac", "sound.flv");
    ffmpeg(&dir, &both, "-c:v wmv2 -c:a wmav2", "sound.wmv");
    ffmpeg(&dir, &both, "-c:v libtheora -c:a libvorbis", "sound.ogv");
    ffmpeg(&dir, &both, "-map 0:v -c:v libvpx -cpu-used 8 -deadline realtime", "vp8.ivf");
    from_picture("still.jpg", "-frames:v 1");
    turn(&dir.join("still.jpg"), &dir.join("turned.jpg"));
    let intact = dir.join("h264.mp4");
    ffmpeg(&dir, &["-i", intact.to_str()?], "-c copy -metadata:s:v:0 rotate=90", "rotated.mp4");
    ffmpeg(&dir, &["-r", "0.5", "-i", intact.to_str()?], "-frames:v 4 -c:v libx264 -r 0.5", "slow.mp4");
    let open = "-c:v libx264 -x264-params open-gop=1:keyint=20:bframes=3:scenecut=0";
    ffmpeg(&dir, &PICTURE, &format!("-r 30 {open}"), "open-groups.mkv");
    let groups = dir.join("open-groups.mkv");
    ffmpeg(&dir, &["-ss", "1.7", "-i", groups.to_str()?], "-c copy", "open-group.mkv");
    ffmpeg(&dir, &SOLID, "-c:v png", "pngs.mov");
    ffmpeg(&dir, &SOLID, "-c:v ffv1 -pix_fmt yuv420p12le", "12-bits.mkv");
    ffmpeg(&dir, &SOLID, "-c:v ffv1 -pix_fmt yuv420p16le", "16-bits.mkv");
    ffmpeg(&dir, &SOLID, "-c:v mjpeg -pix_fmt yuvj422p", "mjpeg422.avi");
    ffmpeg(&dir, &SOLID, "-c:v mjpeg -pix_fmt yuvj444p", "mjpeg444.avi");
    let says = "-colorspace bt709 -color_primaries bt709 -color_trc bt709";
    ffmpeg(&dir, &PICTURE, &format!("-t 0.4 -c:v mpeg2video {says}"), "mpeg2-709.ts");
    damage(&dir);
    Some(dir)
}

fn ffmpeg(dir: &Path, input: &[&str], args: &str, out: &str) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(input)
        .args(args.split_whitespace())
        .arg(dir.join(out))
        .status()
        .expect("ffmpeg starts");
    assert!(status.success(), "ffmpeg could not make {out}");
}

/// Says in a JPEG's EXIF that its first row is the right side of the picture, as a telephone held upright does.
fn turn(upright: &Path, turned: &Path) {
    let bytes = fs::read(upright).expect("made above");
    let (start, rest) = bytes.split_at(2);
    let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    fs::write(turned, [start, exif, rest].concat()).expect("the folder is writable");
}

fn damage(dir: &Path) {
    let read = |name: &str| fs::read(dir.join(name)).expect("made above");
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).expect("the folder is writable");
    let cut = ["h264.mp4", "moov-last.mp4", "mpeg4.avi", "h264.mkv", "vp8.webm"];
    for name in cut.iter().chain(&["sound.flv", "sound.wmv", "sound.ogv", "vp8.ivf"]) {
        let bytes = read(name);
        write(&format!("cut-{name}"), &bytes[..bytes.len() * 45 / 100]);
    }
    for name in ["h264.mp4", "h264.ts", "h264.mkv", "mpeg4.avi", "vp8.webm", "hevc.mp4"] {
        let mut bytes = read(name);
        let (middle, length) = (bytes.len() / 2, 20_000.min(bytes.len() / 4));
        bytes[middle..middle + length].copy_from_slice(&noise(length));
        write(&format!("bad-{name}"), &bytes);
    }
    write("head.mp4", &read("h264.mp4")[..20]);
    write("noise.mp4", &noise(50_000));
    write("zero.mp4", b"");
    write("text.mp4", b"these are words, not pictures\n");
}

/// Bytes without pattern, the same every time (xorshift, Marsaglia 2003).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}
