//! Why there is no data set, in one line each: what, where, what to do.

use std::io;
use std::path::{Path, PathBuf};

use tsm_model::label_map::LabelMapError;
use tsm_model::path_fault::{no_such, why_unread};

use super::ClassesOf;

/// Why there is no data set, or no split of it. One line each: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// No such file or folder.
    #[error("{}: {}", path.display(), no_such(what))]
    NotFound {
        /// The path as given.
        path: PathBuf,
        /// `file`, `folder`, or either.
        what: &'static str,
    },
    /// A file where a folder was expected.
    #[error("{}: is no folder; give a folder with one folder a class", path.display())]
    NotAFolder {
        /// The path as given.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{}: {}", path.display(), why_unread(source))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder whose rights keep out who reads.
    #[error("{}: permission denied; change its rights with chmod a+rx", path.display())]
    FolderRights {
        /// The folder.
        path: PathBuf,
    },
    /// A link where a class was expected.
    #[error("{}: a link that leads nowhere, or where you may not go; mend it, or take it away", path.display())]
    DeadLink {
        /// The link.
        path: PathBuf,
    },
    /// Folders of folders of clips, called as the sides of a split.
    #[error(
        "{}: holds a split ({}), not a folder of clips for each class; give one of these folders, and to tsm \
         train the other one with --validation-list", path.display(), quoted(names)
    )]
    Splits {
        /// The folder.
        path: PathBuf,
        /// What would be its classes.
        names: Vec<String>,
    },
    /// A class without a clip.
    #[error(
        "{}: the folder '{class}' has no clips; put clips in it, or give the folder that holds nothing but a folder of \
         clips for each class",
        path.display()
    )]
    EmptyClass {
        /// The folder of classes.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// Nothing to choose between.
    #[error("{}: {}; at least two classes with clips are needed", path.display(), only_class(class.as_deref()))]
    TooFewClasses {
        /// The folder of classes, or the list.
        path: PathBuf,
        /// The only class, where there is one.
        class: Option<String>,
    },
    /// A line that is no entry of a list.
    #[error("{}: line {line}: {reason}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A list without a clip.
    #[error("{}: no clips in it; write one 'path label' a line", path.display())]
    EmptyList {
        /// The list.
        path: PathBuf,
    },
    /// A list of files without a file.
    #[error("{}: no files in it; write one path a line", path.display())]
    EmptyFileList {
        /// The list.
        path: PathBuf,
    },
    /// The class names cannot be read.
    #[error(transparent)]
    Labels(#[from] LabelMapError),
    /// A label of a list, or a class of a table, without a clip to learn from.
    #[error("{}: no clip to learn from has the label {label} ('{class}'); number classes without gaps, or take the name out", path.display())]
    UnusedLabel {
        /// The list or table.
        path: PathBuf,
        /// The class's number.
        label: usize,
        /// The class.
        class: String,
    },
    /// A class that is not among those to match.
    #[error("the class '{class}' is none of {} ({known}); {}", of.owner(), of.remedy())]
    UnknownClass {
        /// The class.
        class: String,
        /// Whose classes it is matched to.
        of: ClassesOf,
        /// The classes there are.
        known: String,
    },
    /// Class names for what has its own.
    #[error("{}: class names are for lists; {} has its own, leave --classes out", names.display(), path.display())]
    NamesOfNoList {
        /// The file of names.
        names: PathBuf,
        /// The folder or table.
        path: PathBuf,
    },
    /// A name that two classes have.
    #[error("{}: '{name}' stands in it twice; give every class a name of its own", path.display())]
    NameTwice {
        /// The file of names.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A clip that the groups do not name.
    #[error("{}: no group for the clip {}; add a line with its path", table.display(), clip.display())]
    NoGroup {
        /// The table of groups.
        table: PathBuf,
        /// The clip.
        clip: PathBuf,
    },
    /// `--group-regex` is none, or does not match a name.
    #[error("--group-regex '{regex}': {reason}")]
    GroupRegex {
        /// As given.
        regex: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// No split keeps groups together and every class in training.
    #[error("these clips cannot be split into training and validation: {reason}")]
    NoSplit {
        /// Why, and what to do.
        reason: String,
    },
}

impl DatasetError {
    /// The error of a path that does not open.
    pub(crate) fn of_io(path: &Path, what: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound { path, what },
            io::ErrorKind::PermissionDenied if what == "folder" => Self::FolderRights { path },
            _ => Self::Read { path, source },
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn only_class(class: Option<&str>) -> String {
    class.map_or_else(
        || "no class folders in it".to_owned(),
        |class| format!("only the class '{class}' has clips"),
    )
}
