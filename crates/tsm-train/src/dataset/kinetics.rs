//! Tables of clips: Kinetics' CSV, and our own with the columns path and class.
//!
//! ```text
//! label,youtube_id,time_start,time_end,split     ─► label/id_000010_000020.mp4 (cut already) or id.mp4 (the part is cut)
//! path,class,group,frames                        ─► path, relative to the table's folder
//! ```
//!
//! Many of Kinetics' videos are gone from the web, so its missing ones are reported, not refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::csv_line::{self, line_of, unread};
use super::labels::Labels;
use super::list_file::folder_of;
use super::{Clip, Dataset, DatasetError, Found, Span, class_number, groups};

/// Endings looked for, in this order.
const ENDINGS: [&str; 4] = ["mp4", "mkv", "webm", "avi"];

/// Columns of a table, by position.
struct Columns {
    path: Option<usize>,
    class: usize,
    group: Option<usize>,
    frames: Option<usize>,
    youtube: Option<[usize; 3]>,
}

/// Reads a table.
///
/// # Errors
/// [`DatasetError`] with the line's number if the header or a line is not understood, if a table of ours names a
/// missing file, or if nothing was found at all.
pub fn read(table: &Path) -> Result<Found, DatasetError> {
    let refused = |line, reason: String| DatasetError::Line { path: table.to_owned(), line, reason };
    let mut reader = csv_line::open(table)?;
    let header = reader.headers().map_err(|error| unread(table, 1, error))?.clone();
    let columns = Columns::of(&header).map_err(|reason| refused(1, reason))?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let line = line_of(&record, rows.len() + 2);
        let record = record.map_err(|error| unread(table, line, error))?;
        rows.push((line, record));
    }
    let field = |record: &csv::StringRecord, column| record.get(column).unwrap_or_default().to_owned();
    let names: BTreeSet<String> = rows.iter().map(|(_, record)| field(record, columns.class)).collect();
    let classes: Vec<String> = names.into_iter().collect();
    let mut found = Found { dataset: Dataset { classes, clips: Vec::new() }, ..Found::default() };
    let mut labels = Labels::default();
    for (line, record) in &rows {
        let label = field(record, columns.class);
        let class = found.dataset.classes.binary_search(&label).ok().filter(|_| !label.is_empty());
        let class = class.ok_or_else(|| refused(*line, "no class in it".to_owned()))?;
        match columns.clip(record, folder_of(table), class_number(class)) {
            Ok(clip) => {
                labels.note(&clip, *line).map_err(|reason| refused(*line, reason))?;
                found.dataset.clips.push(clip);
            }
            Err(Absent::Reported(id)) => found.missing.push(format!("line {line}: {id}")),
            Err(Absent::Refused(reason)) => return Err(refused(*line, reason)),
        }
    }
    found.dataset.drop_empty_classes();
    match found.missing.first() {
        Some(first) if found.dataset.clips.is_empty() => {
            let reason = format!("none of its {} videos lies beside it ({first})", found.missing.len());
            Err(refused(1, reason))
        }
        None if found.dataset.clips.is_empty() => {
            Err(refused(1, "no clips in it; write a line a clip below this header".to_owned()))
        }
        _ => Ok(found),
    }
}

/// Why a row gives no clip.
enum Absent {
    /// Told to the user, the rest goes on.
    Reported(String),
    /// The table is wrong.
    Refused(String),
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, String> {
        let find = |names: &[&str]| {
            header.iter().position(|column| {
                names.contains(&column.trim_start_matches('\u{feff}').to_lowercase().as_str())
            })
        };
        let youtube = find(&["youtube_id"]).zip(find(&["time_start"])).zip(find(&["time_end"]));
        let youtube = youtube.map(|((id, start), end)| [id, start, end]);
        let path = find(&["path", "file", "clip"]);
        let class = find(&["class", "label"]).filter(|_| path.is_some() || youtube.is_some()).ok_or(
            "its header is not understood; wanted are path,class or label,youtube_id,time_start,time_end",
        )?;
        Ok(Self { path, class, group: find(&["group"]), frames: find(&["frames"]), youtube })
    }

    fn clip(&self, record: &csv::StringRecord, folder: &Path, class: u32) -> Result<Clip, Absent> {
        let field = |column: usize| record.get(column).unwrap_or_default();
        if let Some([id, start, end]) = self.youtube {
            return kinetics_clip(folder, field(self.class), field(id), [field(start), field(end)], class);
        }
        let path = folder.join(self.path.map(field).unwrap_or_default());
        if !path.exists() {
            let reason =
                format!("{}: no such file; paths are relative to the table's folder", path.display());
            return Err(Absent::Refused(reason));
        }
        let group = self.group.map(field).filter(|group| !group.is_empty());
        let group = group.map_or_else(|| groups::group_of_name(&path), str::to_owned);
        let frames = self.frames.and_then(|column| field(column).parse().ok());
        Ok(Clip { group, frames, ..Clip::new(path, class) })
    }
}

