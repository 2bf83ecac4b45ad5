//! What the audit is told of a write call. In: the call as it arrived, and how it ended. Out: an entry; none of a call that
//! our own limits refused, because whoever calls too often must not be able to drive others' lines out of the files.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    super::{outcome::Outcome, writes::Fate},
    CallError, Calls, Incoming,
    line::Line,
};
use crate::{
    backend::{BackendError, CorrelationId},
    catalogue::{Effect, Tool},
    observe::audit::{Audit, Entry, LONGEST_ARGUMENTS},
};

/// A write call of which there will be a line.
pub(super) struct Audited<'a> {
    audit: &'a Audit,
    entry: Entry,
    names_records: bool,
    refuses: Option<Refusal>,
}

/// What an error says that its outcome does not.
struct Refusal {
    /// There will be no line of it.
    is_silent: bool,
    /// The version that the backend holds.
    actual: Option<u64>,
}

/// What is known of a call when it has ended.
pub(super) struct End<'a> {
    outcome: &'a Outcome,
    fate: Fate,
    tenant: Option<&'a str>,
    /// With which the backend answered the call's own request, or the look for what an earlier one made.
    status: Option<u16>,
    is_repeated: bool,
    /// The name under which it was sent.
    name: Option<Uuid>,
}

impl Calls {
    /// Begins a line, where there is an audit and the call writes.
    pub(super) fn audited(
        &self,
        tool: &Tool,
        incoming: &Incoming,
        correlation: CorrelationId,
    ) -> Option<Audited<'_>> {
        let audit = self.audit.as_deref()?;
        (tool.effect == Effect::Write).then_some(())?;
        let (arguments, arguments_left_out) = if audit.wants_arguments() {
            bounded(&incoming.arguments)
        } else {
            (None, None)
        };
        let record = tool.record_named(&incoming.arguments);
        let entry = Entry {
            at: std::time::Duration::ZERO,
            tenant: None,
            issuer: incoming.caller.issuer().to_owned(),
            subject: incoming.caller.subject().to_owned(),
            client: incoming.seen.client.clone(),
            tool: tool.name.clone(),
            entity: tool.subject.as_ref().map(|it| it.entity.clone()),
            record: record.map(|uid| uid.to_string()),
            version_before: tool.version_named(&incoming.arguments),
            version_after: None,
            outcome: "ok",
            status: None,
            repeated: false,
            may_have_written: true,
            correlation_id: correlation.to_string(),
            arguments,
            arguments_left_out,
        };
        Some(Audited {
            audit,
            entry,
            names_records: tool.names_records(),
            refuses: None,
        })
    }

    /// Whether the line of a call that is sent now could be written, if it is to have one.
    pub(super) async fn can_be_audited(&self, tool: &Tool) -> Result<(), CallError> {
        match &self.audit {
            Some(audit) if tool.effect == Effect::Write => Ok(audit.admits().await?),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes the line, if there is to be one.
    pub(super) async fn audits(&self, audited: Audited<'_>, end: End<'_>) {
        audited.ends(end, self.now()).await;
    }
}

impl<'a> End<'a> {
    /// A call that ended so; `name` is the one under which it was sent.
    pub(super) fn of(
        outcome: &'a Outcome,
        fate: Fate,
        line: &'a Line<'_>,
        name: Option<Uuid>,
    ) -> Self {
        Self {
            outcome,
            fate,
            tenant: line.record.tenant.as_deref(),
            status: line.errand().trail.marks().status,
            is_repeated: line.record.is_repeated,
            name,
        }
    }
}

impl Audited<'_> {
    /// The call failed so.
    pub(super) fn fails(&mut self, error: &CallError) {
        self.refuses = Some(Refusal {
            is_silent: matches!(error, CallError::Refused(_) | CallError::Unaudited(_)),
            actual: actual(error),
        });
    }

    async fn ends(self, end: End<'_>, now: std::time::Duration) {
        let mut entry = self.entry;
        if self.refuses.as_ref().is_some_and(|it| it.is_silent) {
            return;
        }
        entry.at = now;
        entry.tenant = end.tenant.map(str::to_owned);
        entry.repeated = end.is_repeated;
        entry.status = end.status.filter(|_| !end.is_repeated);
        match end.outcome {
            Outcome::Success(text) => {
                let made: Made = serde_json::from_slice(text.as_bytes()).unwrap_or_default();
                // A record that has no uid of ours is known by the backend's.
                let uid = made.uid.as_str().filter(|uid| Uuid::try_parse(uid).is_ok());
                entry.record = uid.map(str::to_owned).or(entry.record);
                entry.version_after = made.version.as_u64();
            }
            Outcome::Failure(failure) => {
                entry.outcome = failure.code.as_str();
                entry.status = failure.status.or(entry.status);
                // Nobody compared it.
                entry.version_before = self.refuses.as_ref().and_then(|it| it.actual);
                // Another call sent it, and its line says what became of it.
                entry.may_have_written = end.fate != Fate::Undone;
                let name = end
                    .name
                    .filter(|_| entry.may_have_written && self.names_records);
                entry.record = entry.record.or(name.map(|name| name.to_string()));
            }
        }
        self.audit.write(entry).await;
    }
}

/// What a result says of the record it is about, if it is about one.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Made {
    uid: Value,
    version: Value,
}

/// The backend's own version, where it refused another one.
fn actual(error: &CallError) -> Option<u64> {
    let CallError::Backend { source, .. } = error else {
        return None;
    };
    match &**source {
        BackendError::Rejected(rejection) => Some(rejection.versions?.actual),
        _ => None,
    }
}

/// The arguments, or how many bytes they have where those are too many.
fn bounded(arguments: &Map<String, Value>) -> (Option<Map<String, Value>>, Option<usize>) {
    let length = serde_json::to_vec(arguments).map_or(0, |text| text.len());
    if length > LONGEST_ARGUMENTS {
        (None, Some(length))
    } else {
        (Some(arguments.clone()), None)
    }
}
