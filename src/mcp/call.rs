//! One tool call, start to finish: find the tool, plan, identify, send, present; one log line. A read ends when its
//! client goes away or its limit passes; a write, once begun, runs to its end in a task of its own that a shutdown waits
//! for, though its client may be told before that it took too long. A write that is repeated before its answer has
//! arrived is not sent again (`writes`).

mod audited;
mod former;
mod line;
mod seen;
mod writing;

use std::{
    future::pending,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
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
    writes::{Answered, Fate, Write, Writes},
};
use crate::{
    auth::Caller,
    backend::{Backend, BackendError, CorrelationId, Deadline, Errand, Reply},
    catalogue::{ArgumentErrors, Called, Catalogue, Effect, Plan, Tool},
    delivery::Delivery,
    guard::{Guard, Refused, Verdict},
    identity::{Identities, Identity, IdentityError},
    in_place,
    observe::{
        HopName, Observer,
        audit::{Audit, NoAudit},
    },
};

use audited::End;
use line::Line;
use writing::{Beginning, digest, joined};

pub use former::FormerCalls;
pub use seen::Seen;
pub(super) use seen::Sight;

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
    /// What the client calls this write, where it gives it a name: called again under it, it is the same one.
    pub write_name: Option<String>,
    /// The way of the answer, where it can be watched.
    pub delivery: Option<Delivery>,
    /// What is only looked at: when it came, by which client, in which trace.
    pub seen: Seen,
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
    #[error(transparent)]
    Unaudited(#[from] NoAudit),
    #[error("the call's {0:?} passed before anything was sent")]
    OutOfTime(Duration),
    #[error("the client's limit of {:?} has passed", .0.after)]
    Late(Limit),
    #[error("the client's name for this write belongs to another write")]
    NameInUse,
    #[error("the same write runs already, and did not end in time")]
    StillRunning,
}

/// Everything a call needs.
pub struct Calls {
    publisher: Publisher,
    identities: Identities,
    backend: Backend,
    guard: Guard,
    writes: Writes,
    audit: Option<Arc<Audit>>,
    running: TaskTracker,
    former: FormerCalls,
    observer: Arc<Observer>,
    leaving: CancellationToken,
}

/// What calls are made of.
pub struct CallParts {
    /// The catalogue to begin with.
    pub catalogue: Arc<Catalogue>,
    /// Who makes identities.
    pub identities: Identities,
    /// The backend.
    pub backend: Backend,
    /// The sidecar's own limits.
    pub guard: Guard,
    /// Which writes run, or may be asked for again.
    pub writes: Writes,
    /// Where each write leaves a line, if anywhere.
    pub audit: Option<Arc<Audit>>,
    /// Holds the writes under way; a shutdown waits for it.
    pub running: TaskTracker,
    /// Told of every call.
    pub observer: Arc<Observer>,
}

