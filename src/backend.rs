//! The REST backend beside us: an identity and a plan go in, a reply or an error comes out.
//!
//! One try is a straight line: open a session, send one request with it, read the answer. A session serves one try and
//! is moved into [`Session::send`]; what the backend gave for it may serve further calls of the same person, where the
//! operator wants that (`kept`). What fails is tried again as [`retry`] says, each time with a fresh session and
//! within the call's [`Deadline`].
//!
//! No function here takes a header of a client: the headers of each request are written from nothing (identity,
//! session, plan, correlation id), so there is no way for a client's header to reach the backend.

pub mod address;
pub mod clock_skew;
pub mod correlation;
pub mod deadline;
pub mod errand;
pub mod error;
pub mod rejection;
pub mod reply;
pub mod session;

mod health;
mod kept;
mod pool;
mod queue;
pub mod retry;
mod sanitize;
#[cfg(test)]
mod tests;
mod wire;

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use crate::{
    catalogue::Plan,
    guard::{Person, Slots},
    identity::Identity,
    observe::HopName,
    outgoing,
};

pub use address::{BackendUrl, InvalidBackendUrl};
pub use clock_skew::ClockSkew;
pub use correlation::CorrelationId;
pub use deadline::Deadline;
pub use errand::Errand;
pub use error::{BackendError, BodyProblem, Limited, Stage};
pub use pool::{CannotConnect, Cause};
pub use rejection::Rejection;
pub use reply::{Reply, ReplyBody};
pub use retry::RetrySettings;
pub use session::Session;

/// What a backend is to us.
#[derive(Clone, Debug)]
pub struct BackendSettings {
    /// Where it listens.
    pub base: BackendUrl,
    /// How long one request may take.
    pub timeouts: outgoing::Timeouts,
    /// How long a connection is kept that nobody uses.
    pub idle_timeout: Duration,
    /// How many requests there may be at once, and whose turn is next.
    pub slots: Slots,
    /// How long one call may take, all its requests and waits together.
    pub call_timeout: Duration,
    /// How failed tries are spread.
    pub retry: RetrySettings,
    /// For how long a session serves further calls of its person; `None`: each call has its own.
    pub session_reuse: Option<Duration>,
    /// How large one answer may be.
    pub max_response_bytes: usize,
    /// The Unix time, asked for each request (signatures, `Retry-After` dates): `clock::unix_now` but in tests.
    pub now: fn() -> Duration,
}

/// The backend with its pool of connections.
pub struct Backend {
    pool: Arc<pool::Pool>,
    settings: BackendSettings,
    closings: TaskTracker,
    clock_skew: Arc<ClockSkew>,
    queues: queue::Queues,
    kept: Option<kept::KeptSessions>,
}

impl Backend {
    /// No request is made yet. Sessions are closed in tasks of `closings`, for which a shutdown can wait.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: BackendSettings, closings: TaskTracker) -> Result<Self, CannotConnect> {
        let place = settings.base.place().clone();
        Ok(Self {
            pool: Arc::new(pool::Pool::new(
                place,
                settings.timeouts,
                settings.idle_timeout,
            )?),
            kept: settings.session_reuse.map(kept::KeptSessions::new),
            settings,
            closings,
            clock_skew: Arc::default(),
            queues: queue::Queues::default(),
        })
    }

    /// The Unix time, as requests are signed with it.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.settings.now)()
    }

    /// How far the backend's clock is from ours, as its answers show.
    #[must_use]
    pub fn clock_skew(&self) -> Arc<ClockSkew> {
        Arc::clone(&self.clock_skew)
    }

    /// The end of a call that begins now.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.settings.call_timeout)
    }

    /// One call: a session, the request, the answer; again with a fresh session where that is safe and may help.
    ///
    /// Dropping the future aborts the request, not what the backend already does with it: whoever calls this for a
    /// plan that writes must let it run to its end.
    ///
    /// # Errors
    /// Every [`BackendError`].
    pub async fn call<'a>(
        &'a self,
        identity: &'a Identity,
        plan: &'a Plan,
        errand: &'a Errand,
        deadline: Deadline,
    ) -> Result<Reply, BackendError> {
        let tries = retry::Tries {
            settings: self.settings.retry,
            deadline,
            plan,
            trail: errand.trail.clone(),
            done: retry::Done::default(),
        };
        let caller = identity.caller();
        let queue = self.queues.of(caller.issuer(), caller.subject());
        // For one try: whoever waits for a session's turn, or before another try, is in nobody's way.
        let (slots, person) = (&self.settings.slots, Person::of(caller));
        let open = async || {
            let queue = errand.trail.hop(HopName::Queue);
            let slot = slots.enter(&person, deadline.patience()).await?;
            drop(queue);
            let session = self.session_for(identity, plan, errand, deadline);
            Ok((session.await?, slot))
        };
        let send = async |(session, _slot): (Session<'a>, _)| session.send(plan).await;
        tries.run(&queue, open, send).await
    }

    /// A session for one call of `plan`. Where the plan needs none, nothing is asked of the backend.
    ///
    /// # Errors
    /// When the session cannot be opened: [`BackendError::SessionRefused`], [`BackendError::SessionUnusable`] or a
    /// failure of the connection.
    pub async fn session_for<'a>(
        &'a self,
        identity: &'a Identity,
        plan: &'a Plan,
        errand: &'a Errand,
        deadline: Deadline,
    ) -> Result<Session<'a>, BackendError> {
        let wire = wire::Wire {
            backend: self,
            identity,
            errand,
            deadline,
        };
        match &plan.session {
            Some(recipe) => {
                let _hop = errand.trail.hop(HopName::Session);
                Session::open(wire, recipe).await
            }
            None => Ok(Session::none(wire)),
        }
    }
}
