//! `prepare`, `train`, `eval` and `infer` on small real clips, with the inputs people really give.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tsm_tests::program::{Finished, PATIENCE, Running, command, run, tsm};
use tsm_tests::shared;

/// Options of a network small enough to train in a test.
const SMALL: [&str; 18] = [
    "--from-scratch",
    "--width",
    "0.25",
    "--size",
    "64",
    "--segments",
    "4",
    "--batch",
    "2",
    "--epochs",
    "2",
    "--head-epochs",
    "0",
    "--batch-norm",
    "train",
    "--validation",
    "0.3",
    "--quiet",
];

/// `per_class` clips of each of these actions, a folder each.
fn clips(classes: &[&str], per_class: usize) -> Option<TempDir> {
    let data = shared::shared("data/jhmdb-train")?;
    let folder = tempfile::tempdir().unwrap();
    for class in classes {
        let own = folder.path().join("clips").join(class);
        std::fs::create_dir_all(&own).unwrap();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(data.join(class)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().step_by(4).take(per_class) {
            std::fs::copy(file, own.join(file.file_name().unwrap())).unwrap();
        }
    }
    Some(folder)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn train(clips: &Path, output: &Path, more: &[&str]) -> Finished {
    run(&[&["train", text(clips), "-o", text(output)], &SMALL[..], more].concat())
}

#[test]
fn a_folder_a_class_becomes_a_model_that_evaluates_labels_and_runs_live() {
    let Some(folder) = clips(&["golf", "wave"], 6) else { return };
    let (data, model) = (folder.path().join("clips"), folder.path().join("m.safetensors"));
    let torn = data.join("wave/torn_0.mp4");
    std::fs::write(&torn, b"no video").unwrap();
    let trained = train(&data, &model, &[]);
    assert_eq!(trained.code(), 0, "{}", trained.stderr);
    assert!(trained.stdout.contains("top-1"), "{}", trained.stdout);
    assert!(trained.stderr.contains("torn_0.mp4"), "the clip left out is named: {}", trained.stderr);
    for name in ["README.md", "curves.svg", "confusion.svg", "log.csv", "config.toml", "last.safetensors"] {
        assert!(folder.path().join("m-report").join(name).is_file(), "{name} is missing");
    }
    let json = folder.path().join("figures.json");
    let judged = run(&[
        "eval",
        "--data",
        text(&data),
        "--model",
        text(&model),
        "--online",
        "--joined",
        "--json",
        text(&json),
    ]);
    assert_eq!(judged.code(), 0, "{}", judged.stderr);
    let figures: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(figures["clips"], 12);
    assert!((0.0..=1.0).contains(&figures["top1"].as_f64().unwrap()));
    assert_eq!(figures["online"]["early"][4]["top1"], figures["top1"]);
    assert_eq!(figures["joined"]["with_reset"]["top1"], figures["top1"]);
    let good = data.join("golf").read_dir().unwrap().next().unwrap().unwrap().path();
    let nowhere = folder.path().join("nowhere/figures.json");
    run(&["eval", "--data", text(&data), "--model", text(&model), "--json", text(&nowhere)])
        .assert_bad_input("its folder does not exist");
    let labelled = run(&["infer", text(&good), text(&torn), "--model", text(&model), "--format", "jsonl"]);
    assert_eq!(labelled.code(), 2, "one file of the two cannot be read");
    let lines = labelled.json_lines();
    assert_eq!((lines.len(), lines[0]["top_k"].as_array().unwrap().len()), (2, 2));
    assert!(lines[1]["error"].as_str().unwrap().contains("torn_0.mp4"));
    let live = run(&["live", text(&good), "--model", text(&model), "--format", "jsonl"]);
    assert_eq!(live.code(), 0, "{}", live.stderr);
    assert!(!live.frames().is_empty());
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let Some(folder) = clips(&["golf", "wave"], 6) else { return };
    let data = folder.path().join("clips");
    let path = |name: &str| folder.path().join(name);
    assert_eq!(train(&data, &path("whole.safetensors"), &["--save-interval-secs", "0"]).code(), 0);
    let output = path("killed.safetensors");
    let arguments =
        [&["train", text(&data), "-o", text(&output)], &SMALL[..], &["--save-interval-secs", "0"]].concat();
    let running = Running::start(&arguments);
    let saved = path("killed-report/last.safetensors");
    let begun = std::time::Instant::now();
    while !saved.exists() {
        assert!(begun.elapsed() < PATIENCE, "nothing was saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal("KILL");
    running.finish();
    train(&data, &output, &[]).assert_bad_input("an unfinished run, ");
    let resumed = train(&data, &output, &["--save-interval-secs", "0", "--resume"]);
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr);
    let bytes = |name: &str| std::fs::read(path(name)).unwrap();
    assert!(bytes("whole.safetensors") == bytes("killed.safetensors"));
    // Killed before its first save, a run has nothing but its choices to go on from.
    std::fs::remove_file(&saved).unwrap();
    let anew = train(&data, &output, &["--save-interval-secs", "0", "--resume"]);
    assert_eq!(anew.code(), 0, "{}", anew.stderr);
    assert!(anew.stderr.contains("nothing is saved yet; starting anew"), "{}", anew.stderr);
    assert!(bytes("whole.safetensors") == bytes("killed.safetensors"));
    train(&data, &path("other.safetensors"), &["--resume"]).assert_bad_input("no run to go on from");
}

#[test]
fn where_there_is_no_room_the_last_save_stays_and_is_gone_on_from() {
    let Some(folder) = clips(&["golf", "wave"], 4) else { return };
    let (data, output) = (folder.path().join("clips"), folder.path().join("m.safetensors"));
    let saved = folder.path().join("m-report/last.safetensors");
    let arguments =
        [&["train", text(&data), "-o", text(&output)], &SMALL[..], &["--save-interval-secs", "0"]].concat();
    let running = Running::start(&arguments);
    let begun = std::time::Instant::now();
    while !saved.exists() {
        assert!(begun.elapsed() < PATIENCE, "nothing was saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal("INT");
    assert_eq!(running.finish().code(), 0);
    let before = std::fs::read(&saved).unwrap();
    // The system's limit on the size of a file, in blocks: a full disk that needs no rights to make.
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -f 200; exec \"$0\" \"$@\" --resume"])
        .arg(tsm())
        .args(&arguments)
        .env("TSM_CUDA", "")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(2), "{told}");
    assert!(
        told.trim_end().ends_with("make room and go on with --resume, or, if nothing was, start anew"),
        "{told}"
    );
    assert!(std::fs::read(&saved).unwrap() == before && !output.exists(), "the last save is as it was");
    let left = saved.parent().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        !left.into_iter().any(|name| name.to_string_lossy().contains("partial")),
        "nothing is half-written"
    );
    let resumed = run(&[&arguments[..], &["--resume"]].concat());
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr);
}

