//! What a command reads is not to be written over by it.

use std::path::Path;

use crate::exit_code::Failure;

/// # Errors
/// Where `output`, which `option` names, is one of the `inputs`.
pub(super) fn check_stay<'a>(
    output: &Path,
    option: &str,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let Ok(target) = output.canonicalize() else { return Ok(()) };
    if inputs.into_iter().any(|input| input.canonicalize().is_ok_and(|input| input == target)) {
        let text = "is what is read from and would be written over; choose another";
        return Err(Failure::bad_input(format!("{}: {text} {option}", output.display())));
    }
    Ok(())
}

/// # Errors
/// Where one of the `inputs` lies in `folder`, which is written anew beside what `option` names.
pub(super) fn check_outside<'a>(
    folder: &Path,
    option: &str,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let Ok(folder) = folder.canonicalize() else { return Ok(()) };
    match inputs.into_iter().find(|input| input.canonicalize().is_ok_and(|input| input.starts_with(&folder)))
    {
        Some(input) => {
            let text = "lies in this run's own report, which is written anew; choose another";
            Err(Failure::bad_input(format!("{}: {text} {option}", input.display())))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_known_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let (model, link) = (folder.path().join("m"), folder.path().join("l"));
        std::fs::write(&model, b"x").unwrap();
        std::os::unix::fs::symlink(&model, &link).unwrap();
        let error = check_stay(&link, "--json", [model.as_path()]).unwrap_err().line.unwrap();
        assert!(error.contains("written over") && error.contains("--json"), "{error}");
        assert!(check_stay(&folder.path().join("new"), "--json", [model.as_path()]).is_ok());
        assert!(check_stay(&model, "--json", []).is_ok());
        let error = check_outside(folder.path(), "--output", [link.as_path()]).unwrap_err().line.unwrap();
        assert!(error.contains("own report") && error.contains("--output"), "{error}");
        let other = tempfile::tempdir().unwrap();
        assert!(check_outside(other.path(), "--output", [model.as_path()]).is_ok());
    }
}
