//! The catalogue's file, read again while the sidecar runs: when it changes, or when somebody asks. In: a path, and a wish
//! (SIGHUP, or a call of `request`). Out: `Calls::publish` where the file is a valid catalogue; else nothing but a report,
//! and the catalogue of before goes on. Every check of the start is made again here, by the same functions.

mod watching;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Notify, watch};

use self::watching::Watching;
use crate::{
    catalogue::{Catalogue, Problems},
    mcp::{Calls, workspace::ReservedName},
};

/// The file that the catalogue comes from.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is read again when it changes, and not only when somebody asks.
    pub watch: bool,
    /// The Unix time: `clock::unix_now` but in tests.
    pub now: fn() -> Duration,
}

/// What came of reading again. The counters only grow.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// How often the file was looked at.
    pub looks: u64,
    /// How often the catalogue was replaced.
    pub replaced: u64,
    /// How often the file was no catalogue that can be served.
    pub refused: u64,
    /// What is wrong with the file now; `None` where it is what is served.
    pub trouble: Option<Trouble>,
}

/// The file is not what is served, because it cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How many problems it has.
    pub problems: usize,
    /// The Unix time at which this was first seen.
    pub since: Duration,
}

/// The wish to read again, and what came of it. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Reload(Arc<Shared>);

#[derive(Default)]
struct Shared {
    wish: Notify,
    record: watch::Sender<Record>,
}

/// What one look at the file found.
enum Seen {
    /// What is served already.
    Same,
    /// A catalogue, which is served from now on.
    Replaced {
        generation: u64,
        tools: usize,
        lints: usize,
    },
    /// No catalogue that can be served.
    Refused { problems: usize, report: String },
}

impl From<Problems> for Seen {
    fn from(problems: Problems) -> Self {
        Self::Refused {
            problems: problems.list().len(),
            report: problems.to_string(),
        }
    }
}

impl From<ReservedName> for Seen {
    fn from(error: ReservedName) -> Self {
        Self::Refused {
            problems: 1,
            report: error.to_string(),
        }
    }
}

impl Reload {
    /// Asks for the file to be read again now.
    pub fn request(&self) {
        self.0.wish.notify_one();
    }

    /// What came of it so far; changes with every look.
    #[must_use]
    pub fn record(&self) -> watch::Receiver<Record> {
        self.0.record.subscribe()
    }

    /// Asks whenever the process gets a SIGHUP, from now on, in a task of the current runtime.
    ///
    /// # Errors
    /// When the operating system refuses the signal handler.
    #[cfg(unix)]
    pub fn on_hangup(&self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangups = signal(SignalKind::hangup())?;
        let reload = self.clone();
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                tracing::info!(signal = "SIGHUP", "asked to read the catalogue again");
                reload.request();
            }
        });
        Ok(())
    }

    /// There is no such signal here.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn on_hangup(&self) -> io::Result<()> {
        Ok(())
    }

    /// Keeps what `calls` serves equal to the file, for as long as this is polled. Without a file there is nothing to
    /// read, and a wish is answered with that.
    pub async fn keep(self, file: Option<File>, calls: Arc<Calls>) {
        let Some(file) = file else {
            loop {
                self.0.wish.notified().await;
                tracing::info!(
                    "the catalogue is the one inside the binary: there is no file to read again"
                );
                self.0.record.send_modify(|record| record.looks += 1);
            }
        };
        let mut watching = file.watch.then(|| Watching::start(&file.path)).flatten();
        let mut last_report = None;
        // The file may have changed since the start read it, before it was watched.
        let mut is_asked = false;
        loop {
            if let Some(watching) = &mut watching {
                watching.renew();
            }
            let (path, served) = (file.path.clone(), Arc::clone(&calls));
            // Compiling a catalogue is work for milliseconds that no call should wait for.
            let look = tokio::task::spawn_blocking(move || look(&path, &served));
            if let Ok(seen) = look.await {
                self.enter(seen, is_asked, &mut last_report, (file.now)());
            }
            is_asked = tokio::select! {
                () = self.0.wish.notified() => true,
                () = watching::settled(watching.as_ref()) => false,
            };
        }
    }

    /// Logs and counts. What was said already of the same file is said again only to whoever asked.
    fn enter(&self, seen: Seen, is_asked: bool, last: &mut Option<String>, now: Duration) {
        let record = &self.0.record;
        match seen {
            Seen::Same => {
                if last.take().is_some() {
                    tracing::info!("the catalogue's file is again the one that is served");
                } else if is_asked {
                    tracing::info!("the catalogue's file has not changed");
                }
                record.send_modify(|record| {
                    record.looks += 1;
                    record.trouble = None;
                });
            }
            Seen::Replaced {
                generation,
                tools,
                lints,
            } => {
                *last = None;
                tracing::info!(generation, tools, "the catalogue was replaced");
                if lints > 0 {
                    tracing::warn!(
                        lints,
                        "the catalogue could be better: see `toolbridge check`"
                    );
                }
                record.send_modify(|record| {
                    record.looks += 1;
                    record.replaced += 1;
                    record.trouble = None;
                });
            }
            Seen::Refused { problems, report } => {
                let is_new = last.as_ref() != Some(&report);
                if is_new || is_asked {
                    tracing::error!(
                        problems,
                        "the catalogue's file cannot be served, so the catalogue stays as it was\n{report}"
                    );
                }
                record.send_modify(|record| {
                    record.looks += 1;
                    record.refused += u64::from(is_new || is_asked);
                    let since = record.trouble.as_ref().map_or(now, |known| known.since);
                    record.trouble = Some(Trouble { problems, since });
                });
                *last = Some(report);
            }
        }
    }
}

/// Looks at the file once, and replaces what is served if it has become another catalogue.
fn look(path: &Path, calls: &Calls) -> Seen {
    let replaced = || -> Result<Seen, Seen> {
        let text = Catalogue::text_at(path)?;
        if text == calls.catalogue().text() {
            return Ok(Seen::Same);
        }
        let name = path.display().to_string();
        let catalogue = Arc::new(Catalogue::parse(&name, text.as_bytes())?);
        let (tools, lints) = (catalogue.tools().len(), catalogue.lints().list().len());
        Ok(Seen::Replaced {
            generation: calls.publish(catalogue)?,
            tools,
            lints,
        })
    };
    replaced().unwrap_or_else(|refused| refused)
}
