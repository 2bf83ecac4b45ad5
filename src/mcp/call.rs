//! One tool call, start to finish: find the tool, plan, identify, send, present; one log line. A read ends when its
//! client goes away or its limit passes; a write, once begun, runs to its end in a task of its own that a shutdown waits
//! for, though its client may be told before that it took too long.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tokio::{sync::watch, time::timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    limit::Limit,
    outcome::Outcome,
    present,
    published::{Published, Publisher},
    workspace::ReservedName,
};
use crate::{
    auth::Caller,
    backend::{Backend, BackendError, CorrelationId, Deadline, Reply},
    catalogue::{ArgumentErrors, Called, Catalogue, Effect, Plan, Tool},
    guard::{Guard, Refused, Verdict},
    identity::{Identities, Identity, IdentityError, TenantId},
};

/// A call as it arrives: who, what, with which arguments.
#[derive(Clone)]
pub struct Incoming {
    /// The catalogue when it arrived, which is its catalogue to the end.
    pub catalogue: Arc<Catalogue>,
    /// Who calls.
    pub caller: Caller,
    /// The tool's name.
    pub tool: String,
    /// The arguments, unchecked.
    pub arguments: Map<String, Value>,
    /// How long the client waits for it, where it says so.
    pub limit: Option<Limit>,
}

/// Why a call was not run, or nobody is told how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoOutcome {
    /// There is no such tool.
    UnknownTool,
    /// The client went away.
    ClientGone,
    /// The task of the call ended early: a bug of ours, or the end of the process.
    Lost,
}

/// Why a call brought no result. The texts are for the log, so they hold no argument.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("arguments refused")]
    Arguments(ArgumentErrors),
    #[error("the caller lacks scopes")]
    MissingScopes(Vec<String>),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the backend did not do it")]
    Backend {
        source: Box<BackendError>,
        /// Whether the backend may have changed something all the same.
        may_have_written: bool,
    },
    #[error("the backend's answer is no {0}")]
    Misshapen(&'static str),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the call's {0:?} passed before anything was sent")]
    OutOfTime(Duration),
    #[error("the client's limit of {:?} has passed", .0.after)]
    Late(Limit),
}

/// Everything a call needs.
pub struct Calls {
    publisher: Publisher,
    identities: Identities,
    backend: Backend,
    guard: Guard,
    running: TaskTracker,
    former: FormerCalls,
    leaving: CancellationToken,
}

/// How often tools were called under names that they no longer have. The counters only grow.
#[derive(Debug, Default)]
pub struct FormerCalls {
    renamed: AtomicU64,
    removed: AtomicU64,
}

impl FormerCalls {
    /// Calls that were run under an alias.
    #[must_use]
    pub fn renamed(&self) -> u64 {
        self.renamed.load(Ordering::Relaxed)
    }

    /// Calls of tools that are gone.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }
}

impl Calls {
    /// `running` holds the writes under way; a shutdown waits for it.
    ///
    /// # Errors
    /// Where the catalogue has a tool of ours.
    pub fn new(
        catalogue: Arc<Catalogue>,
        identities: Identities,
        backend: Backend,
        guard: Guard,
        running: TaskTracker,
    ) -> Result<Self, ReservedName> {
        Ok(Self {
            publisher: Publisher::new(catalogue, identities.offers_selection())?,
            identities,
            backend,
            guard,
            running,
            former: FormerCalls::default(),
            leaving: CancellationToken::new(),
        })
    }

