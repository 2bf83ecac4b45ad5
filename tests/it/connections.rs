//! Connections of the revisions before 2026-07-28, whose ids outlive the process: restarts, other people, tampering,
//! batches, lost answers. Every attack and every loss is done over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{
        Claims, FakeBackend, Person, Setup, Sidecar,
        legacy::{LEGACY, initialize, opened_with, request},
        person::{BOTH_TYPES, modern},
        sandbox,
    },
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

fn call(id: u64) -> Value {
    request(
        id,
        "tools/call",
        json!({ "name": "get_note", "arguments": note() }),
    )
}

/// The same person before another process.
fn at(sidecar: &Sidecar, name: &str, id: &str) -> Person {
    sidecar
        .person(name)
        .with("mcp-session-id", id)
        .with("mcp-protocol-version", LEGACY)
}

#[tokio::test]
async fn a_connection_outlives_the_process_that_made_it() {
    let backend = FakeBackend::start();
    let first = Sidecar::before(&backend).await;
    let id = first.alice().connects().await.id;
    assert!(first.stops().await);
    let second = Sidecar::before(&backend).await;
    let alice = at(&second, "alice", &id);
    let answer = alice.posts(&call(2)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.result()["isError"], false);
    // And so do its stream and its end.
    assert_eq!(alice.sends("DELETE", "/mcp", "").await.status, 204);
    assert_eq!(alice.posts(&call(3)).await.status, 404);
}

#[tokio::test]
async fn a_connection_is_unknown_to_another_person_and_to_who_tampers() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let id = sidecar.alice().connects().await.id;
    let half = id.len() / 2;
    let other = if id[half..].starts_with('A') {
        'B'
    } else {
        'A'
    };
    let turned: String = id.chars().rev().collect();
    let tampered = [
        format!("{}{other}{}", &id[..half], &id[half + 1..]),
        id[..half].to_owned(),
        format!("{id}{id}"),
        turned,
        "0".to_owned(),
        "x".repeat(9_000),
    ];
    let mallory = at(&sidecar, "mallory", &id);
    let tampering = tampered.iter().map(|id| at(&sidecar, "alice", id));
    for person in tampering.chain([mallory]) {
        for (method, body) in [
            ("POST", call(2).to_string()),
            ("GET", String::new()),
            ("DELETE", String::new()),
        ] {
            let answer = person
                .with("content-type", "application/json")
                .with("accept", BOTH_TYPES)
                .sends(method, "/mcp", &body)
                .await;
            assert_eq!(answer.status, 404, "{method}");
            assert_eq!(answer.error_code(), -32600);
        }
    }
    assert!(backend.seen().is_empty());
    assert_eq!(at(&sidecar, "alice", &id).posts(&call(2)).await.status, 200);
}

#[tokio::test]
async fn a_connection_of_another_secret_is_unknown_and_of_the_next_one_known() {
    const OLD: &str = "old-seal-of-the-integration-tests-0123456789";
    const NEW: &str = "new-seal-of-the-integration-tests-0123456789";
    let backend = FakeBackend::start();
    let sealing = |current, next: Option<&'static str>| {
        let setup = Setup::before(&backend).secret("SEAL_SECRET", current);
        match next {
            Some(next) => setup.secret("SEAL_SECRET_NEXT", next),
            None => setup,
        }
    };
    let old = sealing(OLD, None).start().await.alice().connects().await.id;
    let knows = async |setup: Setup, id: &str| {
        let sidecar = setup.start().await;
        at(&sidecar, "alice", id).posts(&call(2)).await.status == 200
    };
    assert!(knows(sealing(OLD, Some(NEW)), &old).await);
    assert!(knows(sealing(NEW, Some(OLD)), &old).await);
    assert!(!knows(sealing(NEW, None), &old).await);
}

