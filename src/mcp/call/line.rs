//! The one line that the log has of a call, and the record that everything else is made of (`observe`). In: what is found
//! out while it runs. Out: the line, with the field names of `telemetry::field`, and the record, once; a call that is
//! given up has them too. Never a token, a body or an argument.

use super::{super::outcome::Outcome, Calls, Incoming};
use crate::{
    backend::{CorrelationId, Errand},
    catalogue::{Effect, Tool},
    observe::{
        CallRecord, Ending, HopName, Observer, Told,
        record::{Caller, milliseconds},
    },
};

/// A call's line while it is being written.
pub(super) struct Line<'a> {
    /// What is known so far.
    pub(super) record: CallRecord,
    errand: Errand,
    observer: &'a Observer,
    is_told: bool,
}

impl<'a> Line<'a> {
    pub(super) fn begin(
        tool: &Tool,
        incoming: &Incoming,
        correlation: CorrelationId,
        calls: &'a Calls,
    ) -> Self {
        let is_write = tool.effect == Effect::Write;
        Self::of(&tool.name, is_write, incoming, correlation, calls)
    }

    /// Of a call of a tool that is gone.
    pub(super) fn of_removed(
        incoming: &Incoming,
        correlation: CorrelationId,
        calls: &'a Calls,
    ) -> Self {
        Self::of(&incoming.tool, false, incoming, correlation, calls)
    }

    fn of(
        tool: &str,
        is_write: bool,
        incoming: &Incoming,
        correlation: CorrelationId,
        calls: &'a Calls,
    ) -> Self {
        let observer = calls.observer();
        observer.metrics.call_began();
        let (seen, caller) = (&incoming.seen, &incoming.caller);
        let errand = seen.errand(correlation, observer.traces.as_ref());
        Self {
            record: CallRecord {
                tool: tool.to_owned(),
                is_write,
                caller: Some(Caller {
                    issuer: caller.issuer().to_owned(),
                    subject: caller.subject().to_owned(),
                }),
                correlation: correlation.to_string(),
                trace: errand.trace.map(Told::call),
                parent: seen.parent,
                client: seen.client.clone(),
                protocol: seen.protocol.clone(),
                began_at: calls.now().saturating_sub(errand.trail.elapsed()),
                ..CallRecord::default()
            },
            errand,
            observer,
            is_told: false,
        }
    }

    /// What every request of this call carries and leaves behind.
    pub(super) fn errand(&self) -> Errand {
        self.errand.clone()
    }

    /// The call ended so. Failures say their cause, which never holds a token, a body or an argument.
    pub(super) fn end(mut self, outcome: &Outcome, cause: Option<String>) {
        self.record.cause = cause;
        match outcome {
            Outcome::Success(_) => self.tell(Ending::Ok, None),
            Outcome::Failure(failure) => {
                self.tell(Ending::Failed(failure.code.as_str()), failure.status);
            }
        }
    }

    fn tell(&mut self, ending: Ending, status: Option<u16>) {
        self.is_told = true;
        let trail = &self.errand.trail;
        let mut record = std::mem::take(&mut self.record);
        record.ending = ending;
        record.took = trail.elapsed();
        record.marks = trail.marks();
        record.marks.status = status.or(record.marks.status);
        log(&record, self.observer);
        self.observer.call_ended(record);
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(Ending::Cancelled, None);
        }
    }
}

fn log(record: &CallRecord, observer: &Observer) {
    let marks = &record.marks;
    let took = |name| marks.took(name).map(milliseconds);
    let caller = record.caller.as_ref();
    tracing::info!(
        tool.name = record.tool,
        tool.alias = record.alias,
        tenant.id = record.tenant,
        caller.subject = caller.and_then(|caller| observer.named(caller)),
        client = record.client,
        mcp.protocol = record.protocol,
        request.id = record.correlation,
        trace.id = record.trace.map(|trace| trace.trace.to_string()),
        outcome = record.ending.as_str(),
        backend.status = marks.status,
        duration_ms = milliseconds(record.took),
        backend.duration_ms = record.backend().map(milliseconds),
        backend.session_ms = took(HopName::Session),
        backend.retries = (marks.retries > 0).then_some(marks.retries),
        backend.request_bytes = marks.request_bytes,
        backend.response_bytes = marks.response_bytes,
        repeated = record.is_repeated.then_some(true),
        error = record.cause,
        "tool call"
    );
}
