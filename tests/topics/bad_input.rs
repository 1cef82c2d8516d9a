//! Everything that can be wrong with what the user gives: one line, exit code 2.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use tsm_tests::program::{Running, run};
use tsm_tests::rtsp_camera::RtspCamera;
use tsm_tests::{media, shared};

fn live(source: &Path) -> tsm_tests::program::Finished {
    run(&["live", source.to_str().unwrap(), "--format", "jsonl"])
}

#[test]
fn files_that_are_no_video_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    live(&folder.path().join("absent.mp4")).assert_bad_input("no such file");
    live(folder.path()).assert_bad_input("folder");
    live(&file("empty.mp4", b"")).assert_bad_input("empty");
    live(&file("text.mp4", b"this is no video\n")).assert_bad_input("not a video");
    live(&file("random.mp4", &vec![0x5A; 20_000])).assert_bad_input("not a video");
    let sound = media::gstreamer("audiotestsrc num-buffers=50 ! wavenc", "sound.wav");
    live(&sound).assert_bad_input("no video");
}

#[test]
fn a_file_that_is_not_there_is_named_in_the_same_words_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (clips, clip, list, model) =
        (path("clips"), path("clips/sit/1.mkv"), path("list.txt"), path("m.safetensors"));
    for class in ["sit", "wave"] {
        std::fs::create_dir_all(path(&format!("clips/{class}"))).unwrap();
        for number in 1..=2 {
            let name = path(&format!("clips/{class}/{number}.mkv"));
            std::os::unix::fs::symlink(shared::clip("asl-walk.mkv").canonicalize().unwrap(), name).unwrap();
        }
    }
    std::fs::write(&list, "clips/sit/1.mkv 0\nclips/wave/1.mkv 1\n").unwrap();
    let train = |flag| format!("train {clips} -o {model} {flag} FILE");
    for (command, what) in [
        ("live FILE".to_owned(), "file"),
        (format!("live {clip} --model FILE"), "file"),
        (format!("live {clip} --labels FILE"), "file"),
        ("live --pipeline FILE".to_owned(), "file"),
        ("doctor FILE".to_owned(), "file"),
        ("doctor --model FILE".to_owned(), "file"),
        ("infer FILE".to_owned(), "file"),
        ("infer --filelist FILE".to_owned(), "file"),
        ("eval --data FILE".to_owned(), "file or folder"),
        ("eval --list FILE".to_owned(), "file or folder"),
        (format!("train FILE -o {model}"), "file or folder"),
        (train("--validation-list"), "file or folder"),
        (train("--groups"), "file"),
        (train("--pretrained"), "file"),
        (train("--tune-from"), "file"),
        (train("--teacher"), "file"),
        (format!("train --list {list} -o {model} --classes FILE"), "file"),
        ("train --config FILE".to_owned(), "file"),
        (format!("prepare FILE -o {}", path("lists")), "file or folder"),
        (format!("prepare FILE.csv -o {}", path("lists")), "file"),
        ("compare --first FILE --second FILE".to_owned(), "file"),
        (format!("convert FILE {model}"), "file"),
        ("info FILE".to_owned(), "file"),
        ("verify --vectors FILE".to_owned(), "file"),
        ("bench --model FILE".to_owned(), "file"),
    ] {
        let absent = path("absent");
        let finished = run(&command.replace("FILE", &absent).split(' ').collect::<Vec<_>>());
        assert_eq!(finished.code(), 2, "{command}: {}", finished.stderr);
        let absent = if command.contains("FILE.csv") { format!("{absent}.csv") } else { absent };
        let expected = format!("tsm: {absent}: no such {what}; check the path");
        assert_eq!(finished.stderr.lines().last(), Some(expected.as_str()), "{command}");
    }
}

