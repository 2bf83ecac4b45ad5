//! One HTTP request to the backend and the head of its answer. In: who, what, and which request of the call it is.
//! Out: an answer that is no redirect, or the failure told apart by what the backend may have seen of the request.
//! Every header is written here, from nothing; identity headers come last and from the identity alone.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{
        ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use http_body_util::Full;
use tokio::time::Instant;

use super::{
    Backend,
    deadline::Deadline,
    errand::Errand,
    error::{BackendError, Limited, Stage},
    pool::{Answer, Failed},
    rejection::Rejection,
};
use crate::{
    identity::{IDENTITY_HEADERS, Identity},
    observe::{HopName, traceparent::TRACEPARENT},
};

/// An error's body is read up to here; its message is in the first line.
pub(super) const ERROR_BODY_LIMIT: usize = 64 * 1024;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACE: HeaderName = HeaderName::from_static(TRACEPARENT);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Headers that frame or route a request: neither a plan nor a session sets them.
const FRAMING: [HeaderName; 7] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    UPGRADE,
    COOKIE,
];

/// What every request of one call shares.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    pub(super) backend: &'a Backend,
    pub(super) identity: &'a Identity,
    pub(super) errand: &'a Errand,
    pub(super) deadline: Deadline,
}

/// One request, before its headers are complete.
pub(super) struct Draft<'a> {
    pub(super) stage: Stage,
    pub(super) method: &'a Method,
    pub(super) target: &'a str,
    /// Headers of the session and of the plan.
    pub(super) headers: [Option<&'a HeaderMap>; 2],
    pub(super) body: Option<&'a [u8]>,
}

impl Wire<'_> {
    /// Sends one request; the answer's head is here, its body is not.
    pub(super) async fn send(&self, draft: Draft<'_>) -> Result<Answer, BackendError> {
        let stage = draft.stage;
        self.errand.trail.sent(draft.body.map_or(0, <[u8]>::len));
        let request = self.request(draft)?;
        let now = self.backend.settings.now;
        let asked = now();
        let sending = self.backend.pool.send(request, self.ends()).await;
        let status = sending.as_ref().map(|answer| answer.head.status.as_u16());
        self.errand.trail.answered(status.ok());
        let answer = sending.map_err(|failed| self.failure(stage, failed))?;
        let skew = &self.backend.clock_skew;
        skew.measure(&answer.head.headers, asked, now());
        Ok(answer)
    }

    /// When a request that is sent now has to be over: with the call, where that is sooner than its own limit.
    pub(super) fn ends(&self) -> Instant {
        let left = self.deadline.left();
        Instant::now() + left.min(self.backend.settings.timeouts.request)
    }

    /// The complete request, signed for this moment.
    pub(super) fn request(&self, draft: Draft<'_>) -> Result<Request<Full<Bytes>>, BackendError> {
        let stage = draft.stage;
        let base = &self.backend.settings.base;
        let path = base.path_of(draft.target);
        let path = path.ok_or(BackendError::UnsafeTarget { stage })?;
        let body = Bytes::copy_from_slice(draft.body.unwrap_or_default());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = draft.method.clone();
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = self.headers(&draft);
        Ok(request)
    }

    fn headers(&self, draft: &Draft<'_>) -> HeaderMap {
        let mut headers = self.identity.headers((self.backend.settings.now)());
        for (name, value) in draft.headers.iter().copied().flatten().flatten() {
            if !IDENTITY_HEADERS.contains(name) && !FRAMING.contains(name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(HOST, self.backend.settings.base.host().clone());
        headers.insert(ACCEPT, JSON);
        if draft.body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        headers.insert(CORRELATION_ID, self.errand.correlation.header());
        if let Some(trace) = &self.errand.trace {
            let hop = match draft.stage {
                Stage::Opening => Some(HopName::Session),
                Stage::Request => Some(HopName::Request),
                Stage::Closing => None,
            };
            let place = trace.during(hop, &self.errand.trail);
            headers.insert(TRACE, place.header());
        }
        headers
    }

    /// What an answer other than a success says.
    pub(super) async fn rejection(
        &self,
        stage: Stage,
        answer: Answer,
    ) -> Result<Rejection, BackendError> {
        let status = answer.head.status;
        if status.is_redirection() {
            let status = status.as_u16();
            return Err(BackendError::Redirected { stage, status });
        }
        let headers = answer.head.headers.clone();
        let body = answer.read_at_most(ERROR_BODY_LIMIT).await;
        self.errand
            .trail
            .received(body.as_ref().map_or(0, Bytes::len));
        let now = (self.backend.settings.now)();
        // The status stands, whatever became of the body.
        Ok(Rejection::read(
            status.as_u16(),
            &headers,
            &body.unwrap_or_default(),
            now,
        ))
    }

    /// Tells failures apart by whether the backend may have the request.
    pub(super) fn failure(&self, stage: Stage, failed: Failed) -> BackendError {
        match failed {
            Failed::Unreachable(source) => BackendError::Unreachable { stage, source },
            Failed::Broken(source) => BackendError::Broken { stage, source },
            Failed::ConnectingTooLong => BackendError::TimedOut {
                stage,
                limit: Limited::Connecting,
                after: self.backend.settings.timeouts.connect,
                sent: false,
            },
            Failed::TooLong { sent } => self.too_long(stage, sent),
        }
    }

    /// Nothing, or not all, came in time.
    pub(super) fn too_long(&self, stage: Stage, sent: bool) -> BackendError {
        // The call's end is what cut the request short, if there is nothing left of it.
        let (limit, after) = if self.deadline.ends() <= Instant::now() {
            (Limited::Call, self.deadline.whole())
        } else {
            (Limited::Request, self.backend.settings.timeouts.request)
        };
        BackendError::TimedOut {
            stage,
            limit,
            after,
            sent,
        }
    }
}