#[test]
fn clips_that_cannot_be_learned_from_are_refused_in_one_line() {
    let Some(folder) = clips(&["golf"], 3) else { return };
    let data = folder.path().join("clips");
    let output = folder.path().join("m.safetensors");
    train(&data, &output, &[]).assert_bad_input("golf");
    std::fs::create_dir(data.join("empty")).unwrap();
    train(&data, &output, &[])
        .assert_bad_input("'empty' has no clips; put clips in it, or give the folder that");
    let list = folder.path().join("list.txt");
    std::fs::write(&list, "clips/golf/absent.mp4 0\n").unwrap();
    let listed = |more: &[&str]| {
        run(&[&["train", "--list", text(&list), "-o", text(&output)], &SMALL[..], more].concat())
    };
    listed(&[]).assert_bad_input("absent.mp4");
    let names = folder.path().join("classes.txt");
    std::fs::write(&names, "golf\nwave\n").unwrap();
    let clip = data.join("golf").read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::write(&list, format!("{} 7\n", clip.display())).unwrap();
    listed(&["--classes", text(&names)]).assert_bad_input("line 1");
    train(&data, &output, &["--resume"]).assert_bad_input("empty");
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, b"what I know").unwrap();
    train(&data, &notes, &[]).assert_bad_input("notes.txt: is there and no whole .safetensors file");
    assert!(std::fs::read(&notes).unwrap() == b"what I know" && !report(&notes).exists());
    // Whatever the rights of who runs this, nobody makes a file there.
    train(&data, Path::new("/proc/self/m.safetensors"), &[]).assert_bad_input("/proc/self/m.safetensors: ");
    train(&folder.path().join("nowhere"), &output, &[]).assert_bad_input("no such file or folder");
    assert!(!output.exists() && !folder.path().join("m-report").exists(), "nothing is half-written");
}

#[test]
fn lists_are_prepared_and_trained_from() {
    let Some(folder) = clips(&["golf", "wave"], 4) else { return };
    let lists = folder.path().join("lists");
    let data = folder.path().join("clips");
    let prepared = run(&["prepare", text(&data), "-o", text(&lists), "--validation", "0.3"]);
    assert_eq!(prepared.code(), 0, "{}", prepared.stderr);
    let place = |name: &str| lists.join(name);
    let (list, valid, names) = (place("train.txt"), place("validation.txt"), place("classes.txt"));
    assert_eq!(std::fs::read_to_string(&names).unwrap(), "golf\nwave\n");
    let output = folder.path().join("m.safetensors");
    let arguments = [
        &["train", "--list", text(&list), "--validation-list", text(&valid), "--classes", text(&names)],
        &["-o", text(&output)][..],
        &SMALL[..],
    ];
    let trained = run(&arguments.concat());
    assert_eq!(trained.code(), 0, "{}", trained.stderr);
    assert!(output.is_file());
}

