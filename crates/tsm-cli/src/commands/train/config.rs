//! The file of `--config`: every option of `tsm train` as flat TOML, under the flags' names.
//!
//! ```text
//! FILE.toml ─ syntax ─ each option alone: known? right type? in range? ─ those that exclude each other ─► Config
//!                └───────────────┴────────── all mistakes, each with its line ┘
//! ```
//!
//! What options there are is asked of the flags themselves, so that a new flag is an option of the file without a word
//! here. Relative paths are relative to the file's folder. What flags do to it is `settings.rs`'s.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use clap::{Arg, ArgAction, Args as _, Command};
use toml::Value;
use toml::de::DeTable;
use tsm_model::path_fault::why_unread;
use tsm_train::recipe::{Preset, Recipe, RecipeError};

use super::nearest_name::nearest;
use crate::args::recipe::flip_pair;
use crate::args::train::TrainArgs;
use crate::exit_code::Failure;
use crate::talk;

/// Options of which a file or a command line has one at most.
const ALTERNATIVES: [[&str; 2]; 8] = [
    ["clips-dir", "list"],
    ["pretrained", "tune-from"],
    ["pretrained", "from-scratch"],
    ["tune-from", "from-scratch"],
    ["groups", "group-regex"],
    ["validation-list", "fold"],
    ["validation-list", "folds"],
    ["resume", "restart"],
];

/// A file in good order.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// What it says besides the recipe.
    pub(super) run: TrainArgs,
    /// Its options of the recipe.
    pub(super) recipe: toml::Table,
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl Config {
    /// Reads a file. Its mistakes are told, a line each.
    ///
    /// # Errors
    /// A file that cannot be read or has a mistake.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::bad_input(format!("{}: {}", path.display(), why_unread(&error))))?;
        let parsed = Self::parse(path, &text);
        parsed.map_err(|mut mistakes| {
            let last = mistakes.pop().unwrap_or_default();
            for mistake in mistakes {
                talk::line(&format!("tsm: {}", talk::escaped(&mistake)));
            }
            Failure::bad_input(last)
        })
    }

    /// The file's text, or all that is wrong with it.
    fn parse(path: &Path, text: &str) -> Result<Self, Vec<String>> {
        let at = |line: usize, what: String| format!("{}: line {line}: {what}", path.display());
        let (spans, wrong) = DeTable::parse_recoverable(text);
        let syntax = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            (line, at(line, error.message().replace('\n', " ")))
        };
        let mut wrong: Vec<(usize, String)> = wrong.iter().map(syntax).collect();
        if !wrong.is_empty() {
            wrong.sort_by_key(|(line, _)| *line);
            // What follows from a line's first mistake is none of its own.
            wrong.dedup_by_key(|(line, _)| *line);
            return Err(wrong.into_iter().map(|(_, what)| what).collect());
        }
        let table: toml::Table = text.parse().map_err(|error| vec![syntax(&error).1])?;
        let mut lines: Vec<(usize, String)> = spans
            .get_ref()
            .keys()
            .map(|key| (line_of(text, key.span().start), key.get_ref().to_string()))
            .collect();
        lines.sort();
        let mut config = Self { path: path.to_owned(), ..Self::default() };
        let (mut run, mut mistakes) = (toml::Table::new(), Vec::new());
        let options = options();
        let folder = path.parent().unwrap_or(Path::new(""));
        for (line, name) in &lines {
            let taken = match options.iter().find(|option| option.name == *name) {
                Some(option) => option.taken(&table[name], folder),
                None => Err(unknown(name, &options)),
            };
            match taken {
                Ok(Taken::Run(value)) => drop(run.insert(name.clone(), value)),
                Ok(Taken::Recipe(value)) => drop(config.recipe.insert(name.clone(), value)),
                Err(what) => mistakes.push((*line, at(*line, what))),
            }
        }
        config.lines = lines.into_iter().map(|(line, name)| (name, line)).collect();
        let said = |name: &str| table.get(name).is_some_and(|value| *value != Value::Boolean(false));
        for [one, other] in ALTERNATIVES.iter().filter(|names| names.iter().all(|name| said(name))) {
            let line = config.lines[*one].max(config.lines[*other]);
            mistakes
                .push((line, at(line, format!("{one} and {other} exclude each other; keep one of them"))));
        }
        mistakes.sort();
        let mistakes: Vec<String> = mistakes.into_iter().map(|(_, what)| what).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        config.run = run.try_into().map_err(|error: toml::de::Error| vec![at(1, error.to_string())])?;
        Ok(config)
    }

    /// `FILE.toml: line N: ` where the file gives this option.
    pub(super) fn place(&self, name: &str) -> Option<String> {
        self.lines.get(name).map(|line| format!("{}: line {line}: ", self.path.display()))
    }
}

