//! The writes of the moment, bounded: in number, in number of one person, and in bytes of answers. In: entries and their
//! changes. Out: entries. What has to go is the oldest; a write that runs stays. An answer that there is no room for
//! leaves its write in doubt, which keeps its name: it can be sent again without being done twice.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::sync::watch;
use uuid::Uuid;

use super::{super::outcome::Outcome, Told, digest::WriteDigest};
use crate::delivery::Delivery;

/// So many writes are remembered,
const MOST: usize = 10_000;
/// so many of one person,
const MOST_OF_ONE: usize = 1_000;
/// and so many bytes of their answers.
const MOST_BYTES: usize = 4 * 1024 * 1024;

type Key = [u8; 32];

/// See above.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<Key, Entry>,
    /// Oldest first; what is gone or was made anew since is left in until its turn.
    order: VecDeque<(Key, Uuid)>,
    of_person: HashMap<Key, usize>,
    bytes: usize,
    /// Names that had to go, for the journal.
    gone: Vec<Uuid>,
}

/// One write.
pub(super) struct Entry {
    pub(super) name: Uuid,
    /// When it was begun first, since 1970.
    pub(super) since: Duration,
    /// What it asks for.
    pub(super) request: Key,
    pub(super) person: Key,
    pub(super) state: State,
}

/// How far a write is.
pub(super) enum State {
    /// It is being sent.
    Running(watch::Receiver<Told>),
    /// It was carried out; its answer, its size, and the ways on which it left.
    Answered {
        outcome: Outcome,
        size: usize,
        ways: Vec<Delivery>,
    },
    /// Nobody knows whether it was carried out.
    InDoubt,
}

impl Table {
    /// The names that had to go since this was asked last.
    pub(super) fn gone(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.gone)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, digest: &WriteDigest) -> Option<&Entry> {
        self.entries.get(&digest.key)
    }

    pub(super) fn since(&self, digest: &WriteDigest, name: Uuid) -> Option<Duration> {
        let entry = self.get(digest)?;
        (entry.name == name).then_some(entry.since)
    }

    pub(super) fn insert(&mut self, key: Key, entry: Entry) {
        self.take(&key);
        self.order.push_back((key, entry.name));
        *self.of_person.entry(entry.person).or_default() += 1;
        let person = entry.person;
        self.entries.insert(key, entry);
        self.make_room(&person);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, digest: &WriteDigest, name: Uuid) -> bool {
        let is_this = self.get(digest).is_some_and(|entry| entry.name == name);
        is_this && self.take(&digest.key).is_some()
    }

    pub(super) fn answered(&mut self, digest: &WriteDigest, name: Uuid, outcome: &Outcome) {
        let size = size_of(outcome);
        let Some(entry) = self.entry(digest, name) else {
            return;
        };
        entry.state = State::Answered {
            outcome: outcome.clone(),
            size,
            ways: Vec::new(),
        };
        self.bytes += size;
        self.forget_answers();
    }

    pub(super) fn leaves_on(&mut self, digest: &WriteDigest, name: Uuid, way: &Delivery) {
        if let Some(Entry {
            state: State::Answered { ways, .. },
            ..
        }) = self.entry(digest, name)
        {
            ways.push(way.clone());
        }
    }

    pub(super) fn doubt(&mut self, digest: &WriteDigest, name: Uuid) {
        if let Some(entry) = self.entry(digest, name) {
            entry.state = State::InDoubt;
        }
    }

    /// Forgets what is older than that, unless it runs.
    pub(super) fn expire(&mut self, now: Duration, keep: Duration) {
        while let Some((key, name)) = self.order.front().copied() {
            match self.entries.get(&key).filter(|entry| entry.name == name) {
                Some(entry) if entry.since + keep > now || entry.runs() => return,
                Some(_) => self.let_go(&key),
                None => {}
            }
            self.order.pop_front();
        }
    }

    fn entry(&mut self, digest: &WriteDigest, name: Uuid) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&digest.key)?;
        (entry.name == name).then_some(entry)
    }

    fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        if let State::Answered { size, .. } = entry.state {
            self.bytes -= size;
        }
        if let Some(count) = self.of_person.get_mut(&entry.person) {
            *count -= 1;
            if *count == 0 {
                self.of_person.remove(&entry.person);
            }
        }
        Some(entry)
    }

    /// Room for one more of this person, and of everybody.
    fn make_room(&mut self, person: &Key) {
        if self.of_person.get(person).copied().unwrap_or(0) > MOST_OF_ONE {
            self.drop_oldest(|entry| entry.person == *person);
        }
        if self.entries.len() > MOST {
            self.drop_oldest(|_| true);
        }
        // Mostly of what is gone: as long as twice what there is, and no longer.
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order
                .retain(|(key, name)| entries.get(key).is_some_and(|it| it.name == *name));
        }
    }

    fn drop_oldest(&mut self, is_meant: impl Fn(&Entry) -> bool) {
        let oldest = self.order.iter().find(|(key, name)| {
            let entry = self.entries.get(key).filter(|entry| entry.name == *name);
            entry.is_some_and(|entry| !entry.runs() && is_meant(entry))
        });
        if let Some((key, _)) = oldest.copied() {
            self.let_go(&key);
        }
    }

    fn let_go(&mut self, key: &Key) {
        let entry = self.take(key);
        self.gone.extend(entry.map(|entry| entry.name));
    }

    fn forget_answers(&mut self) {
        let mut oldest = self.order.iter();
        while self.bytes > MOST_BYTES
            && let Some((key, name)) = oldest.next()
        {
            let entry = self
                .entries
                .get_mut(key)
                .filter(|entry| entry.name == *name);
            if let Some(entry) = entry
                && let State::Answered { size, .. } = entry.state
            {
                self.bytes -= size;
                entry.state = State::InDoubt;
            }
        }
    }
}

impl Entry {
    pub(super) fn runs(&self) -> bool {
        matches!(self.state, State::Running(_))
    }
}

/// Bytes of an answer as JSON.
fn size_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Success(text) => text.as_bytes().len(),
        Outcome::Failure(_) => 0,
    }
}
