//! The backend's answer → what the model reads; every error of a call → what happened and what to do next. The one
//! place that words failures (design §8). Exhaustive on purpose: a new error does not compile until it has words.
//! Internal addresses, tokens and bodies never come this way; the correlation id always does.

mod guarded;
pub(super) mod identity;
mod refused;
mod shape;

use std::time::Duration;

use super::{
    call::CallError,
    limit::Limit,
    outcome::{Code, Failure},
};
use crate::{
    backend::{BackendError, CorrelationId, Limited, ReplyBody, Stage},
    catalogue::{ArgumentErrors, Effect, ResultShape, Tool},
    json_text::JsonText,
};

/// The result in the shape the tool declares.
pub(super) fn result(tool: &Tool, body: ReplyBody) -> Result<JsonText, CallError> {
    let text = match body {
        ReplyBody::Json(text) => text,
        ReplyBody::Empty => JsonText::of(&serde_json::json!({})),
    };
    match tool.result {
        ResultShape::Any => shape::any(text).ok_or(CallError::Misshapen("JSON of ordinary depth")),
        ResultShape::Item => shape::item(&text).ok_or(CallError::Misshapen("record")),
        ResultShape::List => shape::list(&text).ok_or(CallError::Misshapen("page of records")),
    }
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
        CallError::Identity(error) => identity::failure(tool, error),
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
        CallError::OutOfTime(after) => Failure {
            retryable: true,
            ..plain(
                Code::Timeout,
                format!(
                    "{} timed out after {} before it was sent to the backend: finding out who calls took too long",
                    tool.name,
                    spelled(*after)
                ),
            )
        },
        CallError::Late(limit) => out_of_time(tool, limit, false),
        CallError::NameInUse => plain(
            Code::ValidationError,
            format!(
                "{} was not run: the idempotency key of this request belongs to another call; use a new one",
                tool.name
            ),
        ),
        CallError::StillRunning => Failure {
            retryable: true,
            ..plain(
                Code::Timeout,
                format!(
                    "the same call of {} still runs, and this one waited for it in vain; repeating it later is safe: it is not done twice",
                    tool.name
                ),
            )
        },
        CallError::Unaudited(_) => guarded::unaudited(tool),
        CallError::Refused(refused) => guarded::failure(tool, refused),
    };
    Failure {
        correlation_id: correlation.to_string(),
        ..failure
    }
}

/// A write whose client does not wait any longer: it goes on, and nobody knows yet how it ends.
pub(super) fn late(tool: &Tool, limit: &Limit, correlation: CorrelationId) -> Failure {
    Failure {
        correlation_id: correlation.to_string(),
        ..out_of_time(tool, limit, true)
    }
}

fn out_of_time(tool: &Tool, limit: &Limit, may_have_written: bool) -> Failure {
    let (name, after, said) = (&tool.name, spelled(limit.after), limit.said);
    let (doubt, retryable) = (
        doubt(tool, may_have_written),
        is_safe(tool, may_have_written),
    );
    Failure {
        retryable,
        ..plain(
            Code::Timeout,
            format!(
                "{name} took longer than the {after} that your client allows it ({said}){doubt}"
            ),
        )
    }
}

/// A failure with nothing but its code and words.
pub(super) fn plain(code: Code, message: String) -> Failure {
    Failure {
        code,
        message,
        status: None,
        field: None,
        allowed: Vec::new(),
        retryable: false,
        retry_after: None,
        organizations: Vec::new(),
        correlation_id: String::new(),
        backend_message: None,
    }
}

/// A tool that is gone; `instead` is what the catalogue says of it.
pub(super) fn removed(name: &str, instead: &str, correlation: CorrelationId) -> Failure {
    let message = format!("{name} was not run, because there is no such tool any more: {instead}");
    Failure {
        correlation_id: correlation.to_string(),
        ..plain(Code::Gone, message)
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
    let (doubt, retryable) = (
        doubt(tool, may_have_written),
        is_safe(tool, may_have_written),
    );
    let unavailable = |what: &str| Failure {
        retryable,
        ..plain(Code::BackendUnavailable, format!("{what}{doubt}"))
    };
    match error {
        BackendError::Unreachable { .. } => {
            unavailable("the backend cannot be reached right now: try again shortly")
        }
        BackendError::Broken { .. } => unavailable("the connection to the backend broke"),
        BackendError::TimedOut {
            stage,
            limit,
            after,
            ..
        } => Failure {
            retryable,
            ..plain(
                Code::Timeout,
                timed_out(tool, (*limit, *after), *stage) + doubt,
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
        BackendError::Redirected { status, .. } => redirected(*status, doubt),
        BackendError::Crowded { retry_after } => crowded(tool, *retry_after),
        BackendError::Busy(busy) => guarded::busy(tool, *busy),
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
        BackendError::Stale(rejection) => refused::stale(tool, rejection),
        BackendError::SessionRefused(rejection) => {
            refused::refused(tool, rejection, "; nothing was sent", true)
        }
        BackendError::Rejected(rejection) => refused::refused(tool, rejection, doubt, retryable),
    }
}

/// The person's own calls are in the way.
fn crowded(tool: &Tool, retry_after: u64) -> Failure {
    let name = &tool.name;
    Failure {
        retryable: true,
        retry_after: Some(retry_after),
        ..plain(
            Code::RateLimited,
            format!(
                "too many calls of yours wait for the backend: {name} was not sent, try again in {retry_after} s"
            ),
        )
    }
}

/// A redirect is an operator's matter.
fn redirected(status: u16, doubt: &str) -> Failure {
    Failure {
        status: Some(status),
        ..plain(
            Code::BackendRejected,
            format!(
                "the backend answered with a redirect (HTTP {status}), which is never followed: the operator has to correct the backend's address{doubt}"
            ),
        )
    }
}

/// Whether the same call may be made again without doing anything twice.
fn is_safe(tool: &Tool, may_have_written: bool) -> bool {
    !may_have_written || tool.names_records()
}

/// What is said of a write after a failure; a read changes nothing and needs no words.
fn doubt(tool: &Tool, may_have_written: bool) -> &'static str {
    if may_have_written && tool.names_records() {
        "; it is not known whether the record was made: repeat the same call, which makes no second one"
    } else if may_have_written {
        "; it is not known whether the change was made: read before you repeat it"
    } else if tool.effect == Effect::Write {
        "; nothing was changed"
    } else {
        ""
    }
}

/// Says which limit it was, and how long that is.
fn timed_out(tool: &Tool, (limit, after): (Limited, Duration), stage: Stage) -> String {
    let waiting = match (limit, stage) {
        (Limited::Connecting, _) => "connecting to the backend",
        (_, Stage::Opening) => "waiting for the backend to open a session",
        (_, Stage::Request | Stage::Closing) => "waiting for the backend",
    };
    let whole = match limit {
        Limited::Connecting | Limited::Request => "",
        Limited::Call => ", the most that one call may take,",
    };
    let (name, after) = (&tool.name, spelled(after));
    format!("{name} timed out after {after}{whole} {waiting}")
}

/// `30 s`, `500 ms`.
fn spelled(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