impl Calls {
    /// From its parts.
    ///
    /// # Errors
    /// Where the catalogue has a tool of ours.
    pub fn new(parts: CallParts) -> Result<Self, ReservedName> {
        let CallParts {
            catalogue,
            identities,
            backend,
            guard,
            writes,
            audit,
            running,
            observer,
        } = parts;
        Ok(Self {
            publisher: Publisher::new(catalogue, identities.offers_selection())?,
            identities,
            backend,
            guard,
            writes,
            audit,
            running,
            former: FormerCalls::default(),
            observer,
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

    /// Who is told of every call.
    #[must_use]
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// Where each write leaves a line, if anywhere.
    #[must_use]
    pub fn audit(&self) -> Option<&Audit> {
        self.audit.as_deref()
    }

    /// No call follows: the audit says its last line.
    pub async fn audit_ends(&self) {
        if let Some(audit) = &self.audit {
            audit.ends().await;
        }
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
            Called::Removed(instead) => return Ok(self.gone(&incoming, instead)),
        };
        let _running = self.running.token();
        let (limit, delivery) = (incoming.limit.clone(), incoming.delivery.clone());
        let correlation = incoming.seen.correlation();
        let told = match tool.effect {
            Effect::Read => {
                // Pinned here, because what is handed over by value is copied, and this is large.
                let call = pin!(self.told(incoming, correlation));
                tokio::select! {
                    told = call => told,
                    () = gone.cancelled() => Err(NoOutcome::ClientGone),
                }
            }
            Effect::Write => {
                let calls = Arc::clone(&self);
                // In a box, because a task is handed on several times before it runs.
                let call =
                    in_place::boxed(|| async move { calls.told(incoming, correlation).await });
                let mut task = self.running.spawn(call);
                let ended = tokio::select! {
                    biased;
                    ended = &mut task => Some(ended),
                    () = passed(limit.as_ref()) => None,
                };
                match (ended, limit) {
                    (Some(ended), _) => ended.map_err(|_| NoOutcome::Lost)?,
                    // It is being sent or was, and runs to its end; only the client is told already.
                    (None, Some(limit)) if !limit.abandons() => {
                        let late = present::late(tool, &limit, correlation);
                        Ok(Told::alone(Outcome::Failure(late)))
                    }
                    (None, _) => task.await.map_err(|_| NoOutcome::Lost)?,
                }
            }
        };
        let Told { outcome, answered } = told?;
        if let Some(answered) = answered {
            answered.over(delivery.as_ref());
        }
        Ok(outcome)
    }

    /// The call with its log line.
    async fn told(
        &self,
        incoming: Incoming,
        correlation: CorrelationId,
    ) -> Result<Told, NoOutcome> {
        let catalogue = Arc::clone(&incoming.catalogue);
        let called = catalogue.called(&incoming.tool);
        let called = called.ok_or(NoOutcome::UnknownTool)?;
        let tool = called.tool().ok_or(NoOutcome::UnknownTool)?;
        let mut line = Line::begin(tool, &incoming, correlation, self);
        if matches!(called, Called::Renamed(_)) {
            self.former.was_renamed();
            line.record.alias = Some(incoming.tool.clone());
        }
        let mut audited = self.audited(tool, &incoming, correlation);
        let mut write = None;
        let result = self.attempt(tool, incoming, &mut line, &mut write).await;
        let fate = match &result {
            Ok(_) => Fate::Done,
            Err(error) => error.fate(),
        };
        let (told, cause) = match result {
            Ok(told) => (told, None),
            Err(error) => {
                audited.iter_mut().for_each(|it| it.fails(&error));
                let failure = present::failure(tool, &error, correlation);
                (Told::alone(Outcome::Failure(failure)), Some(causes(&error)))
            }
        };
        if let Some(audited) = audited {
            let name = write.as_ref().map(|write| write.name);
            let end = End::of(&told.outcome, fate, &line, name);
            Box::pin(self.audits(audited, end)).await;
        }
        let ended = write.and_then(|write: Write| write.ends(&told.outcome, fate));
        line.end(&told.outcome, cause);
        Ok(Told {
            answered: ended.or(told.answered),
            outcome: told.outcome,
        })
    }

    /// The answer to a call of a tool that is gone: what to do instead, in the catalogue's words.
    fn gone(&self, incoming: &Incoming, instead: &str) -> Outcome {
        self.former.was_removed();
        let correlation = incoming.seen.correlation();
        let failure = present::removed(&incoming.tool, instead, correlation);
        let outcome = Outcome::Failure(failure);
        Line::of_removed(incoming, correlation, self).end(&outcome, None);
        outcome
    }

    async fn attempt(
        &self,
        tool: &Tool,
        mut incoming: Incoming,
        line: &mut Line<'_>,
        write: &mut Option<Write>,
    ) -> Result<Told, CallError> {
        let arguments = std::mem::take(&mut incoming.arguments);
        let (caller, limit) = (&incoming.caller, incoming.limit.as_ref());
        let errand = line.errand();
        let hop = errand.trail.hop(HopName::Limit);
        within(limit, pin!(self.guard.limit(caller, &tool.name))).await??;
        drop(hop);
        let deadline = self.backend.deadline();
        let deadline = deadline.with_client(limit.map(Limit::ends));
        authorized(tool, caller)?;
        let mut plan = tool.plan(arguments).map_err(CallError::Arguments)?;
        let hop = errand.trail.hop(HopName::Tenant);
        let identity = self.identified(caller, limit, deadline).await?;
        drop(hop);
        line.record.tenant = Some(identity.tenant().as_str().to_owned());
        if let Some(limit) = limit
            && !limit.may_send()
        {
            return Err(CallError::Late(limit.clone()));
        }
        self.can_be_audited(tool).await?;
        let admission = self.guard.admit(identity.tenant(), &tool.name)?;
        if tool.effect == Effect::Write {
            let digest = digest(&identity, tool, &plan, &incoming);
            let sender = (&identity, &errand, deadline);
            let begun = self.begun(digest, (tool, &incoming.catalogue), sender, write);
            match Box::pin(begun).await? {
                Beginning::Send(name) => plan = plan.named(name),
                Beginning::Joined(earlier) => {
                    line.record.is_repeated = true;
                    return joined(earlier, deadline).await;
                }
                Beginning::Made(reply) => {
                    line.record.is_repeated = true;
                    let text = present::result(tool, reply.body)?;
                    return Ok(Told::alone(Outcome::Success(text)));
                }
            }
        }
        let sending = pin!(self.sent(&identity, &plan, &errand, deadline));
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
        let _hop = errand.trail.hop(HopName::Present);
        let text = present::result(tool, reply.body)?;
        Ok(Told::alone(Outcome::Success(text)))
    }

    /// In whose name the call is made, if that is found out in time.
    async fn identified(
        &self,
        caller: &Caller,
        limit: Option<&Limit>,
        deadline: Deadline,
    ) -> Result<Identity, CallError> {
        let found = pin!(self.identities.of(caller));
        let asked = pin!(timeout_at(deadline.ends(), found));
        let identity = within(limit, asked).await?;
        Ok(identity.map_err(|_| CallError::OutOfTime(deadline.whole()))??)
    }

    /// The backend's reply; once more with a renewed token where it refused the first.
    async fn sent(
        &self,
        identity: &Identity,
        plan: &Plan,
        errand: &Errand,
        deadline: Deadline,
    ) -> Result<Reply, CallError> {
        let backend = &self.backend;
        let mut reply = backend.call(identity, plan, errand, deadline).await;
        if reply.as_ref().is_err_and(BackendError::refuses_token)
            && let Some(renewed) = Box::pin(self.identities.renewed(identity)).await?
        {
            // Rare, so its state is no part of every call's.
            reply = Box::pin(backend.call(&renewed, plan, errand, deadline)).await;
        }
        reply.map_err(|source| CallError::Backend {
            may_have_written: source.may_have_written(plan),
            source: Box::new(source),
        })
    }
}

/// How a call ended, and the answer of a write that is to be put on its way.
struct Told {
    outcome: Outcome,
    answered: Option<Answered>,
}

impl Told {
    /// Nobody has to know whether it arrives.
    fn alone(outcome: Outcome) -> Self {
        Self {
            outcome,
            answered: None,
        }
    }
}

/// Waits until the limit passes; forever where there is none.
async fn passed(limit: Option<&Limit>) {
    match limit {
        Some(limit) => limit.passed().await,
        None => pending().await,
    }
}

/// What comes of it, if it comes in time. Only for what may be given up. Pinned where it was made: one that is handed over
/// by value is copied, and kept twice.
async fn within<F: Future>(
    limit: Option<&Limit>,
    future: Pin<&mut F>,
) -> Result<F::Output, CallError> {
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
