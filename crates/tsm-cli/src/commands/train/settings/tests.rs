//! Flags, file and what is printed of them.

use std::collections::BTreeSet;

use clap::Parser;

use super::super::config::options;
use super::*;
use crate::args::{Cli, Command};

/// The settings of a command line, which may name a file with this text.
fn settings(file: &str, flags: &[&str]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    std::fs::write(&path, file).unwrap();
    let given = ["tsm", "train", "--config", path.to_str().unwrap()];
    let cli = Cli::try_parse_from(given.iter().chain(flags)).map_err(|error| error.to_string())?;
    let Command::Train(args) = cli.command else { unreachable!() };
    let place = format!("{}/", folder.path().display());
    Settings::of(&args).map_err(|failure| failure.line.unwrap_or_default().replace(&place, ""))
}

fn text(settings: &Settings) -> String {
    settings.text(&settings.recipe(100).unwrap(), 100, &named)
}

/// Every option of the recipe and of the run, none as it is by default, in two files since some exclude each other.
const FOLDER: &str = r#"
clips-dir = "clips"
output = "m.safetensors"
preset = "mit"
storage = "f16"
device = "cuda:1"
cuda-libs = "libraries"
fold = 1
folds = 3
groups = "groups.csv"
backbone = "mobilenetv2"
width = 0.5
shift = "paddle"
place = "block"
shift-div = 4
unshifted-blocks = 1
segments = 5
size = 96
pretrained = "w.pth"
from-scratch = false
unit-scale = true
motion-start = false
sampling = "dense"
fps = 10.0
crop = "centre"
flip = "on"
flip-pair = [["left", "right"]]
jitter-brightness = 0.125
jitter-contrast = 0.25
jitter-saturation = 0.375
jitter-hue = 0.0625
mixup = 0.5
cutmix = 0.75
validation = 0.125
epochs = 7
batch = 3
accumulate = 2
keep-last-batch = true
lr = 0.125
schedule = "constant"
lr-steps = [3, 5]
lr-decay = 0.5
warmup-epochs = 0.5
optimiser = "adamw"
momentum = 0.75
weight-decay = 0.25
clip-norm = 3.0
lr-groups = "paddlevideo"
head-lr = 2.0
batch-norm = "partial"
head-views = 3
head-epochs = 1
frozen-blocks = 2
shift-ramp-epochs = 0.25
dropout = 0.25
label-smoothing = 0.125
frame-loss = 0.25
class-weights = "balanced"
average = 0.5
teacher = ["t.safetensors", "u.safetensors"]
teacher-share = 0.25
teacher-temperature = 3.0
seed = 9
workers = 1
cache-mib = 12
log-interval = 2
valid-interval = 2
save-interval-secs = 5
resume = true
"#;
const LIST: &str = r#"
list = "l.txt"
validation-list = "v.txt"
classes = "c.txt"
output = "m.safetensors"
group-regex = "x(.)"
tune-from = "t.safetensors"
restart = true
motion-features = "none"
"#;

#[test]
fn every_option_can_stand_in_the_file_and_comes_out_of_it_again() {
    let mut seen = BTreeSet::from(["resume".to_owned(), "restart".to_owned()]);
    for file in [FOLDER, LIST] {
        let given: toml::Table = file.parse().unwrap();
        let whole = text(&settings(file, &[]).unwrap());
        let printed: toml::Table = whole.parse().unwrap();
        for (name, value) in &given {
            // How a run began is not part of it.
            if !["resume", "restart"].contains(&name.as_str()) {
                assert_eq!(printed.get(name), Some(value), "{name} of\n{whole}");
                seen.insert(name.clone());
            }
        }
        assert_eq!(text(&settings(&whole, &[]).unwrap()), whole, "what is printed is what is read");
    }
    for option in options() {
        assert!(seen.contains(&option.name), "{} is in neither file of this test", option.name);
    }
    assert_eq!(settings(FOLDER, &[]).unwrap().run().resume, Some(true));
}

#[test]
fn what_is_not_by_default_is_enough_to_repeat_the_run() {
    let told = |settings: &Settings| settings.told_text(&settings.recipe(100).unwrap(), 100);
    let own = |settings: &Settings| {
        let told = told(settings);
        told.split_once(&format!("{OWN_BEGINS}\n")).map_or(told.clone(), |(_, own)| own.to_owned())
    };
    let check = |file: &str, flags: &[&str]| -> String {
        let given = settings(file, flags).unwrap();
        assert_eq!(text(&settings(&told(&given), &[]).unwrap()), text(&given), "all is told");
        let count = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(count(&told(&given)), count(&text(&given)), "{}", told(&given));
        let short = own(&given);
        assert_eq!(text(&settings(&short, &[]).unwrap()), text(&given), "{short}");
        // Of the whole as much is left; its paths begin elsewhere.
        let again = own(&settings(&text(&given), &[]).unwrap());
        assert_eq!(again.lines().count(), short.lines().count(), "{again}");
        short
    };
    let plain = check("", &["clips", "-o", "m"]);
    assert_eq!(plain, "clips-dir = \"clips\"\noutput = \"m\"\npreset = \"few\"\n");
    let asked = check("", &["clips", "-o", "m", "--lr", "0.5", "--device", "cuda:1", "--preset", "mit"]);
    for line in ["lr = 0.5", "device = \"cuda:1\"", "preset = \"mit\""] {
        assert!(asked.lines().any(|told| told == line), "{line} is not in {asked}");
    }
    // Without a shift flow is not looked at unless it is asked for, though the preset looks at it.
    let blind = check("", &["clips", "-o", "m", "--shift", "none"]);
    assert!(blind.contains("motion-features = \"none\""), "{blind}");
    let seeing = check("", &["clips", "-o", "m", "--shift", "none", "--motion-features", "flow"]);
    assert!(seeing.contains("motion-features = \"flow\""), "{seeing}");
    check("", &["clips", "-o", "m", "--motion-start", "--pretrained", "w.pth"]);
    for file in [FOLDER, LIST] {
        check(file, &[]);
    }
}

