//! Writes happen once. In: a write that is about to be sent (who, in which tenant, what). Out: the right to send it,
//! under a name that the backend is told too; or what became of the same write, where it runs or where its answer never
//! reached anybody. Once an answer has arrived, the same write is a new one: two wishes are two records. A write of which
//! nobody knows whether it was carried out keeps its name, so that it can be sent again without being done twice.

mod digest;
mod journal;
mod table;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::watch;
use uuid::Uuid;

pub(super) use digest::{Who, WriteDigest};
pub use journal::{CannotKeep, Journal};

use super::outcome::Outcome;
use crate::delivery::{Delivery, Receipt, Stage};
use table::{Entry, State, Table};

/// What is said of writes.
#[derive(Debug)]
pub struct WriteRules {
    /// A write that nobody was told of is remembered for so long.
    pub keep: Duration,
    /// Where their names are written down, so that they outlive the process; `None`: they do not.
    pub journal: Option<Journal>,
    /// The time since 1970.
    pub now: fn() -> Duration,
}

/// The writes that run, and those that somebody may ask for again.
pub struct Writes(Arc<Inner>);

struct Inner {
    table: Mutex<Table>,
    journal: Option<Journal>,
    keep: Duration,
    now: fn() -> Duration,
}

/// What a write is.
#[derive(Debug)]
pub enum Begun {
    /// It is to be sent now, under this name.
    First(Write),
    /// It was begun before.
    Repeats(Earlier),
    /// The name that its client gave it belongs to another write.
    OtherName,
}

/// The right to send a write. Dropped without an end, the write is in doubt.
#[must_use]
#[derive(Debug)]
pub struct Write {
    /// Its own name, for the backend.
    pub name: Uuid,
    /// Whether it may have been carried out under this name before.
    pub in_doubt: bool,
    at: Place,
    told: watch::Sender<Told>,
    is_over: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was carried out, and its answer is known.
    Done,
    /// Nothing was changed.
    Undone,
    /// Nobody knows.
    InDoubt,
}

/// A write that was begun before.
#[derive(Debug)]
pub struct Earlier {
    outcome: watch::Receiver<Told>,
    at: Place,
}

/// How a write ended, once it has.
type Told = Option<(Outcome, Fate)>;

/// The answer of a write, to be put on its way.
#[derive(Clone, Debug)]
pub struct Answered(Place);

/// A write in the table.
#[derive(Clone)]
struct Place {
    writes: Weak<Inner>,
    digest: WriteDigest,
    name: Uuid,
}

impl Writes {
    /// Knows what the journal knows: names of writes that an earlier process left without an answer.
    #[must_use]
    pub fn new(rules: WriteRules) -> Self {
        let mut table = Table::default();
        let now = (rules.now)();
        if let Some(journal) = &rules.journal {
            let open = journal
                .left()
                .filter(|(_, _, since)| *since + rules.keep > now);
            for (left, name, since) in open {
                let entry = Entry {
                    name: *name,
                    since: *since,
                    request: left.request,
                    person: left.person,
                    state: State::InDoubt,
                };
                table.insert(left.key, entry);
            }
        }
        Self(Arc::new(Inner {
            table: Mutex::new(table),
            journal: rules.journal,
            keep: rules.keep,
            now: rules.now,
        }))
    }

    /// Begins a write, or finds it begun.
    #[must_use]
    pub fn begin(&self, digest: WriteDigest) -> Begun {
        loop {
            match self.look(digest) {
                Found::Is(begun) => return begun,
                // Outside of the table's lock: connections look at the table while they hold theirs.
                Found::Answered(name, ways) => {
                    let arrived = ways
                        .iter()
                        .any(|way| matches!(way.stage(), Stage::Sent | Stage::Received));
                    if !arrived {
                        return self.again(digest, name);
                    }
                    self.0.forget(digest, name);
                }
            }
        }
    }

