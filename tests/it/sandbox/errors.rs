//! Every error body of contract §5.6, and the order in which a handler looks (last paragraph there).

use serde_json::json;

use super::support::{Hands, Person, start, start_with};

const UNKNOWN: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// Collection and how errors name one of its records.
const LABELS: [(&str, &str); 7] = [
    ("notes", "note"),
    ("tasks", "task"),
    ("comments", "comment"),
    ("chats", "chat"),
    ("chat_messages", "chat message"),
    ("task_lists", "task_list"),
    ("task_list_categories", "task_list_category"),
];

const WRITES: [(&str, &str, &str); 5] = [
    ("PUT", "", "{}"),
    ("PATCH", "", "{}"),
    ("DELETE", "", ""),
    ("POST", "/archive", ""),
    ("POST", "/process", r#"{"action":"nonsense"}"#),
];

#[tokio::test]
async fn a_bad_uid_comes_first_and_an_unknown_one_before_body_and_action() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    for (collection, label) in LABELS {
        for (method, suffix, body) in WRITES {
            let bad = format!("/v1/{collection}/nonsense{suffix}");
            alice
                .send(method, &bad, "{")
                .await
                .is_error(400, "invalid UID");
            let unknown = format!("/v1/{collection}/{UNKNOWN}{suffix}");
            let answer = alice.send(method, &unknown, body).await;
            answer.is_error(404, &format!("{label} not found"));
        }
        let answer = alice.get(&format!("/v1/{collection}/{UNKNOWN}")).await;
        answer.is_error(404, &format!("{label} not found"));
    }
    for method in ["PUT", "PATCH"] {
        let answer = alice
            .send(method, &format!("/v1/notes/{UNKNOWN}"), "{")
            .await;
        answer.is_error(404, "note not found");
    }
}

#[tokio::test]
async fn process_judges_its_body_before_the_record_except_for_task_lists() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    for (collection, label) in LABELS {
        let answer = alice
            .send("POST", &format!("/v1/{collection}/{UNKNOWN}/process"), "{")
            .await;
        if collection.starts_with("task_") {
            answer.is_error(404, &format!("{label} not found"));
        } else {
            answer.is_error(400, "invalid JSON");
        }
    }
}

#[tokio::test]
async fn an_unknown_action_is_named() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let note = format!(
        "/v1/notes/{}/process",
        alice.creates("notes", &json!({})).await
    );
    for (body, message) in [
        (r#"{"action":"<b>"}"#, "invalid action: <b>"),
        (r#"{"action":"PIN"}"#, "invalid action: PIN"),
        ("{}", "invalid action: "),
        ("null", "invalid action: "),
        (r#"{"action":5}"#, "invalid JSON"),
        (r#"{"action":"pin","metadata":[]}"#, "invalid JSON"),
        (r#"{"action":"pin","metadata":"x"}"#, "invalid JSON"),
        ("[]", "invalid JSON"),
        ("", "invalid JSON"),
    ] {
        let answer = alice.send("POST", &note, body).await;
        assert_eq!(answer.json()["error"], message, "{body}");
        assert_eq!(answer.status, 400);
    }
    let list = alice.creates("task_lists", &json!({})).await;
    let path = format!("/v1/task_lists/{list}/process");
    let answer = alice.post(&path, &json!({ "action": "archive" })).await;
    answer.is_error(400, "unknown action: archive");
}

#[tokio::test]
async fn a_body_must_be_a_json_object() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!("/v1/notes/{}", alice.creates("notes", &json!({})).await);
    for body in ["", "[]", "5", "\"x\"", "{\"a\":", "nonsense"] {
        for (method, path) in [("POST", "/v1/notes"), ("PUT", &path), ("PATCH", &path)] {
            alice
                .send(method, path, body)
                .await
                .is_error(400, "invalid JSON");
        }
    }
    for (method, path) in [("POST", "/v1/notes"), ("PUT", &path)] {
        let crashed = alice.send(method, path, "null").await;
        crashed.is(500, "");
        assert_eq!(crashed.header("content-type"), "");
    }
    let trailing = alice
        .send("POST", "/v1/notes", "{\"a\":1} and more")
        .await
        .good(201);
    assert_eq!(trailing["payload"]["a"], 1);
}

#[tokio::test]
async fn a_nul_character_is_an_internal_error() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    for body in [
        r#"{"a":"\u0000"}"#,
        r#"{"a":[{"\u0000":1}]}"#,
        r#"{"\u0000":1}"#,
    ] {
        let answer = alice.send("POST", "/v1/notes", body).await;
        answer.is_error(500, "failed to create note");
    }
}

#[tokio::test]
async fn a_tombstone_answers_410_without_a_correlation_id_in_the_body() {
    let sandbox =
        start_with(|settings| settings.clock = Hands::at(1_735_689_600_000).clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!("/v1/chats/{}", alice.creates("chats", &json!({})).await);
    alice.send("DELETE", &path, "").await.good(200);
    let at = "\"deletedAt\":\"2025-01-01T00:00:00.001Z\"}\n";
    alice
        .get(&path)
        .await
        .is(410, &format!("{{\"error\":\"chat deleted\",{at}"));
    for (method, suffix, body) in WRITES {
        let answer = alice.send(method, &format!("{path}{suffix}"), body).await;
        let already = if method == "DELETE" { "already " } else { "" };
        answer.is(410, &format!("{{\"error\":\"chat {already}deleted\",{at}"));
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(!answer.header("x-correlation-id").is_empty());
    }
    // Gone comes before the body of a PUT.
    assert_eq!(alice.send("PUT", &path, "{").await.status, 410);
}

#[tokio::test]
async fn a_body_of_three_megabytes_is_accepted() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let content = "x".repeat(3 << 20);
    let uid = alice.creates("notes", &json!({ "content": content })).await;
    let item = alice.get(&format!("/v1/notes/{uid}")).await.good(200);
    assert_eq!(item["payload"]["content"], content);
}
