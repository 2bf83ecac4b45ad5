//! Requests to the client inside results (2026-07-28): which round a call is in, from what the client brings back. In:
//! the rounds of a fixture, the responses and the sealed state. Out: the next request, or the answers. What the client
//! brings is checked as in the product: a state that is not ours is an error, a response of the wrong kind asks again.

use rmcp::{
    ErrorData,
    model::{
        ClientCapabilities, CreateMessageResult, ElicitResult, InputRequest, InputRequests,
        InputRequiredResult, InputResponses, ListRootsResult, RequestStateCodec, SealOptions,
    },
};
use serde_json::{Value, json};

use crate::fixtures::Rounds;

/// Seals states; good for this process alone.
pub(crate) struct States(RequestStateCodec);

/// What a client brings back.
pub(crate) struct Brought<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: Option<&'a str>,
    pub(crate) responses: Option<&'a InputResponses>,
    pub(crate) can: &'a ClientCapabilities,
}

/// What to do next.
pub(crate) enum Next {
    Ask(InputRequiredResult),
    /// The last round's responses.
    Answer(Value),
}

impl States {
    pub(crate) fn new() -> Self {
        let key = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        Self(RequestStateCodec::new_unchecked(
            key.map(uuid::Uuid::into_bytes).concat(),
        ))
    }

    pub(crate) fn next(&self, rounds: &Rounds, brought: &Brought<'_>) -> Result<Next, ErrorData> {
        let round = self.round(rounds, brought)?;
        let Some(answers) = answers(&rounds.requests[round], brought.responses) else {
            return Ok(Next::Ask(self.asking(rounds, round, brought)));
        };
        if round + 1 < rounds.requests.len() {
            return Ok(Next::Ask(self.asking(rounds, round + 1, brought)));
        }
        Ok(Next::Answer(answers))
    }

    /// The round whose requests the client has seen.
    fn round(&self, rounds: &Rounds, brought: &Brought<'_>) -> Result<usize, ErrorData> {
        let Some(state) = brought.state.filter(|_| rounds.sealed) else {
            return Ok(0);
        };
        let opened = self.0.open_with(state, brought.name.as_bytes());
        let round = opened.ok().and_then(|payload| payload.first().copied());
        round
            .map(usize::from)
            .filter(|round| *round < rounds.requests.len())
            .ok_or_else(|| ErrorData::invalid_params("this requestState is not ours", None))
    }

    fn asking(&self, rounds: &Rounds, round: usize, brought: &Brought<'_>) -> InputRequiredResult {
        let mut requests = rounds.requests[round].clone();
        if rounds.only_declared {
            requests.retain(|_, request| is_declared(request, brought.can));
        }
        let options = SealOptions::new().associated_data(brought.name.as_bytes());
        let payload = [u8::try_from(round).expect("a few rounds")];
        let state = || self.0.seal_with(&payload, &options);
        InputRequiredResult::new(Some(requests), rounds.sealed.then(state))
    }
}

fn is_declared(request: &InputRequest, can: &ClientCapabilities) -> bool {
    match request {
        InputRequest::CreateMessage(_) => can.sampling.is_some(),
        InputRequest::Elicitation(_) => can.elicitation.is_some(),
        InputRequest::ListRoots(_) => can.roots.is_some(),
        _ => false,
    }
}

/// The responses to these requests, if every one is there and of its kind; others are left out.
fn answers(asked: &InputRequests, responses: Option<&InputResponses>) -> Option<Value> {
    let mut answers = json!({});
    for (key, request) in asked {
        let response = responses?.get(key)?;
        let is_right = match request {
            InputRequest::CreateMessage(_) => is::<CreateMessageResult>(response),
            InputRequest::Elicitation(_) => is::<ElicitResult>(response),
            InputRequest::ListRoots(_) => is::<ListRootsResult>(response),
            _ => false,
        };
        answers[key] = is_right.then(|| response.clone())?;
    }
    Some(answers)
}

fn is<T: serde::de::DeserializeOwned>(response: &Value) -> bool {
    serde_json::from_value::<T>(response.clone()).is_ok()
}
