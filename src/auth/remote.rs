//! A document that an issuer publishes, remembered: its key set, its metadata. In: a [`Source`]. Out: the document, or
//! why there is none. One fetch at a time, and after each a pause, so that nobody's requests can make us storm the
//! issuer. A new document replaces the old one whole: what the issuer took back must stop working.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout},
};

use crate::auth::fetch::FetchError;

/// How long fetched documents are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Used without asking again; `Cache-Control: max-age` may lengthen it, to one hour at most.
    pub fresh: Duration,
    /// After a fetch, good or not, the issuer is left alone this long.
    pub cool_down: Duration,
    /// Used at most this long while the issuer does not answer.
    pub max_stale: Duration,
    /// One fetch, connect included, may take this long.
    pub timeout: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(5 * 60),
            cool_down: Duration::from_secs(10),
            max_stale: Duration::from_secs(12 * 60 * 60),
            timeout: Duration::from_secs(3),
        }
    }
}

/// Where a document comes from.
pub(super) trait Source: Send + Sync + 'static {
    /// The document, read and checked.
    type Document: Send + Sync + 'static;

    /// What is fetched, for the log.
    const WHAT: &'static str;

    /// Whose it is, for the log.
    fn issuer(&self) -> &str;

    /// Fetches it once; also for how long its publisher says that it holds.
    fn fetch(&self) -> impl Future<Output = Result<(Self::Document, Duration), FetchError>> + Send;
}

/// A document and how to get a newer one.
pub(super) struct Remote<S: Source> {
    pub(super) source: S,
    policy: CachePolicy,
    current: RwLock<Option<Arc<Held<S::Document>>>>,
    /// Held while a fetch runs: single flight.
    gate: Arc<Mutex<Option<Attempt>>>,
}

/// A fetched document.
pub(super) struct Held<T> {
    pub(super) document: T,
    at: Instant,
    fresh: Duration,
    doubted: AtomicBool,
}

struct Attempt {
    at: Instant,
    result: Result<(), FetchError>,
}

/// How the newest fetch ended.
pub(super) enum Newest {
    /// What is held is what the issuer has.
    Succeeded,
    /// Nobody knows what the issuer has.
    Failed(Unavailable),
}

/// Why there is no document.
#[derive(Clone, Debug)]
pub(super) struct Unavailable {
    pub(super) error: FetchError,
    /// The next fetch may be made after this time.
    pub(super) pause: Duration,
}

impl Newest {
    fn of(result: Result<(), FetchError>, pause: Duration) -> Self {
        match result {
            Ok(()) => Self::Succeeded,
            Err(error) => Self::Failed(Unavailable { error, pause }),
        }
    }
}

impl<S: Source> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({} of {})", S::WHAT, self.source.issuer())
    }
}

impl<S: Source> Remote<S> {
    pub(super) fn new(source: S, policy: CachePolicy) -> Arc<Self> {
        Arc::new(Self {
            source,
            policy,
            current: RwLock::default(),
            gate: Arc::default(),
        })
    }

    /// What is held, unless it is too old to be used; an old one is replaced in the background.
    pub(super) fn held(self: &Arc<Self>) -> Option<Arc<Held<S::Document>>> {
        let held = self.usable()?;
        if held.at.elapsed() >= held.fresh {
            self.refresh_in_background();
        }
        Some(held)
    }

    /// The document; waits for at most one fetch.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Arc<Held<S::Document>>, Unavailable> {
        if let Some(held) = self.held()
            && !held.doubted.load(Ordering::Relaxed)
        {
            return Ok(held);
        }
        let newest = self.refresh().await;
        let nothing = || Unavailable {
            error: FetchError::Unreachable("too old".to_owned()),
            pause: Duration::ZERO,
        };
        self.usable().ok_or_else(|| match newest {
            Newest::Failed(unavailable) => unavailable,
            Newest::Succeeded => nothing(),
        })
    }

    /// What the document said turned out wrong: the next [`Remote::get`] asks the issuer again.
    pub(super) fn doubt(&self) {
        if let Some(held) = self.usable() {
            held.doubted.store(true, Ordering::Relaxed);
        }
    }

    /// Fetches the document if there is none.
    pub(super) async fn warm(self: &Arc<Self>) {
        if !self.ready() {
            self.refresh().await;
        }
    }

    /// Whether there is a document that may be used.
    pub(super) fn ready(&self) -> bool {
        self.usable().is_some()
    }

    /// How long ago it was fetched, too old to be used or not.
    pub(super) fn age(&self) -> Option<Duration> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|held| held.at.elapsed())
    }

    /// What is held, unless it is too old to be used.
    pub(super) fn usable(&self) -> Option<Arc<Held<S::Document>>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .filter(|held| held.at.elapsed() < self.policy.max_stale)
            .cloned()
    }

    /// Whoever comes while a fetch runs waits for it here, then finds the pause and uses what it brought.
    pub(super) async fn refresh(self: &Arc<Self>) -> Newest {
        let gate = Arc::clone(&self.gate).lock_owned().await;
        self.attempt(gate).await
    }

    fn refresh_in_background(self: &Arc<Self>) {
        if let Ok(gate) = Arc::clone(&self.gate).try_lock_owned() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.attempt(gate).await });
        }
    }

    async fn attempt(self: &Arc<Self>, mut gate: OwnedMutexGuard<Option<Attempt>>) -> Newest {
        let cool_down = self.policy.cool_down;
        if let Some(last) = gate.as_ref()
            && last.at.elapsed() < cool_down
        {
            let pause = cool_down.saturating_sub(last.at.elapsed());
            return Newest::of(last.result.clone(), pause);
        }
        let this = Arc::clone(self);
        // A task of its own: a client that hangs up must neither stop the fetch nor skip the pause after it.
        let fetching = tokio::spawn(async move {
            let result = this.replace().await;
            *gate = Some(Attempt {
                at: Instant::now(),
                result: result.clone(),
            });
            result
        });
        let lost = || Err(FetchError::Unreachable("the fetch was lost".to_owned()));
        Newest::of(fetching.await.unwrap_or_else(|_| lost()), cool_down)
    }

    async fn replace(&self) -> Result<(), FetchError> {
        let fetched = timeout(self.policy.timeout, self.source.fetch()).await;
        let late = |_| Err(FetchError::Unreachable("no answer in time".to_owned()));
        let (document, max_age) = fetched.unwrap_or_else(late).inspect_err(|error| {
            let (issuer, what) = (self.source.issuer(), S::WHAT);
            tracing::warn!(auth.issuer = %issuer, %error, "the issuer's {what} could not be fetched");
        })?;
        let held = Held {
            document,
            at: Instant::now(),
            fresh: self.policy.fresh.max(max_age),
            doubted: AtomicBool::new(false),
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(held));
        Ok(())
    }

    /// Waits until a fetch that has begun is over.
    #[cfg(test)]
    pub(super) async fn settle(&self) {
        drop(self.gate.lock().await);
    }
}
