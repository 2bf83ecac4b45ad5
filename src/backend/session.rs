//! A backend session: opened for one call, moved into it, never stored or shared. A session that outlives its call is
//! how one caller's work gets another's name, and how calls fail after a restart of the backend.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use serde_json::Value;
use tokio::{runtime::Handle, time::Instant};

use super::{
    correlation::CorrelationId,
    error::{BackendError, Stage},
    kept::Number,
    pool::{Failed, Pool},
    reply::{self, Reply, ReplyBody},
    wire::{Draft, ERROR_BODY_LIMIT, Wire},
};
use crate::{
    catalogue::{Plan, SessionClose, SessionRecipe},
    observe::{HopName, SessionUse},
};

/// The right to send one request. Using it twice does not compile:
///
/// ```
/// use toolbridge::{backend::{BackendError, Reply, Session}, catalogue::Plan};
/// async fn once(session: Session<'_>, plan: &Plan) -> Result<Reply, BackendError> {
///     session.send(plan).await
/// }
/// ```
/// ```compile_fail,E0382
/// use toolbridge::{backend::{BackendError, Reply, Session}, catalogue::Plan};
/// async fn twice(session: Session<'_>, plan: &Plan) -> Result<Reply, BackendError> {
///     session.send(plan).await?;
///     session.send(plan).await
/// }
/// ```
/// Nor does a copy of it:
/// ```compile_fail,E0277
/// fn cloneable<T: Clone>() {}
/// cloneable::<toolbridge::backend::Session<'static>>();
/// ```
pub struct Session<'a> {
    wire: Wire<'a>,
    /// The session's own headers, and the statuses that would call it stale; `None` where no session was opened.
    opened: Option<(HeaderMap, &'a [u16])>,
    /// Which one it is among those that are kept.
    kept: Option<Number>,
    /// Ends the session when it is dropped, however the call ended.
    _closing: Option<Closing<'a>>,
}

impl<'a> Session<'a> {
    /// Where the backend or the plan asks for none: the same one request, without session headers.
    pub(super) fn none(wire: Wire<'a>) -> Self {
        Self {
            wire,
            opened: None,
            kept: None,
            _closing: None,
        }
    }

    /// A session of the person that is kept, or a new one.
    pub(super) async fn open(
        wire: Wire<'a>,
        recipe: &'a Arc<SessionRecipe>,
    ) -> Result<Self, BackendError> {
        let Some(kept) = &wire.backend.kept else {
            return Self::fresh(wire, recipe).await;
        };
        let found = kept.find(wire.identity, recipe);
        let (headers, number) = match found {
            Some(found) => {
                wire.errand.trail.session(SessionUse::Reused);
                found
            }
            None => {
                let mut fresh = Self::fresh(wire, recipe).await?;
                // It serves others after this call, so nothing ends it but its time.
                fresh._closing.take().into_iter().for_each(Closing::never);
                let (headers, _) = fresh.opened.take().unwrap_or_default();
                let number = kept.keep(wire.identity, recipe, &headers);
                (headers, number)
            }
        };
        Ok(Self {
            wire,
            opened: Some((headers, &recipe.stale)),
            kept: Some(number),
            _closing: None,
        })
    }

    /// Asks the backend for a session.
    async fn fresh(wire: Wire<'a>, recipe: &'a SessionRecipe) -> Result<Self, BackendError> {
        let stage = Stage::Opening;
        let draft = Draft {
            stage,
            method: &recipe.method,
            target: &recipe.target,
            headers: [None, None],
            body: None,
        };
        let answer = wire.send(draft).await?;
        if !recipe.success.contains(&answer.head.status.as_u16()) {
            wire.errand.trail.session(SessionUse::Refused);
            let refusal = Box::pin(wire.rejection(stage, answer)).await?;
            return Err(BackendError::SessionRefused(refusal));
        }
        wire.errand.trail.session(SessionUse::Opened);
        let answer = match reply::body(wire, stage, answer).await? {
            ReplyBody::Json(answer) => answer.members(|name| recipe.reads(name)),
            ReplyBody::Empty => Value::Null,
        };
        // First, so that a session whose headers are unusable is closed as well.
        let closing = recipe
            .close
            .as_ref()
            .and_then(|close| Closing::of(wire, close, &answer));
        Ok(Self {
            wire,
            opened: Some((session_headers(recipe, &answer)?, &recipe.stale)),
            kept: None,
            _closing: closing,
        })
    }

