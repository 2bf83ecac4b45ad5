//! Two deliberate creates with the same arguments are two records, every time: whoever has the first answer and asks
//! again wants another one, on whichever connection.

use serde_json::{Value, json};
use toolbridge::sandbox::Sandbox;

use super::retrying::{Retrying, titles};
use crate::harness::{
    Sidecar,
    legacy::{opened_with, request},
    sandbox,
};

fn note() -> Value {
    json!({ "title": "wished", "content": "twice" })
}

async fn scene() -> (Sandbox, Sidecar) {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    (backend, sidecar)
}

/// How often, so that a moment in which the first answer is not known to have arrived is met.
const TIMES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_connection_and_on_a_new_one_each_time() {
    let (_backend, sidecar) = scene().await;
    let alice = sidecar.alice();
    for _ in 0..TIMES {
        alice.calls("create_note", note()).await.good();
    }
    assert_eq!(titles(&alice).await["wished"], TIMES);
    let bob = sidecar.bob();
    for _ in 0..TIMES {
        let answer = bob.begins("create_note", note()).await.answer().await;
        assert!(answer.contains("\"uid\""), "{answer}");
    }
    assert_eq!(titles(&bob).await["wished"], TIMES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_connections_by_turns_that_both_stay_open() {
    let (_backend, sidecar) = scene().await;
    let clients = [(); 2].map(|()| Retrying::at(&sidecar.url, "alice"));
    for turn in 0..TIMES {
        let made = clients[turn % 2].tries("wished").await;
        assert_eq!(made.unwrap()["version"], 1);
    }
    assert_eq!(titles(&sidecar.alice()).await["wished"], TIMES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_client_that_closes_after_each_answer() {
    let (_backend, sidecar) = scene().await;
    let alice = sidecar.alice().with("connection", "close");
    for _ in 0..TIMES {
        alice.calls("create_note", note()).await.good();
    }
    assert_eq!(titles(&sidecar.alice()).await["wished"], TIMES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_connections_of_the_older_revisions() {
    let (_backend, sidecar) = scene().await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let alice = sidecar.person(version);
        let connection = opened_with(&alice, version).await;
        for id in 0..20 {
            let call = json!({ "name": "create_note", "arguments": note() });
            let answer = connection.posts(&request(id, "tools/call", call)).await;
            assert_eq!(answer.result()["isError"], false, "{answer:?}");
        }
        assert_eq!(titles(&alice).await["wished"], 20, "{version}");
    }
}

/// As the official Python client does, which leaves the end of the stream unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_clients_that_hang_up_as_soon_as_they_have_read_the_answer() {
    let (_backend, sidecar) = scene().await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    for id in 0..50 {
        let mut call = connection.begins(id, "create_note", note()).await;
        call.says("\"structuredContent\"", 1).await;
        call.disconnects();
    }
    assert_eq!(titles(&alice).await["wished"], 50);
    let bob = sidecar.bob();
    let asking = json!({ "progressToken": "p" });
    for _ in 0..50 {
        let mut call = bob.begins_with("create_note", note(), &asking).await;
        call.says("\"structuredContent\"", 1).await;
        call.disconnects();
    }
    assert_eq!(titles(&bob).await["wished"], 50);
}
