//! The audit's file: ours alone, no link to elsewhere, written by one process. In: lines. Out: the file, whole lines only
//! even where the disk is full, and its older parts, each named by the number of its first line. Nothing is ever written
//! over but the end of a line that was never finished.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::line::LONGEST;

/// So many digits the number of an older part has at least, so that names sort as numbers do.
const DIGITS: usize = 12;

/// Why there can be no audit.
#[derive(Debug, thiserror::Error)]
pub enum CannotAudit {
    /// The file or its folder cannot be used.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes there.
    #[error(
        "{}: another process writes it: give each process a file of its own", .0.display()
    )]
    Taken(PathBuf),
    /// It is a link, a device or a folder.
    #[error("{}: it is no plain file", .0.display())]
    NoFile(PathBuf),
    /// Somebody else could change it.
    #[error(
        "{}: others than the user of this process may write there: take their rights away, or name a file in a folder of its own", .0.display()
    )]
    Open(PathBuf),
    /// It does not end in a line of an audit.
    #[error(
        "{}: its last line is none of an audit ({why}): look at it with `toolbridge audit verify`, and move it away", .path.display()
    )]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong with the line.
        why: String,
    },
}

/// The file that grows. Held open together with its lock, which is a file of its own and stays when this one is renamed.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Behind the last whole line, where the rest could not be taken away.
    torn_at: Option<u64>,
    _lock: File,
}

/// What is at the two ends of a file.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) first: Option<Vec<u8>>,
    pub(super) last: Option<Vec<u8>>,
    /// What stands behind the last whole line.
    pub(super) torn: Vec<u8>,
    /// Where that begins.
    pub(super) whole: u64,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> Result<Self, CannotAudit> {
        let lock_path = lock_of(path).ok_or_else(|| CannotAudit::NoFile(path.to_owned()))?;
        is_closed_to_others(folder_of(path))?;
        let lock = opened(&lock_path, private().create(true))?;
        if lock.try_lock().is_err() {
            return Err(CannotAudit::Taken(path.to_owned()));
        }
        let file = opened(path, private().create(true).read(true))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            torn_at: None,
            _lock: lock,
        })
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn ends(&mut self) -> io::Result<Ends> {
        ends(&mut self.file)
    }

    /// All of it, or nothing: what was written of a line that found no room is taken away again.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(whole) = self.torn_at {
            self.file.set_len(whole)?;
            self.torn_at = None;
        }
        let whole = self.length()?;
        self.file.write_all(line).inspect_err(|_| {
            self.torn_at = self.file.set_len(whole).is_err().then_some(whole);
        })
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Puts `lines` in the place of what was torn; where they find no room, it stands there as before.
    pub(super) fn mend(&self, ends: &Ends, lines: &[u8]) -> Result<(), CannotAudit> {
        // Not by the file that appends, which could not write there.
        let mut options = OpenOptions::new();
        let mut file = opened(&self.path, never_through_links(options.write(true)))?;
        let mut put = |bytes: &[u8]| {
            file.seek(SeekFrom::Start(ends.whole))?;
            file.write_all(bytes)?;
            file.set_len(ends.whole + bytes.len() as u64)?;
            file.sync_data()
        };
        let put_back = put(lines).map_err(|error| (error, put(&ends.torn)));
        put_back.map_err(|(source, _)| io_error(&self.path, source))
    }

    /// The file goes on under another name, which is returned, and a new one begins. Where that cannot be, all is as before.
    pub(super) fn begin_another(&mut self, first_seq: u64) -> io::Result<String> {
        self.file.sync_data()?;
        let older = self.older_path(first_seq);
        if fs::symlink_metadata(&older).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, &older)?;
        let fresh = private().create_new(true).read(true).open(&self.path);
        self.file = fresh.inspect_err(|_| {
            let _ = fs::rename(&older, &self.path);
        })?;
        Ok(name_of(&older))
    }

    fn older_path(&self, first_seq: u64) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{first_seq:0DIGITS$}"));
        PathBuf::from(name)
    }

    /// The older parts that are still here, the oldest first.
    pub(super) fn older(&self) -> io::Result<Vec<PathBuf>> {
        older_of(&self.path)
    }

    /// Leaves this many older parts, and says which went.
    pub(super) fn prune(&self, keep: usize) -> io::Result<Vec<PathBuf>> {
        let mut older = self.older()?;
        older.truncate(older.len().saturating_sub(keep));
        for path in &older {
            fs::remove_file(path)?;
        }
        Ok(older)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The older parts beside this file, the oldest first.
pub(super) fn older_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(path))? {
        let beside = entry?.path();
        if let Some((base, number)) = part_of(&beside)
            && base.file_name() == path.file_name()
        {
            found.push((number, beside));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The base and the number, where this is an older part.
pub(super) fn part_of(path: &Path) -> Option<(PathBuf, u64)> {
    let number = path.extension()?.to_str()?;
    let is_number = number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok())??;
    Some((path.with_extension(""), number))
}

/// What is at the two ends; of a file that is not ours no more than two lines are read.
pub(super) fn ends(file: &mut File) -> io::Result<Ends> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(2 * LONGEST as u64);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(2 * LONGEST as u64).read_to_end(&mut tail)?;
    let ended = tail.iter().rposition(|byte| *byte == b'\n');
    let torn = tail.split_off(ended.map_or(0, |at| at + 1));
    tail.pop();
    let whole = length - torn.len() as u64;
    let last = tail.rsplit(|byte| *byte == b'\n').next();
    let last = ended.and(last).map(<[u8]>::to_vec);
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST as u64).read_to_end(&mut head)?;
    let first = head.iter().position(|byte| *byte == b'\n');
    let first = first.and_then(|end| head.get(..end)).map(<[u8]>::to_vec);
    Ok(Ends {
        first,
        last,
        torn,
        whole,
    })
}

pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent();
    parent
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// `.audit.jsonl.lock`: hidden, so that `audit.jsonl*` are the lines.
fn lock_of(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".lock");
    Some(path.with_file_name(name))
}

pub(super) fn io_error(path: &Path, source: io::Error) -> CannotAudit {
    CannotAudit::Io {
        path: path.to_owned(),
        source,
    }
}

/// Opens what is a plain file of this user's, that others cannot write, and that has no other name.
fn opened(path: &Path, options: &OpenOptions) -> Result<File, CannotAudit> {
    // Before it is opened: a pipe would wait for somebody to read it.
    let there = fs::symlink_metadata(path);
    if there.is_ok_and(|it| !it.is_file()) {
        return Err(CannotAudit::NoFile(path.to_owned()));
    }
    let file = options.open(path);
    let file = file.map_err(|source| io_error(path, source))?;
    let what = file.metadata();
    is_ours(path, &what.map_err(|source| io_error(path, source))?)?;
    Ok(file)
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    never_through_links(options.append(true)).mode(0o600);
    options
}

#[cfg(unix)]
fn never_through_links(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed())
}

#[cfg(unix)]
fn is_ours(path: &Path, what: &fs::Metadata) -> Result<(), CannotAudit> {
    use std::os::unix::fs::MetadataExt;
    if !what.is_file() || what.nlink() > 1 {
        return Err(CannotAudit::NoFile(path.to_owned()));
    }
    let is_ours = what.uid() == rustix::process::geteuid().as_raw() && what.mode() & 0o022 == 0;
    is_ours
        .then_some(())
        .ok_or_else(|| CannotAudit::Open(path.to_owned()))
}

/// Whoever may write to the folder could put another file in this one's place; in one like `/tmp` only with files of
/// their own, which are refused.
#[cfg(unix)]
fn is_closed_to_others(folder: &Path) -> Result<(), CannotAudit> {
    use std::os::unix::fs::MetadataExt;
    let what = fs::metadata(folder).map_err(|source| io_error(folder, source))?;
    let is_closed = what.mode() & 0o002 == 0 || what.mode() & 0o1000 != 0;
    is_closed
        .then_some(())
        .ok_or_else(|| CannotAudit::Open(folder.to_owned()))
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    options
}

#[cfg(not(unix))]
fn never_through_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn is_ours(_path: &Path, _what: &fs::Metadata) -> Result<(), CannotAudit> {
    Ok(())
}

#[cfg(not(unix))]
fn is_closed_to_others(_folder: &Path) -> Result<(), CannotAudit> {
    Ok(())
}