/// Two threads read side by side, and each pipeline tells two ERRORs, the second one while it is stopped; where that
/// left pipelines running, six of ten readings of 300 such files said so.
#[test]
fn a_thousand_files_that_are_no_video_are_left_out_without_a_word_from_gstreamer() {
    let folder = tempfile::tempdir().unwrap();
    let clips = folder.path().join("clips");
    // The longer the search for a type, the likelier its end falls into the stop; a hole needs no room.
    let zeros = folder.path().join("zeros");
    std::fs::File::create(&zeros).unwrap().set_len(9_000_000).unwrap();
    for class in ["sit", "wave"] {
        let class = clips.join(class);
        std::fs::create_dir_all(&class).unwrap();
        for name in ["asl-walk.mkv", "pose-squats.mp4"] {
            std::os::unix::fs::symlink(shared::clip(name).canonicalize().unwrap(), class.join(name)).unwrap();
        }
        for index in 0..500 {
            std::os::unix::fs::symlink(&zeros, class.join(format!("x{index}.mp4"))).unwrap();
        }
    }
    let list = folder.path().join("list");
    let arguments = ["prepare", clips.to_str().unwrap(), "-o", list.to_str().unwrap()];
    let finished = Running::start_with(&arguments, &[("G_DEBUG", "fatal-criticals")]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let is_ours = |line: &&str| line.starts_with("tsm: left out: ") && line.contains("not a video");
    assert_eq!(finished.stderr.lines().filter(is_ours).count(), 1000, "{}", finished.stderr);
    assert!(!finished.stderr.contains("CRITICAL"), "{}", finished.stderr);
}

#[test]
fn a_damaged_file_is_labelled_up_to_the_damage() {
    let clip = shared::clip("asl-walk.mkv");
    let cut = media::cut_short(&clip);
    let finished = live(&cut);
    finished.assert_bad_input("cut.mp4");
    let frames = finished.frames().len();
    assert!((5..34).contains(&frames), "{frames} frames before the damage");
}

#[test]
fn a_missing_decoder_is_named_with_its_package() {
    let clip = media::ffmpeg(&shared::clip("asl-walk.mkv"), "-c:v libx264 -pix_fmt yuv420p", "walk.mp4");
    let ranks = "avdec_h264:NONE,openh264dec:NONE,vah264dec:NONE,nvh264dec:NONE,v4l2h264dec:NONE";
    let running =
        Running::start_with(&["live", clip.to_str().unwrap()], &[("GST_PLUGIN_FEATURE_RANK", ranks)]);
    running.finish().assert_bad_input("gstreamer1.0-libav");
}

#[test]
fn a_model_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let clip = shared::clip("asl-walk.mkv");
    let with_model =
        |model: &Path| run(&["live", clip.to_str().unwrap(), "--model", model.to_str().unwrap()]);
    with_model(&folder.path().join("absent.pth")).assert_bad_input("absent.pth");
    for (name, bytes) in
        [("empty.pth", &b""[..]), ("text.safetensors", b"hello"), ("zip.pth", b"PK\x03\x04....")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        with_model(&path).assert_bad_input(name);
    }
    with_model(&clip).assert_bad_input("asl-walk.mkv");
}

#[test]
fn labels_that_do_not_match_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.txt");
    std::fs::write(&labels, "walk\nrun\n").unwrap();
    let clip = shared::clip("asl-walk.mkv");
    let finished = run(&["live", clip.to_str().unwrap(), "--labels", labels.to_str().unwrap()]);
    finished.assert_bad_input("21");
}

#[test]
fn flags_that_make_no_sense_are_named() {
    let clip = shared::clip("asl-walk.mkv");
    let clip = clip.to_str().unwrap();
    for (flags, needle) in [
        (&["--fps", "0"][..], "--fps"),
        (&["--fps", "-3"], "--fps"),
        (&["--top-k", "0"], "--top-k"),
        (&["--window", "0"], "--window"),
        (&["--device", "gpu"], "--device"),
        (&["--device", "cuda"], "CUDA"),
        (&["--device", "cpu", "--data-type", "f16"], "--data-type"),
        (&["--stall-timeout", "0"], "--stall-timeout"),
        (&["--decision", "mit"], "27"),
        (&["--shift", "mit"], "causal"),
        (&["--backbone", "resnet50"], "resnet50"),
        (&["--show"], "--show"),
        (&["--pipeline", "/nowhere/my.launch"], "my.launch"),
    ] {
        let mut arguments = vec!["live", clip];
        arguments.extend(flags);
        run(&arguments).assert_bad_input(needle);
    }
    run(&["live"]).assert_bad_input("SOURCE");
    run(&["live", ""]).assert_bad_input("empty");
}

