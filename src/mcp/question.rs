//! "Which organization?", asked of the person through the client, in both of MCP's ways (protocol page A.7, B.7). In: who
//! is asked, about which call. Out: a form; and an organization's id from what comes back, which opens nothing before the
//! memberships of now are compared with it. What a client brings back is hostile until its seal is opened: the seal says
//! that we asked this person, about this very call, a short while ago.

mod form;

use std::{collections::BTreeMap, time::Duration};

use rmcp::{
    RoleServer,
    model::{
        ClientCapabilities, ElicitRequest, ElicitResult, ElicitationAction, InputRequest,
        InputRequests, InputRequiredResult, InputResponses, ProtocolVersion, RequestStateCodec,
        SealOptions,
    },
    service::{RequestContext, ServiceError},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::seal::SealKeys;
use crate::{auth::Caller, identity::Organization};

use form::{form, named, titled};

/// The form's one field, and the key under which the question goes out and its answer comes back.
const FIELD: &str = "organization";
/// A person may take so long to answer where the client repeats the call.
const SEALED_FOR: Duration = Duration::from_secs(600);
/// And so long where it is the call that waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the keys are made for: the same secrets seal other things.
const PURPOSE: &[u8] = b"toolbridge request state";
const QUESTION: &[u8] = b"which organization";
/// No state of ours is longer.
const LONGEST_STATE: usize = 1024;

/// A call, as far as a question about it is bound to it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) tool: &'a str,
    pub(super) arguments: &'a Map<String, Value>,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This organization, by its id.
    Chosen(String),
    /// The person does not want to choose.
    Declined,
    /// The person did not answer in time.
    Late,
    /// No answer came: the question was not asked, or not understood.
    Missing,
}

/// What came back is not the answer to a question of ours; one refusal for all, so that nobody learns what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOurs;

/// Seals questions that the client carries.
#[derive(Clone)]
pub struct Seal {
    current: RequestStateCodec,
    /// Only open.
    others: Vec<RequestStateCodec>,
    now: fn() -> Duration,
}

impl Seal {
    /// `now` is the time since 1970.
    #[must_use]
    pub fn of(keys: &SealKeys, now: fn() -> Duration) -> Self {
        let keys = keys.made_for(PURPOSE);
        let others = keys.others.into_iter();
        Self {
            current: RequestStateCodec::new_unchecked(keys.current),
            others: others.map(RequestStateCodec::new_unchecked).collect(),
            now,
        }
    }

    /// The result that asks: a form with these organizations, and the seal on the question.
    pub(super) fn question(
        &self,
        asked: Asked<'_>,
        organizations: &[Organization],
    ) -> InputRequiredResult {
        let binding = asked.digest();
        let options = SealOptions::new().associated_data(&binding);
        let ends = (self.now)().saturating_add(SEALED_FOR);
        let state = self.current.seal_with(&payload(ends), &options);
        let form = form(asked.tool, titled(organizations));
        let form = InputRequest::Elicitation(ElicitRequest::new(form));
        let requests: InputRequests = BTreeMap::from([(FIELD.to_owned(), form)]);
        InputRequiredResult::new(Some(requests), Some(state))
    }

    /// What the person answered, if what came back is ours and about this call.
    pub(super) fn answer(
        &self,
        asked: Asked<'_>,
        state: Option<&str>,
        responses: Option<&InputResponses>,
    ) -> Result<Answer, NotOurs> {
        let state = state.filter(|state| state.len() <= LONGEST_STATE);
        let (state, digest) = (state.ok_or(NotOurs)?, asked.digest());
        let mut codecs = std::iter::once(&self.current).chain(&self.others);
        let opened = codecs.find_map(|codec| codec.open_with(state, &digest).ok());
        let payload = opened.ok_or(NotOurs)?;
        let ends = ends(&payload).ok_or(NotOurs)?;
        if (self.now)() > ends {
            return Err(NotOurs);
        }
        let Some(response) = responses.and_then(|responses| responses.get(FIELD)) else {
            return Ok(Answer::Missing);
        };
        serde_json::from_value::<ElicitResult>(response.clone())
            .map(|result| read(&result))
            .map_err(|_| NotOurs)
    }
}

/// What is sealed: that it is this question, and until when it may be answered. The codec's own expiry would read the
/// wall clock, which no test could move.
fn payload(ends: Duration) -> Vec<u8> {
    [&ends.as_secs().to_be_bytes(), QUESTION].concat()
}

fn ends(payload: &[u8]) -> Option<Duration> {
    let (seconds, question) = payload.split_first_chunk::<8>()?;
    let seconds = u64::from_be_bytes(*seconds);
    (question == QUESTION).then(|| Duration::from_secs(seconds))
}

