//! `backend.session.reuse`: a session serves further calls of the same person, and of nobody else, until it is stale.

use serde_json::{Value, json};
use toolbridge::sandbox::Sandbox;

use crate::{
    canonical_calls::NOTE,
    harness::{
        Backend, FakeBackend, Script, Setup, Sidecar, fake_backend::Seen, sandbox, token_for,
    },
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

async fn reusing(backend: &impl Backend) -> Sidecar {
    let setup = Setup::before(backend).set("backend.session.reuse", "15m");
    setup.start().await
}

fn openings(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.opens_session()).count()
}

#[tokio::test]
async fn one_session_serves_the_calls_of_one_person() {
    let backend = FakeBackend::start();
    backend.keeps_sessions();
    let sidecar = reusing(&backend).await;
    let alice = sidecar.alice();
    for _ in 0..5 {
        alice.calls("get_note", note()).await.good();
    }
    let seen = backend.take_seen();
    assert_eq!((openings(&seen), seen.len()), (1, 6));
}

#[tokio::test]
async fn without_the_setting_each_call_has_its_own() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for _ in 0..3 {
        sidecar.alice().calls("get_note", note()).await.good();
    }
    assert_eq!(openings(&backend.take_seen()), 3);
}

/// The fake complains of a session that comes with the token of another person than opened it.
#[tokio::test]
async fn nobody_is_served_with_somebody_elses_session() {
    let backend = FakeBackend::start();
    backend.keeps_sessions();
    let sidecar = reusing(&backend).await;
    let tokens = ["alice", "bob", "ali", "alice\u{1}"].map(token_for);
    for _ in 0..2 {
        for token in &tokens {
            let person = sidecar.nobody().with_token(token);
            person.calls("get_note", note()).await.good();
        }
    }
    assert_eq!(openings(&backend.take_seen()), tokens.len());
}

async fn makes_a_note(sidecar: &Sidecar) {
    let note = json!({ "title": "a", "content": "b" });
    sidecar.alice().calls("create_note", note).await.good();
}

async fn notes_of(backend: &Sandbox) -> usize {
    let sidecar = Sidecar::before(backend).await;
    let page = sidecar.alice().calls("list_notes", json!({})).await.good();
    page["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_session_that_has_ended_is_replaced_by_a_fresh_one_within_the_call() {
    let backend = sandbox().await;
    let sidecar = reusing(&backend).await;
    makes_a_note(&sidecar).await;
    // 428: unknown to the backend, as after its restart.
    backend.expire_sessions();
    makes_a_note(&sidecar).await;
    // 409: the epoch was raised behind the session that another sidecar opened.
    backend
        .faults()
        .change(|switches| switches.bump_epoch_after_sessions = 1);
    assert_eq!(notes_of(&backend).await, 2);
    makes_a_note(&sidecar).await;
    assert_eq!(notes_of(&backend).await, 3);
}

#[tokio::test]
async fn a_backend_that_calls_every_session_stale_is_asked_for_one_fresh_one_only() {
    let backend = FakeBackend::start();
    backend.keeps_sessions();
    let sidecar = reusing(&backend).await;
    let alice = sidecar.alice();
    alice.calls("get_note", note()).await.good();
    backend.take_seen();
    backend.does(Script::status(428));
    let ended = alice.calls("get_note", note()).await;
    assert_eq!(ended.code(), "BACKEND_UNAVAILABLE");
    let seen = backend.take_seen();
    assert_eq!((openings(&seen), seen.len()), (1, 3));
    backend.recovers();
    alice.calls("get_note", note()).await.good();
}