#[tokio::test]
async fn a_request_without_its_connection_or_of_no_known_revision_is_refused() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let answer = alice.posts(&call(2)).await;
    assert_eq!((answer.status, answer.error_code()), (400, -32600));
    let connection = alice.connects().await;
    let odd = connection.person.without("mcp-protocol-version");
    for (version, status) in [
        ("2024-11-05", 200),
        ("2025-03-26", 200),
        ("1999-01-01", 400),
        ("2025-11-24", 400),
    ] {
        let answer = odd
            .with("mcp-protocol-version", version)
            .posts(&call(2))
            .await;
        assert_eq!(answer.status, status, "{version}");
    }
    assert_eq!(odd.posts(&call(2)).await.status, 200);
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_again_is_healed_where_the_operator_says_so() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("connections.heal", "true")
        .start()
        .await;
    for id in ["long-forgotten", "0a1b2c"] {
        let answer = at(&sidecar, "alice", id).posts(&call(2)).await;
        assert_eq!(answer.result()["isError"], false);
        let fresh = answer.header("mcp-session-id").to_owned();
        let again = at(&sidecar, "alice", &fresh).posts(&call(3)).await;
        assert_eq!(again.result()["isError"], false);
        assert_eq!(again.header("mcp-session-id"), "");
    }
    let without = sidecar.alice().posts(&call(2)).await;
    assert_eq!(without.result()["isError"], false);
    // Another person's connection is not healed into one's own, nor is one that was ended.
    let id = sidecar.alice().connects().await.id;
    assert_eq!(
        at(&sidecar, "mallory", &id).posts(&call(2)).await.status,
        404
    );
    let alice = at(&sidecar, "alice", &id);
    assert_eq!(alice.sends("DELETE", "/mcp", "").await.status, 204);
    assert_eq!(alice.posts(&call(2)).await.status, 404);
}

#[tokio::test]
async fn each_revision_gets_the_version_that_it_asked_for() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let mut hello = initialize();
        hello["params"]["protocolVersion"] = json!(asked);
        let answer = sidecar.alice().posts(&hello).await;
        assert_eq!(answer.result()["protocolVersion"], agreed);
        assert!(!answer.header("mcp-session-id").is_empty());
    }
}

#[tokio::test]
async fn only_the_revision_with_batches_gets_them() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let old = opened_with(&alice, "2025-03-26").await;
    let batch = json!([
        call(7),
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        request(8, "tools/list", json!({})),
        17,
        request(9, "initialize", initialize()["params"].clone()),
        request(10, "nothing/here", json!({})),
        request(11, "tools/call", json!([])),
    ]);
    let answer = old.posts(&batch).await;
    assert_eq!(answer.status, 200);
    let answers = answer.json();
    let of = |id: u64| {
        let mut answers = answers.as_array().unwrap().iter();
        answers.find(|answer| answer["id"] == id).unwrap().clone()
    };
    assert_eq!(of(7)["result"]["isError"], false);
    assert_eq!(of(8)["result"]["tools"].as_array().unwrap().len(), 40);
    assert_eq!(of(9)["error"]["code"], -32600);
    assert_eq!(of(10)["error"]["code"], -32601);
    assert_eq!(of(11)["error"]["code"], -32602);
    assert_eq!(answers.as_array().unwrap().len(), 6);

    let silent = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
    let answer = old.posts(&silent).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    assert_eq!(old.posts(&json!([])).await.status, 400);

    for version in ["2025-06-18", LEGACY] {
        let newer = opened_with(&alice, version).await;
        let answer = newer.posts(&batch).await;
        assert_eq!((answer.status, answer.error_code()), (400, -32600));
    }
    let newest = alice.with("mcp-protocol-version", "2026-07-28");
    let answer = newest.posts(&batch).await;
    assert_eq!((answer.status, answer.error_code()), (400, -32600));
}

