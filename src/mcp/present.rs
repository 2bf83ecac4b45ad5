//! The backend's answer → what the model reads; every error of a call → what happened and what to do next. The one
//! place that words failures (design §8). Exhaustive on purpose: a new error does not compile until it has words.
//! Internal addresses, tokens and bodies never come this way; the correlation id always does.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    call::CallError,
    outcome::{Code, Failure},
};
use crate::{
    backend::{BackendError, CorrelationId, Rejection, ReplyBody, Stage, rejection::Versions},
    catalogue::{ArgumentErrors, Effect, ResultShape, Tool},
};

/// The result in the shape the tool declares.
pub(super) fn result(tool: &Tool, body: ReplyBody) -> Result<Value, CallError> {
    let value = match body {
        ReplyBody::Json(value) => value,
        ReplyBody::Empty => Value::Object(Map::new()),
    };
    match tool.result {
        ResultShape::Any if value.is_object() => Ok(value),
        ResultShape::Any => Ok(json!({ "result": value })),
        ResultShape::Item => item(value).ok_or(CallError::Misshapen("record")),
        ResultShape::List => list(value).ok_or(CallError::Misshapen("page of records")),
    }
}

/// Always the same five keys, as the original shows them (contract §7.5): absent ones are null, others are dropped.
fn item(value: Value) -> Option<Value> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    let mut take = |name: &str| fields.swap_remove(name).unwrap_or(Value::Null);
    let (uid, version) = (take("uid"), take("version"));
    (uid.is_string() && version.is_number()).then_some(())?;
    Some(json!({
        "uid": uid,
        "version": version,
        "updatedAt": take("updatedAt"),
        "deletedAt": take("deletedAt"),
        "payload": take("payload"),
    }))
}

fn list(value: Value) -> Option<Value> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    let Some(Value::Array(items)) = fields.swap_remove("items") else {
        return None;
    };
    let items: Vec<Value> = items.into_iter().map(item).collect::<Option<_>>()?;
    let cursor = fields.swap_remove("nextCursor").unwrap_or(Value::Null);
    Some(json!({ "items": items, "nextCursor": cursor }))
}

/// A failure in words and fields.
pub(super) fn failure(tool: &Tool, error: &CallError, correlation: CorrelationId) -> Failure {
    let failure = match error {
        CallError::Arguments(errors) => arguments(tool, errors),
        CallError::MissingScopes(needed) => plain(
            Code::Forbidden,
            format!(
                "{} needs the scopes {}, which your token does not grant: sign in again with them",
                tool.name,
                needed.join(" ")
            ),
        ),
        CallError::Identity(never) => match *never {},
        CallError::Misshapen(what) => plain(
            Code::Internal,
            format!(
                "the backend did {} but its answer is no {what}: the operator has to compare the catalogue with the backend",
                tool.name
            ),
        ),
        CallError::Backend {
            source,
            may_have_written,
        } => backend(tool, source, *may_have_written),
    };
    Failure {
        correlation_id: correlation.to_string(),
        ..failure
    }
}

/// A failure with nothing but its code and words.
fn plain(code: Code, message: String) -> Failure {
    Failure {
        code,
        message,
        status: None,
        field: None,
        allowed: Vec::new(),
        retryable: false,
        retry_after: None,
        correlation_id: String::new(),
        backend_message: None,
    }
}

fn arguments(tool: &Tool, errors: &ArgumentErrors) -> Failure {
    Failure {
        field: Some(errors.first.field.clone()),
        allowed: errors.first.allowed.clone(),
        ..plain(
            Code::ValidationError,
            format!("{} was not run: {errors}", tool.name),
        )
    }
}

fn backend(tool: &Tool, error: &BackendError, may_have_written: bool) -> Failure {
    let name = &tool.name;
    // Said after failures that leave it open whether a write was done.
    let doubt = if may_have_written {
        "; it is not known whether the change was made: read before you repeat it"
    } else if tool.effect == Effect::Write {
        "; nothing was changed"
    } else {
        ""
    };
    let unavailable = |what: &str| Failure {
        retryable: !may_have_written,
        ..plain(Code::BackendUnavailable, format!("{what}{doubt}"))
    };
    match error {
        BackendError::Unreachable { .. } => {
            unavailable("the backend cannot be reached right now: try again shortly")
        }
        BackendError::Broken { .. } => unavailable("the connection to the backend broke"),
        BackendError::TimedOut { after, stage, .. } => Failure {
            retryable: !may_have_written,
            ..plain(
                Code::Timeout,
                format!(
                    "{name} timed out after {} waiting for the backend{}{doubt}",
                    spelled(*after),
                    match stage {
                        Stage::Opening => " to open a session",
                        Stage::Request | Stage::Closing => "",
                    }
                ),
            )
        },
        BackendError::Unreadable { status, .. } => Failure {
            status: Some(*status),
            ..unavailable("the backend's answer could not be read (cut short, or not JSON)")
        },
        BackendError::TooLarge { limit, .. } => plain(
            Code::ResponseTooLarge,
            format!(
                "the backend's answer is larger than {limit} bytes: ask for less, such as a smaller limit{doubt}"
            ),
        ),
        BackendError::Redirected { status, .. } => Failure {
            status: Some(*status),
            ..plain(
                Code::BackendRejected,
                format!(
                    "the backend answered with a redirect (HTTP {status}), which is never followed: the operator has to correct the backend's address{doubt}"
                ),
            )
        },
        BackendError::SessionUnusable { .. } => plain(
            Code::Internal,
            format!(
                "the backend's session lacks what the catalogue expects of it, so {name} was not sent: the operator has to compare the two"
            ),
        ),
        BackendError::UnsafeTarget { .. } => plain(
            Code::Internal,
            format!(
                "{name} would have asked the backend for another path than the catalogue says, so it was not sent"
            ),
        ),
        BackendError::Stale(rejection) => told(
            rejection,
            Failure {
                retryable: true,
                ..plain(
                    Code::BackendUnavailable,
                    format!(
                        "the backend refused two fresh sessions as stale, so {name} was not run: try again shortly"
                    ),
                )
            },
        ),
        BackendError::SessionRefused(rejection) => rejected(tool, rejection, "; nothing was sent"),
        BackendError::Rejected(rejection) => rejected(tool, rejection, doubt),
    }
}

