//! The forty tools from end to end: against the sandbox they work; against the strict fake their requests are exactly
//! those of the golden file; and every status of a backend becomes the failure that design §8 names for it.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{
    canonical_calls::{NOTE, canonical_calls},
    harness::{
        FakeBackend, Person, Script, Setup, Sidecar, TENANT, fake_backend::Seen, sandbox, shipped,
        token_for,
    },
};

/// Fails unless the result is what the tool's output schema declares, in success and in failure.
#[track_caller]
fn fits_the_output_schema(tool: &str, structured: &Value) {
    let catalogue = shipped();
    let schema = &catalogue.find(tool).unwrap().output_schema;
    let schema = Value::Object(schema.as_ref().clone());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(structured)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{tool}: {errors:?} in {structured}");
}

/// Calls a tool that succeeds; its result fits its schema.
async fn works(person: &Person, tool: &str, arguments: Value) -> Value {
    let result = person.calls(tool, arguments).await.good();
    fits_the_output_schema(tool, &result);
    result
}

/// The whole life of one record, through all eight tools of its entity.
async fn lives(person: &Person, [name, plural]: [&str; 2], fields: Value, action: &str) -> usize {
    let tool = |operation: &str| format!("{operation}_{name}");
    let list = format!("list_{plural}");
    let created = works(person, &tool("create"), fields.clone()).await;
    assert_eq!(created["version"], 1);
    let uid = json!({ "uid": created["uid"] });
    let about = |more: Value| {
        let mut arguments = uid.clone();
        let more = more.as_object().unwrap().clone();
        arguments.as_object_mut().unwrap().extend(more);
        arguments
    };
    let got = works(person, &tool("get"), uid.clone()).await;
    assert_eq!(got["payload"], created["payload"]);
    let updated = works(person, &tool("update"), about(fields)).await;
    assert_eq!(updated["version"], 2);
    let patch = about(json!({ "updates": { "extra": 5 }, "if_match": 2 }));
    let patched = works(person, &tool("patch"), patch).await;
    assert_eq!(
        (&patched["version"], &patched["payload"]["extra"]),
        (&json!(3), &json!(5))
    );
    works(person, &tool("process"), about(json!({ "action": action }))).await;
    works(person, &tool("archive"), uid.clone()).await;
    let page = works(person, &list, json!({})).await;
    let of = |page: &Value| {
        let items = page["items"].as_array().unwrap().clone();
        items
            .iter()
            .filter(|item| item["uid"] == created["uid"])
            .count()
    };
    assert_eq!(of(&page), 1);
    let deleted = works(person, &tool("delete"), uid.clone()).await;
    assert!(deleted["deletedAt"].is_string());
    assert_eq!(of(&works(person, &list, json!({})).await), 0);
    8
}

#[tokio::test]
async fn all_forty_tools_work_against_a_real_backend() {
    let sandbox = sandbox().await;
    let sidecar = Sidecar::before(&sandbox).await;
    let alice = sidecar.alice();
    let note = json!({ "title": "A", "content": "größer 🦊", "tags": ["x"] });
    let parent = works(&alice, "create_note", note.clone()).await["uid"].clone();
    let chat = works(&alice, "create_chat", json!({ "title": "T" })).await["uid"].clone();
    let comment = json!({ "content": "C", "parent_type": "note", "parent_uid": parent });
    let message = json!({ "content": "M", "chat_uid": chat });
    let mut called = 0;
    called += lives(&alice, ["note", "notes"], note, "pin").await;
    called += lives(
        &alice,
        ["task", "tasks"],
        json!({ "title": "T" }),
        "complete",
    )
    .await;
    called += lives(&alice, ["comment", "comments"], comment, "resolve").await;
    called += lives(
        &alice,
        ["chat", "chats"],
        json!({ "title": "T" }),
        "resolve",
    )
    .await;
    called += lives(
        &alice,
        ["chat_message", "chat_messages"],
        message,
        "mark_read",
    )
    .await;
    assert_eq!(called, shipped().tools().len());
}

