//! Names of writes under way, on disk, so that a process that is killed does not forget them: one line when a write is
//! about to be sent (`+`), one when its answer has left (`-`). In: digests and names, nothing of their arguments. Out:
//! what processes that are gone have left open. Each process has a file of its own in a folder of its own user's, locked
//! while it lives; it takes over the files that nobody holds any more. What is written survives the end of the process,
//! not that of the machine: there the backend is gone too.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::digest::{self, WriteDigest};

const ENDING: &str = "writes";
/// A file that is longer is written anew.
const LONGEST: u64 = 1024 * 1024;
/// Longer than anything is remembered.
const TOO_OLD: Duration = Duration::from_secs(48 * 3600);
/// Longer than any file of ours: what is longer is not read.
const UNREADABLE: u64 = 8 * LONGEST;

/// The open file.
pub struct Journal {
    path: PathBuf,
    file: Mutex<Open>,
    left: Vec<(Left, Uuid, Duration)>,
    is_failing: AtomicBool,
}

struct Open {
    file: File,
    length: u64,
    /// What is open, as the lines say.
    lines: HashMap<String, String>,
}

/// A write that was left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) person: [u8; 32],
    pub(super) key: [u8; 32],
    pub(super) request: [u8; 32],
}

/// Why nothing can be written down.
#[derive(Debug, thiserror::Error)]
pub enum CannotKeep {
    /// The folder cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Somebody else could write into it.
    #[error("others than the user of this process may write there")]
    Open,
}

impl Journal {
    /// Opens a file of this process's own in `folder`, for the writes of a backend and a tenant (`whose`). What other
    /// processes of the same two have left is known from then on.
    ///
    /// # Errors
    /// The folder cannot be made or written to, or is not ours alone.
    pub fn open(folder: &Path, whose: [&str; 2]) -> Result<Self, CannotKeep> {
        let scope = &digest::short(whose);
        make_folder(folder)?;
        let unique = Uuid::new_v4().simple();
        let path = folder.join(format!("{scope}-{unique}.{ENDING}"));
        let fresh = path.with_extension("new");
        let file = private().create_new(true).open(&fresh)?;
        file.try_lock().map_err(io::Error::from)?;
        is_ours_alone(folder, &file)?;
        // Under its name only once it is held, so that nobody takes it for one that was left.
        fs::rename(&fresh, &path)?;
        let mut open = Open {
            file,
            length: 0,
            lines: HashMap::new(),
        };
        let abandoned = abandoned(folder, &path);
        let (same, others): (Vec<_>, Vec<_>) = abandoned
            .into_iter()
            .partition(|(path, _)| is_of(scope, path));
        for other in others {
            remove_if_useless(&other, &open.file);
        }
        for old in same {
            open.takes_over(&old)?;
        }
        let left = open
            .lines
            .values()
            .filter_map(|line| parsed(line))
            .collect();
        Ok(Self {
            path,
            file: Mutex::new(open),
            left,
            is_failing: AtomicBool::new(false),
        })
    }

    /// What processes that are gone have left open.
    pub(super) fn left(&self) -> impl Iterator<Item = &(Left, Uuid, Duration)> {
        self.left.iter()
    }

    /// A write is about to be sent.
    pub(super) fn begun(&self, digest: &WriteDigest, name: Uuid, since: Duration) {
        let line = line_of(digest, name, since);
        self.note(|open| {
            open.lines.insert(name.to_string(), line.clone());
            open.write(&line)
        });
    }

    /// Its answer has left, or it was not carried out.
    pub(super) fn over(&self, name: Uuid) {
        self.note(|open| match open.lines.remove(&name.to_string()) {
            Some(_) => open.write(&format!("- {name}\n")),
            None => Ok(()),
        });
    }

