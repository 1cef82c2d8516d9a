//! What an earlier run has left where this one writes: gone on from, told of, or refused to be lost.

use std::path::Path;

use tsm_train::run_state::{RunRecord, RunState};
use tsm_train::trainer::RunFolder;

use crate::args::train::TrainArgs;
use crate::exit_code::Failure;
use crate::talk;

/// The saved run to go on from. One that is unfinished is not thrown away unasked; one that was killed before its first
/// save starts again.
pub(super) fn resumed(
    args: &TrainArgs,
    folder: &RunFolder,
    output: &Path,
) -> Result<Option<RunState>, Failure> {
    check_owner(folder, output)?;
    let last = folder.last();
    if args.resume == Some(true) {
        if !last.exists() && folder.has_settings() {
            talk::line(&format!("tsm: {}: nothing is saved yet; starting anew", folder.path().display()));
            return Ok(None);
        }
        if !last.exists() {
            let what = "there is no run to go on from; leave --resume out, or check --output";
            return Err(Failure::bad_input(format!("{}: {what}", folder.path().display())));
        }
        return Ok(Some(RunState::open(&last)?));
    }
    if args.restart == Some(true) || !last.exists() {
        return Ok(None);
    }
    let saved = RunState::open(&last)
        .map_err(|error| Failure::bad_input(format!("{error}; throw it away with --restart")))?;
    let RunRecord { position, recipe, .. } = &saved.record;
    let (done, all) = (position.epoch, recipe.epochs);
    let left = if done < all {
        format!("an unfinished run, {done} of {all} epochs")
    } else if !folder.is_concluded(output) {
        "a run whose model is not written yet".to_owned()
    } else {
        return Ok(None);
    };
    let what = "go on with --resume, or throw it away with --restart";
    Err(Failure::bad_input(format!("{}: {left}; {what}", folder.path().display())))
}

/// Refuses a folder that is no report, whose files would be lost, and the report of another model that stands beside
/// this one: `m`, `m.v2` and `m.safetensors` have one folder.
fn check_owner(folder: &RunFolder, output: &Path) -> Result<(), Failure> {
    if folder.is_foreign() {
        let text =
            "is no report of tsm train, and this run's goes there; choose another --output, or move it away";
        return Err(Failure::bad_input(format!("{}: {text}", folder.path().display())));
    }
    let Some(owner) = folder.owner() else { return Ok(()) };
    // As the report writes it: a name that is no UTF-8 cannot stand in TOML.
    let own = output.file_name().unwrap_or_default().to_string_lossy();
    let (report, is_other) = (folder.path(), owner.to_string_lossy() != own);
    // A report that was given another name along with its model is this one's.
    if !is_other || RunFolder::beside(&output.with_file_name(&owner)).path() != report {
        return Ok(());
    }
    let (report, owner) = (report.display(), owner.display());
    Err(Failure::bad_input(format!(
        "{report}: is the report of {owner}; choose another --output, or move it away"
    )))
}

/// What of an earlier run goes, where nobody asked for that with `--restart`: its report now, its model at the end.
pub(super) fn tell_replaced(output: &Path, folder: &RunFolder) {
    let (model, report) = (output.display(), folder.path().display());
    let text = match (output.exists(), folder.last().exists()) {
        (true, true) => format!("{model} and {report} are of an earlier run; this one replaces both"),
        (true, false) => format!("{model} is there from before; this run replaces it"),
        (false, true) => format!("{report} is of an earlier run; this one replaces it"),
        (false, false) => return,
    };
    talk::line(&format!("tsm: {}", talk::escaped(&text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elses_folder_is_taken_for_a_report() {
        let root = tempfile::tempdir().unwrap();
        let model = |name: &str| root.path().join(name);
        let folder = RunFolder::beside(&model("m.safetensors"));
        let refused = |name: &str| check_owner(&folder, &model(name)).err().and_then(|failure| failure.line);
        assert_eq!(refused("m"), None, "there is none");
        std::fs::create_dir(folder.path()).unwrap();
        assert_eq!(refused("m"), None, "an empty folder is nobody's");
        std::fs::write(folder.path().join("README.md"), "my own").unwrap();
        assert!(refused("m").unwrap().contains("m-report: is no report of tsm train"));
        std::fs::write(folder.settings(), "output = \"../m.safetensors\"\nlr = 0.1\n").unwrap();
        assert_eq!(refused("m.safetensors"), None);
        for other in ["m", "m.v2"] {
            let told = refused(other).unwrap();
            assert!(
                told.ends_with(
                    "m-report: is the report of m.safetensors; choose another --output, or move it away"
                ),
                "{told}"
            );
        }
        std::fs::write(folder.settings(), "output = \"../old.safetensors\"\n").unwrap();
        assert_eq!(refused("m.safetensors"), None, "model and report were renamed");
        std::fs::write(folder.settings(), "no = toml = at all").unwrap();
        assert_eq!(refused("m"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_model_whose_name_is_no_text_has_its_own_report() {
        use std::os::unix::ffi::OsStrExt as _;
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join(std::ffi::OsStr::from_bytes(b"walk\xff.safetensors"));
        let folder = RunFolder::beside(&output);
        std::fs::create_dir(folder.path()).unwrap();
        std::fs::write(folder.settings(), "output = \"../walk\u{fffd}.safetensors\"\n").unwrap();
        assert_eq!(check_owner(&folder, &output).err().and_then(|failure| failure.line), None);
        let other = root.path().join(std::ffi::OsStr::from_bytes(b"walk\xff"));
        assert!(check_owner(&folder, &other).is_err());
    }
}