#[tokio::test]
async fn a_comment_and_a_message_can_be_replaced_and_keep_what_they_hang_on() {
    let sandbox = sandbox().await;
    let sidecar = Sidecar::before(&sandbox).await;
    let alice = sidecar.alice();
    let note = works(
        &alice,
        "create_note",
        json!({ "title": "A", "content": "B" }),
    )
    .await;
    let parent = json!({ "parent_type": "note", "parent_uid": note["uid"] });
    let with = |base: &Value, more: Value| {
        let mut all = base.clone();
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        all
    };
    let made = works(
        &alice,
        "create_comment",
        with(&parent, json!({ "content": "old" })),
    )
    .await;
    let change = with(&parent, json!({ "uid": made["uid"], "content": "new" }));
    let updated = works(&alice, "update_comment", change).await;
    assert_eq!(updated["payload"]["content"], "new");
    assert_eq!(updated["payload"]["parentUid"], note["uid"]);

    let chat = works(&alice, "create_chat", json!({ "title": "T" })).await;
    let chat = json!({ "chat_uid": chat["uid"] });
    let made = works(
        &alice,
        "create_chat_message",
        with(&chat, json!({ "content": "old" })),
    )
    .await;
    let change = with(&chat, json!({ "uid": made["uid"], "content": "new" }));
    let updated = works(&alice, "update_chat_message", change).await;
    assert_eq!(updated["payload"]["content"], "new");
    assert_eq!(updated["payload"]["chatUid"], chat["chat_uid"]);
}

#[tokio::test]
async fn the_older_wire_gives_the_same_results() {
    let sandbox = sandbox().await;
    let sidecar = Sidecar::before(&sandbox).await;
    let connection = sidecar.alice().connects().await;
    let note = json!({ "title": "A", "content": "B" });
    let made = connection.calls("create_note", note).await.good();
    let uid = json!({ "uid": made["uid"] });
    assert_eq!(connection.calls("get_note", uid.clone()).await.good(), made);
    let modern = sidecar.alice().calls("get_note", uid).await.good();
    assert_eq!(modern, made);
}

/// A request in the golden file: what differs from run to run is checked here and then hidden.
fn shown(seen: &Seen) -> String {
    let mut text = format!("{} {}\n", seen.method, seen.target);
    for (name, value) in &seen.headers {
        let value = hidden(name, value);
        writeln!(text, "{name}: {value}").unwrap();
    }
    // What a write is called is also the uid of what it makes.
    let body = match seen.header("idempotency-key") {
        "" => seen.body.clone(),
        name => seen.body.replace(name, "[name]"),
    };
    if !body.is_empty() {
        writeln!(text, "\n{body}").unwrap();
    }
    text
}

fn hidden(name: &str, value: &str) -> String {
    let is_uuid = |text: &str| uuid::Uuid::parse_str(text).is_ok() && text.len() == 36;
    let is_number = |text: &str, digits| text.len() == digits && text.parse::<u64>().is_ok();
    let (fits, shown) = match name {
        "authorization" => (value.starts_with("Bearer ey"), "Bearer [token]"),
        "host" => (value.starts_with("127.0.0.1:"), "[backend]"),
        "idempotency-key" => (is_uuid(value), "[name]"),
        "x-correlation-id" => (is_uuid(value), "[uuid]"),
        "x-sync-session" => (is_uuid(value), "[session]"),
        "x-sync-epoch" => (value.parse::<u32>().is_ok(), "[epoch]"),
        "x-tb-timestamp" => (is_number(value, 13), "[milliseconds]"),
        "x-tb-signature" => (
            hex::decode(value).is_ok_and(|bytes| bytes.len() == 32)
                && value == value.to_lowercase(),
            "[hmac]",
        ),
        _ => (true, value),
    };
    assert!(fits, "{name}: {value}");
    shown.to_owned()
}

