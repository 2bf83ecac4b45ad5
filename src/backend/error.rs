//! Everything that can go wrong between us and the backend. The texts are for the operator's log: they hold no token,
//! no body, no address. What a person or a model reads is worded elsewhere, from the variants and their fields.

use std::{fmt, time::Duration};

use http::HeaderName;

use super::{pool::Cause, rejection::Rejection};
use crate::{
    catalogue::{Effect, JsonPointer, Plan},
    guard::Busy,
};

/// Which request of a call went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The one that opens the session: the call itself was not sent.
    Opening,
    /// The call itself.
    Request,
    /// The one that ends the session, after the call.
    Closing,
}

/// Which of our limits ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Until a connection stands.
    Connecting,
    /// Until the answer to one request is read.
    Request,
    /// The whole call, with everything that it waited for.
    Call,
}

/// Why a call brought no reply.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection (refused, unknown name, TLS): the operator has to look at the backend.
    #[error("the backend cannot be reached while {stage}")]
    Unreachable {
        /// Which request.
        stage: Stage,
        /// The cause, without addresses.
        source: Cause,
    },
    /// No whole answer in time.
    #[error("no whole answer from the backend within {after:?} ({limit}) while {stage}")]
    TimedOut {
        /// Which request.
        stage: Stage,
        /// Which limit ran out.
        limit: Limited,
        /// How long that limit is.
        after: Duration,
        /// Whether the backend may have this request: false while the connection did not stand.
        sent: bool,
    },
    /// The connection ended before the head of an answer came; the request may have arrived.
    #[error("the connection to the backend broke while {stage}")]
    Broken {
        /// Which request.
        stage: Stage,
        /// The cause, without addresses.
        source: Cause,
    },
    /// The backend did not open a session.
    #[error("the backend opened no session ({0})")]
    SessionRefused(Rejection),
    /// The backend opened a session and did not say what the catalogue expects of it.
    #[error("the backend's session has no usable value at `{pointer}` for the header `{header}`")]
    SessionUnusable {
        /// The header that could not be made.
        header: HeaderName,
        /// Where its value should have been.
        pointer: JsonPointer,
    },
    /// The backend took this session for a stale one, though it was just opened. The call reached no handler.
    #[error("the backend refused a fresh session as stale ({0})")]
    Stale(Rejection),
    /// The person's other calls wait for the backend already, and this one's turn did not come in time. Nothing was sent.
    #[error("too many calls of this person wait for the backend")]
    Crowded {
        /// Seconds after which the others are through, by estimate.
        retry_after: u64,
    },
    /// Everybody's calls are in the way. Nothing was sent.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The backend said no to the call.
    #[error("the backend rejected the call ({0})")]
    Rejected(Rejection),
    /// A success whose body cannot be used.
    #[error("the backend answered {status} while {stage}, with a body that {problem}")]
    Unreadable {
        /// Which request.
        stage: Stage,
        /// The status of the answer.
        status: u16,
        /// What is wrong with the body.
        problem: BodyProblem,
    },
    /// A success whose body is larger than we take.
    #[error("the backend's answer is larger than {limit} bytes while {stage}")]
    TooLarge {
        /// Which request.
        stage: Stage,
        /// The limit in bytes.
        limit: usize,
    },
    /// The backend points elsewhere, where nothing is ever sent.
    #[error(
        "the backend answered with a redirect ({status}) while {stage}; redirects are not followed"
    )]
    Redirected {
        /// Which request.
        stage: Stage,
        /// The status of the answer.
        status: u16,
    },
    /// The target would have become another path on its way; nothing was sent.
    #[error("the target is not a clean path below the backend's URL while {stage}")]
    UnsafeTarget {
        /// Which request.
        stage: Stage,
    },
}

/// What is wrong with the body of a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProblem {
    /// It ends before its end.
    CutShort,
    /// It is compressed, which was not asked for; it is not unpacked.
    Encoded,
    /// It is not UTF-8.
    NotUtf8,
    /// It is not JSON, or nested too deep.
    NotJson,
}

impl BackendError {
    /// Whether the backend did not accept the token (401). It asks for the token before anything else (contract §1.2),
    /// so nothing of the call was done, not even of a write.
    #[must_use]
    pub fn refuses_token(&self) -> bool {
        matches!(
            self,
            Self::Rejected(rejection) | Self::SessionRefused(rejection) if rejection.status == 401
        )
    }

    /// Whether a plan that failed so may have changed something at the backend.
    #[must_use]
    pub fn may_have_written(&self, plan: &Plan) -> bool {
        plan.effect == Effect::Write && self.may_have_been_handled()
    }

    fn may_have_been_handled(&self) -> bool {
        match self {
            Self::TimedOut { stage, sent, .. } => *stage == Stage::Request && *sent,
            Self::Broken { stage, .. }
            | Self::Unreadable { stage, .. }
            | Self::TooLarge { stage, .. }
            | Self::Redirected { stage, .. } => *stage == Stage::Request,
            // A 4xx says that the request was not carried out; any other status does not.
            Self::Rejected(rejection) => !(400..500).contains(&rejection.status),
            Self::Unreachable { .. }
            | Self::SessionRefused(_)
            | Self::SessionUnusable { .. }
            | Self::Crowded { .. }
            | Self::Busy(_)
            | Self::Stale(_)
            | Self::UnsafeTarget { .. } => false,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening a session",
            Self::Request => "sending the call",
            Self::Closing => "closing the session",
        })
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "to connect",
            Self::Request => "for one request",
            Self::Call => "for the whole call",
        })
    }
}

impl fmt::Display for BodyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutShort => "ends too early",
            Self::Encoded => "is compressed",
            Self::NotUtf8 => "is not UTF-8",
            Self::NotJson => "is not JSON, or nested too deep",
        })
    }
}
