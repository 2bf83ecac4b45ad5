//! Whether files are one unbroken chain. In: files, in any order of their names. Out: what they hold, or the first line
//! that does not follow. Nothing in them is believed, and no line is read further than ours can be long.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use super::{
    file::{older_of, part_of},
    line::{self, Hash, LONGEST, Link, Read},
};

/// What an unbroken chain holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many lines.
    pub lines: u64,
    /// In how many files.
    pub files: usize,
    /// The line before the first one, where that is in a file that was not given.
    pub after: Option<Link>,
    /// The time of the first line.
    pub first: Option<String>,
    /// The time of the last one, and itself.
    pub last: Option<(String, Link)>,
    /// How many lines stand behind the one that was expected.
    pub behind_expected: Option<u64>,
}

/// Why they are none.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line does not follow.
    #[error("{}:{line}: {why}", .path.display())]
    Broken {
        /// In which file.
        path: PathBuf,
        /// Which line of it, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The chain is sound, and not the expected one.
    #[error(
        "no line has the hash {0}: lines were taken from the end, or all were written anew, since it was noted"
    )]
    Unexpected(Hash),
}

/// Checks files as one chain. `expected` is the hash of a line that must be there.
///
/// # Errors
/// The first line that does not follow, or what keeps from looking.
pub fn verify(files: &[PathBuf], expected: Option<Hash>) -> Result<Report, Unproven> {
    let mut walk = Walk {
        report: Report {
            files: files.len(),
            ..Report::default()
        },
        last: None,
        expected,
    };
    for path in in_order(files) {
        walk.file(path)?;
    }
    match expected {
        Some(hash) if walk.report.behind_expected.is_none() => Err(Unproven::Unexpected(hash)),
        _ => Ok(walk.report),
    }
}

/// Each file behind its older parts.
///
/// # Errors
/// A folder cannot be read.
pub fn with_older(files: &[PathBuf]) -> Result<Vec<PathBuf>, Unproven> {
    let mut all = Vec::new();
    for path in files {
        let older = older_of(path).map_err(|source| Unproven::Unreadable {
            path: path.clone(),
            source,
        })?;
        all.extend(older);
        all.push(path.clone());
    }
    Ok(all)
}

/// Parts of one audit in the order in which they were written, the newest being the one without a number; anything else
/// as it was given.
fn in_order(files: &[PathBuf]) -> Vec<&Path> {
    let base = |path: &Path| part_of(path).map_or_else(|| path.to_owned(), |(base, _)| base);
    let mut paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut bases = paths.iter().map(|path| base(path));
    let first = bases.next();
    if bases.all(|base| Some(base) == first) {
        paths.sort_by_key(|path| part_of(path).map_or(u64::MAX, |(_, number)| number));
    }
    paths
}

struct Walk {
    report: Report,
    last: Option<Link>,
    expected: Option<Hash>,
}

impl Walk {
    fn file(&mut self, path: &Path) -> Result<(), Unproven> {
        let unreadable = |source| Unproven::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let mut one = (&mut lines).take(LONGEST as u64);
            if one.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                return Ok(());
            }
            number += 1;
            let named = part_of(path).filter(|_| number == 1);
            self.line(&line, named.map(|(_, seq)| seq))
                .map_err(|why| Unproven::Broken {
                    path: path.to_owned(),
                    line: number,
                    why,
                })?;
        }
    }

    /// The next line; where a file's name says what its number is, that.
    fn line(&mut self, line: &[u8], named: Option<u64>) -> Result<(), String> {
        let Some(whole) = line.strip_suffix(b"\n") else {
            return Err(if line.len() < LONGEST {
                "it is torn: it has no end (the sidecar mends that when it starts)"
            } else {
                "it is longer than any line of an audit"
            }
            .to_owned());
        };
        let read = line::read(whole).map_err(|why| why.to_string())?;
        if let Some(named) = named
            && named != read.link.seq
        {
            let seq = read.link.seq;
            return Err(format!(
                "its number is {seq}, and the file's name says {named}"
            ));
        }
        self.follows(&read)?;
        let report = &mut self.report;
        report.lines += 1;
        report.first.get_or_insert_with(|| read.at.clone());
        if let Some(behind) = &mut report.behind_expected {
            *behind += 1;
        } else if self.expected == Some(read.link.hash) {
            report.behind_expected = Some(0);
        }
        self.last = Some(read.link);
        report.last = Some((read.at, read.link));
        Ok(())
    }

    fn follows(&mut self, read: &Read) -> Result<(), String> {
        let seq = read.link.seq;
        let last = match self.last {
            Some(last) => last,
            // The files before were removed in their time, or are elsewhere.
            None if read.is_rotated && seq > 1 => {
                let after = Link {
                    seq: seq - 1,
                    hash: read.prev,
                };
                *self.report.after.insert(after)
            }
            None => Link::NOTHING,
        };
        if read.prev != last.hash {
            return Err(match self.last {
                Some(_) => format!(
                    "it does not follow the line before it (seq {}): lines were taken out, put in or moved",
                    last.seq
                ),
                None => format!("it is line {seq} of a chain whose lines before it are missing"),
            });
        }
        if Some(seq) != last.seq.checked_add(1) {
            return Err(format!(
                "its number is {seq}, and the line before it has {}",
                last.seq
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let files = self.files as u64;
        let (lines, s, t) = (self.lines, plural(self.lines), plural(files));
        writeln!(f, "ok: {lines} line{s} in {files} file{t}")?;
        if let Some(after) = &self.after {
            let Link { seq, hash } = after;
            writeln!(
                f,
                "behind    seq {seq}, hash {hash} (files before were not given)"
            )?;
        }
        if let (Some(first), Some((last, link))) = (&self.first, &self.last) {
            writeln!(f, "first     {first}\nlast      {last}")?;
            writeln!(f, "last seq  {}\nlast hash {}", link.seq, link.hash)?;
        }
        if let Some(behind) = self.behind_expected {
            let s = plural(behind);
            writeln!(f, "the expected line is there, {behind} line{s} behind it")?;
        }
        Ok(())
    }
}