/// The folder beside a model.
fn report(model: &Path) -> PathBuf {
    model.with_file_name(format!("{}-report", text(Path::new(model.file_stem().unwrap()))))
}

/// What `tsm train` says its options are: the lines from its first comment to what it does first.
fn told_options(stderr: &str) -> String {
    let begun = stderr.lines().skip_while(|line| !line.starts_with("# this run's options"));
    begun
        .take_while(|line| !line.contains("training clips"))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn a_run_is_repeated_from_what_it_prints_from_its_report_and_from_its_model() {
    let Some(folder) = clips(&["golf", "wave"], 4) else { return };
    let (data, model) = (folder.path().join("clips"), folder.path().join("m.safetensors"));
    let small: Vec<&str> = SMALL.into_iter().filter(|flag| *flag != "--quiet").collect();
    let train = |more: &[&str]| run(&[&["train"], more].concat());
    let trained = train(&[&[text(&data), "-o", text(&model), "--seed", "3"], &small[..]].concat());
    assert_eq!(trained.code(), 0, "{}", trained.stderr);
    assert!(trained.stderr.contains("; centre view of the validation clips: loss"), "{}", trained.stderr);
    assert!(trained.stdout.contains("(streamed as live does it)"), "{}", trained.stdout);
    let weights = |path: &Path| std::fs::read(report(path).join("best.safetensors")).unwrap();
    let first = weights(&model);
    let config = folder.path().join("printed.toml");
    std::fs::write(&config, told_options(&trained.stderr)).unwrap();
    let again = folder.path().join("again.safetensors");
    let repeated = train(&["--config", text(&config), "-o", text(&again)]);
    assert_eq!(repeated.code(), 0, "{}", repeated.stderr);
    assert!(!repeated.stderr.contains("replaces"), "{}", repeated.stderr);
    assert!(weights(&again) == first, "the printed options repeat the run");
    // The report's file finds clips and model from where it lies.
    let kept = report(&model).join("config.toml");
    let repeated = train(&["--config", text(&kept)]);
    assert_eq!(repeated.code(), 0, "{}", repeated.stderr);
    let replaced = format!("tsm: {} and {} are of an earlier run; ", text(&model), text(&report(&model)));
    assert!(repeated.stderr.contains(&replaced), "{}", repeated.stderr);
    assert!(!repeated.stderr.contains("/../"), "a path takes a detour: {}", repeated.stderr);
    assert!(model.is_file() && weights(&model) == first, "the report's options repeat the run");
    let info = run(&["info", text(&model)]);
    for line in ["    clips-dir = \"clips\"", "    seed = 3"] {
        assert!(info.stdout.lines().any(|told| told == line), "{line} is not in {}", info.stdout);
    }
    let card = std::fs::read_to_string(report(&model).join("README.md")).unwrap();
    for told in [&info.stdout.replace(text(&model), ""), &card] {
        assert!(!told.contains(text(folder.path())), "a path of this machine is told: {told}");
    }
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "lr = \"fast\"\nepoch = 3\n").unwrap();
    let refused = train(&[text(&data), "-o", text(&model), "--config", text(&wrong)]);
    assert_eq!(refused.code(), 2);
    let told: Vec<&str> = refused.stderr.lines().collect();
    assert!(told[0].ends_with("wrong.toml: line 1: lr is \"fast\", it must be a number"), "{told:?}");
    assert!(told[1].ends_with("wrong.toml: line 2: there is no option epoch; epochs is meant?"), "{told:?}");
}

