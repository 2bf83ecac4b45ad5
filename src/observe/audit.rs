//! The audit: who wrote what, in a chain of lines that cannot be changed unseen. In: an [`Entry`] for each write call that
//! ended. Out: lines in a file, written by one thread of its own; whether writes may go on. A call is answered when its
//! line is with the operating system, which outlives the end of this process; what is not yet on the disk does not outlive
//! that of the machine (docs/audit.md).

mod chain;
mod file;
mod line;
mod verify;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

pub use file::CannotAudit;
pub use line::{Entry, Hash, LONGEST_ARGUMENTS, Link, NoHash};
pub use verify::{Report, Unproven, verify, with_older};

use chain::{Chain, NotWritten, Rotation};
use line::Event;

/// Calls that may wait for their lines.
const QUEUE: usize = 256;
/// What waits for room on the disk, in bytes of memory.
const MOST_WAITING: usize = 8 * 1024 * 1024;
/// A disk that takes longer is no use.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said of the audit.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// Where.
    pub file: PathBuf,
    /// A file that would become longer is renamed, and another one begun.
    pub max_bytes: usize,
    /// So many of those stay.
    pub keep: usize,
    /// Whether lines hold the arguments of calls.
    pub arguments: bool,
    /// What becomes of writes while no line can be written.
    pub on_failure: OnFailure,
}

/// What becomes of writes while no line can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They are refused before anything is sent.
    Refuse,
    /// They go on.
    Continue,
}

/// Lines cannot be written, so that no write may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit cannot be written")]
pub struct NoAudit;

/// What became of lines so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Lines about calls that are in the file.
    pub written: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Lines that were given up.
    pub lost: u64,
}

/// The way to the file.
#[derive(Debug)]
pub struct Audit {
    orders: mpsc::Sender<Order>,
    state: Arc<State>,
    arguments: bool,
    on_failure: OnFailure,
}

#[derive(Debug, Default)]
struct State {
    is_failing: AtomicBool,
    written: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

enum Order {
    /// Write this; it is answered whether it is written.
    Line(Box<Entry>, oneshot::Sender<bool>),
    /// Write what waits.
    TryAgain(oneshot::Sender<bool>),
    /// The end.
    End(oneshot::Sender<bool>),
}

impl Audit {
    /// Opens the file, or makes it, and begins to write. `now` is the time since 1970.
    ///
    /// # Errors
    /// It cannot be used, is used by another process, or is no audit.
    pub fn open(settings: &AuditSettings, now: fn() -> Duration) -> Result<Self, CannotAudit> {
        let rules = Rotation {
            max_bytes: settings.max_bytes as u64,
            keep: settings.keep,
        };
        let chain = Chain::open(&settings.file, rules, now())?;
        let (orders, received) = mpsc::channel(QUEUE);
        let state = Arc::default();
        let mut writer = Writer {
            chain,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            unsaid: 0,
            state: Arc::clone(&state),
            now,
        };
        let thread = thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || writer.works(received));
        thread.map_err(|source| file::io_error(&settings.file, source))?;
        Ok(Self {
            orders,
            state,
            arguments: settings.arguments,
            on_failure: settings.on_failure,
        })
    }

    /// Whether entries shall hold the arguments.
    #[must_use]
    pub fn wants_arguments(&self) -> bool {
        self.arguments
    }

    /// Whether a write may be sent now.
    ///
    /// # Errors
    /// Its line could not be written.
    pub async fn admits(&self) -> Result<(), NoAudit> {
        let is_well = !self.is_failing() && self.orders.capacity() > 0;
        if is_well || self.on_failure == OnFailure::Continue {
            return Ok(());
        }
        let is_written = self.asked(Order::TryAgain).await;
        is_written.then_some(()).ok_or(NoAudit)
    }

    /// Writes a line, and comes back when it is written, or is known to wait.
    pub async fn write(&self, entry: Entry) {
        self.asked(|told| Order::Line(Box::new(entry), told)).await;
    }

    /// Writes what waits, and says in the log which line is the last.
    pub async fn ends(&self) {
        self.asked(Order::End).await;
    }

