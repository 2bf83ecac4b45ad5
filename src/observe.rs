//! What is seen of each call, and what becomes of it: samples, a row in the console, spans. In: a trail while the call
//! runs, a [`CallRecord`] when it has ended. Out: metrics as text, the last calls. Everything here is bounded, and labels
//! are taken from the catalogue and from our own words, never from a caller.

pub mod arrival;
pub mod audit;
pub mod metrics;
pub mod process;
pub mod recent;
pub mod record;
pub mod traceparent;
pub mod traces;
pub mod trail;

use std::sync::Arc;

pub use arrival::Arrival;
pub use metrics::Metrics;
pub use recent::Recent;
pub use record::{CallRecord, Ending};
pub use traceparent::{Told, TraceContext};
pub use traces::{Exporter, TraceSettings, Traces};
pub use trail::{HopName, SessionUse, Trail};

/// How the log calls the person of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum People {
    /// By sixteen digits that are the same everywhere and are no name.
    #[default]
    Hashed,
    /// By the `sub` of the token.
    Plain,
    /// Not at all.
    Unsaid,
}

/// Told of everything that happens; each part hears of it once.
#[derive(Debug, Default)]
pub struct Observer {
    /// How the log calls people.
    pub people: People,
    /// What is counted.
    pub metrics: Metrics,
    /// The last calls.
    pub recent: Recent,
    /// Where spans are made of calls.
    pub traces: Option<Traces>,
}

impl Observer {
    /// This person, as the log says it.
    #[must_use]
    pub fn named(&self, caller: &record::Caller) -> Option<String> {
        match self.people {
            People::Hashed => Some(caller.hashed()),
            People::Plain => Some(caller.subject.clone()),
            People::Unsaid => None,
        }
    }

    /// A call has ended.
    pub fn call_ended(&self, record: CallRecord) {
        self.metrics.call_ended(&record);
        let record = Arc::new(record);
        if let Some(traces) = &self.traces {
            traces.call_ended(&record);
        }
        self.recent.add(record);
    }
}