    /// The id that this call's requests carry.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.wire.errand.correlation
    }

    /// Sends the plan's request, signed for this moment, and reads the answer. The session is used up.
    ///
    /// # Errors
    /// [`BackendError::Stale`] when the backend refused the session and a fresh one may do better;
    /// [`BackendError::Rejected`] for any other status outside `plan.success`; else what the body or the connection
    /// was lacking.
    pub async fn send(self, plan: &Plan) -> Result<Reply, BackendError> {
        let stage = Stage::Request;
        let trail = &self.wire.errand.trail;
        let _hop = trail.hop(HopName::Request);
        let draft = Draft {
            stage,
            method: &plan.method,
            target: &plan.target,
            headers: [
                Some(&plan.headers),
                self.opened.as_ref().map(|(headers, _)| headers),
            ],
            body: plan.body.as_deref(),
        };
        let answer = self.wire.send(draft).await?;
        let status = answer.head.status.as_u16();
        trail.ended_with(status);
        if plan.success.contains(&status) {
            return Ok(Reply {
                status,
                body: reply::body(self.wire, stage, answer).await?,
                correlation_id: self.wire.errand.correlation,
            });
        }
        // What is rare is in a box, so that its state is no part of every call's.
        let rejection = Box::pin(self.wire.rejection(stage, answer)).await?;
        if let (Some(kept), Some(number)) = (&self.wire.backend.kept, &self.kept)
            && (matches!(rejection.status, 401 | 403)
                || self
                    .opened
                    .as_ref()
                    .is_some_and(|(_, stale)| rejection.says_stale(stale)))
        {
            kept.forget(number);
        }
        match self.opened {
            Some((_, stale)) if rejection.says_stale(stale) => Err(BackendError::Stale(rejection)),
            _ => Err(BackendError::Rejected(rejection)),
        }
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("correlation_id", &self.wire.errand.correlation)
            .field("opened", &self.opened.is_some())
            .finish_non_exhaustive()
    }
}

fn session_headers(recipe: &SessionRecipe, answer: &Value) -> Result<HeaderMap, BackendError> {
    let mut headers = HeaderMap::with_capacity(recipe.headers.len());
    for (header, pointer) in &recipe.headers {
        let text = pointer.text_in(answer);
        let value = text.and_then(|text| HeaderValue::try_from(text).ok());
        let Some(mut value) = value else {
            return Err(BackendError::SessionUnusable {
                header: header.clone(),
                pointer: pointer.clone(),
            });
        };
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

/// Ends an opened session in the background when it is dropped: after the answer, after a failure, and also when the
/// caller gave up half-way. If the request fails, the session is left to expire.
struct Closing<'a> {
    wire: Wire<'a>,
    close: &'a SessionClose,
    target: String,
    is_wanted: bool,
}

impl<'a> Closing<'a> {
    /// The session is not ended.
    fn never(mut self) {
        self.is_wanted = false;
    }

    fn of(wire: Wire<'a>, close: &'a SessionClose, answer: &Value) -> Option<Self> {
        let target = close.target.fill(answer);
        if target.is_none() {
            tracing::debug!(correlation_id = %wire.errand.correlation, "the session's answer does not say how to close it");
        }
        Some(Self {
            wire,
            close,
            target: target?,
            is_wanted: true,
        })
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if !self.is_wanted {
            return;
        }
        let draft = Draft {
            stage: Stage::Closing,
            method: &self.close.method,
            target: &self.target,
            headers: [None, None],
            body: None,
        };
        let (Ok(request), Ok(runtime)) = (self.wire.request(draft), Handle::try_current()) else {
            return;
        };
        let pool = Arc::clone(&self.wire.backend.pool);
        let correlation = self.wire.errand.correlation;
        let ends = self.wire.ends();
        let closing = async move { report(correlation, &close(&pool, request, ends).await) };
        self.wire.backend.closings.spawn_on(closing, &runtime);
    }
}

/// The status of the answer; the body is read so that the connection can serve the next call.
async fn close(pool: &Pool, request: Request<Full<Bytes>>, ends: Instant) -> Result<u16, Failed> {
    let answer = pool.send(request, ends).await?;
    let status = answer.head.status.as_u16();
    let _body = answer.read_at_most(ERROR_BODY_LIMIT).await;
    Ok(status)
}

fn report(correlation: CorrelationId, outcome: &Result<u16, Failed>) {
    match outcome {
        Ok(200..300) => {}
        Ok(status) => {
            tracing::debug!(correlation_id = %correlation, status, "the backend did not close the session");
        }
        Err(error) => {
            tracing::debug!(correlation_id = %correlation, ?error, "closing the session failed");
        }
    }
}