    /// Whether the last attempt to write failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.state.is_failing.load(Ordering::Relaxed)
    }

    /// What becomes of writes while it fails.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// What became of lines so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            written: count(&self.state.written),
            failed: count(&self.state.failed),
            lost: count(&self.state.lost),
        }
    }

    async fn asked(&self, order: impl FnOnce(oneshot::Sender<bool>) -> Order) -> bool {
        let (told, answer) = oneshot::channel();
        let asking = async {
            self.orders.send(order(told)).await.ok()?;
            answer.await.ok()
        };
        match timeout(PATIENCE, asking).await {
            Ok(Some(is_written)) => is_written,
            // The thread is gone, or waits for its disk.
            Ok(None) | Err(_) => {
                let was_failing = self.state.is_failing.swap(true, Ordering::Relaxed);
                if !was_failing {
                    tracing::error!("the audit's file does not take lines: look at its disk");
                }
                false
            }
        }
    }
}

/// The thread that writes.
struct Writer {
    chain: Chain,
    /// What found no room, in order.
    waiting: VecDeque<Box<Entry>>,
    waiting_bytes: usize,
    /// Lines that were given up, and of which no line tells yet.
    unsaid: u64,
    state: Arc<State>,
    now: fn() -> Duration,
}

impl Writer {
    fn works(&mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.blocking_recv() {
            let (told, is_end) = match order {
                Order::Line(entry, told) => {
                    self.takes(entry);
                    (told, false)
                }
                Order::TryAgain(told) => (told, false),
                Order::End(told) => (told, true),
            };
            let written = self.writes();
            let is_written = written.is_ok();
            self.notes(&written);
            if is_end {
                self.says_the_end();
            }
            // Whoever asked may have gone.
            let _ = told.send(is_written);
            if is_end {
                return;
            }
        }
    }

    fn takes(&mut self, entry: Box<Entry>) {
        let size = size_of(&entry);
        if self.waiting_bytes + size > MOST_WAITING && !self.waiting.is_empty() {
            self.unsaid += 1;
            self.state.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting_bytes += size;
        self.waiting.push_back(entry);
    }

    /// Everything that waits, in its order.
    fn writes(&mut self) -> Result<(), NotWritten> {
        while let Some(entry) = self.waiting.pop_front() {
            let (at, size) = (entry.at, size_of(&entry));
            let event = Event::Write(entry);
            let added = self.chain.append(&event, at);
            match added {
                // It never can be; the others are not to wait for it.
                Err(NotWritten::Line(_)) => {
                    self.unsaid += 1;
                    self.state.lost.fetch_add(1, Ordering::Relaxed);
                }
                Err(error @ NotWritten::Io(_)) => {
                    if let Event::Write(entry) = event {
                        self.waiting.push_front(entry);
                    }
                    return Err(error);
                }
                Ok(()) => {
                    self.state.written.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.waiting_bytes = self.waiting_bytes.saturating_sub(size);
        }
        if self.unsaid > 0 {
            let lines = self.unsaid;
            self.chain.append(&Event::Lost { lines }, (self.now)())?;
            self.unsaid = 0;
        }
        Ok(())
    }

    fn notes(&self, written: &Result<(), NotWritten>) {
        let state = &self.state;
        let was_failing = state.is_failing.swap(written.is_err(), Ordering::Relaxed);
        match written {
            Err(error) => {
                state.failed.fetch_add(1, Ordering::Relaxed);
                if !was_failing {
                    tracing::error!(%error, "the audit cannot be written: its lines wait in memory");
                }
            }
            Ok(()) if was_failing => {
                let lost = state.lost.load(Ordering::Relaxed);
                tracing::info!(lost, "the audit is written again");
            }
            Ok(()) => {}
        }
    }

    fn says_the_end(&self) {
        if !self.waiting.is_empty() {
            let lines = self.waiting.len();
            tracing::error!(
                lines,
                "lines of the audit are lost: they never could be written"
            );
        }
        if let Err(error) = self.chain.sync() {
            tracing::warn!(%error, "the audit may not be on the disk yet");
        }
        let Link { seq, hash } = self.chain.last();
        tracing::info!(audit.seq = seq, audit.hash = %hash, "the audit ends here");
    }
}

/// About as many bytes as it takes.
fn size_of(entry: &Entry) -> usize {
    /// More than everything but the arguments takes, unless tokens are made of long names.
    const PLAIN: usize = 2 * 1024;
    let arguments = entry.arguments.as_ref();
    PLAIN + arguments.map_or(0, |_| LONGEST_ARGUMENTS)
}

#[cfg(test)]
mod tests;
