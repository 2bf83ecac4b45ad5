//! Signs of life for clients that asked for them, over each way that HTTP has: some while the call runs, none after its
//! answer. How often, and in which words, is tested on a paused clock beside the code.

use std::time::Duration;

use serde_json::{Value, json};
use toolbridge::sandbox::{Hold, Moment, Requests, Sandbox};

use crate::harness::{Setup, Sidecar, in_time, sandbox, sse::OLDEST};

const PROGRESS: &str = "notifications/progress";

/// A backend that holds calls up, and an impatient sidecar before it.
async fn scene() -> (Sandbox, Sidecar, Hold) {
    let backend = sandbox().await;
    let setup = Setup::before(&backend).heartbeat(Duration::from_millis(20));
    let sidecar = setup.start().await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    (backend, sidecar, hold)
}

fn arguments() -> Value {
    json!({ "title": "slow", "content": "" })
}

fn asking() -> Value {
    json!({ "progressToken": "p1" })
}

/// The messages of an answer that is a stream of events.
fn events(answer: &str) -> Vec<Value> {
    assert!(answer.contains("text/event-stream"), "{answer}");
    let data = answer.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// At least three signs of life, each further on than the one before, and the answer as the last.
#[track_caller]
fn check(messages: &[Value]) {
    let (answer, signs) = messages.split_last().unwrap();
    let title = &answer["result"]["structuredContent"]["payload"]["title"];
    assert_eq!(title, "slow", "{answer}");
    assert!(signs.len() >= 3, "{messages:?}");
    let mut last = 0.0;
    for sign in signs {
        assert_eq!(sign["method"], PROGRESS, "{sign}");
        assert_eq!(sign["params"]["progressToken"], "p1");
        let progress = sign["params"]["progress"].as_f64().unwrap();
        assert!(progress > last, "{messages:?}");
        last = progress;
    }
}

#[tokio::test]
async fn a_modern_call_says_that_it_runs_on_the_stream_of_its_answer() {
    let (_backend, sidecar, hold) = scene().await;
    let alice = sidecar.alice();
    let mut call = alice
        .begins_with("create_note", arguments(), &asking())
        .await;
    call.says(PROGRESS, 3).await;
    hold.release();
    check(&events(&call.answer().await));
}

#[tokio::test]
async fn a_legacy_call_does_so_too() {
    let (_backend, sidecar, hold) = scene().await;
    let connection = sidecar.alice().connects().await;
    let params = json!({ "name": "create_note", "arguments": arguments(), "_meta": asking() });
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let mut call = connection.person.writes(&message).await;
    call.says(PROGRESS, 3).await;
    hold.release();
    check(&events(&call.answer().await));
}

#[tokio::test]
async fn a_call_of_the_oldest_transport_does_so_on_its_one_stream() {
    let (_backend, sidecar, hold) = scene().await;
    let mut connection = sidecar.alice().opens_sse().await;
    connection.initializes(OLDEST, json!({})).await;
    let params = json!({ "name": "create_note", "arguments": arguments(), "_meta": asking() });
    connection.begins(7, "tools/call", params).await;
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(connection.hears().await);
    }
    hold.release();
    while messages.last().unwrap()["id"] != 7 {
        messages.push(connection.hears().await);
    }
    check(&messages);
    assert!(messages[0]["params"].get("message").is_none());
}

#[tokio::test]
async fn whoever_did_not_ask_gets_plain_json_however_long_it_takes() {
    let (_backend, sidecar, hold) = scene().await;
    let alice = sidecar.alice();
    let meta = asking();
    let mut asked = alice.begins_with("create_note", arguments(), &meta).await;
    let other = json!({ "title": "another", "content": "" });
    let call = alice.begins("create_note", other).await;
    in_time(hold.reached(2)).await;
    // By now the other would have heard as much.
    asked.says(PROGRESS, 3).await;
    hold.release();
    let answer = call.answer().await;
    assert!(answer.contains("application/json"), "{answer}");
    assert!(!answer.contains(PROGRESS), "{answer}");
}