/// An option of the file.
#[derive(Debug)]
pub(super) struct ConfigOption {
    /// The flag's name.
    pub(super) name: String,
    is_path: bool,
    is_list: bool,
}

/// A value that may stand where it stands.
enum Taken {
    Run(Value),
    Recipe(Value),
}

/// Every option that a file may have: the flags of `tsm train`, but for the one that names the file.
pub(super) fn options() -> Vec<ConfigOption> {
    let command = TrainArgs::augment_args(Command::new("train"));
    let option = |arg: &Arg| ConfigOption {
        name: arg.get_id().as_str().replace('_', "-"),
        is_path: arg.get_value_parser().type_id() == TypeId::of::<PathBuf>(),
        is_list: matches!(arg.get_action(), ArgAction::Append),
    };
    command.get_arguments().map(option).filter(|option| option.name != "config").collect()
}

impl ConfigOption {
    /// The value as merging wants it, or what is wrong with it.
    fn taken(&self, value: &Value, folder: &Path) -> Result<Taken, String> {
        let name = self.name.as_str();
        let mut value = value.clone();
        if self.is_list && !value.is_array() {
            value = Value::Array(vec![value]);
        }
        if let (true, Value::Array(pairs)) = (name == "flip-pair", &mut value) {
            pairs.iter_mut().try_for_each(split_pair)?;
        }
        let alone = toml::Table::from_iter([(name.to_owned(), value.clone())]);
        let checked = if is_of_the_run(name) {
            alone.try_into::<TrainArgs>().map(drop).map_err(|error| wrong(name, &value, error.message()))
        } else {
            Recipe::from_table(&Preset::Few.recipe(), &alone).map(drop).map_err(|error| match error {
                RecipeError::Text(text) => wrong(name, &value, &text),
                error => error.to_string(),
            })
        };
        checked?;
        if self.is_path {
            located(&mut value, folder);
        }
        Ok(if is_of_the_run(name) { Taken::Run(value) } else { Taken::Recipe(value) })
    }
}

/// Whether an option is none of the recipe.
fn is_of_the_run(name: &str) -> bool {
    let optional = ["pretrained", "tune-from"];
    let known = toml::Table::try_from(Preset::Few.recipe()).unwrap_or_default();
    !known.contains_key(name) && !optional.contains(&name)
}

/// `"a=b"` as `["a", "b"]`, which stays as it is.
fn split_pair(pair: &mut Value) -> Result<(), String> {
    if let Value::String(text) = pair {
        let (one, other) = flip_pair(text).map_err(|what| format!("flip-pair is \"{text}\"; {what}"))?;
        *pair = Value::Array(vec![Value::String(one), Value::String(other)]);
    }
    Ok(())
}

/// Paths as the program finds them.
fn located(value: &mut Value, folder: &Path) {
    match value {
        Value::String(path) => *path = without_detours(&folder.join(&path)).to_string_lossy().into_owned(),
        Value::Array(paths) => paths.iter_mut().for_each(|path| located(path, folder)),
        _ => {}
    }
}

/// `a/../b` as `b`, where `a` is a folder itself: up from a folder behind a link leads elsewhere than the names say.
fn without_detours(path: &Path) -> PathBuf {
    let mut way = PathBuf::new();
    for part in path.components() {
        let is_folder = || way.symlink_metadata().is_ok_and(|found| found.is_dir());
        if part == Component::ParentDir && way.file_name().is_some() && is_folder() {
            way.pop();
        } else {
            way.push(part);
        }
    }
    if way.as_os_str().is_empty() { PathBuf::from(".") } else { way }
}

fn unknown(name: &str, options: &[ConfigOption]) -> String {
    let names = options.iter().map(|option| option.name.as_str());
    nearest(name, names).map_or_else(
        || format!("there is no option {name}; tsm train --help lists them"),
        |known| format!("there is no option {name}; {known} is meant?"),
    )
}

/// A deserialiser's complaint about a value, in a person's words.
fn wrong(name: &str, value: &Value, complaint: &str) -> String {
    let complaint = complaint.lines().next().unwrap_or(complaint);
    let Some((_, expected)) = complaint.split_once(", expected ") else {
        return format!("{name}: {complaint}");
    };
    // A list of names goes on with quotes and commas, everything else with where it stands.
    let expected = expected.split(" in `").next().unwrap_or(expected).trim();
    let allowed = match expected {
        "f64" | "f32" => "a number",
        "usize" | "u64" | "u32" => "a whole number of at least 0",
        "a nonzero usize" => "a whole number of at least 1",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a tuple of size 2" => "a list of pairs",
        other => other,
    };
    format!("{name} is {value}, it must be {}", allowed.replace('`', "\""))
}

