//! Data sets that only time can tell apart, made of real clips:
//! `cargo run --release --example time_tasks -- slides|reversed CLIPS_DIR OUT_DIR [GROUPS.csv]`. How many directions of
//! `reversed` a run told, whatever it took the actions for:
//! `cargo run --release --example time_tasks -- directions VALIDATION.json`.
//!
//! What they are stands in `tasks.rs`.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tsm_train::dataset::{self, groups::GroupRule};

mod tasks;

use tasks::Task;

/// What is said where the arguments are not enough.
const USAGE: &str = "\
usage: time_tasks slides|reversed CLIPS_DIR OUT_DIR [GROUPS.csv]
       time_tasks directions VALIDATION.json";

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    // A closed stderr is nobody to talk to.
    let _closed = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(2)
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, task, report] = &arguments[..]
        && task == "directions"
    {
        return tell_directions(Path::new(report));
    }
    let [_, task, folder, output, rest @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let task = match task.as_str() {
        "slides" => Task::Slides,
        "reversed" => Task::Reversed,
        other => return Err(format!("`{other}` is no task; known are slides and reversed").into()),
    };
    tsm_ingest::init()?;
    let mut dataset = dataset::read(Path::new(folder), None)?.dataset;
    let rule = rest.first().map_or(GroupRule::FileNames, |table| GroupRule::Table(PathBuf::from(table)));
    rule.apply(&mut dataset)?;
    tasks::write(task, &dataset, Path::new(output))?;
    Ok(writeln!(
        std::io::stdout(),
        "{output}: made of {} clips; their groups in groups.csv",
        dataset.clips.len()
    )?)
}

/// Prints how many clips of a `reversed` run were taken for one that plays in their direction.
fn tell_directions(report: &Path) -> Result<(), Box<dyn Error>> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(report)?)?;
    let clips = json["predictions"].as_array().ok_or("the report lists no clips")?;
    let direction = |class: &serde_json::Value| {
        let class = class.as_str().unwrap_or_default();
        let known = ["-forward", "-reversed"].into_iter().find(|direction| class.ends_with(direction));
        known.ok_or_else(|| format!("`{class}` has no direction; give the report of a run on `reversed`"))
    };
    let mut right = 0;
    for clip in clips {
        right += usize::from(direction(&clip["class"])? == direction(&clip["predicted"])?);
    }
    Ok(writeln!(std::io::stdout(), "{right} of {} directions told", clips.len())?)
}