#[tokio::test]
async fn the_forty_requests_are_those_of_the_golden_file() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let token = token_for("alice");
    let alice = sidecar.nobody().with_token(&token);
    let mut openings = Vec::new();
    let mut golden = String::new();
    let calls = canonical_calls();
    let names: Vec<_> = calls.iter().map(|(name, _)| *name).collect();
    let tools: Vec<_> = shipped().tools().iter().map(|t| t.name.clone()).collect();
    assert_eq!(names, tools);
    for (tool, arguments) in calls {
        works(&alice, tool, arguments).await;
        let seen = backend.take_seen();
        let [opening, request] = seen.as_slice() else {
            panic!("{tool}: {seen:#?}");
        };
        for seen in [opening, request] {
            assert_eq!(seen.header("authorization"), format!("Bearer {token}"));
            assert_eq!(seen.header("x-tb-tenant-id"), TENANT);
        }
        let id = |seen: &Seen| seen.header("x-correlation-id").to_owned();
        assert_eq!(id(opening), id(request));
        openings.push(shown(opening));
        writeln!(golden, "### {tool}\n{}", shown(request)).unwrap();
    }
    openings.dedup();
    let [opening] = openings.as_slice() else {
        panic!("session openings differ: {openings:#?}");
    };
    let text = format!("### before each of them\n{opening}\n{golden}");
    insta::assert_snapshot!("the_forty_requests", text);
}

/// What becomes of these answers of the backend, a line each: `status: code status retryable retry_after_s`.
async fn verdicts(tool: &str, scripts: impl IntoIterator<Item = (u16, Script)>) -> String {
    let backend = FakeBackend::start();
    // Shorter than any wait that a script asks for: nothing is slept, the failure is the answer.
    let setup = Setup::before(&backend).set("backend.call_timeout", "15s");
    let alice = setup.start().await.alice();
    let mut table = String::new();
    for (status, script) in scripts {
        backend.does(script);
        let verdict = verdict(tool, &backend, &alice).await;
        writeln!(table, "{status} {verdict}").unwrap();
    }
    table
}

async fn verdict(tool: &str, backend: &FakeBackend, person: &Person) -> String {
    let arguments = canonical_calls()
        .into_iter()
        .find(|(name, _)| *name == tool);
    let ended = person.calls(tool, arguments.unwrap().1).await;
    let error = ended.failed();
    fits_the_output_schema(tool, &ended.result["structuredContent"]);
    let seen = backend.seen();
    let sent = seen.last().unwrap().header("x-correlation-id");
    assert_eq!(error["correlation_id"], sent);
    format!(
        "{} {} retryable={} after={}",
        error["code"].as_str().unwrap(),
        error["status"],
        error["retryable"],
        error.get("retry_after_s").unwrap_or(&Value::Null),
    )
}

