//! Who waits for the backend to open a session. In: a person whom the backend told to slow down. Out: turns, one at a
//! time, in the order of arrival, so that a burst is served at the backend's pace instead of being refused. As long as
//! nobody waits, nobody is held up.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::error::BackendError;

/// Issuer and subject.
type Person = (String, String);

/// The queues of everybody who has one, each gone with its last call.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<HashMap<Person, Weak<Queue>>>);

/// The queue of one person.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Who has the turn, and all who wait for it.
    members: Arc<AtomicU64>,
}

/// The right to ask, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
    _member: Member,
}

#[derive(Debug)]
struct Member(Arc<AtomicU64>);

impl Queues {
    /// The queue of this person, shared with every other call of theirs that runs.
    pub(super) fn of(&self, issuer: &str, subject: &str) -> Arc<Queue> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let person = (issuer.to_owned(), subject.to_owned());
        if let Some(queue) = queues.get(&person).and_then(Weak::upgrade) {
            return queue;
        }
        // Calls run: as many entries as there are people calling, and at most twice that.
        if queues.len() == queues.capacity() {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Arc::new(Queue::default());
        queues.insert(person, Arc::downgrade(&queue));
        queue
    }
}

impl Queue {
    /// A turn behind those who wait already; none, at once, where nobody does.
    ///
    /// # Errors
    /// [`BackendError::Crowded`] when the turn does not come in time.
    pub(super) async fn behind_others(
        &self,
        patience: Instant,
    ) -> Result<Option<Turn>, BackendError> {
        if self.members.load(Ordering::Acquire) == 0 {
            return Ok(None);
        }
        match self.join(patience).await {
            Some(turn) => Ok(Some(turn)),
            None => Err(BackendError::Crowded {
                retry_after: self.members.load(Ordering::Acquire).max(1),
            }),
        }
    }

    /// A turn, if it comes in time.
    pub(super) async fn join(&self, patience: Instant) -> Option<Turn> {
        let member = Member::of(&self.members);
        let held = timeout_at(patience, Arc::clone(&self.turn).lock_owned()).await;
        Some(Turn {
            _held: held.ok()?,
            _member: member,
        })
    }
}

impl Member {
    fn of(members: &Arc<AtomicU64>) -> Self {
        members.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(members))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