#[test]
fn a_changed_clip_and_another_networks_save_are_not_gone_on_from() {
    let Some(folder) = clips(&["golf", "wave"], 4) else { return };
    let (data, model) = (folder.path().join("clips"), folder.path().join("m.safetensors"));
    assert_eq!(train(&data, &model, &[]).code(), 0);
    let written = std::fs::read(&model).unwrap();
    // As a full disk leaves it: the card is written last.
    std::fs::remove_file(&model).unwrap();
    std::fs::remove_file(report(&model).join("README.md")).unwrap();
    train(&data, &model, &[]).assert_bad_input("a run whose model is not written yet; go on with --resume");
    assert_eq!(train(&data, &model, &["--resume"]).code(), 0);
    assert!(std::fs::read(&model).unwrap() == written, "the finished run's model is another one");
    let mut files: Vec<PathBuf> =
        data.join("golf").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let kept = std::fs::read(&files[0]).unwrap();
    std::fs::copy(&files[1], &files[0]).unwrap();
    let changed = train(&data, &model, &["--resume"]);
    changed.assert_bad_input("is not what the saved run");
    assert!(changed.stderr.contains(files[0].file_name().unwrap().to_str().unwrap()), "{}", changed.stderr);
    std::fs::write(&files[0], kept).unwrap();
    let other =
        ["--backbone", "resnet18", "--size", "64", "--from-scratch", "--validation", "0.3", "--quiet"];
    run(&[&["train", text(&data), "-o", text(&model), "--resume"], &other[..]].concat())
        .assert_bad_input("is of a mobilenetv2, this one of a resnet18");
    let left = folder.path().join("m-report/last.safetensors");
    std::fs::copy(&model, &left).unwrap();
    train(&data, &model, &["--resume"]).assert_bad_input("last.safetensors: no saved run");
    train(&data, &model, &[]).assert_bad_input("throw it away with --restart");
    let old_events = report(&model).join("events.out.tfevents.1.old");
    std::fs::write(&old_events, b"of another run").unwrap();
    assert_eq!(train(&data, &model, &["--restart"]).code(), 0);
    assert!(!old_events.exists() && report(&model).join("validation.json").is_file());
}

#[test]
fn the_head_that_a_tuned_model_loses_is_told_where_it_is_lost() {
    let Some(folder) = clips(&["golf", "wave"], 4) else { return };
    let (data, model) = (folder.path().join("clips"), folder.path().join("m.safetensors"));
    let tuned = folder.path().join("tuned.safetensors");
    assert_eq!(train(&data, &model, &[]).code(), 0);
    std::fs::rename(data.join("wave"), data.join("greet")).unwrap();
    let small: Vec<&str> =
        SMALL.into_iter().filter(|flag| !["--from-scratch", "--quiet"].contains(flag)).collect();
    let tune = |more: &[&str]| {
        let named = ["train", text(&data), "-o", text(&tuned), "--tune-from", text(&model)];
        run(&[&named, &small[..], more].concat())
    };
    let lost = "are not those of the clips (golf, greet), so its head is replaced by a new one";
    let begun = tune(&[]);
    assert!(begun.code() == 0 && begun.stderr.contains(lost), "{}", begun.stderr);
    // As a full disk leaves it: there is a model to write yet.
    std::fs::remove_file(&tuned).unwrap();
    std::fs::remove_file(report(&tuned).join("README.md")).unwrap();
    let resumed = tune(&["--resume"]);
    assert!(resumed.code() == 0 && !resumed.stderr.contains("head is replaced"), "{}", resumed.stderr);
}

#[test]
fn a_class_of_which_nothing_can_be_read_ends_the_run() {
    let Some(folder) = clips(&["golf", "wave"], 3) else { return };
    let (data, model) = (folder.path().join("clips"), folder.path().join("m.safetensors"));
    for clip in data.join("wave").read_dir().unwrap() {
        std::fs::write(clip.unwrap().path(), b"no video").unwrap();
    }
    for head_views in ["0", "1"] {
        let refused = train(&data, &model, &["--head-views", head_views]);
        assert_eq!(refused.code(), 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("no clip of 'wave' can be read; the first: "), "{}", refused.stderr);
    }
    assert!(!model.exists());
}

#[test]
fn labelling_stops_between_files_and_reads_a_list_from_a_pipe() {
    let Some(data) = shared::shared("data/jhmdb-train") else { return };
    let mut files = Vec::new();
    for class in data.read_dir().unwrap() {
        files.extend(class.unwrap().path().read_dir().unwrap().map(|clip| clip.unwrap().path()));
    }
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    let lines: Vec<&str> = files.iter().map(|file| text(file)).collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let running = Running::start(&["infer", "--filelist", text(&list), "--format", "jsonl"]);
    running.wait_for("the first answer", |answer| answer["file"] == lines[0]);
    running.signal("INT");
    let stopped = running.finish();
    assert_eq!(stopped.code(), 0, "{}", stopped.stderr);
    assert!(stopped.stderr.contains(&format!("of {} files", lines.len())), "{}", stopped.stderr);

    let mut piped = command()
        .args(["infer", "--filelist", "-", "--top-k", "1"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut piped.stdin.take().unwrap(), format!("{}\n", lines[0]).as_bytes())
        .unwrap();
    let labelled = piped.wait_with_output().unwrap();
    assert!(labelled.status.success());
    assert!(String::from_utf8(labelled.stdout).unwrap().starts_with(lines[0]));
}