#[test]
fn a_pipeline_without_its_sink_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (text, needle) in [
        ("videotestsrc ! fakesink", "appsink"),
        ("videotestsrc ! nosuchelement ! appsink name=tsm", "nosuchelement"),
        ("filesrc location={uri} ! appsink name=tsm", "{uri}"),
        ("", ""),
        ("videotestsrk ! appsink name=tsm", "check its spelling"),
        ("A text of words.", "pipelines/README.md"),
    ] {
        let path = folder.path().join("mine.launch");
        std::fs::write(&path, text).unwrap();
        run(&["live", "--pipeline", path.to_str().unwrap()]).assert_bad_input(needle);
    }
}

#[test]
fn a_source_that_the_pipeline_has_no_place_for_is_not_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.launch");
    std::fs::write(&path, "videotestsrc num-buffers=9 ! appsink name=tsm\n").unwrap();
    let arguments = ["live", "--pipeline", path.to_str().unwrap(), "clip.mp4"];
    run(&arguments).assert_bad_input("mine.launch: the template has no place for SOURCE");
    assert_eq!(run(&arguments[..3]).code(), 0);
}

#[test]
fn a_pipeline_whose_sink_gets_no_raw_video_is_told_what_it_gets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.launch");
    let clip = shared::clip("asl-walk.mkv");
    let refused = |text: &str, source: Option<&str>, needle: &str| {
        std::fs::write(&path, text).unwrap();
        let mut arguments = vec!["live", "--pipeline", path.to_str().unwrap()];
        arguments.extend(source);
        run(&arguments).assert_bad_input(needle);
    };
    let decode = "put 'decodebin ! videoconvert !' before it";
    let jpeg = format!("its appsink gets image/jpeg, and needs raw video that tsm reads; {decode}");
    refused("videotestsrc num-buffers=30 ! jpegenc ! appsink name=tsm", None, &jpeg);
    refused("uridecodebin uri={uri} ! jpegenc ! appsink name=tsm", clip.to_str(), &jpeg);
    refused(
        "audiotestsrc num-buffers=30 ! appsink name=tsm",
        None,
        "gets audio/x-raw, and needs raw video that tsm reads",
    );
    refused("videotestsrc num-buffers=9 ! jpegenc ! appsink caps=image/jpeg name=tsm", None, decode);
    refused("filesrc location=Cargo.toml ! appsink name=tsm", None, decode);
    refused("filesrc location={uri} ! decodebin ! appsink name=tsm", clip.to_str(), "urisourcebin uri={uri}");
    refused("filesrc location={file} ! decodebin ! appsink name=tsm", clip.to_str(), "{uri} and {device}");
}

#[test]
fn cameras_that_are_absent_are_said_so() {
    run(&["live", "webcam:9"]).assert_bad_input("camera");
    run(&["live", "/dev/video77"]).assert_bad_input("/dev/video77");
}

#[test]
fn servers_that_refuse_are_told_apart_and_no_password_is_shown() {
    let launch = "( videotestsrc is-live=true ! video/x-raw,width=320,height=240 ! x264enc tune=zerolatency ! rtph264pay name=pay0 )";
    let camera = RtspCamera::protected(launch, "ada", "lovelace");
    let address = |user_info: &str, path: &str| camera.address_of(user_info, path);
    let refused = |address: &str, needle: &str| {
        let finished = run(&["live", address, "-vvv", "--connect-timeout", "5"]);
        assert_eq!(finished.code(), 2, "{}", finished.stderr);
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(needle), "`{needle}` is not in {last}");
        for text in [&finished.stdout, &finished.stderr] {
            assert!(!text.contains("wrongpass") && !text.contains("lovelace"), "a password is shown: {text}");
        }
    };
    refused(&address("ada:wrongpass@", "cam"), "401");
    refused(&address("", "cam"), "asks for a user and password (401)");
    refused(&address("ada:lovelace@", "nothere"), "404");
    refused("rtsp://ada:wrongpass@127.0.0.1:9/cam", "connect");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let finished =
        run(&["live", &format!("rtsp://ada:wrongpass@127.0.0.1:{port}/x"), "--connect-timeout", "2"]);
    finished.assert_bad_input("no answer");
}

