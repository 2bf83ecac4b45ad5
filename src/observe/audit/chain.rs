//! The chain of lines: each follows the one before it, over restarts, over files, over a line that was torn. In: events.
//! Out: lines in the file, in order. A line that could not be written leaves no gap: the next one takes its number.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    file::{self, CannotAudit, LogFile, io_error},
    line::{self, Event, Link},
};

/// Where the next line goes.
pub(super) struct Chain {
    file: LogFile,
    last: Link,
    /// The number of the first line of this file.
    first_here: u64,
    /// The file before this one, where this one does not name it yet.
    before: Option<String>,
    is_stuck: bool,
    rules: Rotation,
}

/// When a file is full, and how many older ones stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    pub(super) max_bytes: u64,
    pub(super) keep: usize,
}

/// Why a line is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a line could not be made: {0}")]
    Line(#[from] serde_json::Error),
}

impl Chain {
    /// Goes on where the file ends, or the newest older one where there is none.
    pub(super) fn open(path: &Path, rules: Rotation, now: Duration) -> Result<Self, CannotAudit> {
        let mut file = LogFile::open(path)?;
        let ends = file.ends().map_err(|source| io_error(path, source))?;
        let (mut last, mut before) = (Link::NOTHING, None);
        let mut first_here = 1;
        if let Some(line) = &ends.last {
            last = link_of(path, line)?;
            let first = ends.first.as_deref().unwrap_or_default();
            first_here = link_of(path, first)?.seq;
        } else if let Some(newest) = newest(&file)? {
            last = last_of(&newest)?;
            before = Some(file::name_of(&newest));
            first_here = last.seq + 1;
        }
        let mut chain = Self {
            file,
            last,
            first_here,
            before,
            is_stuck: false,
            rules,
        };
        if !ends.torn.is_empty() {
            chain.mend(&ends, now)?;
        }
        Ok(chain)
    }

    /// Puts into the chain what was torn.
    fn mend(&mut self, ends: &file::Ends, now: Duration) -> Result<(), CannotAudit> {
        let path = self.file.path().to_owned();
        if ends.torn.len() > line::LONGEST {
            let why = "no line is so long".to_owned();
            return Err(CannotAudit::Foreign { path, why });
        }
        let events = [
            self.before.take().map(|file| Event::Rotated { file }),
            Some(line::torn(&ends.torn)),
        ];
        let mut lines = Vec::new();
        for event in events.into_iter().flatten() {
            let made = line::written(&event, now, self.last);
            let (bytes, link) = made.map_err(|error| io_error(&path, error.into()))?;
            lines.extend_from_slice(&bytes);
            self.last = link;
        }
        self.file.mend(ends, &lines)?;
        tracing::warn!(
            bytes = ends.torn.len(),
            "the audit ended in the middle of a line: it stands in the chain as `torn`"
        );
        Ok(())
    }

    /// The last line.
    pub(super) fn last(&self) -> Link {
        self.last
    }

    /// Adds a line; before it begins another file where this one is full.
    pub(super) fn append(&mut self, event: &Event, at: Duration) -> Result<(), NotWritten> {
        let (line, _) = line::written(event, at, self.last)?;
        let is_full = self.file.length()? + line.len() as u64 > self.rules.max_bytes;
        // At least a second line is in each file, or every line would begin another one.
        if is_full && self.last.seq > self.first_here {
            self.rotate();
        }
        if let Some(file) = self.before.take() {
            let rotated = Event::Rotated { file };
            if let Err(error) = self.add(&rotated, at) {
                if let Event::Rotated { file } = rotated {
                    self.before = Some(file);
                }
                return Err(error);
            }
        }
        self.add(event, at)
    }

    fn add(&mut self, event: &Event, at: Duration) -> Result<(), NotWritten> {
        let (line, link) = line::written(event, at, self.last)?;
        self.file.append(&line)?;
        self.last = link;
        Ok(())
    }

    /// Begins another file. Where that cannot be, this one grows: a line is worth more than its place.
    fn rotate(&mut self) {
        let begun = self.file.begin_another(self.first_here);
        let file = match begun {
            Ok(file) => file,
            Err(error) => {
                if !std::mem::replace(&mut self.is_stuck, true) {
                    tracing::warn!(%error, "the audit's file is full and cannot be renamed: it grows on");
                }
                return;
            }
        };
        self.is_stuck = false;
        // For whoever keeps the log elsewhere: nobody can cut the chain before this line unseen.
        let Link { seq, hash } = self.last;
        tracing::info!(audit.seq = seq, audit.hash = %hash, audit.file = file, "the audit goes on in another file");
        self.first_here = self.last.seq + 1;
        self.before = Some(file);
        match self.file.prune(self.rules.keep) {
            Ok(gone) => {
                for path in gone {
                    let file = file::name_of(&path);
                    tracing::info!(audit.file = file, "an old file of the audit was removed");
                }
            }
            Err(error) => tracing::warn!(%error, "old files of the audit cannot be removed"),
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn newest(file: &LogFile) -> Result<Option<PathBuf>, CannotAudit> {
    let older = file.older();
    let older = older.map_err(|source| io_error(file.path(), source))?;
    Ok(older.into_iter().next_back())
}

fn last_of(path: &Path) -> Result<Link, CannotAudit> {
    let wrong = |source| io_error(path, source);
    let mut file = std::fs::File::open(path).map_err(wrong)?;
    let ends = file::ends(&mut file).map_err(wrong)?;
    link_of(path, &ends.last.unwrap_or_default())
}

fn link_of(path: &Path, line: &[u8]) -> Result<Link, CannotAudit> {
    let read = line::read(line).map_err(|why| CannotAudit::Foreign {
        path: path.to_owned(),
        why: why.to_string(),
    })?;
    Ok(read.link)
}
