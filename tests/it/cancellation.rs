//! Whoever goes away stops a read and never a write: in the 2026-07-28 revision by closing the connection, before it by
//! `notifications/cancelled` only.

use serde_json::{Value, json};
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{FakeBackend, Person, Script, Sidecar, in_time, sandbox},
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

/// The titles of a person's notes.
async fn titles(person: &Person) -> Vec<Value> {
    let page = person.calls("list_notes", json!({})).await.good();
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["payload"]["title"].clone())
        .collect()
}

#[tokio::test]
async fn a_read_ends_when_its_client_closes_the_connection() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.does(Script::Stalls);
    let call = sidecar.alice().begins("get_note", note()).await;
    backend.stalls(1).await;
    call.disconnects();
    backend.is_abandoned_by(1).await;
}

#[tokio::test]
async fn a_write_runs_to_its_end_when_its_client_closes_the_connection() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let call = alice
        .begins("create_note", json!({ "title": "kept", "content": "" }))
        .await;
    in_time(hold.reached(1)).await;
    call.disconnects();
    // A connection that was closed for a read shows that the sidecar has had time to notice.
    let read = alice.begins("list_notes", json!({})).await;
    in_time(hold.reached(2)).await;
    read.disconnects();
    hold.release();
    assert!(sidecar.stops().await, "the write was not waited for");
    let later = Sidecar::before(&backend).await;
    assert_eq!(titles(&later.alice()).await, ["kept"]);
}

#[tokio::test]
async fn a_write_whose_session_is_still_being_opened_runs_to_its_end_too() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let hold = backend.faults().hold(Requests::Sessions, Moment::Arrival);
    let call = sidecar
        .alice()
        .begins("create_note", json!({ "title": "kept", "content": "" }))
        .await;
    in_time(hold.reached(1)).await;
    call.disconnects();
    hold.release();
    assert!(sidecar.stops().await);
    let later = Sidecar::before(&backend).await;
    assert_eq!(titles(&later.alice()).await, ["kept"]);
}

#[tokio::test]
async fn an_older_client_cancels_a_read_by_saying_so() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    backend.does(Script::Stalls);
    let _call = connection.begins(7, "get_note", note()).await;
    backend.stalls(1).await;
    let params = json!({ "requestId": 7, "reason": "changed my mind" });
    let cancelled = connection.notifies("notifications/cancelled", params).await;
    assert_eq!(cancelled.status, 202);
    backend.is_abandoned_by(1).await;
}

#[tokio::test]
async fn an_older_client_that_loses_its_connection_cancels_nothing() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    backend.does(Script::Stalls);
    let lost = connection.begins(7, "get_note", note()).await;
    backend.stalls(1).await;
    lost.disconnects();
    // The same ending in the newer revision is noticed by now, so this one would have been as well.
    let modern = sidecar.alice().begins("get_note", note()).await;
    backend.stalls(2).await;
    modern.disconnects();
    backend.is_abandoned_by(1).await;
    assert_eq!(backend.abandoned(), 1);
    let params = json!({ "requestId": 7 });
    connection.notifies("notifications/cancelled", params).await;
    backend.is_abandoned_by(2).await;
}

#[tokio::test]
async fn nobody_cancels_the_call_of_another_connection() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice().connects().await;
    let bob = sidecar.bob().connects().await;
    backend.does(Script::Stalls);
    let _hers = alice.begins(7, "get_note", note()).await;
    backend.stalls(1).await;
    let _his = bob.begins(7, "get_note", note()).await;
    backend.stalls(2).await;
    bob.notifies("notifications/cancelled", json!({ "requestId": 7 }))
        .await;
    backend.is_abandoned_by(1).await;
    assert_eq!(backend.abandoned(), 1);
    alice
        .notifies("notifications/cancelled", json!({ "requestId": 7 }))
        .await;
    backend.is_abandoned_by(2).await;
}

#[tokio::test]
async fn a_cancelled_write_is_carried_out() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    let arguments = json!({ "title": "kept", "content": "" });
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let _call = connection.begins(7, "create_note", arguments).await;
    in_time(hold.reached(1)).await;
    connection
        .notifies("notifications/cancelled", json!({ "requestId": 7 }))
        .await;
    hold.release();
    assert!(sidecar.stops().await);
    let later = Sidecar::before(&backend).await;
    assert_eq!(titles(&later.alice()).await, ["kept"]);
}