    fn note(&self, write: impl FnOnce(&mut Open) -> io::Result<()>) {
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write(&mut open).and_then(|()| open.shorten());
        let was_failing = self.is_failing.swap(written.is_err(), Ordering::Relaxed);
        match written {
            Err(error) if !was_failing => {
                tracing::warn!(%error, "writes.journal cannot be written: a write under way would be forgotten with this process");
            }
            Ok(()) if was_failing => tracing::info!("writes.journal is written again"),
            Err(_) | Ok(()) => {}
        }
    }
}

impl Open {
    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Leaves only what is open, where the file has become long.
    fn shorten(&mut self) -> io::Result<()> {
        if self.length <= LONGEST {
            return Ok(());
        }
        let open: String = self.lines.values().map(String::as_str).collect();
        // In place: a name of its own would have to be locked anew, and the lines are few. Whoever is killed in between
        // loses what is under way, which is the same as having no journal for that moment.
        self.file.set_len(0)?;
        self.length = 0;
        self.write(&open)?;
        // Not before there is twice as much again.
        self.length = 0;
        Ok(())
    }

    /// The lines of a file that nobody holds, and then that file is gone.
    fn takes_over(&mut self, (path, file): &(PathBuf, File)) -> io::Result<()> {
        let is_small = file.metadata().is_ok_and(|it| it.len() <= UNREADABLE);
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let mut lines = HashMap::new();
        for line in whole.filter(|_| is_small) {
            if let Some(name) = line.strip_prefix("- ") {
                lines.remove(name.trim_end());
            } else if let Some((_, name, _)) = parsed(line) {
                lines.insert(name.to_string(), line.to_owned());
            }
        }
        for line in lines.values() {
            self.write(line)?;
        }
        self.lines.extend(lines);
        fs::remove_file(path)
    }
}

impl Drop for Journal {
    /// A process that ends in order leaves no file, unless something is open in it.
    fn drop(&mut self) {
        let open = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        if open.lines.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

/// `+ person key request name milliseconds`.
fn line_of(digest: &WriteDigest, name: Uuid, since: Duration) -> String {
    let [person, key, request] = [digest.person, digest.key, digest.request].map(hex::encode);
    format!("+ {person} {key} {request} {name} {}\n", since.as_millis())
}

fn parsed(line: &str) -> Option<(Left, Uuid, Duration)> {
    let mut parts = line.strip_prefix("+ ")?.split_ascii_whitespace();
    let mut digest = || hex::decode(parts.next()?).ok()?.try_into().ok();
    let left = Left {
        person: digest()?,
        key: digest()?,
        request: digest()?,
    };
    let name = parts.next()?.parse().ok()?;
    let since = Duration::from_millis(parts.next()?.parse().ok()?);
    Some((left, name, since))
}

/// The files that no process holds any more, each held by us from now on.
fn abandoned(folder: &Path, own: &Path) -> Vec<(PathBuf, File)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let ours = paths.filter(|path| path.extension().is_some_and(|it| it == ENDING) && path != own);
    let held = |path: PathBuf| {
        let file = File::open(&path).ok()?;
        file.try_lock().ok()?;
        Some((path, file))
    };
    ours.filter_map(held).collect()
}

fn is_of(scope: &str, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix(scope)?.strip_prefix('-'))
        .is_some()
}