    /// The catalogue of the moment with all that is made of it. Ask once in each request, and keep the answer.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.publisher.current()
    }

    /// The catalogue of the moment.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.published().catalogue)
    }

    /// Signals every replacement of the catalogue, with the new one's generation.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.publisher.changes()
    }

    /// How many requests and connections would hear of a replacement now.
    #[must_use]
    pub fn listening(&self) -> usize {
        self.publisher.listening()
    }

    /// Replaces the catalogue: calls from now on are of this one, calls under way keep theirs. Returns its generation.
    ///
    /// # Errors
    /// Where it has a tool of ours; then everything stays as it was.
    pub fn publish(&self, catalogue: Arc<Catalogue>) -> Result<u64, ReservedName> {
        self.publisher.publish(catalogue)
    }

    /// Who makes the callers' identities.
    #[must_use]
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The sidecar's own limits.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The Unix time.
    pub(super) fn now(&self) -> Duration {
        self.backend.now()
    }

    /// Cancelled when the sidecar begins to stop: streams that only wait for news say goodbye then, and end.
    #[must_use]
    pub fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// How often former names were called.
    #[must_use]
    pub fn former(&self) -> &FormerCalls {
        &self.former
    }

    /// Runs one call. `gone` fires when nobody waits for the answer any more.
    ///
    /// # Errors
    /// [`NoOutcome`]: every failure of the call itself is an [`Outcome`].
    pub async fn run(
        self: Arc<Self>,
        incoming: Incoming,
        gone: CancellationToken,
    ) -> Result<Outcome, NoOutcome> {
        let catalogue = Arc::clone(&incoming.catalogue);
        let called = catalogue.called(&incoming.tool);
        let tool = match called.ok_or(NoOutcome::UnknownTool)? {
            Called::Tool(tool) | Called::Renamed(tool) => tool,
            Called::Removed(instead) => return Ok(self.gone(&incoming.tool, instead)),
        };
        let _running = self.running.token();
        let limit = incoming.limit.clone();
        let correlation = CorrelationId::random();
        let calls = Arc::clone(&self);
        let call = async move { calls.told(incoming, correlation).await };
        match tool.effect {
            Effect::Read => tokio::select! {
                outcome = call => outcome,
                () = gone.cancelled() => Err(NoOutcome::ClientGone),
            },
            Effect::Write => {
                let mut task = self.running.spawn(call);
                tokio::select! {
                    biased;
                    ended = &mut task => return ended.map_err(|_| NoOutcome::Lost)?,
                    () = passed(limit.as_ref()) => {}
                }
                match limit {
                    // It is being sent or was, and runs to its end; only the client is told already.
                    Some(limit) if !limit.abandons() => {
                        let late = present::late(tool, &limit, correlation);
                        Ok(Outcome::Failure(late))
                    }
                    _ => task.await.map_err(|_| NoOutcome::Lost)?,
                }
            }
        }
    }

    /// The call with its log line.
    async fn told(
        &self,
        mut incoming: Incoming,
        correlation: CorrelationId,
    ) -> Result<Outcome, NoOutcome> {
        let catalogue = Arc::clone(&incoming.catalogue);
        let called = catalogue.called(&incoming.tool);
        let called = called.ok_or(NoOutcome::UnknownTool)?;
        let tool = called.tool().ok_or(NoOutcome::UnknownTool)?;
        let mut line = Line::begin(correlation);
        if matches!(called, Called::Renamed(_)) {
            self.former.renamed.fetch_add(1, Ordering::Relaxed);
            line.alias = Some(incoming.tool.clone());
        }
        let arguments = std::mem::take(&mut incoming.arguments);
        let result = self.attempt(tool, arguments, &incoming, &mut line).await;
        let (outcome, cause) = match result {
            Ok(value) => (Outcome::Success(value), None),
            Err(error) => {
                let failure = present::failure(tool, &error, line.correlation);
                (Outcome::Failure(failure), Some(causes(&error)))
            }
        };
        line.log(&tool.name, &outcome, cause);
        Ok(outcome)
    }

    /// The answer to a call of a tool that is gone: what to do instead, in the catalogue's words.
    fn gone(&self, name: &str, instead: &str) -> Outcome {
        self.former.removed.fetch_add(1, Ordering::Relaxed);
        let line = Line::begin(CorrelationId::random());
        let failure = present::removed(name, instead, line.correlation);
        let outcome = Outcome::Failure(failure);
        line.log(name, &outcome, None);
        outcome
    }

    async fn attempt(
        &self,
        tool: &Tool,
        arguments: Map<String, Value>,
        incoming: &Incoming,
        line: &mut Line,
    ) -> Result<Value, CallError> {
        let (caller, limit) = (&incoming.caller, incoming.limit.as_ref());
        within(limit, self.guard.limit(caller, &tool.name)).await??;
        let deadline = self.backend.deadline();
        let deadline = deadline.with_client(limit.map(Limit::ends));
        authorized(tool, caller)?;
        let plan = tool.plan(arguments).map_err(CallError::Arguments)?;
        let identity = timeout_at(deadline.ends(), self.identities.of(caller));
        let identity = within(limit, identity).await?;
        let identity = identity.map_err(|_| CallError::OutOfTime(deadline.whole()))??;
        line.tenant = Some(identity.tenant().clone());
        if let Some(limit) = limit
            && !limit.may_send()
        {
            return Err(CallError::Late(limit.clone()));
        }
        let admission = self.guard.admit(identity.tenant(), &tool.name)?;
        let sending = self.sent(&identity, &plan, line.correlation, deadline);
        let reply = match tool.effect {
            Effect::Read => within(limit, sending).await?,
            // Once it is sent, nothing stops it.
            Effect::Write => sending.await,
        };
        admission.ended(verdict(&reply));
        let reply = reply.inspect_err(|error| {
            if let CallError::Backend { source, .. } = error
                && refuses_tenant(source)
            {
                self.identities.forget(caller);
            }
        })?;
        present::result(tool, reply.body)
    }

    /// The backend's reply; once more with a renewed token where it refused the first.
    async fn sent(
        &self,
        identity: &Identity,
        plan: &Plan,
        correlation: CorrelationId,
        deadline: Deadline,
    ) -> Result<Reply, CallError> {
        let backend = &self.backend;
        let mut reply = backend.call(identity, plan, correlation, deadline).await;
        if reply.as_ref().is_err_and(BackendError::refuses_token)
            && let Some(renewed) = self.identities.renewed(identity).await?
        {
            reply = backend.call(&renewed, plan, correlation, deadline).await;
        }
        reply.map_err(|source| CallError::Backend {
            may_have_written: source.may_have_written(plan),
            source: Box::new(source),
        })
    }
}

