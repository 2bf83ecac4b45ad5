//! Why a caller has no identity at the backend, in words. Nothing was sent to the backend then. A token endpoint that
//! refuses us is the operator's matter: its reason is in the log alone, and it never becomes the caller's 401.

use super::{doubt, plain};
use crate::{
    catalogue::Tool,
    identity::{IdentityError, OutboundError},
    mcp::outcome::{Code, Failure},
};

pub(super) fn failure(tool: &Tool, error: &IdentityError) -> Failure {
    match error {
        IdentityError::Outbound(error) => outbound(tool, error),
    }
}

fn outbound(tool: &Tool, error: &OutboundError) -> Failure {
    let undone = doubt(tool, false);
    match error {
        OutboundError::CallerExpired => plain(
            Code::Unauthenticated,
            format!("your token ended before the call was made: sign in again{undone}"),
        ),
        OutboundError::Unavailable {
            status,
            retry_after,
            ..
        } => unavailable(*status, *retry_after, undone),
        OutboundError::Abandoned => unavailable(None, None, undone),
        OutboundError::Refused { .. }
        | OutboundError::ClientRefused { .. }
        | OutboundError::Unusable(_)
        | OutboundError::Signing(_) => plain(
            Code::Internal,
            format!(
                "toolbridge got no token for the backend in your name: the operator has to look at its log{undone}"
            ),
        ),
    }
}

fn unavailable(status: Option<u16>, retry_after: Option<u64>, undone: &str) -> Failure {
    let when = match retry_after {
        Some(seconds) => format!("in {seconds} s"),
        None => "shortly".to_owned(),
    };
    let (code, what) = match status {
        Some(429) => (
            Code::RateLimited,
            "too many tokens were asked for: try again",
        ),
        Some(_) | None => (
            Code::BackendUnavailable,
            "the service that issues tokens for the backend is not available right now: try again",
        ),
    };
    Failure {
        retryable: true,
        retry_after,
        ..plain(code, format!("{what} {when}{undone}"))
    }
}
