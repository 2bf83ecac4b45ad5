//! What is written of calls.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{lines, verified};
use crate::{
    canonical_calls::NOTE,
    harness::{
        FakeBackend, Person, SECRET, Script, Setup, Sidecar, TENANT_SECRET, sandbox, token_for,
    },
};

const ARGUMENT: &str = "canary-of-an-argument";

fn audited(setup: Setup, folder: &Path) -> Setup {
    let file = folder.join("audit.jsonl");
    setup.set("audit.file", file.to_str().unwrap())
}

/// A row a line: what differs between calls.
fn table(file: &Path) -> String {
    let mut table = String::new();
    for line in lines(file) {
        let shown = |name: &str| match &line[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let versions = format!("{}>{}", shown("version_before"), shown("version_after"));
        let columns = [
            "tool",
            "record",
            "outcome",
            "status",
            "repeated",
            "may_have_written",
        ];
        let columns: Vec<_> = columns.iter().map(|name| shown(name)).collect();
        table.push_str(&format!("{} {versions}\n", columns.join(" ")));
    }
    table
}

#[tokio::test]
async fn each_way_a_write_can_end_has_its_line() {
    let folder = TempDir::new().unwrap();
    let backend = FakeBackend::start();
    let sidecar = audited(Setup::before(&backend), folder.path())
        .start()
        .await;
    let alice = sidecar.alice();
    let note = json!({ "uid": NOTE, "title": "t", "content": "c", "if_match": 6 });
    alice
        .calls("create_note", json!({ "title": "t", "content": "c" }))
        .await
        .good();
    alice.calls("get_note", json!({ "uid": NOTE })).await.good();
    alice.calls("update_note", note.clone()).await.good();
    alice
        .calls("delete_note", json!({ "uid": NOTE }))
        .await
        .good();
    alice
        .calls("update_note", json!({ "uid": "../admin", "tilte": 1 }))
        .await
        .failed();
    let conflict = r#"{"error":"version mismatch: version mismatch: expected 6, actual 9"}"#;
    for script in [
        Script::with(412, &[], conflict),
        Script::status(404),
        Script::status(500),
        Script::HangsUp,
        Script::with(200, &[], r#"{"uid":5}"#),
    ] {
        backend.does(script);
        alice.calls("update_note", note.clone()).await.failed();
    }
    backend.opens_sessions_with(Script::status(503));
    alice.calls("update_note", note).await.failed();
    assert!(sidecar.stops().await);
    insta::assert_snapshot!(table(&folder.path().join("audit.jsonl")), @"
    create_note 99999999-9999-4999-8999-999999999999 ok 201 false true null>7
    update_note 11111111-1111-4111-8111-111111111111 ok 200 false true 6>7
    delete_note 11111111-1111-4111-8111-111111111111 ok 200 false true null>7
    update_note null VALIDATION_ERROR null false false null>null
    update_note 11111111-1111-4111-8111-111111111111 VERSION_CONFLICT 412 false false 9>null
    update_note 11111111-1111-4111-8111-111111111111 NOT_FOUND 404 false false null>null
    update_note 11111111-1111-4111-8111-111111111111 BACKEND_REJECTED 500 false true null>null
    update_note 11111111-1111-4111-8111-111111111111 BACKEND_UNAVAILABLE null false true null>null
    update_note 11111111-1111-4111-8111-111111111111 INTERNAL 200 false true null>null
    update_note 11111111-1111-4111-8111-111111111111 BACKEND_UNAVAILABLE 503 false false null>null
    ");
    assert_eq!(verified(folder.path()).lines, 10);
}

#[tokio::test]
async fn a_line_says_who_wrote_what() {
    let folder = TempDir::new().unwrap();
    let backend = sandbox().await;
    let sidecar = audited(Setup::before(&backend), folder.path())
        .start()
        .await;
    let made = sidecar
        .alice()
        .calls("create_note", json!({ "title": "t", "content": "c" }))
        .await
        .good();
    let mut line = lines(&folder.path().join("audit.jsonl")).remove(0);
    assert_eq!(line["record"], made["uid"]);
    for name in ["at", "record", "correlation_id", "hash"] {
        assert!(line[name].is_string(), "{name}");
        line[name] = json!("…");
    }
    insta::assert_snapshot!(line, @r#"
    {"v":1,"seq":1,"at":"…","event":"write","tenant":"acme","issuer":"issuer-of-tests","subject":"alice","client":"it 1","tool":"create_note","entity":"note","record":"…","version_before":null,"version_after":1,"outcome":"ok","status":201,"repeated":false,"may_have_written":true,"correlation_id":"…","prev":"0000000000000000000000000000000000000000000000000000000000000000","hash":"…"}
    "#);
}

#[tokio::test]
async fn a_record_whose_fate_nobody_knows_is_named_all_the_same() {
    let folder = TempDir::new().unwrap();
    let backend = FakeBackend::start();
    let sidecar = audited(Setup::before(&backend), folder.path())
        .start()
        .await;
    backend.does(Script::HangsUp);
    sidecar
        .alice()
        .calls("create_note", json!({ "title": "t", "content": "c" }))
        .await
        .failed();
    let line = &lines(&folder.path().join("audit.jsonl"))[0];
    let seen = backend.seen();
    let sent = seen.iter().rfind(|it| !it.opens_session()).unwrap();
    let sent: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        (&line["record"], &line["may_have_written"]),
        (&sent["uid"], &json!(true))
    );
}

#[tokio::test]
async fn a_repeated_write_has_a_line_that_says_so() {
    let folder = TempDir::new().unwrap();
    let backend = sandbox().await;
    let sidecar = audited(Setup::before(&backend), folder.path())
        .start()
        .await;
    let alice = sidecar.alice().with("idempotency-key", "k-1");
    for _ in 0..2 {
        alice
            .calls("create_note", json!({ "title": "t", "content": "c" }))
            .await
            .good();
    }
    let lines = lines(&folder.path().join("audit.jsonl"));
    let repeated: Vec<_> = lines.iter().map(|line| &line["repeated"]).collect();
    assert_eq!(repeated, [false, true]);
    assert_eq!(lines[0]["record"], lines[1]["record"]);
}

/// Calls that bring canaries in every way, and the audit of them.
async fn audit_of_canaries(arguments: &str) -> String {
    let folder = TempDir::new().unwrap();
    let backend = FakeBackend::start();
    let setup = audited(Setup::before(&backend), folder.path()).set("audit.arguments", arguments);
    let sidecar = setup.start().await;
    let alice = sidecar.alice();
    let mut note = json!({ "title": ARGUMENT, "content": ARGUMENT, "tags": [ARGUMENT] });
    alice.calls("create_note", note.clone()).await.good();
    note["uid"] = json!(NOTE);
    alice.calls("update_note", note.clone()).await.good();
    backend.does(Script::with(
        500,
        &[],
        r#"{"error":"canary-of-an-argument"}"#,
    ));
    alice.calls("update_note", note).await.failed();
    let wrong = json!({ "uid": ARGUMENT, "canary-of-an-argument": 1 });
    alice.calls("update_note", wrong).await.failed();
    assert!(sidecar.stops().await);
    fs::read_to_string(folder.path().join("audit.jsonl")).unwrap()
}

#[tokio::test]
async fn no_argument_token_or_secret_is_in_the_file() {
    let audit = audit_of_canaries("false").await;
    assert_eq!(audit.lines().count(), 4);
    let token = token_for("alice");
    let parts = token.split('.').skip(1);
    for secret in parts.chain([SECRET, TENANT_SECRET, "canary", "\"arguments"]) {
        assert!(!audit.contains(secret), "{secret} in {audit}");
    }
}

#[tokio::test]
async fn arguments_are_in_the_file_where_they_are_asked_for_and_still_no_token() {
    let audit = audit_of_canaries("true").await;
    let first: Value = serde_json::from_str(audit.lines().next().unwrap()).unwrap();
    let note = json!({ "title": ARGUMENT, "content": ARGUMENT, "tags": [ARGUMENT] });
    assert_eq!(first["arguments"], note);
    assert!(
        !audit.contains("Bearer") && !audit.contains(token_for("alice").split('.').nth(1).unwrap())
    );
}

#[tokio::test]
async fn arguments_that_are_too_many_are_counted_instead() {
    let folder = TempDir::new().unwrap();
    let backend = FakeBackend::start();
    let setup = audited(Setup::before(&backend), folder.path()).set("audit.arguments", "true");
    let sidecar = setup.start().await;
    let content = "x".repeat(300 * 1024);
    sidecar
        .alice()
        .calls("create_note", json!({ "title": "t", "content": content }))
        .await
        .good();
    let line = lines(&folder.path().join("audit.jsonl")).remove(0);
    assert!(line["arguments"].is_null() && line["arguments_left_out"].as_u64() > Some(300 * 1024));
}

#[tokio::test]
async fn whoever_calls_too_often_drives_no_line_out() {
    let folder = TempDir::new().unwrap();
    let backend = FakeBackend::start();
    let setup = audited(Setup::before(&backend), folder.path())
        .set("limits.tool.requests", "1")
        .set("limits.tool.burst", "1")
        .set("limits.tool.window", "1day");
    let sidecar = setup.start().await;
    let alice = sidecar.alice();
    alice
        .calls("delete_note", json!({ "uid": NOTE }))
        .await
        .good();
    for _ in 0..20 {
        let refused = alice.calls("delete_note", json!({ "uid": NOTE })).await;
        assert_eq!(refused.code(), "RATE_LIMITED");
    }
    assert_eq!(lines(&folder.path().join("audit.jsonl")).len(), 1);
}

#[tokio::test]
async fn many_who_write_at_once_make_one_chain_over_many_files() {
    let folder = TempDir::new().unwrap();
    let backend = sandbox().await;
    let setup = audited(Setup::before(&backend), folder.path())
        .set("audit.max_size", "4 KiB")
        .set("audit.keep", "100");
    let sidecar = setup.start().await;
    let writing = (0..100).map(|number| {
        let person = sidecar.person(&format!("person-{}", number % 7));
        async move {
            let note = json!({ "title": format!("{number}"), "content": "c" });
            person.calls("create_note", note).await.good()
        }
    });
    futures_util::future::join_all(writing).await;
    assert!(sidecar.stops().await);
    let report = verified(folder.path());
    // A line for each, and one for each new file.
    assert_eq!(report.lines, 100 + report.files as u64 - 1);
    assert!(report.files > 5, "{report:?}");
}

#[tokio::test]
async fn readiness_has_a_line_for_it() {
    let folder = TempDir::new().unwrap();
    let backend = FakeBackend::start();
    let sidecar: Sidecar = audited(Setup::before(&backend), folder.path())
        .start()
        .await;
    let ready = Person::at(&sidecar.ops_url).gets("/readyz").await;
    assert_eq!(
        ready.body,
        "backend: ok\nkeys: ok\ncatalogue: ok\naudit: ok\n"
    );
}
