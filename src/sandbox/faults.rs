//! What can be made to go wrong, from Rust or over `/_sandbox/faults`: a cheap handle on switches that the pipeline
//! asks on every request, and gates that hold requests so that a test can wait for them instead of sleeping.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Which requests a fault is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requests {
    /// Every request, health and information included.
    #[default]
    All,
    /// `/v1/sync/sessions` and below.
    Sessions,
    /// Token exchange and tenant resolution.
    Identity,
    /// The entity requests.
    Entities,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before anything is looked at: nothing is stored.
    #[default]
    Arrival,
    /// After the request was carried out and committed, in place of its answer.
    Answer,
}

/// Everything that can be switched. The default is a backend in good health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Delay before a request is looked at.
    pub latency: Option<Latency>,
    /// Answers that replace the right one; the first that fits a request and is not used up strikes.
    pub faults: Vec<Fault>,
    /// Every session counts as expired when it is used.
    pub expire_sessions: bool,
    /// After this many session openings the user's epoch is raised, so that the entity request behind each meets 409.
    pub bump_epoch_after_sessions: u32,
    /// Milliseconds the sandbox's clock is ahead (behind, if negative) when it checks signed timestamps.
    pub clock_offset_ms: i64,
    /// A get also finds other users' records, as a backend without isolation would.
    pub leak_foreign_records: bool,
}

/// A delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Milliseconds.
    pub ms: u64,
    /// Which requests are delayed.
    #[serde(default)]
    pub on: Requests,
}

/// A wrong answer, for some requests and a number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests meet it.
    #[serde(default)]
    pub on: Requests,
    /// Before the request is carried out, or after.
    #[serde(default)]
    pub when: Moment,
    /// How many times; every time, if absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub does: Failure,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Failure {
    /// A JSON error with this status.
    Status {
        /// Any status from 200 to 599.
        code: u16,
        /// `Retry-After` in seconds.
        #[serde(default)]
        retry_after_s: Option<u64>,
    },
    /// 200 with a web page, as a captive portal or a misplaced proxy answers.
    Html,
    /// 307 to this address.
    Redirect {
        /// The `Location`.
        location: String,
    },
    /// 200 with a record of this size.
    Huge {
        /// Size of the body in MiB.
        megabytes: usize,
        /// Without `Content-Length`.
        #[serde(default)]
        chunked: bool,
    },
    /// The connection ends without an answer.
    Drop,
    /// The request is carried out and its answer breaks off half-way, the connection with it.
    Truncate,
}

/// A handle on one sandbox's switches and gates; clones share them.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    switches: Switches,
    gates: Vec<Arc<Gate>>,
}

struct Gate {
    on: Requests,
    moment: Moment,
    arrived: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

/// A closed gate. The requests it is for stop there until it is released or dropped.
pub struct Hold {
    faults: Faults,
    gate: Arc<Gate>,
}

impl Faults {
    /// The switches as they stand; used-up faults are gone.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.lock().switches.clone()
    }

    /// Replaces all switches.
    pub fn set(&self, switches: Switches) {
        self.lock().switches = switches;
    }

