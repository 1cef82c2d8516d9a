//! What `tsm train` is to do: the flags over the file of `--config` over the preset,
//! checked and printed as such a file.
//!
//! ```text
//! flags ─────────┐ replace what the file says, its alternatives too
//! FILE.toml ─────┴─► Settings ─ how many clips? ─ preset ─► Recipe
//!                        └─ as text: in REPORT/config.toml, in the model, on stderr
//! ```
//!
//! It opens no clip and no model.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum as _;
use tsm_model::checkpoint::Storage;
use tsm_model::device::DeviceChoice;
use tsm_train::fingerprint;
use tsm_train::recipe::{Preset, Recipe, RecipeError};

use super::config::Config;
use crate::args::StorageArg;
use crate::args::device::AskedDevice;
use crate::args::offline::GroupArgs;
use crate::args::recipe::RecipeArgs;
use crate::args::train::TrainArgs;
use crate::exit_code::Failure;

/// How a model is stored where no option says so.
const USUAL_STORAGE: StorageArg = StorageArg::F32;
/// What trains where no option says so: a resumed run ends at the same bits only on the same device.
const USUAL_DEVICE: &str = "cpu";

/// Stands before the run's own options, where all are told.
const OWN_BEGINS: &str = "# and the run's own, which are not the preset's:";

/// Everything that a run was told.
#[derive(Debug)]
pub(super) struct Settings {
    run: TrainArgs,
    recipe: toml::Table,
    file: Config,
    clips: PathBuf,
    output: PathBuf,
    preset: Option<Preset>,
    device: DeviceChoice,
}

impl Settings {
    /// The flags over their file.
    ///
    /// # Errors
    /// A file with mistakes, or options that are missing or exclude each other.
    pub(super) fn of(flags: &TrainArgs) -> Result<Self, Failure> {
        let mut file = flags.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let told = flags.recipe.table()?;
        let mut recipe = without_alternatives(std::mem::take(&mut file.recipe), &told);
        recipe.extend(told);
        let run = over(flags.clone(), std::mem::take(&mut file.run));
        let missing = |what: &str| Failure::bad_input(format!("{what}; see tsm train --help"));
        let Some(clips) = run.clips_dir.clone().or(run.list.clone()) else {
            let text = "no clips are given; pass CLIPS_DIR or --list FILE, or write clips-dir or list into the file of --config";
            return Err(missing(text));
        };
        let Some(output) = run.output.clone() else {
            let text = "no model is named to write; pass --output MODEL.safetensors, or write output into the file of --config";
            return Err(missing(text));
        };
        match (run.fold, run.folds) {
            (Some(fold), None) => {
                return Err(missing(&format!("fold {fold} of how many? pass --folds N, too")));
            }
            (None, Some(folds)) => {
                return Err(missing(&format!(
                    "which of the {folds} folds? pass --fold N, too; they count from 0"
                )));
            }
            _ => {}
        }
        // Both have been parsed before: by the flags, or with the file.
        let preset = run.preset.as_deref().map(str::parse).transpose().map_err(Failure::bad_input)?;
        let device = run.device.as_deref().unwrap_or(USUAL_DEVICE).parse()?;
        let settings = Self { run, recipe, file, clips, output, preset, device };
        // Every option is checked before a clip is looked at; how much data there is shows only then.
        settings.recipe_over(&settings.preset.unwrap_or(Preset::Few).recipe())?;
        Ok(settings)
    }

    /// Where the clips are: a folder or a list.
    pub(super) fn clips(&self) -> &Path {
        &self.clips
    }

    /// The model to write.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// The other options, as they were given.
    pub(super) fn run(&self) -> &TrainArgs {
        &self.run
    }

    /// Where the network learns.
    pub(super) fn device(&self) -> DeviceChoice {
        self.device
    }