#[tokio::test]
async fn every_status_of_a_refused_read_has_its_code() {
    let statuses = [
        400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 422, 428, 429, 500, 501, 502, 503, 504,
    ];
    let scripts = statuses.map(|status| (status, Script::status(status)));
    let table = verdicts("get_note", scripts).await;
    insta::assert_snapshot!(table, @"
    400 BACKEND_REJECTED 400 retryable=false after=null
    401 UNAUTHENTICATED 401 retryable=false after=null
    403 FORBIDDEN 403 retryable=false after=null
    404 NOT_FOUND 404 retryable=false after=null
    405 BACKEND_REJECTED 405 retryable=false after=null
    408 TIMEOUT 408 retryable=true after=null
    409 BACKEND_REJECTED 409 retryable=false after=null
    410 GONE 410 retryable=false after=null
    412 VERSION_CONFLICT 412 retryable=false after=null
    413 BACKEND_REJECTED 413 retryable=false after=null
    422 BACKEND_REJECTED 422 retryable=false after=null
    428 BACKEND_UNAVAILABLE 428 retryable=true after=null
    429 RATE_LIMITED 429 retryable=true after=null
    500 BACKEND_REJECTED 500 retryable=false after=null
    501 BACKEND_REJECTED 501 retryable=false after=null
    502 BACKEND_UNAVAILABLE 502 retryable=true after=null
    503 BACKEND_UNAVAILABLE 503 retryable=true after=null
    504 TIMEOUT 504 retryable=true after=null
    ");
}

#[tokio::test]
async fn every_status_of_a_refused_write_has_its_code() {
    let statuses = [400, 404, 409, 412, 422, 428, 429, 500, 502, 503, 504];
    let scripts = statuses.map(|status| (status, Script::status(status)));
    let table = verdicts("update_note", scripts).await;
    insta::assert_snapshot!(table, @"
    400 BACKEND_REJECTED 400 retryable=false after=null
    404 NOT_FOUND 404 retryable=false after=null
    409 BACKEND_REJECTED 409 retryable=false after=null
    412 VERSION_CONFLICT 412 retryable=false after=null
    422 BACKEND_REJECTED 422 retryable=false after=null
    428 BACKEND_UNAVAILABLE 428 retryable=true after=null
    429 RATE_LIMITED 429 retryable=true after=null
    500 BACKEND_REJECTED 500 retryable=false after=null
    502 BACKEND_UNAVAILABLE 502 retryable=false after=null
    503 BACKEND_UNAVAILABLE 503 retryable=false after=null
    504 TIMEOUT 504 retryable=false after=null
    ");
}

#[tokio::test]
async fn a_wait_that_the_backend_names_is_passed_on() {
    let wait = [("retry-after", "17")];
    let script = |status| {
        (
            status,
            Script::with(status, &wait, r#"{"error":"slow down"}"#),
        )
    };
    let table = verdicts("get_note", [429, 503].map(script)).await;
    insta::assert_snapshot!(table, @"
    429 RATE_LIMITED 429 retryable=true after=17
    503 BACKEND_UNAVAILABLE 503 retryable=true after=17
    ");
}

#[tokio::test]
async fn all_three_shapes_of_errors_are_understood() {
    let text = [("content-type", "text/plain; charset=utf-8")];
    let json = r#"{"error":"title is too long","correlation_id":"x"}"#;
    for script in [
        Script::with(400, &[], json),
        Script::with(400, &[], r#"{"error":"title is too long"}"#),
        Script::with(400, &text, "title is too long\n"),
    ] {
        let backend = FakeBackend::start();
        let sidecar = Sidecar::before(&backend).await;
        backend.does(script);
        let note = json!({ "title": "a", "content": "b" });
        let error = sidecar.alice().calls("create_note", note).await.failed();
        assert_eq!(error["backend_message"], "title is too long");
        assert_eq!(error["code"], "BACKEND_REJECTED");
    }
}

#[tokio::test]
async fn a_stale_version_is_reported_with_the_current_one() {
    let sandbox = sandbox().await;
    let sidecar = Sidecar::before(&sandbox).await;
    let alice = sidecar.alice();
    let made = works(
        &alice,
        "create_note",
        json!({ "title": "a", "content": "b" }),
    )
    .await;
    let patch = json!({ "uid": made["uid"], "updates": { "title": "c" }, "if_match": 5 });
    let error = alice.calls("patch_note", patch).await.failed();
    assert_eq!(error["code"], "VERSION_CONFLICT");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("at version 1, not 5"), "{message}");
}

#[tokio::test]
async fn a_refused_session_means_that_nothing_was_sent() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    backend.opens_sessions_with(Script::status(503));
    let error = sidecar
        .alice()
        .calls("delete_note", json!({ "uid": NOTE }))
        .await;
    assert_eq!(error.code(), "BACKEND_UNAVAILABLE");
    assert!(error.text().contains("nothing was"), "{}", error.text());
    assert!(backend.seen().iter().all(Seen::opens_session));
}

#[tokio::test]
async fn an_argument_error_reaches_neither_the_backend_nor_another_channel() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for uid in ["../admin", "..", "%2e%2e", "a/b", "", "a?x", "a\u{0}b"] {
        let ended = sidecar
            .alice()
            .calls("get_note", json!({ "uid": uid }))
            .await;
        assert_eq!(ended.code(), "VALIDATION_ERROR", "{uid:?}");
        assert_eq!(ended.failed()["field"], "uid");
        fits_the_output_schema("get_note", &ended.result["structuredContent"]);
    }
    assert!(backend.seen().is_empty());
}
