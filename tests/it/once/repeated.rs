//! The same write again: while it runs, after its client gave up, after its answer was lost.

use serde_json::{Value, json};
use toolbridge::sandbox::{Failure, Fault, Moment, Requests, Sandbox};

use super::retrying::{Retrying, titles};
use crate::harness::{
    Backend, Ended, Setup, Sidecar,
    cutting_proxy::{Cut, CuttingProxy, Since, Way},
    in_time, legacy, sandbox,
};

fn note() -> Value {
    json!({ "title": "once", "content": "" })
}

async fn scene() -> (Sandbox, Sidecar) {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    (backend, sidecar)
}

#[tokio::test]
async fn a_write_that_runs_is_joined_by_the_same_one_and_by_no_other() {
    let (backend, sidecar) = scene().await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let (alice, bob) = (sidecar.alice(), sidecar.bob());
    let calls = [&alice, &alice, &bob].map(|person| {
        let person = person.clone();
        tokio::spawn(async move { person.calls("create_note", note()).await.good() })
    });
    // Of three calls two are sent: alice's first, and bob's.
    in_time(hold.reached(2)).await;
    hold.release();
    let mut made = Vec::new();
    for call in calls {
        made.push(in_time(call).await.unwrap()["uid"].clone());
    }
    assert_eq!(made[0], made[1]);
    assert_ne!(made[0], made[2]);
    assert_eq!(titles(&alice).await["once"], 1);
    assert_eq!(titles(&bob).await["once"], 1);
}

#[tokio::test]
async fn a_client_that_gave_up_gets_the_answer_when_it_asks_again() {
    let (backend, sidecar) = scene().await;
    let alice = sidecar.alice();
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let call = alice.begins("create_note", note()).await;
    in_time(hold.reached(1)).await;
    call.disconnects();
    // Told that it takes too long, this one asks again as well.
    let limit = json!({ "dev.toolbridge/timeout_ms": 50 });
    let late = alice.calls_with("create_note", note(), &limit).await;
    assert_eq!(Ended::of(&late.result()).code(), "TIMEOUT");
    hold.release();
    let made = alice.calls("create_note", note()).await.good();
    assert_eq!(made["version"], 1);
    assert_eq!(titles(&alice).await["once"], 1);
    // That answer has arrived, so this is another wish.
    alice.calls("create_note", note()).await.good();
    assert_eq!(titles(&alice).await["once"], 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_on_its_way_is_given_again_and_only_once() {
    let (_backend, sidecar) = scene().await;
    let proxy = CuttingProxy::before(sidecar.url.as_str()).await;
    let client = Retrying::at(&proxy.url(), "alice");
    let lost = Cut::abort(Way::ToClient, 40).since(Since::Said("POST /mcp"));
    proxy.cuts(lost);
    assert!(client.tries("once").await.is_none());
    let (made, tried) = client.creates("once").await;
    assert_eq!((tried, &made["version"]), (1, &json!(1)));
    let (again, _) = client.creates("once").await;
    assert_ne!(made["uid"], again["uid"]);
    assert_eq!(titles(&sidecar.alice()).await["once"], 2);
}

#[tokio::test]
async fn an_answer_that_was_resumed_has_arrived() {
    let (backend, sidecar) = scene().await;
    let connection = sidecar.alice().connects().await;
    let person = connection.person.with("accept", "text/event-stream");
    for while_it_runs in [true, false] {
        let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
        let params = json!({ "name": "create_note", "arguments": note() });
        let call = legacy::request(7, "tools/call", params);
        let mut stream = person.streams("POST", &call.to_string()).await;
        let first = stream.event().await;
        let id = first.lines().find_map(|line| line.strip_prefix("id: "));
        let again = person.with("last-event-id", id.unwrap());
        in_time(hold.reached(1)).await;
        drop(stream);
        if while_it_runs {
            let mut resumed = again.streams("GET", "").await;
            hold.release();
            assert_eq!(resumed.message().await.unwrap()["id"], 7);
        } else {
            hold.release();
            assert_eq!(again.gets("/mcp").await.message()["id"], 7);
        }
    }
    assert_eq!(titles(&sidecar.alice()).await["once"], 2);
}

#[tokio::test]
async fn a_create_in_doubt_is_looked_for_before_it_is_made_again() {
    let backend = sandbox().await;
    let impatient = Setup::before(&backend).set("backend.request_timeout", "250ms");
    let sidecar = impatient.start().await;
    let alice = sidecar.alice();
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let doubtful = alice.calls("create_note", note()).await;
    assert_eq!(doubtful.code(), "TIMEOUT");
    assert_eq!(doubtful.failed()["retryable"], true);
    hold.release();
    // What has become of it since stays.
    let page = alice.calls("list_notes", json!({})).await.good();
    let uid = page["items"][0]["uid"].clone();
    let patch = json!({ "uid": uid, "updates": { "content": "edited since" } });
    alice.calls("patch_note", patch).await.good();
    let made = alice.calls("create_note", note()).await.good();
    assert_eq!(
        (&made["uid"], &made["payload"]["content"]),
        (&uid, &json!("edited since"))
    );
    assert_eq!(titles(&alice).await["once"], 1);
}

#[tokio::test]
async fn a_create_in_doubt_whose_record_was_deleted_since_makes_another() {
    let backend = sandbox().await;
    let impatient = Setup::before(&backend).set("backend.request_timeout", "250ms");
    let sidecar = impatient.start().await;
    let alice = sidecar.alice();
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    assert_eq!(alice.calls("create_note", note()).await.code(), "TIMEOUT");
    hold.release();
    let page = alice.calls("list_notes", json!({})).await.good();
    let uid = json!({ "uid": page["items"][0]["uid"] });
    alice.calls("delete_note", uid.clone()).await.good();
    let made = alice.calls("create_note", note()).await.good();
    assert!(made["uid"] != uid["uid"] && made["version"] == 1, "{made}");
    assert_eq!(titles(&alice).await["once"], 1);
}

#[tokio::test]
async fn a_create_whose_answer_the_backend_loses_is_sent_again_under_its_uid() {
    let (backend, sidecar) = scene().await;
    let unavailable = Failure::Status {
        code: 503,
        retry_after_s: None,
    };
    for (title, does) in [
        ("dropped", Failure::Drop),
        ("cut short", Failure::Truncate),
        ("unavailable", unavailable),
    ] {
        backend.faults().add(Fault {
            on: Requests::Entities,
            when: Moment::Answer,
            times: Some(3),
            does,
        });
        let note = json!({ "title": title, "content": "" });
        let made = sidecar.alice().calls("create_note", note).await.good();
        // Four times under one uid.
        assert_eq!(made["version"], 4, "{title}");
    }
    let titles = titles(&sidecar.alice()).await;
    assert_eq!(titles.len(), 3);
    assert!(titles.values().all(|count| *count == 1), "{titles:?}");
}