/// `30 s`, `500 ms`.
fn spelled(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// Adds what the backend itself said.
fn told(rejection: &Rejection, failure: Failure) -> Failure {
    let message = match &rejection.message {
        Some(said) => format!("{} (backend: {said})", failure.message),
        None => failure.message,
    };
    Failure {
        status: Some(rejection.status),
        retry_after: rejection.retry_after,
        backend_message: rejection.message.clone(),
        message,
        ..failure
    }
}

/// A status other than success, from the call or from opening its session.
fn rejected(tool: &Tool, rejection: &Rejection, doubt: &str) -> Failure {
    let status = rejection.status;
    let (code, message, retryable) = match status {
        401 => (
            Code::Unauthenticated,
            "the backend does not accept your token, though toolbridge did: the operator has to compare their token settings".to_owned(),
            false,
        ),
        403 => (
            Code::Forbidden,
            "the backend does not let you do this in this tenant".to_owned(),
            false,
        ),
        404 => (Code::NotFound, not_found(tool), false),
        410 => (Code::Gone, gone(tool, rejection), false),
        412 => (Code::VersionConflict, conflict(tool, rejection.versions), false),
        429 => (Code::RateLimited, slow_down(rejection), true),
        408 | 504 => (
            Code::Timeout,
            format!("{} timed out behind the backend (HTTP {status}){doubt}", tool.name),
            tool.effect == Effect::Read,
        ),
        502 | 503 => (
            Code::BackendUnavailable,
            format!("the backend is not available right now (HTTP {status}): try again shortly{doubt}"),
            tool.effect == Effect::Read,
        ),
        500 => (Code::BackendRejected, failed(tool, doubt), false),
        _ => (
            Code::BackendRejected,
            format!("the backend refused {} (HTTP {status}){doubt}", tool.name),
            false,
        ),
    };
    told(
        rejection,
        Failure {
            retryable,
            ..plain(code, message)
        },
    )
}

fn not_found(tool: &Tool) -> String {
    match &tool.subject {
        Some(subject) => {
            let next = match &subject.list {
                Some(list) => format!(": {list} shows the ones there are"),
                None => String::new(),
            };
            format!("there is no such {}{next}", subject.label)
        }
        None => "the backend has nothing there".to_owned(),
    }
}

fn gone(tool: &Tool, rejection: &Rejection) -> String {
    let label = tool.subject.as_ref().map_or("record", |s| s.label.as_str());
    let when = match &rejection.deleted_at {
        Some(when) => format!(" at {when}"),
        None => String::new(),
    };
    let next = match tool.subject.as_ref().and_then(|s| s.get.as_ref()) {
        Some(get) => format!("; {get} with include_deleted=true still shows it"),
        None => String::new(),
    };
    format!("this {label} was deleted{when}{next}")
}

fn conflict(tool: &Tool, versions: Option<Versions>) -> String {
    let label = tool.subject.as_ref().map_or("record", |s| s.label.as_str());
    let read = match tool.subject.as_ref().and_then(|s| s.get.as_ref()) {
        Some(get) => format!("read it with {get}"),
        None => "read it".to_owned(),
    };
    match versions {
        Some(Versions { expected, actual }) => format!(
            "the {label} has changed: it is at version {actual}, not {expected}; {read}, then repeat with if_match {actual}"
        ),
        None => format!(
            "the {label} has changed since; {read}, then repeat with its version as if_match"
        ),
    }
}

fn slow_down(rejection: &Rejection) -> String {
    match rejection.retry_after {
        Some(seconds) => format!("too many requests: nothing was done, try again in {seconds} s"),
        None => "too many requests: nothing was done, try again in a while".to_owned(),
    }
}

/// A 500. The original answers so when a comment's or message's parent is missing (contract §5.4, T20), which the model
/// can mend.
fn failed(tool: &Tool, doubt: &str) -> String {
    let references = tool.subject.iter().flat_map(|subject| &subject.references);
    let references: Vec<_> = references.map(String::as_str).collect();
    if references.is_empty() || tool.effect == Effect::Read {
        return format!("the backend failed to do {}{doubt}", tool.name);
    }
    format!(
        "the backend failed to do {}; often the record it hangs on ({}) is missing or deleted: check that it exists",
        tool.name,
        references.join(", ")
    )
}