#[tokio::test]
async fn clients_that_name_one_type_or_none_are_served_what_they_can_read() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = sidecar.alice().connects().await;
    let person = connection.person.with("content-type", "application/json");
    let newest = sidecar.alice().with("content-type", "application/json");
    let newest = newest
        .with("mcp-protocol-version", "2026-07-28")
        .with("mcp-method", "tools/list");
    let list = request(3, "tools/list", json!({}));
    let modern_list = modern("tools/list", json!({}));
    for accept in [
        Some("*/*"),
        Some("application/json"),
        Some("application/*, text/html;q=0.5"),
        Some("text/event-stream"),
        None,
    ] {
        let with =
            |person: &Person| accept.map_or_else(|| person.clone(), |it| person.with("accept", it));
        let answer = with(&person).sends("POST", "/mcp", &list.to_string()).await;
        assert_eq!(
            answer.result()["tools"].as_array().unwrap().len(),
            40,
            "{accept:?}"
        );
        let is_events = answer.header("content-type") == "text/event-stream";
        assert_eq!(is_events, accept == Some("text/event-stream"));
        let answer = with(&newest)
            .sends("POST", "/mcp", &modern_list.to_string())
            .await;
        assert_eq!(
            answer.result()["tools"].as_array().unwrap().len(),
            40,
            "{accept:?}"
        );
    }
    for accept in ["text/html", "application/json;q=0, text/event-stream;q=0.0"] {
        for (person, body) in [(&person, &list), (&newest, &modern_list)] {
            let answer = person
                .with("accept", accept)
                .sends("POST", "/mcp", &body.to_string())
                .await;
            assert_eq!((answer.status, answer.error_code()), (406, -32600));
        }
    }
}

/// The id of the last event.
fn last_id(events: &str) -> String {
    let mut ids = events.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().unwrap().to_owned()
}

/// Begins a call that is answered by events, and loses the stream; the id of its first event, which came before the answer.
async fn begun(person: &Person) -> String {
    let call = request(
        7,
        "tools/call",
        json!({ "name": "list_notes", "arguments": {} }),
    );
    let person = person.with("accept", "text/event-stream");
    let mut stream = person.streams("POST", &call.to_string()).await;
    let first = stream.event().await;
    let id = first.lines().find_map(|line| line.strip_prefix("id: "));
    id.unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_that_was_lost_on_the_way_can_be_asked_for_again() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let event = begun(&connection.person).await;
    hold.release();
    let again = |person: &Person| {
        person
            .with("accept", "text/event-stream")
            .with("last-event-id", &event)
    };
    for _ in 0..2 {
        let answer = again(&connection.person).gets("/mcp").await;
        assert_eq!((answer.status, &answer.message()["id"]), (200, &json!(7)));
        assert_eq!(answer.result()["isError"], false);
    }
    let whole = again(&connection.person).gets("/mcp").await;
    let person = connection.person.with("accept", "text/event-stream");
    let over = person.with("last-event-id", &last_id(&whole.body));
    assert_eq!(over.gets("/mcp").await.status, 405);
    // To others, and on others of one's own connections, it is no answer.
    let other = sidecar.alice().connects().await;
    let lost = again(&other.person).gets("/mcp").await;
    assert_eq!(lost.message()["id"], 7);
    assert_eq!(lost.result()["isError"], true);
    let bob = at(&sidecar, "bob", &connection.id);
    assert_eq!(again(&bob).gets("/mcp").await.status, 404);
}

#[tokio::test]
async fn an_answer_that_died_with_its_process_ends_in_an_error_that_says_so() {
    let backend = sandbox().await;
    let sidecar = Setup::before(&backend)
        .set("shutdown.grace", "10ms")
        .start()
        .await;
    let connection = sidecar.alice().connects().await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let event = begun(&connection.person).await;
    sidecar.shutdown.request();
    sidecar.ended().await;
    hold.release();
    let next = Sidecar::before(&backend).await;
    let alice = at(&next, "alice", &connection.id).with("accept", "text/event-stream");
    let lost = alice.with("last-event-id", &event).gets("/mcp").await;
    assert_eq!((lost.status, &lost.message()["id"]), (200, &json!(7)));
    let error = &lost.result()["structuredContent"]["error"];
    assert_eq!(error["code"], "BACKEND_UNAVAILABLE");
    assert_eq!(error["retryable"], true);
    assert!(!lost.body.contains("resultType"), "{lost:?}");
    // Who has seen the end is not told again, with the status at which clients stop asking.
    let end = last_id(&lost.body);
    let over = alice.with("last-event-id", &end).gets("/mcp").await;
    assert_eq!((over.status, over.error_code()), (405, -32600));
    // An id of somebody else's making tells no request, so there is nothing to end.
    let odd = alice.with("last-event-id", "made up").gets("/mcp").await;
    assert_eq!((odd.status, odd.error_code()), (400, -32600));
}