fn kinetics_clip(
    folder: &Path,
    label: &str,
    id: &str,
    [start, end]: [&str; 2],
    class: u32,
) -> Result<Clip, Absent> {
    let secs = |text: &str| {
        let secs: Option<f64> = text.parse().ok();
        let secs = secs.filter(|secs| secs.is_finite() && *secs >= 0.0);
        secs.ok_or_else(|| Absent::Refused(format!("'{text}' is no time in seconds")))
    };
    let (start_secs, end_secs) = (secs(start)?, secs(end)?);
    if id.is_empty() || id.contains(['/', '\\']) {
        return Err(Absent::Refused(format!("'{id}' is no video's id")));
    }
    let clip = |path, span| Clip { span, group: id.to_owned(), ..Clip::new(path, class) };
    let folders = [folder.join(label), folder.join(label.replace(' ', "_")), folder.to_owned()];
    let existing = |name: &str| -> Option<PathBuf> {
        let paths =
            folders.iter().flat_map(|folder| ENDINGS.map(|ending| folder.join(format!("{name}.{ending}"))));
        paths.into_iter().find(|path| path.exists())
    };
    if let Some(path) = existing(&format!("{id}_{start_secs:06.0}_{end_secs:06.0}")) {
        return Ok(clip(path, None));
    }
    let span = Some(Span { start_secs, end_secs });
    existing(id).map(|path| clip(path, span)).ok_or_else(|| Absent::Reported(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_data::shared;

    fn table(files: &[&str], text: &str) -> (tempfile::TempDir, Result<Found, DatasetError>) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let table = root.path().join("table.csv");
        std::fs::write(&table, text).unwrap();
        let read = read(&table);
        (root, read)
    }

    const KINETICS: &str = "label,youtube_id,time_start,time_end,split\n\
        \"riding a bike, fast\",-abc_1,10,20,train\nyoga,xyz,5,15,train\nyoga,gone,0,10,train\n";

    #[test]
    fn kinetics_clips_are_found_cut_or_whole() {
        let (_root, read) = table(&["riding a bike, fast/-abc_1_000010_000020.mp4", "xyz.mkv"], KINETICS);
        let found = read.unwrap();
        assert_eq!(found.dataset.classes, ["riding a bike, fast", "yoga"]);
        let spans: Vec<_> = found.dataset.clips.iter().map(|clip| clip.span).collect();
        assert_eq!(spans, [None, Some(Span { start_secs: 5.0, end_secs: 15.0 })]);
        assert_eq!(found.dataset.clips[1].group, "xyz");
        assert_eq!(found.missing, ["line 4: gone"]);
    }

    #[test]
    fn tables_that_name_nothing_are_refused() {
        let message = |files: &[&str], text: &str| table(files, text).1.unwrap_err().to_string();
        assert!(message(&[], KINETICS).contains("none of its 3 videos"));
        assert!(message(&[], "a,b\n1,2\n").contains("line 1: its header"));
        assert!(message(&[], "path,class\ngone.mp4,sit\n").contains("line 2: "));
        assert!(message(&[], "path,class\n").contains("no clips in it"));
        let wrong = "label,youtube_id,time_start,time_end\nyoga,xyz,x,15\n";
        assert!(message(&["xyz.mp4"], wrong).contains("line 2: 'x' is no time"));
        // As Windows ends lines, too, behind a quoted line break.
        let lines = "path,class\n\"a\nb.mp4\",sit\ngone.mp4,sit\n";
        for table in [lines.to_owned(), lines.replace('\n', "\r\n")] {
            let said = message(&["a\nb.mp4"], &table);
            assert!(said.contains("line 4: ") && said.contains("gone.mp4"), "{said}");
        }
    }

    #[test]
    fn the_real_table_names_all_clips_and_groups() {
        let Some(path) = shared("data/jhmdb-train.csv") else { return };
        let found = read(&path).unwrap();
        let groups: BTreeSet<_> = found.dataset.clips.iter().map(|clip| &clip.group).collect();
        assert_eq!((found.dataset.clips.len(), found.dataset.classes.len(), groups.len()), (667, 21, 200));
        assert!(found.dataset.clips.iter().all(|clip| clip.frames.is_some()));
    }

    #[test]
    fn a_clip_with_two_classes_is_refused_and_parts_of_one_video_are_not() {
        let twice = "path,class\na.mp4,sit\na.mp4,walk\n";
        let error = table(&["a.mp4"], twice).1.unwrap_err().to_string();
        assert!(error.contains("line 3: ") && error.contains("another label on line 2"), "{error}");
        let parts = "label,youtube_id,time_start,time_end\nsit,xyz,0,5\nwalk,xyz,5,10\n";
        assert_eq!(table(&["xyz.mkv"], parts).1.unwrap().dataset.clips.len(), 2);
    }

    #[test]
    fn a_class_whose_videos_are_all_gone_is_none() {
        let found = table(
            &["xyz.mkv", "abc.mp4"],
            "label,youtube_id,time_start,time_end\n\
            dance,gone,0,5\nsit,xyz,0,5\nwalk,abc,0,5\n",
        )
        .1
        .unwrap();
        assert_eq!(found.dataset.classes, ["sit", "walk"]);
        assert_eq!(found.dataset.clips.iter().map(|clip| clip.class).collect::<Vec<_>>(), [0, 1]);
    }
}
