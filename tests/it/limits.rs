//! A client's own limit for a call: it ends the call before ours would, says whose limit it was, and never lies about a
//! write.

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{Ended, FakeBackend, Script, Setup, Sidecar, in_time, sandbox, sse::OLDEST},
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

/// `_meta` with this limit.
fn limit(milliseconds: u64) -> Value {
    json!({ "dev.toolbridge/timeout_ms": milliseconds })
}

/// What the model is told of a call that took too long.
#[track_caller]
fn timed_out(ended: &Ended) -> (String, bool) {
    let error = ended.failed();
    assert_eq!(error["code"], "TIMEOUT");
    let message = error["message"].as_str().unwrap().to_owned();
    (message, error["retryable"].as_bool().unwrap())
}

#[tokio::test]
async fn a_read_ends_with_its_clients_limit() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.does(Script::Stalls);
    let answer = sidecar
        .alice()
        .calls_with("get_note", note(), &limit(50))
        .await;
    let ended = Ended::of(&answer.result());
    let words = "get_note took longer than the 50 ms that your client allows it (dev.toolbridge/timeout_ms)";
    assert_eq!(timed_out(&ended), (words.to_owned(), true));
    backend.is_abandoned_by(1).await;
}

#[tokio::test]
async fn http_has_a_header_for_it() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.does(Script::Stalls);
    let alice = sidecar.alice().with("prefer", "respond-async, wait=1");
    let (words, _) = timed_out(&alice.calls("get_note", note()).await);
    assert!(
        words.contains("the 1 s that") && words.contains("(Prefer: wait)"),
        "{words}"
    );
    // The shorter one counts.
    let answer = alice.calls_with("get_note", note(), &limit(40)).await;
    let (words, _) = timed_out(&Ended::of(&answer.result()));
    assert!(words.contains("the 40 ms that"), "{words}");
}

#[tokio::test]
async fn ours_ends_a_call_that_its_client_would_wait_for() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("backend.request_timeout", "100ms");
    let sidecar = setup.start().await;
    backend.does(Script::Stalls);
    let answer = sidecar
        .alice()
        .calls_with("get_note", note(), &limit(50_000))
        .await;
    let (words, _) = timed_out(&Ended::of(&answer.result()));
    assert_eq!(
        words,
        "get_note timed out after 100 ms waiting for the backend"
    );
}

#[tokio::test]
async fn a_call_that_is_fast_enough_is_none_the_worse_for_it() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice().with("prefer", "wait=50");
    let answer = alice.calls_with("get_note", note(), &limit(50_000)).await;
    Ended::of(&answer.result()).good();
    for tool in ["create_note", "delete_note"] {
        let arguments = match tool {
            "create_note" => json!({ "title": "a", "content": "b" }),
            _ => note(),
        };
        let answer = alice.calls_with(tool, arguments, &limit(50_000)).await;
        Ended::of(&answer.result()).good();
    }
}

#[tokio::test]
async fn a_write_that_may_have_arrived_says_so_and_goes_on() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let arguments = json!({ "title": "kept", "content": "" });
    let alice = sidecar.alice();
    let answer = alice
        .calls_with("create_note", arguments, &limit(1500))
        .await;
    let (words, retryable) = timed_out(&Ended::of(&answer.result()));
    assert!(
        words.contains("it is not known whether the record was made"),
        "{words}"
    );
    assert!(
        retryable,
        "a create can be repeated: it makes no second record"
    );
    in_time(hold.reached(1)).await;
    hold.release();
    assert!(sidecar.stops().await, "the write was not waited for");
    let later = Sidecar::before(&backend).await;
    let page = later.alice().calls("list_notes", json!({})).await.good();
    assert_eq!(page["items"][0]["payload"]["title"], "kept");
}

#[tokio::test]
async fn a_write_that_was_not_sent_says_that_nothing_was_changed() {
    // Asked for which tenant, it says nothing, so the call is never sent.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let setup = Setup::before(url.as_str()).without("tenant.id");
    let sidecar = setup.set("tenant.mode", "backend").start().await;
    let arguments = json!({ "title": "a", "content": "b" });
    let alice = sidecar.alice();
    let answer = alice.calls_with("create_note", arguments, &limit(50)).await;
    let (words, retryable) = timed_out(&Ended::of(&answer.result()));
    assert!(words.ends_with("; nothing was changed"), "{words}");
    assert!(retryable);
    let (mut asked, _) = in_time(silent.accept()).await.unwrap();
    let mut request = String::new();
    in_time(asked.read_to_string(&mut request)).await.unwrap();
    assert!(request.starts_with("GET /v1/auth/tenant"), "{request}");
    assert!(!request.contains("POST"), "{request}");
}

#[tokio::test]
async fn the_older_transports_have_it_too() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.does(Script::Stalls);
    let params = json!({ "name": "get_note", "arguments": note(), "_meta": limit(50) });
    let legacy = sidecar.alice().connects().await;
    let answer = legacy.asks("tools/call", params.clone()).await;
    let (words, _) = timed_out(&Ended::of(&answer.result()));
    assert!(words.contains("the 50 ms that"), "{words}");
    let mut oldest = sidecar.alice().with("prefer", "wait=1").opens_sse().await;
    oldest.initializes(OLDEST, json!({})).await;
    let answer = oldest.asks(2, "tools/call", params).await;
    let (words, _) = timed_out(&Ended::of(&answer["result"]));
    assert!(words.contains("the 50 ms that"), "{words}");
    let (words, _) = timed_out(&oldest.calls(3, "get_note", note()).await);
    assert!(words.contains("(Prefer: wait)"), "{words}");
}

#[tokio::test]
async fn a_limit_that_is_no_time_is_refused() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for odd in [json!(0), json!("50"), json!(-1)] {
        let meta = json!({ "dev.toolbridge/timeout_ms": odd });
        let answer = sidecar.alice().calls_with("get_note", note(), &meta).await;
        assert_eq!(answer.error_code(), -32602, "{odd}");
    }
    assert!(backend.seen().is_empty());
}
