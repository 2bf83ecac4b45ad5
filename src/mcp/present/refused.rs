//! The backend's "no", by status: which code, what it means for the model, what to do next (design §8).

use super::plain;
use crate::{
    backend::{Rejection, rejection::Versions},
    catalogue::{Effect, Tool},
    mcp::outcome::{Code, Failure},
};

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

/// Two sessions in a row were refused. The backend's own words stay away: they tell its client to open a session, which
/// is not the model's to do.
pub(super) fn stale(tool: &Tool, rejection: &Rejection) -> Failure {
    let name = &tool.name;
    Failure {
        status: Some(rejection.status),
        retry_after: rejection.retry_after,
        retryable: true,
        ..plain(
            Code::BackendUnavailable,
            format!(
                "the backend refused two fresh sessions as stale, so {name} was not run: try again shortly"
            ),
        )
    }
}

/// A status other than success, from the call or from opening its session; `doubt` says what is known of a write, and
/// `is_safe` whether it may be repeated.
pub(super) fn refused(tool: &Tool, rejection: &Rejection, doubt: &str, is_safe: bool) -> Failure {
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
            is_safe,
        ),
        502 | 503 => (
            Code::BackendUnavailable,
            format!("the backend is not available right now (HTTP {status}): try again shortly{doubt}"),
            is_safe,
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
