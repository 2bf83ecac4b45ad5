//! How many requests ask the backend at once. In: people, each with any number of calls. Out: slots, to be given back by
//! dropping them. Who finds none waits in a short queue that serves people in turn, not calls; when it is full, the call
//! goes of whoever has most in it. One person never holds more than half of the slots, so that slow calls of one leave
//! room for everybody else.
//!
//! A slot is for one try at the backend, not for the whole call: who waits for a session or before another try holds none.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::person::Person;

/// How many, and how long to wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotSettings {
    /// Slots there are.
    pub slots: usize,
    /// Who may wait at once.
    pub queue: usize,
    /// How long each may wait.
    pub wait: Duration,
}

/// Why there is none. It is not the fault of the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many wait already.
    #[error("all slots at the backend are taken, and the queue for them is full")]
    Full {
        /// How long to wait, by estimate.
        retry_after: Duration,
    },
    /// None came free in time.
    #[error("no slot at the backend came free within {waited:?}")]
    Waited {
        /// The time it had.
        waited: Duration,
        /// How long to wait, by estimate.
        retry_after: Duration,
    },
}

/// What happens now, and what has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// Slots that are held.
    pub held: usize,
    /// Who waits for one.
    pub waiting: usize,
    /// Who was turned away; only grows.
    pub shed: u64,
}

/// All slots.
#[derive(Clone)]
pub struct Slots {
    settings: SlotSettings,
    state: Arc<Mutex<State>>,
}

/// The right to ask the backend, until it is dropped.
pub struct Slot {
    /// `None` once there is nothing to give back.
    of: Option<(Slots, Arc<Person>)>,
}

#[derive(Default)]
struct State {
    counts: SlotCounts,
    /// Those who hold slots or wait.
    people: HashMap<Arc<Person>, Party>,
    /// Those who wait, in the order of their turns.
    turns: VecDeque<Arc<Person>>,
    last_number: u64,
}

/// One person's calls.
#[derive(Default)]
struct Party {
    held: usize,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    told: oneshot::Sender<Result<Slot, Busy>>,
}

/// A place in the queue, given up by dropping it.
struct Place<'a> {
    slots: &'a Slots,
    person: &'a Arc<Person>,
    number: u64,
    told: oneshot::Receiver<Result<Slot, Busy>>,
}

impl Slots {
    /// All free.
    #[must_use]
    pub fn new(settings: SlotSettings) -> Self {
        Self {
            settings,
            state: Arc::default(),
        }
    }

