//! Data sets that only time can tell apart, made of real clips:
//! `cargo run --release -p tsm-train --example time_tasks -- slides|reversed CLIPS_DIR OUT_DIR [GROUPS.csv]`.
//!
//! What they are stands in `tasks.rs`.

use std::error::Error;
use std::path::{Path, PathBuf};

use tsm_train::dataset::{self, groups::GroupRule};

mod tasks;

use tasks::Task;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, task, folder, output, rest @ ..] = &arguments[..] else {
        return Err("usage: time_tasks slides|reversed CLIPS_DIR OUT_DIR [GROUPS.csv]".into());
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
    tasks::write(task, &dataset, Path::new(output))
}