    /// How many writes are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.0.table().len()
    }

    fn look(&self, digest: WriteDigest) -> Found {
        let now = (self.0.now)();
        let mut table = self.0.table();
        table.expire(now, self.0.keep);
        let Some(entry) = table.get(&digest) else {
            let name = Uuid::new_v4();
            return Found::Is(self.first(&mut table, digest, (name, now), false));
        };
        if entry.request != digest.request {
            return Found::Is(Begun::OtherName);
        }
        let (name, since) = (entry.name, entry.since);
        match &entry.state {
            State::Running(outcome) => Found::Is(Begun::Repeats(Earlier {
                outcome: outcome.clone(),
                at: self.place(digest, name),
            })),
            State::InDoubt => Found::Is(self.first(&mut table, digest, (name, since), true)),
            // Under a name of its client's own it stays the same write, whoever has its answer.
            State::Answered { .. } if digest.is_named => Found::Answered(name, Vec::new()),
            State::Answered { ways, .. } => Found::Answered(name, ways.clone()),
        }
    }

    fn first(
        &self,
        table: &mut Table,
        digest: WriteDigest,
        (name, since): (Uuid, Duration),
        in_doubt: bool,
    ) -> Begun {
        let (told, outcome) = watch::channel(None);
        let entry = Entry {
            name,
            since,
            request: digest.request,
            person: digest.person,
            state: State::Running(outcome),
        };
        table.insert(digest.key, entry);
        let gone = table.gone();
        // Before anything is sent: what is done under a name must be found under it again.
        if let Some(journal) = &self.0.journal {
            journal.begun(&digest, name, since);
            gone.into_iter().for_each(|name| journal.over(name));
        }
        Begun::First(Write {
            name,
            in_doubt,
            at: self.place(digest, name),
            told,
            is_over: false,
        })
    }

    /// The answer that nobody got.
    fn again(&self, digest: WriteDigest, name: Uuid) -> Begun {
        let table = self.0.table();
        let outcome = match table.get(&digest) {
            Some(entry) if entry.name == name => match &entry.state {
                State::Answered { outcome, .. } => Some(outcome.clone()),
                State::Running(_) | State::InDoubt => None,
            },
            _ => None,
        };
        drop(table);
        match outcome {
            Some(outcome) => Begun::Repeats(Earlier {
                outcome: watch::channel(Some((outcome, Fate::Done))).1,
                at: self.place(digest, name),
            }),
            // Somebody was quicker: it is looked at again.
            None => self.begin(digest),
        }
    }

    fn place(&self, digest: WriteDigest, name: Uuid) -> Place {
        Place {
            writes: Arc::downgrade(&self.0),
            digest,
            name,
        }
    }
}

/// What is found under a digest.
enum Found {
    Is(Begun),
    /// It was answered, on these ways.
    Answered(Uuid, Vec<Delivery>),
}

impl Write {
    /// It is over; whoever asked for the same meanwhile is told this outcome too. Where it was carried out, its answer is
    /// to be put on its way.
    pub fn ends(mut self, outcome: &Outcome, fate: Fate) -> Option<Answered> {
        self.is_over = true;
        // What came of it now says nothing of what came of it before.
        let fate = match fate {
            Fate::Undone if self.in_doubt => Fate::InDoubt,
            fate => fate,
        };
        if let Some(writes) = self.at.writes.upgrade() {
            writes.ends(&self.at, outcome, fate);
        }
        self.told.send_replace(Some((outcome.clone(), fate)));
        (fate == Fate::Done).then(|| Answered(self.at.clone()))
    }
}

impl Write {
    /// The record of this name was made, and is gone by now: whoever wants it again wants another one.
    pub fn spend(mut self) {
        self.is_over = true;
        if let Some(writes) = self.at.writes.upgrade() {
            writes.forget(self.at.digest, self.name);
        }
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(writes) = self.at.writes.upgrade()
        {
            writes.doubts(&self.at);
        }
    }
}

impl Earlier {
    /// What became of it, and its answer to be put on its way if it was carried out; `None` where it has no end.
    pub async fn outcome(mut self) -> Option<(Outcome, Option<Answered>)> {
        let ended = self.outcome.wait_for(Option::is_some).await.ok()?.clone();
        let (outcome, fate) = ended?;
        Some((outcome, (fate == Fate::Done).then_some(Answered(self.at))))
    }
}

impl Answered {
    /// It leaves on this way; without one it counts as received.
    pub fn over(self, way: Option<&Delivery>) {
        let Some(way) = way else {
            self.0.received();
            return;
        };
        if let Some(writes) = self.0.writes.upgrade() {
            writes.leaves_on(&self.0, way);
        }
        way.carries(Arc::new(self.0));
    }
}

impl Inner {
    fn ends(&self, at: &Place, outcome: &Outcome, fate: Fate) {
        match fate {
            Fate::Undone => self.forget(at.digest, at.name),
            Fate::InDoubt => self.doubts(at),
            Fate::Done => self.table().answered(&at.digest, at.name, outcome),
        }
    }

    fn doubts(&self, at: &Place) {
        self.table().doubt(&at.digest, at.name);
    }

    fn leaves_on(&self, at: &Place, way: &Delivery) {
        self.table().leaves_on(&at.digest, at.name, way);
    }

    fn forget(&self, digest: WriteDigest, name: Uuid) {
        if self.table().remove(&digest, name)
            && let Some(journal) = &self.journal
        {
            journal.over(name);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipt for Place {
    fn sent(&self) {
        // The process may end now: the next one has to believe that the answer arrived.
        if let Some(writes) = self.writes.upgrade()
            && let Some(journal) = &writes.journal
            && !self.digest.is_named
        {
            journal.over(self.name);
        }
    }

    fn lost(&self) {
        if let Some(writes) = self.writes.upgrade()
            && let Some(journal) = &writes.journal
            && let Some(since) = writes.table().since(&self.digest, self.name)
        {
            journal.begun(&self.digest, self.name, since);
        }
    }

    fn received(&self) {
        if !self.digest.is_named
            && let Some(writes) = self.writes.upgrade()
        {
            writes.forget(self.digest, self.name);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.name).finish()
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writes({})", self.remembered())
    }
}

#[cfg(test)]
mod tests;