impl Asked<'_> {
    /// Who and what, each with its length, so that no two calls have the same; the order of arguments does not count.
    fn digest(&self) -> [u8; 32] {
        let arguments = sorted(&Value::Object(self.arguments.clone())).to_string();
        let parts = [
            self.caller.issuer(),
            self.caller.subject(),
            self.tool,
            &arguments,
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }
}

/// Whether this request's client shows forms to its person.
pub(super) fn shows_forms(capabilities: Option<&ClientCapabilities>) -> bool {
    let elicitation = capabilities.and_then(|it| it.elicitation.as_ref());
    // Neither is named: forms are meant (revisions before 2025-11-25 had nothing else).
    elicitation.is_some_and(|it| it.form.is_some() || it.url.is_none())
}

/// Asks on a legacy connection, while the call waits.
pub(super) async fn ask(
    context: &RequestContext<RoleServer>,
    tool: &str,
    organizations: &[Organization],
) -> Answer {
    let knows_titles = context.protocol_version() >= Some(ProtocolVersion::V_2025_11_25);
    let choice = if knows_titles {
        titled(organizations)
    } else {
        named(organizations)
    };
    let form = form(tool, choice);
    let asking = context
        .peer
        .create_elicitation_with_timeout(form, Some(PATIENCE));
    match asking.await {
        Ok(result) => read(&result),
        Err(ServiceError::Timeout { .. }) => Answer::Late,
        Err(error) => {
            tracing::debug!(%error, "the client did not ask its person");
            Answer::Missing
        }
    }
}