    /// As it was asked for.
    pub(super) fn asked_device(&self) -> AskedDevice<'_> {
        AskedDevice { choice: self.device, cuda_libs: self.run.cuda_libs.as_deref() }
    }

    /// How the model's numbers are stored.
    pub(super) fn storage(&self) -> Storage {
        self.run.storage.unwrap_or(USUAL_STORAGE).into()
    }

    /// The part of the clips that validates, before the number of clips is known:
    /// no preset of ours makes it depend on that.
    pub(super) fn validation_part(&self) -> Result<f64, Failure> {
        Ok(self.recipe_over(&self.preset.unwrap_or(Preset::Few).recipe())?.validation)
    }

    /// The whole recipe for so many training clips.
    pub(super) fn recipe(&self, clips: usize) -> Result<Recipe, Failure> {
        self.recipe_over(&self.preset_for(clips).recipe_for(clips))
    }

    fn preset_for(&self, clips: usize) -> Preset {
        self.preset.unwrap_or(Preset::for_clips(clips))
    }

    fn recipe_over(&self, preset: &Recipe) -> Result<Recipe, Failure> {
        Recipe::from_table(preset, &self.recipe).map_err(|error| {
            let place = match &error {
                RecipeError::Value { name, .. } => self.file.place(name).unwrap_or_default(),
                _ => String::new(),
            };
            Failure::bad_input(format!("{place}{error}"))
        })
    }

    /// All options with their values as a file for `--config`, in which paths stand as `path` writes them.
    pub(super) fn text(
        &self,
        recipe: &Recipe,
        train_clips: usize,
        path: &dyn Fn(&Path) -> PathBuf,
    ) -> String {
        // A path that is no UTF-8 cannot stand in TOML; what it looks like can.
        let path = |given: &Path| PathBuf::from(path(given).to_string_lossy().into_owned());
        let some = |given: &Option<PathBuf>| given.as_deref().map(path);
        let run = TrainArgs {
            clips_dir: some(&self.run.clips_dir),
            list: some(&self.run.list),
            validation_list: some(&self.run.validation_list),
            classes: some(&self.run.classes),
            output: Some(path(&self.output)),
            preset: Some(self.preset_for(train_clips).name().to_owned()),
            config: None,
            // How this run began, not what it is.
            resume: None,
            restart: None,
            storage: Some(self.run.storage.unwrap_or(USUAL_STORAGE)),
            device: Some(self.run.device.clone().unwrap_or_else(|| USUAL_DEVICE.to_owned())),
            cuda_libs: some(&self.run.cuda_libs),
            fold: self.run.fold,
            folds: self.run.folds,
            grouping: GroupArgs {
                groups: some(&self.run.grouping.groups),
                group_regex: self.run.grouping.group_regex.clone(),
            },
            recipe: RecipeArgs::default(),
        };
        let recipe = Recipe {
            pretrained: some(&recipe.pretrained),
            tune_from: some(&recipe.tune_from),
            teacher: recipe.teacher.iter().map(|given| path(given)).collect(),
            ..recipe.clone()
        };
        toml::to_string(&run).unwrap_or_else(|error| format!("# {error}\n")) + &recipe.to_toml()
    }

    /// The whole text as a person is told it: what is by default first, and last, where it is read, the run's own,
    /// which alone repeats the run, too.
    pub(super) fn told_text(&self, recipe: &Recipe, train_clips: usize) -> String {
        let whole = self.text(recipe, train_clips, &Path::to_owned);
        let Some(spared) = self.by_default(recipe, train_clips) else { return whole };
        let (spared, own): (Vec<&str>, Vec<&str>) = whole.lines().partition(|line| spared.contains(*line));
        format!("{}\n{OWN_BEGINS}\n{}\n", spared.join("\n"), own.join("\n"))
    }

    /// The lines of the options that a file need not have; `None` where it needs all.
    fn by_default(&self, recipe: &Recipe, train_clips: usize) -> Option<BTreeSet<String>> {
        let preset = self.preset_for(train_clips).recipe_for(train_clips);
        let lines = |recipe: &Recipe| -> BTreeSet<String> {
            recipe.to_toml().lines().map(ToOwned::to_owned).collect()
        };
        let (all, of_preset) = (lines(recipe), lines(&preset));
        let own: Vec<&str> = all.difference(&of_preset).map(String::as_str).collect();
        // Some defaults follow from other options: what is left out has to come back as it is.
        let read = Recipe::from_table(&preset, &own.join("\n").parse().ok()?).ok()?;
        let mut by_default: BTreeSet<String> = all.intersection(&of_preset).cloned().collect();
        by_default = by_default.intersection(&lines(&read)).cloned().collect();
        let storage = USUAL_STORAGE.to_possible_value();
        by_default.extend(storage.map(|value| format!("storage = \"{}\"", value.get_name())));
        by_default.insert(format!("device = \"{USUAL_DEVICE}\""));
        Some(by_default)
    }

    /// The text as the model tells it to others: files by their names alone, weights with a digest of what was in them,
    /// and without its own name, so that the same run makes the same bytes under any.
    pub(super) fn shared_text(&self, recipe: &Recipe, train_clips: usize) -> String {
        let text = self.text(recipe, train_clips, &|path| named(path));
        let digests = |files: &[PathBuf]| -> String {
            let digest =
                |file: &PathBuf| fingerprint::of_file(file).unwrap_or_else(|_gone| "unknown".to_owned());
            format!("  # crc32c and bytes: {}", files.iter().map(digest).collect::<Vec<_>>().join(", "))
        };
        let with_digest = |line: &str| {
            let files: Vec<PathBuf> = match line.split(" = ").next() {
                Some("pretrained") => recipe.pretrained.iter().cloned().collect(),
                Some("tune-from") => recipe.tune_from.iter().cloned().collect(),
                Some("teacher") => recipe.teacher.clone(),
                _ => Vec::new(),
            };
            let digests = if files.is_empty() { String::new() } else { digests(&files) };
            format!("{line}{digests}\n")
        };
        // Where this machine has its libraries says nothing to others.
        let is_told = |line: &&str| !["output = ", "cuda-libs = "].iter().any(|own| line.starts_with(own));
        text.lines().filter(is_told).map(with_digest).collect()
    }
}

