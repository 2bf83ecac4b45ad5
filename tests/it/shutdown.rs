//! Stopping: what runs finishes and is answered, what is new is refused, streams end, and a second wish does not wait.

use serde_json::{Value, json};
use tokio::net::TcpStream;
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{FakeBackend, Person, Script, Setup, Sidecar, in_time, sandbox},
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

#[tokio::test]
async fn a_running_call_finishes_and_is_answered() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let arguments = json!({ "title": "kept", "content": "" });
    let call = sidecar.alice().begins("create_note", arguments).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    hold.release();
    let answer = call.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"title\":\"kept\""), "{answer}");
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn an_older_connections_call_is_answered_too() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let call = connection.begins(7, "list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    hold.release();
    let answer = call.answer().await;
    assert!(answer.contains("\"nextCursor\""), "{answer}");
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn new_connections_are_refused_while_a_call_finishes() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let call = sidecar.alice().begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    let address = sidecar.url.trim_start_matches("http://").to_owned();
    sidecar.shutdown.request();
    // The port is let go in a task of the sidecar; nothing else can hold this up.
    in_time(async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn a_stream_that_waits_for_messages_ends() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = sidecar.alice().connects().await;
    let stream = connection.listens().await;
    sidecar.shutdown.request();
    let said = stream.ends().await;
    assert!(!said.contains("jsonrpc"), "{said}");
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn idle_connections_hold_nothing_up() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let _connection = alice.connects().await;
    alice.calls("get_note", note()).await.good();
    assert!(sidecar.stops().await);
}

#[tokio::test]
async fn a_call_that_hangs_is_cut_after_the_grace_period() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("shutdown.grace", "100ms");
    let sidecar = setup.start().await;
    backend.does(Script::Stalls);
    let _call = sidecar.alice().begins("delete_note", note()).await;
    backend.stalls(1).await;
    assert!(!sidecar.stops().await);
}

#[tokio::test]
async fn a_second_wish_does_not_wait_for_a_call_that_hangs() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("shutdown.kill_timeout", "1h")
        .set("shutdown.grace", "30m");
    let sidecar = setup.start().await;
    backend.does(Script::Stalls);
    let _call = sidecar.alice().begins("delete_note", note()).await;
    backend.stalls(1).await;
    sidecar.shutdown.request();
    sidecar.shutdown.request();
    assert!(!sidecar.ended().await);
}

#[tokio::test]
async fn a_sidecar_that_finishes_a_call_is_alive_and_not_ready() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let ops = Person::at(&sidecar.ops_url);
    assert_eq!(ops.gets("/readyz").await.status, 200);
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let call = sidecar.alice().begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    let ready = ops.gets("/readyz").await;
    assert_eq!((ready.status, &*ready.body), (503, "process: stopping\n"));
    assert_eq!(ops.gets("/healthz").await.status, 200);
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn health_is_no_longer_answered_at_the_end() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let ops = Person::at(&sidecar.ops_url);
    assert_eq!(ops.gets("/healthz").await.status, 200);
    let address = sidecar.ops_url.trim_start_matches("http://").to_owned();
    assert!(sidecar.stops().await);
    assert!(TcpStream::connect(address).await.is_err());
}
