//! The audit of writes: what a line says of each way a call can end, what it never says, and what becomes of lines and of
//! writes when processes are killed, two want one file, or the disk is full.

mod command;
mod lines;
#[cfg(target_os = "linux")]
mod process;

use std::{fs, path::Path};

use serde_json::Value;
use toolbridge::observe::audit::{Report, verify};

/// The lines of one file.
fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every file of the audit in this folder, as `audit.jsonl*` gives them.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_part = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("audit.jsonl")
    };
    let mut files: Vec<_> = paths.filter(is_part).collect();
    files.sort();
    files
}

#[track_caller]
fn verified(folder: &Path) -> Report {
    verify(&files(folder), None).unwrap_or_else(|broken| panic!("{broken}"))
}
