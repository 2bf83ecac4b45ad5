//! A tool call whose caller may have to choose an organization first. In: the call, and what the client brought back of a
//! question of ours. Out: how the call ended, or the question. The call itself runs in `call`, where a missing choice is
//! found before anything is sent to the backend: so it can be run again after the choice.

use std::sync::Arc;

use http::request::Parts;
use rmcp::{
    RoleServer,
    model::{InputRequiredResult, InputResponses, ProtocolVersion},
    service::RequestContext,
};

use super::{
    Handler, Incoming, NoOutcome, Outcome,
    outcome::{Code, Failure},
    pipe::Lasting,
    present::{self, identity::Unchosen},
    question::{self, Answer, Asked, NotOurs},
    workspace::WorkspaceTool,
};
use crate::{
    auth::Caller,
    backend::CorrelationId,
    identity::{Denial, IdentityError, Organization},
};

/// What a client brings back of a question of ours.
pub(super) struct Brought {
    pub(super) state: Option<String>,
    pub(super) responses: Option<InputResponses>,
}

/// What a client is answered.
pub(super) enum Reply {
    /// The call ended.
    Ended(Outcome),
    /// The person is asked first; the client repeats the call with the answer.
    Asks(InputRequiredResult),
}

impl Handler {
    pub(super) async fn call(
        &self,
        call: Incoming,
        brought: Brought,
        context: RequestContext<RoleServer>,
    ) -> Result<Reply, NoOutcome> {
        let calls = &self.shared.calls;
        let identities = calls.identities();
        if !identities.offers_selection() {
            let outcome = Arc::clone(calls).run(call, context.ct).await;
            return outcome.map(Reply::Ended);
        }
        if let Some(tool) = WorkspaceTool::named(&call.tool) {
            let outcome = tool.run(identities, &call.caller, &call.arguments).await;
            return Ok(Reply::Ended(outcome));
        }
        call.catalogue
            .called(&call.tool)
            .ok_or(NoOutcome::UnknownTool)?;
        let Brought { state, responses } = brought;
        if state.is_some() || responses.is_some() {
            let answer =
                self.shared
                    .seal
                    .answer(asked(&call), state.as_deref(), responses.as_ref());
            if let Err(refused) = self.take(&call, answer).await {
                return Ok(Reply::Ended(refused));
            }
        }
        let outcome = Arc::clone(calls)
            .run(call.clone(), context.ct.clone())
            .await?;
        match outcome {
            Outcome::Failure(failure) if failure.code == Code::TenantSelectionRequired => {
                self.choose_first(call, failure, context).await
            }
            outcome => Ok(Reply::Ended(outcome)),
        }
    }

    /// The person has to choose: asks in the way that this client knows, or tells the model.
    async fn choose_first(
        &self,
        call: Incoming,
        failure: Failure,
        context: RequestContext<RoleServer>,
    ) -> Result<Reply, NoOutcome> {
        let told = |failure| Ok(Reply::Ended(Outcome::Failure(failure)));
        if !question::shows_forms(context.client_capabilities().as_ref()) {
            return told(failure);
        }
        let organizations: &[Organization] = &failure.organizations;
        if context.protocol_version() >= Some(ProtocolVersion::V_2026_07_28) {
            let question = self.shared.seal.question(asked(&call), organizations);
            return Ok(Reply::Asks(question));
        }
        // Without a connection the client could not answer, and the call would only wait (protocol page E.9).
        if !has_connection(&context) {
            return told(failure);
        }
        let gone = context.ct.clone();
        let answer = tokio::select! {
            answer = question::ask(&context, &call.tool, organizations) => answer,
            () = gone.cancelled() => return Err(NoOutcome::ClientGone),
        };
        if answer == Answer::Missing {
            return told(failure);
        }
        if let Err(refused) = self.take(&call, Ok(answer)).await {
            return Ok(Reply::Ended(refused));
        }
        let outcome = Arc::clone(&self.shared.calls).run(call, gone).await;
        outcome.map(Reply::Ended)
    }

    /// Remembers the answer; an answer that chooses nothing lets the call find out by itself.
    async fn take(&self, call: &Incoming, answer: Result<Answer, NotOurs>) -> Result<(), Outcome> {
        let failure = match answer {
            Ok(Answer::Missing) => return Ok(()),
            Ok(Answer::Chosen(id)) => match self.choose(&call.caller, &id).await {
                Ok(()) => return Ok(()),
                Err(error) => present::identity::refused(&error),
            },
            Ok(Answer::Declined) => present::identity::unchosen(Unchosen::Declined),
            Ok(Answer::Late) => present::identity::unchosen(Unchosen::Late),
            Err(NotOurs) => present::identity::unchosen(Unchosen::NotOurs),
        };
        Err(refused(&call.tool, failure))
    }

    /// The form's answers are ids: a name would be an answer that was not offered.
    async fn choose(&self, caller: &Caller, id: &str) -> Result<(), IdentityError> {
        let identities = self.shared.calls.identities();
        let offered = identities.current(caller).await?.organizations;
        if !offered.iter().any(|it| it.id().as_str() == id) {
            return Err(Denial::NotYours.into());
        }
        identities.choose(caller, id).await.map(drop)
    }
}

fn asked(call: &Incoming) -> Asked<'_> {
    Asked {
        caller: &call.caller,
        tool: &call.tool,
        arguments: &call.arguments,
    }
}

fn has_connection(context: &RequestContext<RoleServer>) -> bool {
    let parts = context.extensions.get::<Parts>();
    parts.is_some_and(|parts| {
        parts.headers.contains_key("mcp-session-id") || parts.extensions.get::<Lasting>().is_some()
    })
}

/// A call that ended before it ran, with its line in the log.
fn refused(tool: &str, failure: Failure) -> Outcome {
    let correlation = CorrelationId::random();
    tracing::info!(
        tool.name = tool,
        request.id = %correlation,
        outcome = failure.code.as_str(),
        error = "no organization was chosen",
        "tool call"
    );
    Outcome::Failure(Failure {
        correlation_id: correlation.to_string(),
        ..failure
    })
}