#[test]
fn flags_go_before_the_file_and_take_the_place_of_alternatives() {
    let given = |file: &str, flags: &[&str]| -> toml::Table {
        text(&settings(file, flags).unwrap()).parse().unwrap()
    };
    let of = |table: &toml::Table, name: &str| table.get(name).map(ToString::to_string).unwrap_or_default();
    let flags = [
        "other",
        "--tune-from",
        "t",
        "--validation-list",
        "v",
        "--group-regex",
        "r",
        "--lr",
        "1",
        "--restart",
    ];
    let table = given(FOLDER, &flags);
    for (name, value) in [
        ("clips-dir", "\"other\""),
        ("tune-from", "\"t\""),
        ("pretrained", ""),
        ("validation-list", "\"v\""),
        ("fold", ""),
        ("folds", ""),
        ("groups", ""),
        ("group-regex", "\"r\""),
        ("lr", "1.0"),
        ("epochs", "7"),
    ] {
        assert_eq!(of(&table, name), value, "{name}");
    }
    let table = given(
        LIST,
        &["clips", "--fold", "0", "--folds", "2", "--from-scratch", "--groups", "g.csv", "-o", "n"],
    );
    for (name, value) in
        [("list", ""), ("clips-dir", "\"clips\""), ("tune-from", ""), ("from-scratch", "true")]
    {
        assert_eq!(of(&table, name), value, "{name}");
    }
    assert_eq!((of(&table, "validation-list"), of(&table, "output")), (String::new(), "\"n\"".to_owned()));
    assert!(settings(LIST, &["--resume"]).unwrap().run().restart.is_none());
    assert_eq!(settings(FOLDER, &["--resume=false"]).unwrap().run().resume, Some(false));
    let table = given("flip-pair = \"a=b\"", &["c", "-o", "m", "--flip", "off"]);
    assert_eq!(of(&table, "flip-pair"), "[]");
    let table = given("flip = \"off\"", &["c", "-o", "m", "--flip-pair", "a=b"]);
    assert_eq!(of(&table, "flip"), "\"auto\"");
}

#[test]
fn what_neither_file_nor_flags_say_is_asked_for() {
    let said = |file: &str, flags: &[&str]| settings(file, flags).map(|_| ()).unwrap_err();
    assert!(said("output = \"m\"", &[]).starts_with("no clips are given; pass CLIPS_DIR or --list FILE"));
    assert!(said("", &["clips"]).starts_with("no model is named to write; pass --output"));
    assert!(said("fold = 1", &["clips", "-o", "m"]).starts_with("fold 1 of how many? pass --folds N"));
    assert!(said("", &["clips", "-o", "m", "--folds", "3"]).starts_with("which of the 3 folds?"));
    assert!(said("", &["clips", "--list", "l", "-o", "m"]).contains("cannot be used with"));
    let far = "backbone = \"resnet18\"\n\nwidth = 0.5\nfrom-scratch = true";
    assert!(said(far, &["clips", "-o", "m"]).starts_with("my.toml: line 3: width is 0.5, it must be"));
    assert!(said("pretrained = \"a\"", &["clips", "-o", "m", "--dropout", "2"]).starts_with("dropout is 2"));
}

#[test]
fn a_model_tells_names_and_digests_and_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("w.safetensors");
    std::fs::write(&weights, b"123456789").unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (clips, output) = (path("clips"), path("m.safetensors"));
    let flags =
        [clips.as_str(), "-o", &output, "--pretrained", weights.to_str().unwrap(), "--teacher", "absent.pth"];
    let settings = settings("", &flags).unwrap();
    let shared = settings.shared_text(&settings.recipe(100).unwrap(), 100);
    assert!(!shared.contains(folder.path().to_str().unwrap()), "{shared}");
    // The check value of CRC-32C (RFC 3720, appendix B.4 has others of the same polynomial).
    assert!(shared.contains("pretrained = \"w.safetensors\"  # crc32c and bytes: e3069283 9\n"), "{shared}");
    assert!(shared.contains("teacher = [\"absent.pth\"]  # crc32c and bytes: unknown\n"), "{shared}");
    assert!(shared.contains("clips-dir = \"clips\"\n"), "{shared}");
    assert!(!shared.parse::<toml::Table>().unwrap().contains_key("output"), "{shared}");
}

#[test]
fn a_way_from_one_folder_to_another_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(place("a/report")).unwrap();
    std::fs::create_dir_all(place("b")).unwrap();
    let way = |from: &str, to: &str| relative_to(&place(from), &place(to)).display().to_string();
    assert_eq!(way("a/report", "b/clips"), "../../b/clips");
    assert_eq!(way("a", "a/m.safetensors"), "m.safetensors");
    assert_eq!(way("a/not-there-yet", "a/m.safetensors"), "../m.safetensors");
    assert_eq!(way("a", "a"), ".");
}