/// What the flags say, else the file. An alternative in the file gives way to the flag's.
fn over(flags: TrainArgs, mut file: TrainArgs) -> TrainArgs {
    if flags.clips_dir.is_some() || flags.list.is_some() {
        (file.clips_dir, file.list) = (None, None);
    }
    if flags.validation_list.is_some() {
        (file.fold, file.folds) = (None, None);
    }
    if flags.fold.is_some() || flags.folds.is_some() {
        file.validation_list = None;
    }
    if flags.grouping.groups.is_some() || flags.grouping.group_regex.is_some() {
        file.grouping = GroupArgs::default();
    }
    if flags.resume.is_some() || flags.restart.is_some() {
        (file.resume, file.restart) = (None, None);
    }
    TrainArgs {
        clips_dir: flags.clips_dir.or(file.clips_dir),
        list: flags.list.or(file.list),
        validation_list: flags.validation_list.or(file.validation_list),
        classes: flags.classes.or(file.classes),
        output: flags.output.or(file.output),
        preset: flags.preset.or(file.preset),
        config: flags.config,
        resume: flags.resume.or(file.resume),
        restart: flags.restart.or(file.restart),
        storage: flags.storage.or(file.storage),
        device: flags.device.or(file.device),
        cuda_libs: flags.cuda_libs.or(file.cuda_libs),
        fold: flags.fold.or(file.fold),
        folds: flags.folds.or(file.folds),
        grouping: GroupArgs {
            groups: flags.grouping.groups.or(file.grouping.groups),
            group_regex: flags.grouping.group_regex.or(file.grouping.group_regex),
        },
        recipe: flags.recipe,
    }
}

/// The file's recipe without what the flags put something else in the place of.
fn without_alternatives(mut file: toml::Table, flags: &toml::Table) -> toml::Table {
    let starts = ["pretrained", "tune-from", "from-scratch"];
    if starts.iter().any(|name| flags.contains_key(*name)) {
        file.retain(|name, _| !starts.contains(&name));
    }
    let is_off = |table: &toml::Table| table.get("flip").and_then(toml::Value::as_str) == Some("off");
    if is_off(flags) {
        file.remove("flip-pair");
    }
    if flags.contains_key("flip-pair") && is_off(&file) {
        file.remove("flip");
    }
    file
}

/// The name alone: of a folder given as `.`, that of the folder.
pub(super) fn named(path: &Path) -> PathBuf {
    let name = path.file_name().map(PathBuf::from);
    let whole = || path.canonicalize().ok()?.file_name().map(PathBuf::from);
    name.or_else(whole).unwrap_or_else(|| PathBuf::from("."))
}

/// `path` as one starting in `folder` finds it; as it is where there is no such way.
pub(super) fn relative_to(folder: &Path, path: &Path) -> PathBuf {
    let (Ok(folder), Ok(whole)) = (std::path::absolute(folder), std::path::absolute(path)) else {
        return path.to_owned();
    };
    // Up from a folder reached by a symbolic link leads elsewhere than the names say, and so may `..`.
    let folder = folder.canonicalize().unwrap_or(folder);
    let whole = match whole.parent().map(Path::canonicalize) {
        Some(Ok(parent)) => parent.join(whole.file_name().unwrap_or_default()),
        _ => whole,
    };
    let shared = folder.components().zip(whole.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let down = whole.components().skip(shared);
    let way: PathBuf = up.chain(down).collect();
    if way.as_os_str().is_empty() { PathBuf::from(".") } else { way }
}

#[cfg(test)]
mod tests;