/// Of another backend, and empty, or so old that nobody comes for it any more.
fn remove_if_useless((path, file): &(PathBuf, File), fresh: &File) {
    let changed = |file: &File| file.metadata().and_then(|it| it.modified());
    let is_empty = file.metadata().is_ok_and(|it| it.len() == 0);
    let is_old = match (changed(file), changed(fresh)) {
        (Ok(then), Ok(now)) => now.duration_since(then).is_ok_and(|age| age > TOO_OLD),
        _ => false,
    };
    if is_empty || is_old {
        let _ = fs::remove_file(path);
    }
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    options
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Names that somebody else wrote down would be names of records that a create then overwrites.
#[cfg(unix)]
fn is_ours_alone(folder: &Path, own: &File) -> Result<(), CannotKeep> {
    use std::os::unix::fs::MetadataExt;
    let (folder, own) = (fs::symlink_metadata(folder)?, own.metadata()?);
    let is_ours = folder.is_dir() && folder.uid() == own.uid() && folder.mode() & 0o022 == 0;
    is_ours.then_some(()).ok_or(CannotKeep::Open)
}

#[cfg(not(unix))]
fn is_ours_alone(_folder: &Path, _own: &File) -> Result<(), CannotKeep> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SINCE: Duration = Duration::from_millis(1_234);

    fn digest(number: u8) -> WriteDigest {
        WriteDigest {
            person: [1; 32],
            key: [number; 32],
            request: [3; 32],
            is_named: false,
        }
    }

    fn open(folder: &Path) -> Journal {
        Journal::open(&folder.join("own"), ["backend", "tenant"]).unwrap()
    }

    fn names(journal: &Journal) -> Vec<Uuid> {
        let mut names: Vec<_> = journal.left().map(|(_, name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder.join("own")).unwrap().count()
    }

    /// Ends as a process does that is killed: the lock goes, the file stays.
    fn killed(journal: Journal) {
        let mut journal = journal;
        journal.path = PathBuf::new();
    }

    #[test]
    fn what_a_killed_process_left_open_is_known_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        let [one, two] = [1, 2].map(Uuid::from_u128);
        first.begun(&digest(1), one, SINCE);
        first.begun(&digest(2), two, SINCE);
        first.over(one);
        killed(first);
        let second = open(folder.path());
        assert_eq!(names(&second), [two]);
        let (left, _, since) = second.left().next().unwrap();
        assert_eq!((left.key, *since), ([2; 32], SINCE));
        // And to the one after that, if the second is killed too.
        killed(second);
        assert_eq!(names(&open(folder.path())), [two]);
    }

    #[test]
    fn a_process_that_lives_keeps_its_own_and_one_that_ended_in_order_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        first.begun(&digest(1), Uuid::from_u128(1), SINCE);
        let second = open(folder.path());
        assert_eq!(names(&second), Vec::<Uuid>::new());
        assert_eq!(files(folder.path()), 2);
        drop(second);
        first.over(Uuid::from_u128(1));
        drop(first);
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn an_empty_file_of_another_backend_goes_and_an_open_write_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let other = |name| Journal::open(&own, [name, "tenant"]).unwrap();
        killed(other("empty"));
        let open_one = other("open");
        open_one.begun(&digest(1), Uuid::from_u128(1), SINCE);
        killed(open_one);
        let _third = open(folder.path());
        assert_eq!(files(folder.path()), 2);
        assert_eq!(names(&other("open")), [Uuid::from_u128(1)]);
    }

    #[test]
    fn a_torn_or_foreign_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        first.begun(&digest(1), Uuid::from_u128(1), SINCE);
        let path = first.path.clone();
        killed(first);
        let mut text = fs::read(&path).unwrap();
        let torn = text.clone();
        text.extend_from_slice(b"+ 00 nonsense\n\xff\xff\n- nobody\n");
        text.extend_from_slice(&torn[..torn.len() - 1]);
        fs::write(&path, text).unwrap();
        assert_eq!(names(&open(folder.path())), [Uuid::from_u128(1)]);
    }

    #[test]
    fn a_long_file_is_written_anew_with_what_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        let kept = Uuid::from_u128(u128::MAX);
        first.begun(&digest(9), kept, SINCE);
        for number in 0..6_000 {
            let name = Uuid::from_u128(number);
            first.begun(&digest(1), name, SINCE);
            first.over(name);
        }
        assert!(fs::metadata(&first.path).unwrap().len() < 2 * LONGEST);
        killed(first);
        assert_eq!(names(&open(folder.path())), [kept]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Journal::open(&own, ["backend", "tenant"]);
        assert!(matches!(refused, Err(CannotKeep::Open)), "{refused:?}");
    }
}
