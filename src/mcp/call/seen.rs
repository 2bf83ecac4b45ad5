//! What is only looked at of a call, and changes nothing: when its request came, by which client, in which revision, in
//! which trace. In: a request, so anything. Out: short texts for the log, and a trace context that was parsed.

use http::{header::USER_AGENT, request::Parts};
use serde_json::Value;

use crate::{
    backend::{CorrelationId, Errand},
    observe::{Arrival, Told, TraceContext, Traces, Trail, traceparent::TRACEPARENT},
};

/// Of a client's name, and of its version, so much is kept.
const LONGEST: usize = 64;

/// What is only looked at of a call.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    arrival: Option<Arrival>,
    /// What the client calls itself.
    pub(super) client: Option<String>,
    /// The revision of MCP.
    pub(super) protocol: Option<String>,
    /// Which span caused it: the one in `_meta`, whatever carries the message; else the one of the HTTP request (protocol
    /// page D).
    pub(super) parent: Option<TraceContext>,
    /// The id under which it runs, where whoever brings it chose one of ours.
    correlation: Option<CorrelationId>,
}

/// What a call shows of itself, however it came.
pub(in crate::mcp) struct Sight<'a> {
    /// The HTTP request, where there is one.
    pub(in crate::mcp) parts: Option<&'a Parts>,
    /// What `_meta` says.
    pub(in crate::mcp) traceparent: Option<&'a Value>,
    /// What the client calls itself, and its version.
    pub(in crate::mcp) client: Option<(&'a str, &'a str)>,
    /// The revision of MCP.
    pub(in crate::mcp) protocol: Option<&'a str>,
}

impl Seen {
    /// Of this call.
    pub(in crate::mcp) fn of(sight: Sight<'_>) -> Self {
        let parts = sight.parts;
        let header = |name| parts.and_then(|parts| parts.headers.get(name)?.to_str().ok());
        let in_meta = sight.traceparent;
        let in_meta = in_meta.and_then(|text| TraceContext::parse(text.as_str()?));
        let named = sight.client;
        let named = named.map(|(name, version)| format!("{} {}", short(name), short(version)));
        Self {
            arrival: parts.and_then(|parts| parts.extensions.get().cloned()),
            client: named.or_else(|| header(USER_AGENT).map(short)),
            protocol: sight.protocol.map(short),
            parent: in_meta.or_else(|| {
                let name = http::HeaderName::from_static(TRACEPARENT);
                TraceContext::parse(header(name)?)
            }),
            correlation: None,
        }
    }

    /// Of a call that the operator tries: the console finds it again by this id.
    #[must_use]
    pub fn in_console(arrival: Arrival, correlation: CorrelationId) -> Self {
        Self {
            arrival: Some(arrival),
            client: Some("console".to_owned()),
            correlation: Some(correlation),
            ..Self::default()
        }
    }

    /// The id of the call; never one that a client made.
    pub(super) fn correlation(&self) -> CorrelationId {
        self.correlation.unwrap_or_else(CorrelationId::random)
    }

    /// The call's business with the backend.
    pub(super) fn errand(&self, correlation: CorrelationId, traces: Option<&Traces>) -> Errand {
        Errand {
            correlation,
            trace: match traces {
                Some(traces) => Some(Told::Ours(traces.begin(self.parent))),
                None => self.parent.map(Told::AsItCame),
            },
            trail: self
                .arrival
                .as_ref()
                .map_or_else(Trail::begin, Arrival::take),
        }
    }
}

fn short(text: &str) -> String {
    // What nearly all texts are.
    if text.len() <= LONGEST && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.to_owned();
    }
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST)
        .collect()
}