    /// Changes some switches.
    pub fn change(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.lock().switches);
    }

    /// Adds one fault behind those that are set.
    pub fn add(&self, fault: Fault) {
        self.lock().switches.faults.push(fault);
    }

    /// Back to good health. Holds stay.
    pub fn clear(&self) {
        self.set(Switches::default());
    }

    /// Stops every one of these requests at this moment, until the hold is released.
    #[must_use]
    pub fn hold(&self, on: Requests, moment: Moment) -> Hold {
        let gate = Arc::new(Gate {
            on,
            moment,
            arrived: watch::Sender::new(0),
            is_open: watch::Sender::new(false),
        });
        self.lock().gates.push(Arc::clone(&gate));
        Hold {
            faults: self.clone(),
            gate,
        }
    }

    /// Latency (on arrival) and gates, in that order.
    pub(super) async fn pass(&self, requests: Requests, moment: Moment) {
        let (delay, gates) = {
            let state = self.lock();
            let latency = state
                .switches
                .latency
                .filter(|latency| latency.on.covers(requests));
            let gates = state.gates.iter();
            let stops = |gate: &&Arc<Gate>| gate.moment == moment && gate.on.covers(requests);
            let gates: Vec<_> = gates.filter(stops).map(Arc::clone).collect();
            (latency.map(|latency| latency.ms), gates)
        };
        if let Some(ms) = delay.filter(|_| moment == Moment::Arrival) {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        for gate in gates {
            gate.arrived.send_modify(|count| *count += 1);
            // The gate's own sender is alive, so this waits for the release and cannot fail before it.
            let _ = gate.is_open.subscribe().wait_for(|is_open| *is_open).await;
        }
    }

    /// The fault that strikes this request, counted.
    pub(super) fn strike(&self, requests: Requests, moment: Moment) -> Option<Failure> {
        let faults = &mut self.lock().switches.faults;
        let at = faults.iter().position(|fault| {
            fault.moment() == moment && fault.on.covers(requests) && fault.times != Some(0)
        })?;
        let fault = faults.get_mut(at)?;
        let failure = fault.does.clone();
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                faults.remove(at);
            }
        }
        Some(failure)
    }

    /// Whether the epoch is to be raised behind the session that was just opened, counted.
    pub(super) fn takes_epoch_bump(&self) -> bool {
        let left = &mut self.lock().switches.bump_epoch_after_sessions;
        let bumps = *left > 0;
        *left = left.saturating_sub(1);
        bumps
    }

    pub(super) fn expires_sessions(&self) -> bool {
        self.lock().switches.expire_sessions
    }

    pub(super) fn clock_offset_ms(&self) -> i64 {
        self.lock().switches.clock_offset_ms
    }

    pub(super) fn leaks(&self) -> bool {
        self.lock().switches.leak_foreign_records
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    fn covers(self, request: Self) -> bool {
        self == Self::All || self == request
    }
}

impl Fault {
    /// A truncated answer needs an answer to truncate.
    fn moment(&self) -> Moment {
        match self.does {
            Failure::Truncate => Moment::Answer,
            _ => self.when,
        }
    }
}

impl Hold {
    /// Waits until this many requests have come to the gate, counted since it was closed.
    pub async fn reached(&self, requests: usize) {
        let mut arrived = self.gate.arrived.subscribe();
        // `self` keeps the sender alive.
        let _ = arrived.wait_for(|count| *count >= requests).await;
    }

    /// Lets every held request go on; later ones are not stopped.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let gates = &mut self.faults.lock().gates;
        gates.retain(|gate| !Arc::ptr_eq(gate, &self.gate));
        self.gate.is_open.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_scope_and_as_often_as_it_says() {
        let faults = Faults::default();
        faults.add(Fault {
            on: Requests::Sessions,
            when: Moment::Arrival,
            times: Some(2),
            does: Failure::Html,
        });
        assert_eq!(faults.strike(Requests::Entities, Moment::Arrival), None);
        assert_eq!(faults.strike(Requests::Sessions, Moment::Answer), None);
        for _ in 0..2 {
            let failure = faults.strike(Requests::Sessions, Moment::Arrival);
            assert_eq!(failure, Some(Failure::Html));
        }
        assert_eq!(faults.strike(Requests::Sessions, Moment::Arrival), None);
        assert_eq!(faults.switches(), Switches::default());
    }

    #[test]
    fn switches_are_read_from_json_and_unknown_ones_refused() {
        let switches: Switches = serde_json::from_str(
            r#"{"faults":[{"on":"entities","times":1,"does":{"status":{"code":503,"retry_after_s":2}}},
                          {"when":"answer","does":"drop"}],
                "latency":{"ms":5},"bump_epoch_after_sessions":1}"#,
        )
        .unwrap();
        assert_eq!(switches.faults.len(), 2);
        assert!(serde_json::from_str::<Switches>(r#"{"latenzy":1}"#).is_err());
    }
}
