//! When a call has to be over. In: how long a call may take, and the client's own limit. Out: how long one request may
//! still take, and until when it is worth waiting before another try. A write that was begun is not cut short by its
//! client's limit, only by ours.

use std::time::Duration;

use tokio::time::Instant;

/// The end of one call, counted from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    after: Duration,
    ends: Instant,
    /// Nobody waits for the answer after this.
    patience: Instant,
}

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        let ends = Instant::now() + after;
        Self {
            after,
            ends,
            patience: ends,
        }
    }

    /// The same for a client that waits no longer than this.
    #[must_use]
    pub fn with_client(self, ends: Option<Instant>) -> Self {
        let patience = ends.map_or(self.patience, |ends| ends.min(self.patience));
        Self { patience, ..self }
    }

    /// How long the whole call may take.
    #[must_use]
    pub fn whole(&self) -> Duration {
        self.after
    }

    /// When it has to be over.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Until when somebody waits for the answer.
    #[must_use]
    pub fn patience(&self) -> Instant {
        self.patience
    }

    /// What is left of it; never nothing, so that a request made at the last moment fails by its time and not by ours.
    pub(super) fn left(&self) -> Duration {
        let left = self.ends.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }
}