/// The line, counted from 1, in which a byte of a text stands.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        Config::parse(Path::new("my.toml"), text).err().unwrap_or_default()
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(mistakes(text), expected, "{text}");
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_lines() {
        check(
            "lr = \"fast\"\n# so\nepoch = 3\ndropout = 1.5\n\nresume = 1\nstorage = \"f8\"\npreset = \"x\"",
            &[
                "my.toml: line 1: lr is \"fast\", it must be a number",
                "my.toml: line 3: there is no option epoch; epochs is meant?",
                "my.toml: line 4: dropout is 1.5, it must be at least 0 and below 1",
                "my.toml: line 6: resume is 1, it must be true or false",
                "my.toml: line 7: storage is \"f8\", it must be \"f32\" or \"f16\"",
                "my.toml: line 8: preset: `x` is no preset; known are few, many, mit, paddle",
            ],
        );
        check(
            "warp-factor-of-9 = 1",
            &["my.toml: line 1: there is no option warp-factor-of-9; tsm train --help lists them"],
        );
        check("head_lr = 1", &["my.toml: line 1: there is no option head_lr; head-lr is meant?"]);
        check(
            "flip-pair = [\"left\"]",
            &["my.toml: line 1: flip-pair is \"left\"; give two class names as A=B"],
        );
        check("folds = 0", &["my.toml: line 1: folds is 0, it must be a whole number of at least 1"]);
        check("epochs = 1.5", &["my.toml: line 1: epochs is 1.5, it must be a whole number of at least 0"]);
        check("list = 3", &["my.toml: line 1: list is 3, it must be text in quotes"]);
        check(
            "device = \"gpu\"",
            &["my.toml: line 1: device: `gpu` is no device; known are auto, cpu, cuda and cuda:N"],
        );
        let backbone = mistakes("backbone = \"vgg\"");
        assert!(
            backbone[0].starts_with("my.toml: line 1: backbone is \"vgg\", it must be one of \"resnet18\","),
            "{backbone:?}"
        );
        let syntax = mistakes("lr = \nepochs = 3\nbatch = = 2");
        assert!(
            syntax[0].starts_with("my.toml: line 1: ") && syntax.iter().any(|text| text.contains("line 3")),
            "{syntax:?}"
        );
    }

    #[test]
    fn a_file_has_one_of_several_alternatives() {
        check(
            "list = \"a\"\nclips-dir = \"b\"\nvalidation-list = \"c\"\nfold = 1\nfolds = 2\n",
            &[
                "my.toml: line 2: clips-dir and list exclude each other; keep one of them",
                "my.toml: line 4: validation-list and fold exclude each other; keep one of them",
                "my.toml: line 5: validation-list and folds exclude each other; keep one of them",
            ],
        );
        check("pretrained = \"a\"\nfrom-scratch = false\nresume = false\nrestart = true", &[]);
    }

    #[cfg(unix)]
    #[test]
    fn paths_take_no_detour_but_where_a_link_makes_one() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("m-report/deep")).unwrap();
        std::os::unix::fs::symlink(at("m-report/deep"), at("link")).unwrap();
        for (given, expected) in [
            ("m-report/../m.safetensors", "m.safetensors"),
            ("m-report/deep/../../clips", "clips"),
            ("m-report/../link/../clips", "link/../clips"),
            ("absent/../clips", "absent/../clips"),
            ("m-report/..", ""),
        ] {
            assert_eq!(without_detours(&at(given)), at(expected), "{given}");
        }
        assert_eq!(without_detours(Path::new("src/..")), Path::new("."));
        assert_eq!(without_detours(Path::new("../src/../x")), Path::new("../src/../x"));
    }

    #[test]
    fn paths_are_relative_to_the_files_folder_and_lists_may_be_one_value() {
        let text = "clips-dir = \"clips [1]\"\npretrained = \"/w.pth\"\nteacher = \"t\"\nlr-steps = 3\nflip-pair = [\"a=b\", [\"c\", \"d=e\"]]";
        let config = Config::parse(Path::new("set/my.toml"), text).unwrap();
        assert_eq!(config.run.clips_dir.as_deref(), Some(Path::new("set/clips [1]")));
        let recipe = Recipe::from_table(&Preset::Few.recipe(), &config.recipe).unwrap();
        assert_eq!((recipe.pretrained, recipe.teacher), (Some("/w.pth".into()), vec!["set/t".into()]));
        assert_eq!(recipe.lr_steps, [3]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(recipe.flip_pairs, [pair("a", "b"), pair("c", "d=e")]);
        assert_eq!(config.place("teacher").as_deref(), Some("set/my.toml: line 3: "));
    }
}
