//! The arrival of a request that may hold calls. In: the moment, and how long the check of its token took. Out: the trail
//! of its call, which the server reads again when it answers. A request of several calls has one trail each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::trail::{HopName, Trail};

/// Put beside a request by whoever takes it in; cheap to clone.
#[derive(Clone, Debug)]
pub struct Arrival {
    begun: Instant,
    verified_in: Duration,
    trail: Trail,
    is_taken: Arc<AtomicBool>,
}

impl Arrival {
    /// A request that came then, and whose token has just been checked.
    #[must_use]
    pub fn verified(begun: Instant) -> Self {
        let verified_in = begun.elapsed();
        Self {
            begun,
            verified_in,
            trail: Self::begin(begun, verified_in),
            is_taken: Arc::default(),
        }
    }

    /// A trail that nobody else has.
    #[must_use]
    pub fn take(&self) -> Trail {
        if self.is_taken.swap(true, Ordering::Relaxed) {
            Self::begin(self.begun, self.verified_in)
        } else {
            self.trail.clone()
        }
    }

    /// The trail of the first call, where there was one.
    #[must_use]
    pub fn taken(&self) -> Option<&Trail> {
        self.is_taken.load(Ordering::Relaxed).then_some(&self.trail)
    }

    fn begin(begun: Instant, verified_in: Duration) -> Trail {
        let trail = Trail::since(begun);
        trail.passed(HopName::Verify, begun, verified_in);
        trail
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{super::trail::SessionUse, Arrival};

    #[test]
    fn each_call_of_a_request_has_a_trail_of_its_own() {
        let arrival = Arrival::verified(Instant::now());
        assert!(arrival.taken().is_none());
        let (first, second) = (arrival.take(), arrival.take());
        second.session(SessionUse::Opened);
        assert_eq!(first.marks().opened, 0);
        first.session(SessionUse::Reused);
        assert_eq!(arrival.taken().map(|trail| trail.marks().reused), Some(1));
        assert_eq!(second.marks().hops.len(), 1);
    }
}
