//! The backend fails in every way a network can: the model is told in words it can act on, within bounds of time and
//! memory, without an internal address, and everything works again afterwards.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{
        Backend, Ended, FakeBackend, Person, Script, Setup, Sidecar, fake_backend::Down, in_time,
        sandbox,
    },
};

/// Short enough to wait for; only for answers that never come.
const IMPATIENT: &str = "250ms";

/// The uid of a note.
fn note() -> Value {
    json!({ "uid": NOTE })
}

/// The code of a failure that names no address.
#[track_caller]
fn code_without_address(ended: &Ended) -> String {
    let whole = ended.result.to_string();
    for address in ["127.0.0.1", "localhost", "://"] {
        assert!(!whole.contains(address), "{address} in {whole}");
    }
    ended.code()
}

async fn reads_again(person: &Person) {
    person.calls("get_note", note()).await.good();
}

#[tokio::test]
async fn a_backend_that_is_down_is_reported_and_used_again_when_it_is_up() {
    let down = Down::new();
    let sidecar = Sidecar::before(&down).await;
    let alice = sidecar.alice();
    for (tool, retryable) in [("get_note", true), ("delete_note", true)] {
        let ended = alice.calls(tool, note()).await;
        assert_eq!(code_without_address(&ended), "BACKEND_UNAVAILABLE");
        assert_eq!(ended.failed()["retryable"], retryable);
        assert_eq!(ended.failed()["status"], Value::Null);
    }
    let _backend = down.recovers();
    reads_again(&alice).await;
}

#[tokio::test]
async fn a_stalled_backend_is_given_up_on() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("backend.request_timeout", IMPATIENT);
    let sidecar = setup.start().await;
    let alice = sidecar.alice();
    backend.does(Script::Stalls);
    let read = alice.calls("get_note", note()).await;
    assert_eq!(code_without_address(&read), "TIMEOUT");
    assert_eq!(read.failed()["retryable"], true);
    let write = alice.calls("delete_note", note()).await;
    assert_eq!(code_without_address(&write), "TIMEOUT");
    assert_eq!(write.failed()["retryable"], false);
    assert!(
        write.text().contains("read before you repeat it"),
        "{}",
        write.text()
    );
    backend.is_abandoned_by(2).await;
}

#[tokio::test]
async fn a_stalled_session_means_that_nothing_was_sent() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("backend.request_timeout", IMPATIENT);
    let sidecar = setup.start().await;
    backend.opens_sessions_with(Script::Stalls);
    let write = sidecar.alice().calls("delete_note", note()).await;
    assert_eq!(code_without_address(&write), "TIMEOUT");
    assert_eq!(write.failed()["retryable"], true);
    assert_eq!(backend.seen().len(), 1);
}