#[tokio::test]
async fn a_connection_from_before_the_deploy_is_told_that_the_list_may_be_another() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    let mut stream = connection.listens().await;
    let first = stream.event().await;
    let last = first
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    assert!(last.starts_with("list-"), "{first}");
    assert!(first.contains("\ndata: \n"), "{first}");
    // The same list in the next process: nothing to tell who knows it, so only a sign of life would come.
    let next = Sidecar::before(&backend).await;
    let alice = at(&next, "alice", &connection.id).with("accept", "text/event-stream");
    let mut back = alice.with("last-event-id", last).streams("GET", "").await;
    assert_eq!(back.event().await, first);
    let mut changed = alice
        .with("last-event-id", "list-00")
        .streams("GET", "")
        .await;
    changed.event().await;
    assert!(
        changed
            .event()
            .await
            .contains("notifications/tools/list_changed")
    );
}

#[tokio::test]
async fn old_clients_get_no_event_without_a_message() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for version in ["2025-03-26", "2025-06-18"] {
        let person = opened_with(&sidecar.alice(), version).await;
        let answer = person
            .with("content-type", "application/json")
            .with("accept", "text/event-stream")
            .sends("POST", "/mcp", &call(3).to_string())
            .await;
        let data: Vec<_> = answer
            .body
            .lines()
            .filter(|line| line.starts_with("data:"))
            .collect();
        assert_eq!(data.len(), 1, "{}", answer.body);
        assert_eq!(answer.result()["isError"], false);
    }
}

#[tokio::test]
async fn one_person_cannot_take_all_streams() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("connections.max_per_person", "2");
    let sidecar = setup.set("connections.max", "3").start().await;
    let opens = async |name: &str| {
        let person = sidecar.person(name);
        let person = person.connects().await.person;
        person
            .with("accept", "text/event-stream")
            .streams("GET", "")
            .await
    };
    let (first, second) = (opens("alice").await, opens("alice").await);
    assert_eq!((first.status(), second.status()), (200, 200));
    assert_eq!(opens("alice").await.status(), 429);
    let third = opens("bob").await;
    assert_eq!(third.status(), 200);
    assert_eq!(opens("carol").await.status(), 429);
    // A stream of the newest revision takes the same places.
    let listen = modern("subscriptions/listen", json!({ "notifications": {} }));
    let newest = sidecar.alice().with("mcp-protocol-version", "2026-07-28");
    let newest = newest.with("mcp-method", "subscriptions/listen");
    let refused = newest.posts(&listen).await;
    assert_eq!((refused.status, refused.error_code()), (429, -32600));
    drop(third);
    // The place is free as soon as the server has seen that the client is gone.
    while opens("carol").await.status() == 429 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("auth.leeway", "0s")
        .start()
        .await;
    let id = sidecar.alice().connects().await.id;
    let ends_soon = Claims {
        age: Duration::from_secs(3_598),
        ..Claims::of("alice")
    };
    let alice = sidecar.nobody().with_token(&ends_soon.signed());
    let alice = alice
        .with("mcp-session-id", &id)
        .with("accept", "text/event-stream");
    let stream = alice.streams("GET", "").await;
    assert_eq!(stream.status(), 200);
    stream.ends().await;
}
