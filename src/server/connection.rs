//! How much of us one TCP connection may have, and all of them together: time for each step, headers, and a place. In:
//! limits. Out: a [`Door`] that counts who is inside, a socket that is let go when its client dawdles, and a request's
//! body that ends in time. A stream with nothing to say is no dawdler, and is never let go here.

mod answer;
mod body;
mod door;
mod pace;

use std::time::Duration;

pub(super) use answer::AnswerBytes;
pub use body::RequestBytes;
pub use door::{Door, DoorCounts};
pub(super) use door::{Entered, refuse};
pub(super) use pace::{Pace, Paced, Rested, UnderWay, Wakes};

/// Header lines that hyper reads without asking for memory; any other number costs an allocation a request.
pub(super) const USUAL_HEADERS: usize = 100;

/// What a connection may take, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the head of a request is here, from its first byte; for the first request from the connection's beginning.
    pub header_timeout: Duration,
    /// Until the body of a request is here, once somebody waits for it.
    pub body_timeout: Duration,
    /// Bytes that wait to be sent may wait this long without one of them being taken.
    pub write_timeout: Duration,
    /// A connection without a request is kept this long.
    pub idle_timeout: Duration,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address; `None`: any number, because behind a proxy all have the proxy's.
    pub max_connections_per_ip: Option<usize>,
}

impl Limits {
    /// For the operations port: whoever runs us, and nobody else.
    pub const OPERATIONS: Self = Self {
        header_timeout: Duration::from_secs(15),
        body_timeout: Duration::from_secs(15),
        write_timeout: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(75),
        max_headers: USUAL_HEADERS,
        max_connections: 64,
        max_connections_per_ip: None,
    };

    /// The same with no more connections than this process has files for: half of them, as each may need one to the
    /// backend, but for what health, catalogue and log need at any time.
    #[must_use]
    pub fn within(self, open_files: Option<u64>) -> Self {
        const OTHERS: u64 = 32;
        let room = open_files.map(|files| (files / 2).saturating_sub(OTHERS).max(1));
        let room = room.and_then(|room| usize::try_from(room).ok());
        let Some(room) = room.filter(|room| *room < self.max_connections) else {
            return self;
        };
        tracing::info!(
            connections = room,
            "fewer than server.max_connections are taken: the limit of open files (ulimit -Hn) has no room for more"
        );
        Self {
            max_connections: room,
            ..self
        }
    }
}

/// Raises how many files this process may have open to what the system allows it, and says how many these are, where that
/// is known and bounded. Many systems allow thousands and begin with 1024, for programs of another time.
#[cfg(unix)]
#[must_use]
pub fn most_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Some systems name no bound and take none; then it stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// Not known here.
#[cfg(not(unix))]
#[must_use]
pub fn most_open_files() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        assert_eq!(most_open_files(), allowed);
    }

    #[test]
    fn connections_leave_files_for_everything_else() {
        let limits = Limits {
            max_connections: 10_000,
            ..Limits::OPERATIONS
        };
        let most = |files| limits.within(files).max_connections;
        assert_eq!(most(None), 10_000);
        assert_eq!(most(Some(1024)), 480);
        assert_eq!(most(Some(65_536)), 10_000);
        assert_eq!(most(Some(10)), 1);
        assert_eq!(most(Some(u64::MAX)), 10_000);
    }
}