    /// More than any test takes.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new(SlotSettings {
            slots: 1_000,
            queue: 1_000,
            wait: Duration::from_secs(60),
        })
    }

    /// How it stands.
    #[must_use]
    pub fn counts(&self) -> SlotCounts {
        self.lock().counts
    }

    /// A slot, at once or when it is this person's turn; not later than `patience`.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn enter(&self, person: &Arc<Person>, patience: Instant) -> Result<Slot, Busy> {
        let begun = Instant::now();
        let mut place = match self.ask(person)? {
            Asked::Free(slot) => return Ok(slot),
            Asked::Queued(place) => place,
        };
        let until = patience.min(begun + self.settings.wait);
        if let Ok(Ok(told)) = timeout_at(until, &mut place.told).await {
            return told;
        }
        drop(place);
        let mut state = self.lock();
        state.counts.shed += 1;
        Err(Busy::Waited {
            waited: until.saturating_duration_since(begun),
            retry_after: self.estimate(&state),
        })
    }

    fn ask<'a>(&'a self, person: &'a Arc<Person>) -> Result<Asked<'a>, Busy> {
        let mut state = self.lock();
        let (held, waiting) = state.people.get(person).map_or((0, 0), Party::sizes);
        let is_free = state.counts.held < self.settings.slots && held < self.each();
        if is_free && waiting == 0 {
            state.party(person).held += 1;
            state.counts.held += 1;
            return Ok(Asked::Free(self.slot(person)));
        }
        if state.counts.waiting >= self.settings.queue {
            state.counts.shed += 1;
            let busy = Busy::Full {
                retry_after: self.estimate(&state),
            };
            if !state.makes_room(waiting + 1, busy) {
                return Err(busy);
            }
        }
        Ok(Asked::Queued(self.queued(&mut state, person)))
    }

    fn queued<'a>(&'a self, state: &mut State, person: &'a Arc<Person>) -> Place<'a> {
        let (sender, told) = oneshot::channel();
        state.last_number += 1;
        let number = state.last_number;
        let party = state.party(person);
        let is_first = party.waiting.is_empty();
        party.waiting.push_back(Waiter {
            number,
            told: sender,
        });
        state.counts.waiting += 1;
        if is_first {
            state.turns.push_back(Arc::clone(person));
        }
        Place {
            slots: self,
            person,
            number,
            told,
        }
    }

    /// How many one person may hold.
    fn each(&self) -> usize {
        (self.settings.slots / 2).max(1)
    }

    /// As if each took a second.
    fn estimate(&self, state: &State) -> Duration {
        let rounds = 1 + state.counts.waiting / self.settings.slots.max(1);
        Duration::from_secs(rounds as u64)
    }

    fn slot(&self, person: &Arc<Person>) -> Slot {
        Slot {
            of: Some((self.clone(), Arc::clone(person))),
        }
    }

    /// Hands out what is free, for as long as somebody may have it.
    fn hand_out(&self, state: &mut State) {
        while state.counts.held < self.settings.slots
            && let Some((person, waiter)) = state.next(self.each())
        {
            match waiter.told.send(Ok(self.slot(&person))) {
                Ok(()) => {
                    state.party(&person).held += 1;
                    state.counts.held += 1;
                }
                // Gone just now: nothing was counted, so there is nothing to give back.
                Err(unsent) => {
                    if let Ok(mut slot) = unsent {
                        slot.of = None;
                    }
                    state.forget_idle(&person);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Asked<'a> {
    Free(Slot),
    Queued(Place<'a>),
}

impl State {
    fn party(&mut self, person: &Arc<Person>) -> &mut Party {
        self.people.entry(Arc::clone(person)).or_default()
    }

    /// The next one to be served: of people in turn, the oldest of each, nobody beyond what each may hold.
    fn next(&mut self, each: usize) -> Option<(Arc<Person>, Waiter)> {
        for _ in 0..self.turns.len() {
            let person = self.turns.pop_front()?;
            let Some(party) = self.people.get_mut(&person) else {
                continue;
            };
            if party.held >= each {
                self.turns.push_back(person);
                continue;
            }
            let Some(waiter) = party.waiting.pop_front() else {
                continue;
            };
            self.counts.waiting -= 1;
            if !party.waiting.is_empty() {
                self.turns.push_back(Arc::clone(&person));
            }
            return Some((person, waiter));
        }
        None
    }

    /// Turns away the newest call of whoever has most in the queue, if that is more than `mine`.
    fn makes_room(&mut self, mine: usize, busy: Busy) -> bool {
        let parties = self.people.iter();
        let longest = parties.max_by_key(|(_, party)| party.waiting.len());
        let Some(person) = longest
            .filter(|(_, party)| party.waiting.len() > mine)
            .map(|(person, _)| Arc::clone(person))
        else {
            return false;
        };
        let Some(waiter) = self.party(&person).waiting.pop_back() else {
            return false;
        };
        self.counts.waiting -= 1;
        // Whoever is gone need not hear of it.
        let _ = waiter.told.send(Err(busy));
        true
    }

    /// Those who neither hold nor wait take no room.
    fn forget_idle(&mut self, person: &Arc<Person>) {
        let sizes = self.people.get(person).map(Party::sizes);
        if sizes == Some((0, 0)) {
            self.people.remove(person);
            self.turns.retain(|other| other != person);
        }
    }
}

impl Party {
    fn sizes(&self) -> (usize, usize) {
        (self.held, self.waiting.len())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        let party = state.party(self.person);
        let before = party.waiting.len();
        party.waiting.retain(|waiter| waiter.number != self.number);
        let left = before - party.waiting.len();
        let is_last = left > 0 && party.waiting.is_empty();
        state.counts.waiting -= left;
        if is_last {
            state.turns.retain(|other| other != self.person);
        }
        state.forget_idle(self.person);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((slots, person)) = self.of.take() else {
            return;
        };
        let mut state = slots.lock();
        state.counts.held -= 1;
        state.party(&person).held -= 1;
        slots.hand_out(&mut state);
        state.forget_idle(&person);
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
