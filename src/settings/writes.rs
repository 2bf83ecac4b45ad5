//! `writes.*`: how long a write is remembered whose answer never arrived, and where its name is written down.

use std::{path::PathBuf, time::Duration};

use super::{Environment, keys, parse, problem::Wrong, reader::Reader};

/// `writes.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSettings {
    /// For so long the same write is the same.
    pub keep: Duration,
    /// Where the names of writes under way are kept.
    pub journal: JournalPlace,
}

/// `writes.journal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalPlace {
    /// Nowhere: they are forgotten with the process.
    Off,
    /// In this folder if it can be used; what we chose must not keep anybody from starting.
    IfPossible(PathBuf),
    /// In this folder.
    Folder(PathBuf),
}

impl WriteSettings {
    pub(super) fn read(reader: &mut Reader, environment: &Environment) -> Option<Self> {
        let bounds = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
        let keep = reader.duration(&keys::WRITES_KEEP, bounds);
        let journal = reader.text(&keys::WRITES_JOURNAL, |text| journal(text, environment));
        Some(Self {
            keep: keep?,
            journal: journal?,
        })
    }
}

fn journal(text: &str, environment: &Environment) -> Result<JournalPlace, Wrong> {
    match text {
        "off" => Ok(JournalPlace::Off),
        "auto" => Ok(JournalPlace::IfPossible(state_folder(environment))),
        folder if folder.contains('/') => parse::path(folder).map(JournalPlace::Folder),
        _ => Err(Wrong::new(
            format!(
                "{} is neither `auto`, `off` nor a folder",
                super::problem::shown(text)
            ),
            "write a folder with its path, such as `/var/lib/toolbridge`",
        )),
    }
}

/// systemd's folder for the state of this service, else one of this user among the temporary files.
fn state_folder(environment: &Environment) -> PathBuf {
    if let Some(folders) = environment.get("STATE_DIRECTORY") {
        let first = folders.split(':').next().unwrap_or(folders);
        return PathBuf::from(first).join("writes");
    }
    let temporary = PathBuf::from(environment.get("TMPDIR").unwrap_or("/tmp"));
    temporary.join(format!("toolbridge-writes{}", own_user()))
}

/// `-1000`; nothing where the system does not say it.
#[cfg(unix)]
fn own_user() -> String {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self");
    own.map_or_else(|_| String::new(), |own| format!("-{}", own.uid()))
}

#[cfg(not(unix))]
fn own_user() -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_a_folder_a_guess_or_nowhere() {
        let systemd: Environment = [("STATE_DIRECTORY", "/var/lib/toolbridge:/other")]
            .into_iter()
            .collect();
        let read = |text| journal(text, &systemd);
        assert_eq!(
            read("auto").unwrap(),
            JournalPlace::IfPossible("/var/lib/toolbridge/writes".into())
        );
        assert_eq!(read("off").unwrap(), JournalPlace::Off);
        assert_eq!(read("./x").unwrap(), JournalPlace::Folder("./x".into()));
        assert!(read("on").is_err() && read("").is_err());
        let plain: Environment = [("TMPDIR", "/t")].into_iter().collect();
        let JournalPlace::IfPossible(folder) = journal("auto", &plain).unwrap() else {
            panic!("a guess");
        };
        assert!(folder.to_str().unwrap().starts_with("/t/toolbridge-writes"));
    }
}