/// Waits until the limit passes; forever where there is none.
async fn passed(limit: Option<&Limit>) {
    match limit {
        Some(limit) => limit.passed().await,
        None => pending().await,
    }
}

/// What comes of it, if it comes in time. Only for what may be given up.
async fn within<F: Future>(limit: Option<&Limit>, future: F) -> Result<F::Output, CallError> {
    let Some(limit) = limit else {
        return Ok(future.await);
    };
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = limit.passed() => Err(CallError::Late(limit.clone())),
    }
}

/// Whether the backend did not let the caller into the tenant, so that what is known of its memberships may be old
/// (contract T3).
fn refuses_tenant(error: &BackendError) -> bool {
    match error {
        BackendError::SessionRefused(rejection)
        | BackendError::Rejected(rejection)
        | BackendError::Stale(rejection) => rejection.status == 403,
        BackendError::Unreachable { .. }
        | BackendError::Broken { .. }
        | BackendError::TimedOut { .. }
        | BackendError::Unreadable { .. }
        | BackendError::TooLarge { .. }
        | BackendError::Redirected { .. }
        | BackendError::SessionUnusable { .. }
        | BackendError::Crowded { .. }
        | BackendError::Busy(_)
        | BackendError::UnsafeTarget { .. } => false,
    }
}

/// What the end of a call says of the backend's health.
fn verdict(reply: &Result<Reply, CallError>) -> Verdict {
    match reply {
        Ok(_) => Verdict::Well,
        Err(CallError::Backend { source, .. }) => source.verdict(),
        Err(_) => Verdict::Unsaid,
    }
}

/// The scopes the tool asks for, all of them, granted to this caller.
fn authorized(tool: &Tool, caller: &Caller) -> Result<(), CallError> {
    let missing = tool
        .scopes
        .iter()
        .any(|scope| !caller.scopes().contains(scope));
    if missing {
        return Err(CallError::MissingScopes(tool.scopes.clone()));
    }
    Ok(())
}

/// What a call's one line says besides its outcome (`telemetry::field` names it).
struct Line {
    correlation: CorrelationId,
    begun: Instant,
    /// Known once the caller has an identity.
    tenant: Option<TenantId>,
    /// The former name under which the tool was called.
    alias: Option<String>,
}

impl Line {
    fn begin(correlation: CorrelationId) -> Self {
        Self {
            correlation,
            begun: Instant::now(),
            tenant: None,
            alias: None,
        }
    }

    /// Writes it. Failures say their cause, which never holds a token, a body or an argument.
    fn log(self, tool: &str, outcome: &Outcome, cause: Option<String>) {
        let duration_ms = self.begun.elapsed().as_secs_f64() * 1_000.0;
        let (ending, status) = match outcome {
            Outcome::Success(_) => ("ok", None),
            Outcome::Failure(failure) => (failure.code.as_str(), failure.status),
        };
        tracing::info!(
            tool.name = tool,
            tool.alias = self.alias,
            tenant.id = self.tenant.as_ref().map(TenantId::as_str),
            request.id = %self.correlation,
            outcome = ending,
            backend.status = status,
            duration_ms,
            error = cause,
            "tool call"
        );
    }
}

/// An error with everything beneath it.
fn causes(error: &CallError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
