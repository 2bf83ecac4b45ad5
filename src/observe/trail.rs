//! The way of one call through its hops, as marks that its parts leave: when each began and how long it took, and what
//! the backend was asked meanwhile. In: starts and ends. Out: [`Marks`]. No argument, body, token or address is left here,
//! and nothing wraps the hops' futures, so that their size stays what it is.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A call that retries for long leaves no more hops than this; what is counted goes on being counted.
const MOST_HOPS: usize = 64;

/// A part of a call's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HopName {
    /// The token was checked.
    Verify,
    /// The person's limit was asked.
    Limit,
    /// The tenant, and the token for the backend, were found.
    Tenant,
    /// It waited for its turn at the backend.
    Queue,
    /// A backend session was opened.
    Session,
    /// The request was sent and its answer read.
    Request,
    /// It paused before another try.
    Pause,
    /// The result was made.
    Present,
}

impl HopName {
    /// All of them, in the order in which a call meets them.
    pub const ALL: [Self; 8] = [
        Self::Verify,
        Self::Limit,
        Self::Tenant,
        Self::Queue,
        Self::Session,
        Self::Request,
        Self::Pause,
        Self::Present,
    ];

    /// As metrics, traces and `Server-Timing` call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Limit => "limit",
            Self::Tenant => "tenant",
            Self::Queue => "queue",
            Self::Session => "session",
            Self::Request => "request",
            Self::Pause => "pause",
            Self::Present => "present",
        }
    }
}

/// One hop, timed from the beginning of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Which.
    pub name: HopName,
    /// When it began, since the call did.
    pub start: Duration,
    /// How long it took.
    pub took: Duration,
}

/// How a backend session was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// It was opened.
    Opened,
    /// It had been opened for an earlier call.
    Reused,
    /// The backend opened none.
    Refused,
}

/// What a call has left behind so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The hops that have ended, in the order of their ends.
    pub hops: Vec<Hop>,
    /// Answers of the backend by the first digit of their status; at 0 those that never came.
    pub answers: [u32; 6],
    /// The status of the last answer of the backend to the call's own request.
    pub status: Option<u16>,
    /// Tries after the first.
    pub retries: u32,
    /// Sessions that were opened.
    pub opened: u32,
    /// Sessions that were there already.
    pub reused: u32,
    /// Openings that were refused.
    pub refused: u32,
    /// Bytes of the bodies sent to the backend.
    pub request_bytes: u64,
    /// Bytes of the bodies that came from it.
    pub response_bytes: u64,
}

impl Marks {
    /// How long all hops of this name took together; `None` where there was none.
    #[must_use]
    pub fn took(&self, name: HopName) -> Option<Duration> {
        let mut all = self.hops.iter().filter(|hop| hop.name == name).peekable();
        all.peek()?;
        Some(all.map(|hop| hop.took).sum())
    }
}

/// The marks of one call; cheap to clone, and all clones are the same one.
#[derive(Clone, Debug)]
pub struct Trail {
    begun: Instant,
    marks: Arc<Mutex<Marks>>,
}

impl Trail {
    /// Of a call that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self::since(Instant::now())
    }

    /// Of a call that began then.
    #[must_use]
    pub fn since(begun: Instant) -> Self {
        Self {
            begun,
            marks: Arc::default(),
        }
    }

    /// How long it has been.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// A hop that begins now, and ends when what is returned is dropped.
    #[must_use]
    pub fn hop(&self, name: HopName) -> OpenHop<'_> {
        OpenHop {
            trail: self,
            name,
            begun: Instant::now(),
        }
    }

    /// A hop that is over.
    pub fn passed(&self, name: HopName, begun: Instant, took: Duration) {
        let hop = Hop {
            name,
            start: begun.saturating_duration_since(self.begun),
            took,
        };
        let mut marks = self.lock();
        if marks.hops.len() < MOST_HOPS {
            marks.hops.push(hop);
        }
    }

    /// How many hops of this name have ended.
    #[must_use]
    pub fn ended(&self, name: HopName) -> usize {
        let marks = self.lock();
        marks.hops.iter().filter(|hop| hop.name == name).count()
    }

    /// The backend was sent a body of so many bytes.
    pub fn sent(&self, bytes: usize) {
        self.lock().request_bytes += bytes as u64;
    }

    /// The backend answered with this status; `None`: it did not.
    pub fn answered(&self, status: Option<u16>) {
        let class = usize::from(status.unwrap_or(0) / 100);
        if let Some(count) = self.lock().answers.get_mut(class) {
            *count += 1;
        }
    }

    /// The backend answered the call's own request with this status.
    pub fn ended_with(&self, status: u16) {
        self.lock().status = Some(status);
    }

    /// So many bytes of a body came from the backend.
    pub fn received(&self, bytes: usize) {
        self.lock().response_bytes += bytes as u64;
    }

    /// The backend is asked once more.
    pub fn again(&self) {
        self.lock().retries += 1;
    }

    /// A session was come by so.
    pub fn session(&self, how: SessionUse) {
        let mut marks = self.lock();
        match how {
            SessionUse::Opened => marks.opened += 1,
            SessionUse::Reused => marks.reused += 1,
            SessionUse::Refused => marks.refused += 1,
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hop under way; its end is where this is dropped, so that one which is given up has one too.
#[derive(Debug)]
pub struct OpenHop<'a> {
    trail: &'a Trail,
    name: HopName,
    begun: Instant,
}

impl Drop for OpenHop<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        self.trail.passed(self.name, self.begun, took);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hops_are_timed_from_the_beginning_and_end_where_they_are_dropped() {
        let trail = Trail::begin();
        advance(Duration::from_millis(2)).await;
        let hop = trail.hop(HopName::Tenant);
        advance(Duration::from_millis(3)).await;
        drop(hop);
        let twice = [1, 4].map(Duration::from_millis);
        for took in twice {
            trail.passed(HopName::Session, Instant::now(), took);
        }
        let marks = trail.marks();
        assert_eq!(
            marks.hops.first(),
            Some(&Hop {
                name: HopName::Tenant,
                start: Duration::from_millis(2),
                took: Duration::from_millis(3),
            })
        );
        assert_eq!(marks.took(HopName::Session), Some(Duration::from_millis(5)));
        assert_eq!(marks.took(HopName::Request), None);
    }

    #[test]
    fn each_hop_stands_in_all_at_the_place_that_metrics_look_for_it() {
        for (place, name) in HopName::ALL.into_iter().enumerate() {
            assert_eq!(name as usize, place, "{}", name.as_str());
        }
    }

    #[test]
    fn a_call_that_never_ends_leaves_a_bounded_trail() {
        let trail = Trail::begin();
        for _ in 0..1_000 {
            drop(trail.hop(HopName::Session));
            trail.again();
            trail.answered(Some(503));
            trail.answered(Some(999));
            trail.answered(None);
        }
        let marks = trail.marks();
        assert_eq!(marks.hops.len(), MOST_HOPS);
        assert_eq!(marks.retries, 1_000);
        assert_eq!(marks.answers, [1_000, 0, 0, 0, 0, 1_000]);
    }
}