fn read(result: &ElicitResult) -> Answer {
    let chosen = || result.content.as_ref()?.get(FIELD)?.as_str();
    match &result.action {
        ElicitationAction::Accept => {
            chosen().map_or(Answer::Missing, |id| Answer::Chosen(id.to_owned()))
        }
        _ => Answer::Declined,
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> =
                fields.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    fn epoch() -> Duration {
        Duration::ZERO
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn organizations() -> Vec<Organization> {
        let names = [("org_1", "Acme"), ("org_2", "Beta"), ("org_3", "Acme")];
        let of = |(id, name)| Organization::new(id, Some(name)).unwrap();
        names.map(of).into()
    }

    fn responses(answer: Value) -> InputResponses {
        BTreeMap::from([(FIELD.to_owned(), answer)])
    }

    fn accepted(id: &str) -> InputResponses {
        responses(json!({ "action": "accept", "content": { FIELD: id } }))
    }

    struct Call {
        caller: Caller,
        tool: &'static str,
        arguments: Map<String, Value>,
    }

    impl Call {
        fn asked(&self) -> Asked<'_> {
            Asked {
                caller: &self.caller,
                tool: self.tool,
                arguments: &self.arguments,
            }
        }
    }

    fn call() -> Call {
        Call {
            caller: Caller::for_tests("i", "alice", None),
            tool: "delete_note",
            arguments: object(json!({ "uid": "1", "more": { "a": 1, "b": [1, 2] } })),
        }
    }

    fn state(seal: &Seal, call: &Call) -> String {
        let question = seal.question(call.asked(), &organizations());
        question.request_state.unwrap()
    }

    #[test]
    fn an_answer_is_taken_for_the_call_it_was_asked_about() {
        let seal = Seal::of(&SealKeys::of([]), epoch);
        let state = state(&seal, &call());
        let answer =
            |call: &Call| seal.answer(call.asked(), Some(&state), Some(&accepted("org_2")));
        assert_eq!(answer(&call()), Ok(Answer::Chosen("org_2".to_owned())));
        // Clients may write the same arguments in another order.
        let mut reordered = call();
        reordered.arguments = object(json!({ "more": { "b": [1, 2], "a": 1 }, "uid": "1" }));
        assert_eq!(answer(&reordered), Ok(Answer::Chosen("org_2".to_owned())));

        let caller = |issuer, subject| Call {
            caller: Caller::for_tests(issuer, subject, None),
            ..call()
        };
        let arguments = |arguments| Call {
            arguments: object(arguments),
            ..call()
        };
        for other in [
            caller("i", "bob"),
            caller("j", "alice"),
            caller("ia", "lice"),
            caller("", "ialice"),
            Call {
                tool: "delete_task",
                ..call()
            },
            arguments(json!({ "uid": "2", "more": { "a": 1, "b": [1, 2] } })),
            arguments(json!({ "uid": "1", "more": { "a": 1, "b": [2, 1] } })),
            arguments(json!({ "uid": "1" })),
            arguments(json!({})),
        ] {
            assert_eq!(answer(&other), Err(NotOurs));
        }
    }

    #[test]
    fn forged_cut_foreign_and_missing_states_are_refused() {
        let (seal, call) = (Seal::of(&SealKeys::of([]), epoch), call());
        let good = state(&seal, &call);
        let foreign = state(&Seal::of(&SealKeys::of([]), epoch), &call);
        let cut = &good[..good.len() - 1];
        let flipped = format!("{cut}{}", if good.ends_with('A') { 'B' } else { 'A' });
        let long = "x".repeat(100_000);
        let unsealed = "rs1.AAAAAAAAAAA.";
        for state in ["", "x", "rs1..", unsealed, cut, &flipped, &foreign, &long] {
            let answer = seal.answer(call.asked(), Some(state), Some(&accepted("org_1")));
            assert_eq!(answer, Err(NotOurs), "{state:.40}");
        }
        let answer = seal.answer(call.asked(), None, Some(&accepted("org_1")));
        assert_eq!(answer, Err(NotOurs));
    }

    #[test]
    fn a_question_can_be_answered_for_ten_minutes() {
        let secret = SecretString::from("0123456789abcdef0123456789abcdef");
        let (state, call) = (
            state(&Seal::of(&SealKeys::of([&secret]), epoch), &call()),
            call(),
        );
        let answer = |now: fn() -> Duration| {
            let seal = Seal::of(&SealKeys::of([&secret]), now);
            seal.answer(call.asked(), Some(&state), Some(&accepted("org_1")))
        };
        assert!(answer(|| Duration::from_secs(600)).is_ok());
        assert_eq!(answer(|| Duration::from_millis(600_001)), Err(NotOurs));
        assert_eq!(answer(|| Duration::MAX), Err(NotOurs));
    }

    #[test]
    fn something_else_sealed_with_the_same_key_is_no_question() {
        let (seal, call) = (Seal::of(&SealKeys::of([]), epoch), call());
        let binding = call.asked().digest();
        let options = SealOptions::new().associated_data(&binding);
        let state = seal.current.seal_with(b"12345678another purpose", &options);
        let answer = seal.answer(call.asked(), Some(&state), Some(&accepted("org_1")));
        assert_eq!(answer, Err(NotOurs));
    }

    #[test]
    fn machines_with_one_secret_take_each_others_answers() {
        let secret = SecretString::from("0123456789abcdef0123456789abcdef");
        let (one, other) = (
            Seal::of(&SealKeys::of([&secret]), epoch),
            Seal::of(&SealKeys::of([&secret]), epoch),
        );
        let (state, call) = (state(&one, &call()), call());
        let answer = other.answer(call.asked(), Some(&state), Some(&accepted("org_1")));
        assert_eq!(answer, Ok(Answer::Chosen("org_1".to_owned())));
    }

    #[test]
    fn answers_that_choose_nothing_are_told_apart() {
        let (seal, call) = (Seal::of(&SealKeys::of([]), epoch), call());
        let state = state(&seal, &call);
        let answer = |answer| seal.answer(call.asked(), Some(&state), Some(&responses(answer)));
        assert_eq!(answer(json!({ "action": "decline" })), Ok(Answer::Declined));
        assert_eq!(answer(json!({ "action": "cancel" })), Ok(Answer::Declined));
        assert_eq!(answer(json!({ "action": "accept" })), Ok(Answer::Missing));
        let number = json!({ "action": "accept", "content": { FIELD: 7 } });
        assert_eq!(answer(number), Ok(Answer::Missing));
        assert_eq!(answer(json!({ "action": "shrug" })), Err(NotOurs));
        assert_eq!(answer(json!("org_1")), Err(NotOurs));
        let other = BTreeMap::from([("other".to_owned(), json!({ "action": "accept" }))]);
        for responses in [None, Some(&other)] {
            let answer = seal.answer(call.asked(), Some(&state), responses);
            assert_eq!(answer, Ok(Answer::Missing));
        }
    }

    #[test]
    fn only_clients_that_say_so_show_forms() {
        let shows = |json: Value| {
            let capabilities: ClientCapabilities = serde_json::from_value(json).unwrap();
            shows_forms(Some(&capabilities))
        };
        assert!(shows(json!({ "elicitation": {} })));
        assert!(shows(json!({ "elicitation": { "form": {}, "url": {} } })));
        assert!(!shows(json!({ "elicitation": { "url": {} } })));
        assert!(!shows(json!({})));
        assert!(!shows_forms(None));
    }
}