/// A web server that gives everybody the same answer; its thread ends with the test's process.
fn web_server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
            // Closed with a request unread, the connection would be reset, answer and all.
            let _end_of_request = lines.find(String::is_empty);
            // A client that went away has no need of it.
            let _written = client.write_all(answer.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}/cam")
}

#[test]
fn web_addresses_that_give_no_video_are_told_apart() {
    let live = |address: &str, needle: &str| {
        let finished = run(&["live", address]);
        finished.assert_bad_input(needle);
        assert!(!finished.stderr.contains("NULL"), "{}", finished.stderr);
    };
    let empty = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    let answering = |status: &str| web_server(format!("HTTP/1.1 {status}\r\n{empty}").leak());
    live(&answering("503 Service Unavailable"), "the server refuses: Service Unavailable (503)");
    live(&answering("404 Not Found"), "404");
    live(&answering("403 Forbidden"), "Forbidden (403)");
    live(&answering("401 Unauthorized\r\nWWW-Authenticate: Basic realm=cam"), "asks for a user and password");
    live(&web_server("RTSP/1.0 400 Bad Request\r\n\r\n"), "usually is at rtsp://");
    let page = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n\
                <!DOCTYPE html><html><head><title>camera</title></head><body>Log in</body></html>";
    live(&web_server(page), "a web page");
}

#[test]
fn a_step_of_absurd_size_is_refused_before_it_takes_memory() {
    run(&["bench", "--batch", "99999999"]).assert_bad_input("1 to 1024");
    run(&["bench", "--threads", "5000"]).assert_bad_input("1 to 1024");
}

#[test]
fn a_cpu_level_that_there_is_not_is_told_and_changes_nothing() {
    let finished = Running::start_with(&["info"], &[("TSM_CPU", "AVX2")]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.stderr, "tsm: TSM_CPU=AVX2 changes nothing; it may be scalar, avx2, avx512\n");
}

#[test]
fn a_report_that_cannot_be_written_is_said_before_the_first_check() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["/nowhere/report.json", folder.path().to_str().unwrap(), "/dev/full"] {
        let finished = run(&["selftest", "--json", path]);
        let why =
            if path.starts_with("/nowhere") { "its folder does not exist" } else { "cannot be written: " };
        finished.assert_bad_input(&format!("{path}: {why}"));
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn figures_are_not_written_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("wave");
    std::fs::create_dir(&class).unwrap();
    let clip = shared::clip("asl-walk.mkv").canonicalize().unwrap();
    std::os::unix::fs::symlink(clip, class.join("1.mkv")).unwrap();
    let folder = folder.path().to_str().unwrap();
    let finished = run(&["eval", "--data", folder, "--json", folder]);
    finished.assert_bad_input("it is a folder; name a file for --json");
    assert_eq!(finished.stdout, "", "refused before the clips are read");
}

#[test]
fn a_clip_is_not_written_over_by_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, list) = (folder.path().join("walk.mkv"), folder.path().join("list.txt"));
    std::fs::copy(shared::clip("asl-walk.mkv"), &clip).unwrap();
    std::fs::write(&list, "walk.mkv 0\n").unwrap();
    let before = std::fs::read(&clip).unwrap();
    let finished = run(&["eval", "--list", list.to_str().unwrap(), "--json", clip.to_str().unwrap()]);
    finished
        .assert_bad_input("walk.mkv: is what is read from and would be written over; choose another --json");
    assert!(std::fs::read(&clip).unwrap() == before);
}
