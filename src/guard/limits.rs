//! How often each person may call, in all and each tool. In: who calls what. Out: yes, or how long to wait. This process's
//! own count is asked first, always; where several machines share one, theirs decides too. When the store is away, the
//! own count alone holds, at half the rule: never is anybody unlimited, and what it knew of a flood it still knows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    memory::{Memory, Rules, Whose},
    person::Person,
    rate::{Over, Rule},
    shared::Shared,
};

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Which rule says so.
    pub whose: Whose,
    /// The rule as it holds now.
    pub rule: Rule,
    /// How long to wait.
    pub over: Over,
}

/// Decisions so far, by how they ended; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Let through.
    pub allowed: u64,
    /// Refused: over the limit.
    pub limited: u64,
    /// Refused: blocked for having been over it.
    pub blocked: u64,
    /// Made, either way, without the store that several machines share.
    pub degraded: u64,
}

#[derive(Default)]
struct Counters {
    allowed: AtomicU64,
    limited: AtomicU64,
    blocked: AtomicU64,
    degraded: AtomicU64,
}

pub(super) struct Limits {
    rules: Rules,
    stricter: Rules,
    memory: Memory,
    shared: Option<Arc<Shared>>,
    counters: Counters,
    /// For everything that is asked over HTTP.
    requests: Rule,
    requesters: Memory,
}

impl Limits {
    pub(super) fn new(rules: Rules, shared: Option<Arc<Shared>>) -> Self {
        Self {
            stricter: Rules {
                person: rules.person.halved(),
                tool: rules.tool.halved(),
            },
            requests: rules.person.doubled_without_block(),
            rules,
            memory: Memory::new(),
            shared,
            counters: Counters::default(),
            requesters: Memory::new(),
        }
    }

    /// Whether this call fits; then it is counted.
    pub(super) async fn ask(&self, person: &Arc<Person>, tool: &str) -> Result<(), Excess> {
        let decided = self.decide(person, tool).await;
        let counter = match decided.map_err(|excess| excess.over) {
            Ok(()) => &self.counters.allowed,
            Err(Over::Limit(_)) => &self.counters.limited,
            Err(Over::Block(_)) => &self.counters.blocked,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        decided
    }

    async fn decide(&self, person: &Arc<Person>, tool: &str) -> Result<(), Excess> {
        let is_degraded = self.is_degraded();
        let rules = if is_degraded {
            &self.stricter
        } else {
            &self.rules
        };
        let excess = |(whose, over)| Excess {
            whose,
            rule: match whose {
                Whose::Person => rules.person,
                Whose::Tool => rules.tool,
            },
            over,
        };
        if is_degraded {
            self.counters.degraded.fetch_add(1, Ordering::Relaxed);
        }
        let own = self.memory.ask(person, tool, rules, Instant::now());
        own.map_err(excess)?;
        let Some(shared) = self.shared.as_ref().filter(|_| !is_degraded) else {
            return Ok(());
        };
        match shared.ask(person, tool, rules).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => {
                self.memory.blocked(person, tool, refusal, Instant::now());
                Err(excess(refusal))
            }
            // The own count let it through.
            Err(_) => {
                self.counters.degraded.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Whether this person may ask anything now, calls or not: twice what calls may, so that a call over its limit is
    /// answered as a call.
    pub(super) fn request(&self, person: &Arc<Person>) -> Result<(), Duration> {
        let now = Instant::now();
        let asked = self.requesters.ask_whole(person, &self.requests, now);
        asked.map_err(Over::wait)
    }

    pub(super) fn is_degraded(&self) -> bool {
        let shared = self.shared.as_ref();
        shared.is_some_and(|shared| *shared.degraded().borrow())
    }

    /// Whether the store answers now; `None` where there is none.
    pub(super) async fn store_answers(&self) -> Option<bool> {
        Some(self.shared.as_ref()?.answers().await)
    }

    pub(super) fn degraded(&self) -> Option<watch::Receiver<bool>> {
        self.shared.as_ref().map(|shared| shared.degraded())
    }

    pub(super) fn decisions(&self) -> Decisions {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Decisions {
            allowed: read(&counters.allowed),
            limited: read(&counters.limited),
            blocked: read(&counters.blocked),
            degraded: read(&counters.degraded),
        }
    }
}
