//! Who is inside: counts connections, in all and by address, and turns away whoever is too many with a 503 that costs
//! next to nothing. In: addresses. Out: a place that is free again when it is dropped. Counts never hold up an accept.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Limits;

/// The way in to one port.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    open: AtomicUsize,
    /// As many entries as there are connections at most; empty without a limit for one address.
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    turning_away: AtomicUsize,
    pub(super) ended: Ended,
}

/// How many connections ended before their time, by what they did.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) too_many: AtomicU64,
    pub(super) too_many_of_one_ip: AtomicU64,
    pub(super) slow_head: AtomicU64,
    pub(super) slow_body: AtomicU64,
    pub(super) slow_reader: AtomicU64,
    pub(super) idle: AtomicU64,
}

/// What a port has seen since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorCounts {
    /// Connections of now.
    pub open: usize,
    /// Turned away because all places were taken.
    pub too_many: u64,
    /// Turned away because their address had all it may have.
    pub too_many_of_one_ip: u64,
    /// Let go because a head did not come in time.
    pub slow_head: u64,
    /// Answered 408 because a body did not come in time.
    pub slow_body: u64,
    /// Let go because they did not read.
    pub slow_reader: u64,
    /// Let go because they asked for nothing.
    pub idle: u64,
}

/// A place inside.
#[derive(Debug)]
pub(in crate::server) struct Entered {
    door: Arc<Door>,
    /// Where its address is counted.
    ip: Option<IpAddr>,
}

/// What whoever is too many is told. Written whole into the socket's empty buffer, so it never waits.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 105\r\n\r\n\
    {\"error\":\"temporarily_unavailable\",\"error_description\":\"this server has all the connections it can take\"}";

/// So many are told at a time; beyond them connections just end.
const MOST_TURNED_AWAY: usize = 64;

/// What is turned away may take this long to take its answer.
const FAREWELL: Duration = Duration::from_secs(1);

impl Door {
    /// A port nobody has come to yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            open: AtomicUsize::new(0),
            by_ip: Mutex::default(),
            turning_away: AtomicUsize::new(0),
            ended: Ended::default(),
        })
    }

    /// What each connection may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The counts of now.
    #[must_use]
    pub fn counts(&self) -> DoorCounts {
        let ended = &self.ended;
        DoorCounts {
            open: self.open.load(Relaxed),
            too_many: ended.too_many.load(Relaxed),
            too_many_of_one_ip: ended.too_many_of_one_ip.load(Relaxed),
            slow_head: ended.slow_head.load(Relaxed),
            slow_body: ended.slow_body.load(Relaxed),
            slow_reader: ended.slow_reader.load(Relaxed),
            idle: ended.idle.load(Relaxed),
        }
    }

    /// A place for a connection from this address, if there is one.
    pub(in crate::server) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Entered> {
        if self.open.load(Relaxed) >= self.limits.max_connections {
            self.ended.too_many.fetch_add(1, Relaxed);
            tracing::debug!("a connection is turned away: server.max_connections are open");
            return None;
        }
        let counted = self.limits.max_connections_per_ip.map(|most| (ip, most));
        if let Some((ip, most)) = counted {
            let mut by_ip = self.by_ip();
            let of_ip = by_ip.entry(ip).or_default();
            if *of_ip >= most {
                self.ended.too_many_of_one_ip.fetch_add(1, Relaxed);
                tracing::debug!(
                    "a connection is turned away: its address has server.max_connections_per_ip"
                );
                return None;
            }
            *of_ip += 1;
        }
        // One task accepts, so nobody took the place in between.
        self.open.fetch_add(1, Relaxed);
        Some(Entered {
            door: Arc::clone(self),
            ip: counted.map(|(ip, _)| ip),
        })
    }

    fn by_ip(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_ip.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    pub(in crate::server) fn limits(&self) -> &Limits {
        &self.door.limits
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(ip) = self.ip {
            let mut by_ip = self.door.by_ip();
            if let Some(of_ip) = by_ip.get_mut(&ip) {
                *of_ip -= 1;
                if *of_ip == 0 {
                    by_ip.remove(&ip);
                }
            }
        }
        self.door.open.fetch_sub(1, Relaxed);
    }
}

/// Tells a connection that it is too many, and lets it read that: an end with bytes unread is a reset, which takes the
/// answer with it.
pub(in crate::server) fn refuse(mut stream: TcpStream, door: &Arc<Door>) {
    if door.turning_away.load(Relaxed) >= MOST_TURNED_AWAY {
        return;
    }
    door.turning_away.fetch_add(1, Relaxed);
    let door = Arc::clone(door);
    tokio::spawn(async move {
        let farewell = async {
            stream.write_all(TOO_MANY).await?;
            stream.shutdown().await?;
            let mut unread = [0; 1024];
            while stream.read(&mut unread).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        // Whoever does not take it has been told nothing; there is nothing else to do for them.
        let _ = timeout(FAREWELL, farewell).await;
        door.turning_away.fetch_sub(1, Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn door(all: usize, of_one: Option<usize>) -> Arc<Door> {
        Door::new(Limits {
            max_connections: all,
            max_connections_per_ip: of_one,
            ..Limits::OPERATIONS
        })
    }

    fn ip(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let door = door(2, None);
        let first = door.enter(ip(1)).unwrap();
        let _second = door.enter(ip(1)).unwrap();
        assert!(door.enter(ip(2)).is_none());
        drop(first);
        let _third = door.enter(ip(2)).unwrap();
        let counts = door.counts();
        assert_eq!((counts.open, counts.too_many), (2, 1));
        assert!(door.by_ip().is_empty());
    }

    #[test]
    fn one_address_has_its_share_and_nothing_of_it_stays() {
        let door = door(10, Some(1));
        let first = door.enter(ip(1)).unwrap();
        assert!(door.enter(ip(1)).is_none());
        let second = door.enter(ip(2)).unwrap();
        drop(first);
        let third = door.enter(ip(1)).unwrap();
        let counts = door.counts();
        assert_eq!((counts.open, counts.too_many_of_one_ip), (2, 1));
        drop((second, third));
        assert_eq!(door.counts().open, 0);
        assert!(door.by_ip().is_empty());
    }

    #[test]
    fn the_refusal_says_how_long_it_is() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
