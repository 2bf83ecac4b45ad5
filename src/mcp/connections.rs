//! Legacy connections (`Mcp-Session-Id`) belong to the person who opened them, and there are only so many. rmcp neither
//! binds nor caps them (protocol page E.9), so this table does: another person's id is as unknown as an invented one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::auth::Caller;

/// How many connections may be open, and how long one may be idle.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// In all.
    pub most: usize,
    /// For one person.
    pub most_per_person: usize,
    /// After this long without a request a connection is closed.
    pub idle: Duration,
}

pub(super) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<HashMap<String, Connection>>,
}

struct Connection {
    owner: Person,
    last_used: Instant,
}

#[derive(Clone, PartialEq, Eq)]
struct Person {
    issuer: String,
    subject: String,
}

impl Person {
    fn of(caller: &Caller) -> Self {
        Self {
            issuer: caller.issuer().to_owned(),
            subject: caller.subject().to_owned(),
        }
    }
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
        }
    }

    /// Whether this person may use this connection now; using it keeps it alive.
    pub(super) fn admits(&self, id: &str, caller: &Caller, now: Instant) -> bool {
        let person = Person::of(caller);
        match self.table().get_mut(id) {
            Some(connection) if connection.owner == person => {
                connection.last_used = now;
                true
            }
            _ => false,
        }
    }

    /// Enters a new connection; returns the ids that have to be closed to make room for it.
    pub(super) fn opened(&self, id: &str, caller: &Caller, now: Instant) -> Vec<String> {
        let owner = Person::of(caller);
        let mut table = self.table();
        let mut closed: Vec<String> = table
            .iter()
            .filter(|(_, connection)| now - connection.last_used > self.limits.idle)
            .map(|(id, _)| id.clone())
            .collect();
        closed.iter().for_each(|id| {
            table.remove(id);
        });
        let own = |connection: &Connection| connection.owner == owner;
        if table.values().filter(|connection| own(connection)).count()
            >= self.limits.most_per_person
        {
            closed.extend(remove_oldest(&mut table, own));
        }
        if table.len() >= self.limits.most {
            closed.extend(remove_oldest(&mut table, |_| true));
        }
        table.insert(
            id.to_owned(),
            Connection {
                owner,
                last_used: now,
            },
        );
        closed
    }

    pub(super) fn closed(&self, id: &str) {
        self.table().remove(id);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Connection>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_oldest(
    table: &mut HashMap<String, Connection>,
    among: impl Fn(&Connection) -> bool,
) -> Option<String> {
    let (id, _) = table
        .iter()
        .filter(|(_, connection)| among(connection))
        .min_by_key(|(_, connection)| connection.last_used)?;
    let id = id.clone();
    table.remove(&id);
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        most: 3,
        most_per_person: 2,
        idle: Duration::from_secs(60),
    };

    fn person(subject: &str) -> Caller {
        Caller::for_tests("https://issuer.test", subject, None)
    }

    #[test]
    fn another_persons_id_is_as_unknown_as_an_invented_one() {
        let (connections, now) = (Connections::new(LIMITS), Instant::now());
        connections.opened("c1", &person("alice"), now);
        assert!(connections.admits("c1", &person("alice"), now));
        assert!(!connections.admits("c1", &person("mallory"), now));
        let elsewhere = Caller::for_tests("https://other.test", "alice", None);
        assert!(!connections.admits("c1", &elsewhere, now));
        assert!(!connections.admits("c2", &person("alice"), now));
    }

    #[test]
    fn a_person_who_opens_too_many_loses_the_own_oldest() {
        let (connections, now) = (Connections::new(LIMITS), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        connections.opened("bob", &person("bob"), at(0));
        connections.opened("a1", &person("alice"), at(1));
        connections.opened("a2", &person("alice"), at(2));
        assert_eq!(connections.opened("a3", &person("alice"), at(3)), ["a1"]);
        assert!(connections.admits("bob", &person("bob"), at(4)));
        assert_eq!(connections.opened("c", &person("carol"), at(5)), ["a2"]);
    }

    #[test]
    fn idle_connections_are_closed_when_another_opens() {
        let (connections, now) = (Connections::new(LIMITS), Instant::now());
        connections.opened("old", &person("alice"), now);
        let later = now + Duration::from_secs(61);
        assert_eq!(connections.opened("new", &person("bob"), later), ["old"]);
    }
}
