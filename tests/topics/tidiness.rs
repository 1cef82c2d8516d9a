//! What every source file keeps to: it says at its head what it is for, and its comments fit on a screen.
//!
//! rustfmt breaks code and leaves comments as they are, so the width of these is looked at here.

use std::fs;
use std::path::PathBuf;

use tsm_tests::shared;

/// The widest comment line, in characters.
const WIDEST: usize = 120;

/// Every Rust file of the workspace with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = shared::workspace();
    let mut folders = vec![root.join("crates"), root.join("tests")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // A package outside the workspace builds beside its sources, and what it builds may hold sources of others.
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 300, "only {} Rust files were found", found.len());
    found
}

/// Comment lines that are too wide, counted from 1. Pictures in code blocks and the rows of tables cannot be broken.
fn wide_comments(text: &str) -> Vec<usize> {
    let mut is_picture = false;
    let mut wide = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_picture = false;
            continue;
        };
        let words = comment.trim_start_matches(['/', '!']).trim_start();
        is_picture ^= words.starts_with("```");
        if line.chars().count() > WIDEST && !is_picture && !words.starts_with('|') {
            wide.push(index + 1);
        }
    }
    wide
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    let silent: Vec<_> = silent.map(|(path, _)| path.display().to_string()).collect();
    assert!(silent.is_empty(), "no `//!` in the first line of:\n{}", silent.join("\n"));
}

#[test]
fn no_comment_is_wider_than_a_screen() {
    let wide: Vec<_> = sources()
        .iter()
        .flat_map(|(path, text)| {
            wide_comments(text).into_iter().map(|line| format!("{}:{line}", path.display()))
        })
        .collect();
    assert!(wide.is_empty(), "comments of more than {WIDEST} characters:\n{}", wide.join("\n"));
}

#[test]
fn a_wide_comment_is_found_where_it_could_be_broken() {
    let wide = "─".repeat(WIDEST);
    let text = format!(
        "//! {wide}\n//! ```text\n//! {wide}\n//! ```\n//! | {wide} |\nlet code = \"{wide}\";\n    // {wide}\n"
    );
    assert_eq!(wide_comments(&text), [1, 7]);
}
