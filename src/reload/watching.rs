//! Notices that a file may have changed. In: a path. Out: a signal, once things have settled. It says too much rather than
//! too little: whoever hears it reads the file and compares. The folder is watched as well as the file, because editors
//! replace files by renaming, and Kubernetes swaps a link to the folder that the file is in.

use std::{
    fs,
    future::pending,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, time::sleep};

/// A file is written in several steps; this long after the first of them it is looked at.
const SETTLE: Duration = Duration::from_millis(200);

/// What no event tells: file systems of other machines, a folder that was replaced.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

pub(super) struct Watching {
    watcher: RecommendedWatcher,
    path: PathBuf,
    watched: Vec<PathBuf>,
    stirred: Arc<Notify>,
}

impl Watching {
    /// `None`, with a line in the log, where the operating system does not let us.
    pub(super) fn start(path: &Path) -> Option<Self> {
        let stirred = Arc::new(Notify::new());
        let signal = Arc::clone(&stirred);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error means that events were lost: then there is something to look at, too.
            if event.map_or(true, |event| may_change(event.kind)) {
                signal.notify_one();
            }
        });
        match watcher {
            Ok(watcher) => Some(Self {
                watcher,
                path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
                watched: Vec::new(),
                stirred,
            }),
            Err(error) => {
                tracing::warn!(%error, "the catalogue's file cannot be watched: SIGHUP reads it again");
                None
            }
        }
    }

    /// Watches what is at the path now: a file that was replaced is another one. Call it before reading, so that what
    /// happens after the reading is noticed.
    pub(super) fn renew(&mut self) {
        for old in self.watched.drain(..) {
            // It may be gone.
            let _ = self.watcher.unwatch(&old);
        }
        let real = fs::canonicalize(&self.path).ok();
        for file in [Some(self.path.clone()), real].into_iter().flatten() {
            let folder = file.parent().map(Path::to_owned);
            for place in [folder, Some(file)].into_iter().flatten() {
                let is_new = !self.watched.contains(&place);
                if is_new
                    && self
                        .watcher
                        .watch(&place, RecursiveMode::NonRecursive)
                        .is_ok()
                {
                    self.watched.push(place);
                }
            }
        }
    }
}

/// Ends when the file should be looked at; never where nothing is watched.
pub(super) async fn settled(watching: Option<&Watching>) {
    let Some(watching) = watching else {
        return pending().await;
    };
    tokio::select! {
        () = watching.stirred.notified() => {
            sleep(SETTLE).await;
            // Whatever came meanwhile is seen by the look that follows.
            let _ = watching.stirred.notified().now_or_never();
        }
        () = sleep(LOOK_ANYWAY) => {}
    }
}

/// Whether this can be a change; reading, which we do ourselves, is none.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}