/// One answer that cannot be used, to a read and to a write; then a good one.
async fn recovers_from(script: Script, code: &str) {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    backend.does(script.clone());
    for tool in ["get_note", "delete_note"] {
        let ended = alice.calls(tool, note()).await;
        assert_eq!(code_without_address(&ended), code, "{script:?}");
        assert_eq!(ended.failed()["correlation_id"].as_str().unwrap().len(), 36);
    }
    backend.recovers();
    reads_again(&alice).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_unusable() {
    recovers_from(Script::Truncates, "BACKEND_UNAVAILABLE").await;
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_unusable() {
    recovers_from(Script::HangsUp, "BACKEND_UNAVAILABLE").await;
}

#[tokio::test]
async fn text_that_is_no_json_is_unusable() {
    for body in ["", "ok", "{\"uid\":", "{} {}", "\u{0}"] {
        let script = Script::with(200, &[], body);
        let backend = FakeBackend::start();
        let sidecar = Sidecar::before(&backend).await;
        backend.does(script);
        let ended = sidecar.alice().calls("get_note", note()).await;
        let code = code_without_address(&ended);
        assert!(
            ["BACKEND_UNAVAILABLE", "INTERNAL"].contains(&code.as_str()),
            "{body:?}: {code}"
        );
    }
}

#[tokio::test]
async fn a_web_page_is_unusable_and_not_shown() {
    let kind = [("content-type", "text/html")];
    let page = "<html><a href=\"http://10.0.0.7:8080/login\">canary</a></html>";
    recovers_from(Script::with(200, &kind, page), "BACKEND_UNAVAILABLE").await;
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.does(Script::with(502, &kind, page));
    let ended = sidecar.alice().calls("get_note", note()).await;
    assert_eq!(code_without_address(&ended), "BACKEND_UNAVAILABLE");
    assert!(!ended.result.to_string().contains("canary"));
}

#[tokio::test]
async fn json_of_another_shape_is_the_operators_business() {
    for body in [
        "[]",
        "null",
        "{}",
        "5",
        r#"{"uid":5,"version":1}"#,
        r#"{"items":5}"#,
    ] {
        recovers_from(Script::with(200, &[], body), "INTERNAL").await;
    }
}

#[tokio::test]
async fn an_address_in_the_backends_own_words_is_taken_out() {
    let body = r#"{"error":"dial tcp 127.0.0.1:5432: see http://localhost:8080/v1/debug"}"#;
    recovers_from(Script::with(500, &[], body), "BACKEND_REJECTED").await;
}

#[tokio::test]
async fn two_hundred_megabytes_are_refused_after_the_first_few() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    backend.does(Script::Floods(200));
    let ended = alice.calls("get_note", note()).await;
    assert_eq!(code_without_address(&ended), "RESPONSE_TOO_LARGE");
    // 8 MiB are taken, and what sockets on both sides hold.
    assert!(
        backend.flooded() < 40,
        "{} MiB were taken",
        backend.flooded()
    );
    backend.recovers();
    reads_again(&alice).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/v1/notes", elsewhere.local_addr().unwrap());
    for status in [301, 302, 303, 307, 308] {
        let redirect = Script::with(status, &[("location", &location)], "");
        recovers_from(redirect.clone(), "BACKEND_REJECTED").await;
        let backend = FakeBackend::start();
        backend.opens_sessions_with(redirect);
        let sidecar = Sidecar::before(&backend).await;
        let ended = sidecar.alice().calls("get_note", note()).await;
        assert_eq!(code_without_address(&ended), "BACKEND_REJECTED");
    }
    // A connection would be waiting by now: every call above has ended.
    let visit = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(visit.is_err(), "somebody followed a redirect");
}

#[tokio::test]
async fn a_backend_killed_in_the_middle_of_a_call_is_reported() {
    for tool in ["list_notes", "create_note", "delete_note"] {
        let backend = sandbox().await;
        let sidecar = Sidecar::before(&backend).await;
        let alice = sidecar.alice();
        let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
        let arguments = match tool {
            "create_note" => json!({ "title": "a", "content": "b" }),
            "delete_note" => note(),
            _ => json!({}),
        };
        let call = tokio::spawn(async move { alice.calls(tool, arguments).await });
        in_time(hold.reached(1)).await;
        backend.kill().await;
        let ended = in_time(call).await.unwrap();
        assert_eq!(code_without_address(&ended), "BACKEND_UNAVAILABLE");
        assert_eq!(ended.failed()["retryable"], tool != "delete_note");
    }
}

#[tokio::test]
async fn a_stale_session_is_replaced_once_by_a_fresh_one() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    backend
        .faults()
        .change(|switches| switches.bump_epoch_after_sessions = 1);
    let made = alice
        .calls("create_note", json!({ "title": "a", "content": "b" }))
        .await;
    made.good();
    assert_eq!(backend.faults().switches().bump_epoch_after_sessions, 0);
    let page = alice.calls("list_notes", json!({})).await.good();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);

    backend
        .faults()
        .change(|switches| switches.expire_sessions = true);
    let ended = alice.calls("get_note", note()).await;
    assert_eq!(code_without_address(&ended), "BACKEND_UNAVAILABLE");
    assert!(
        !ended.result.to_string().contains("/v1/sync"),
        "{}",
        ended.text()
    );
    backend.faults().clear();
    assert_eq!(alice.calls("get_note", note()).await.code(), "NOT_FOUND");
}

#[tokio::test]
async fn a_conflict_that_is_about_no_epoch_is_not_tried_again() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.does(Script::with(409, &[], r#"{"error":"already exists"}"#));
    let ended = sidecar.alice().calls("delete_note", note()).await;
    assert_eq!(ended.code(), "BACKEND_REJECTED");
    assert_eq!(backend.seen().len(), 2);
    backend.take_seen();
    backend.does(Script::with(
        409,
        &[],
        r#"{"error":"epoch_mismatch","epoch":2}"#,
    ));
    let ended = sidecar.alice().calls("delete_note", note()).await;
    assert_eq!(ended.code(), "BACKEND_UNAVAILABLE");
    assert_eq!(backend.seen().len(), 4);
}

#[tokio::test]
async fn what_can_be_done_twice_is_tried_four_times_and_anything_else_that_may_have_arrived_once() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    backend.does(Script::with(503, &[], ""));
    for (tool, arguments, requests) in [
        ("get_note", note(), 8),
        ("delete_note", note(), 8),
        // Under the same uid each time.
        ("create_note", json!({ "title": "a", "content": "b" }), 8),
        ("archive_note", note(), 2),
    ] {
        let ended = alice.calls(tool, arguments).await;
        assert_eq!(code_without_address(&ended), "BACKEND_UNAVAILABLE");
        // A session for each try.
        assert_eq!(backend.take_seen().len(), requests, "{tool}");
    }
    // Without a session nothing arrives, so that anything is tried again.
    backend.recovers();
    backend.opens_sessions_with(Script::with(503, &[], ""));
    let ended = alice.calls("archive_note", note()).await;
    assert_eq!(code_without_address(&ended), "BACKEND_UNAVAILABLE");
    assert_eq!(backend.take_seen().len(), 4);
}

#[tokio::test]
async fn readiness_says_that_the_backend_is_away_and_liveness_does_not_mind() {
    let down = Down::new();
    let setup = Setup::before(&down);
    let port = down.url().rsplit(':').next().unwrap().to_owned();
    let sidecar = setup.start().await;
    let ops = Person::at(&sidecar.ops_url);
    assert_eq!(ops.gets("/healthz").await.status, 200);
    let ready = ops.gets("/readyz").await;
    assert_eq!(
        (ready.status, ready.body.contains(&port)),
        (503, false),
        "{ready:?}"
    );
    let _backend = down.recovers();
    assert_eq!(ops.gets("/readyz").await.status, 200);
    assert_eq!(sidecar.nobody().gets("/healthz").await.status, 200);
}
