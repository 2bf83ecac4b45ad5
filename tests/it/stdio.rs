//! `toolbridge stdio`: the binary as a local client starts it, a message a line, in both eras.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{Claims, FakeBackend, Script, Setup, in_time, local::Local, sandbox, token_for},
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

/// Alice's own server after the older handshake.
async fn connected(setup: Setup) -> Local {
    let mut local = setup.locally(&[("TOOLBRIDGE_TOKEN", &token_for("alice"))]);
    local.initializes("2025-11-25").await;
    local
}

/// A token that ended an hour ago.
fn expired() -> String {
    let age = Duration::from_secs(2 * 3600);
    Claims {
        age,
        ..Claims::of("alice")
    }
    .signed()
}

#[tokio::test]
async fn a_note_lives_its_life_after_a_handshake() {
    let backend = sandbox().await;
    let setup = Setup::before(&backend);
    let mut local = setup.locally(&[("TOOLBRIDGE_TOKEN", &token_for("alice"))]);
    let opened = local.initializes("2025-06-18").await;
    assert_eq!(opened["protocolVersion"], "2025-06-18");
    let tools = local.asks(1, "tools/list", json!({})).await;
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 40);
    let arguments = json!({ "title": "local", "content": "" });
    let created = local.calls(2, "create_note", arguments).await.good();
    let uid = json!({ "uid": created["uid"] });
    let read = local.calls(3, "get_note", uid.clone()).await.good();
    assert_eq!(read["payload"]["title"], "local");
    local.calls(4, "delete_note", uid.clone()).await.good();
    assert_eq!(local.calls(5, "get_note", uid).await.code(), "GONE");
    let left = local.leaves().await;
    assert_eq!((left.code, left.said.len()), (Some(0), 0), "{left:?}");
    assert!(left.log.contains("create_note"), "{left:?}");
}

#[tokio::test]
async fn a_note_lives_its_life_without_one() {
    let backend = sandbox().await;
    let setup = Setup::before(&backend);
    let mut local = setup.locally(&[("TOOLBRIDGE_TOKEN", &token_for("alice"))]);
    let discovered = local.asks_modern(1, "server/discover", json!({})).await;
    let versions = &discovered["result"]["supportedVersions"];
    assert!(versions.as_array().unwrap().contains(&json!("2026-07-28")));
    let tools = local.asks_modern(2, "tools/list", json!({})).await;
    let tools = &tools["result"];
    assert_eq!(tools["tools"].as_array().unwrap().len(), 40);
    assert!(tools["ttlMs"].is_u64(), "{tools}");
    let server = "io.modelcontextprotocol/serverInfo";
    assert!(tools["_meta"][server].is_object(), "{tools}");
    let call = json!({ "name": "create_note", "arguments": { "title": "new", "content": "" } });
    let made = local.asks_modern(3, "tools/call", call).await;
    let made = &made["result"];
    assert_eq!(made["resultType"], "complete", "{made}");
    assert_eq!(made["structuredContent"]["payload"]["title"], "new");
    let unknown = json!({ "name": "no_such_tool", "arguments": {} });
    let refused = local.asks_modern(4, "tools/call", unknown).await;
    assert_eq!(refused["error"]["code"], -32602);
    assert_eq!(local.leaves().await.code, Some(0));
}

#[tokio::test]
async fn without_a_good_token_it_does_not_start_and_says_why() {
    let foreign = Claims {
        audience: "somebody else",
        ..Claims::of("alice")
    };
    for (variables, why) in [
        (vec![], "set TOOLBRIDGE_TOKEN"),
        (
            vec![("TOOLBRIDGE_TOKEN", expired())],
            "the token has expired",
        ),
        (
            vec![("TOOLBRIDGE_TOKEN", foreign.signed())],
            "wrong audience",
        ),
        (
            vec![("TOOLBRIDGE_TOKEN", "x y".to_owned())],
            "odd characters",
        ),
        (
            vec![("TOOLBRIDGE_TOKEN_FILE", "/no/such/file".to_owned())],
            "cannot be read",
        ),
    ] {
        let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let left = Setup::before(&FakeBackend::start())
            .locally(&variables)
            .ends()
            .await;
        assert_eq!((left.code, left.said.len()), (Some(64), 0), "{left:?}");
        assert!(left.log.contains(why), "{why}: {left:?}");
        for (_, token) in variables {
            assert!(token.starts_with('/') || !left.log.contains(token));
        }
    }
}

#[tokio::test]
async fn a_renewed_token_counts_from_the_next_call() {
    let backend = FakeBackend::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), token_for("alice")).unwrap();
    let path = file.path().to_str().unwrap();
    let mut local = Setup::before(&backend).locally(&[("TOOLBRIDGE_TOKEN_FILE", path)]);
    local.initializes("2025-11-25").await;
    local.calls(1, "get_note", note()).await.good();
    fs::write(file.path(), expired()).unwrap();
    backend.take_seen();
    let refused = local.calls(2, "get_note", note()).await.failed();
    assert_eq!(refused["code"], "UNAUTHENTICATED");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("TOOLBRIDGE_TOKEN_FILE"), "{message}");
    assert!(refused["correlation_id"].is_string());
    let unlisted = local.asks(3, "tools/list", json!({})).await;
    let message = unlisted["error"]["message"].as_str().unwrap();
    assert!(message.contains("expired"), "{message}");
    assert!(backend.take_seen().is_empty());
    let renewed = Claims {
        age: Duration::from_secs(5),
        ..Claims::of("alice")
    };
    // Once: signed again, it may be of another second.
    let renewed = renewed.signed();
    fs::write(file.path(), format!("{renewed}\n")).unwrap();
    local.calls(4, "get_note", note()).await.good();
    for request in backend.seen() {
        let sent = format!("Bearer {renewed}");
        assert_eq!(request.header("authorization"), sent);
    }
}

#[tokio::test]
async fn where_nobody_is_asked_no_token_is_needed() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("auth.mode", "none");
    let mut local = setup.locally(&[]);
    local.initializes("2025-11-25").await;
    let tools = local.asks(1, "tools/list", json!({})).await;
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn lines_that_are_no_messages_are_refused_and_the_next_one_is_answered() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.max_request_bytes", "1 KiB");
    let mut local = connected(setup).await;
    let long = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "x": "y".repeat(5000) });
    for (line, code) in [
        ("not json", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (&long.to_string(), -32600),
    ] {
        local.writes("").await;
        local.writes(line).await;
        let refused = local.hears().await;
        assert_eq!(refused["error"]["code"], code, "{line:.20}");
        assert_eq!(refused.get("id"), None);
    }
    local.asks(2, "ping", json!({})).await;
}

#[tokio::test]
async fn a_notification_before_the_beginning_ends_nothing() {
    let setup = Setup::before(&FakeBackend::start());
    let mut local = setup.locally(&[("TOOLBRIDGE_TOKEN", &token_for("alice"))]);
    let params = json!({ "requestId": 1 });
    local.notifies("notifications/cancelled", params).await;
    local.initializes("2025-11-25").await;
    local.asks(1, "ping", json!({})).await;
}

#[tokio::test]
async fn a_read_ends_when_its_client_cancels_it() {
    let backend = FakeBackend::start();
    let mut local = connected(Setup::before(&backend)).await;
    backend.does(Script::Stalls);
    local.begins_call(7, "get_note", note()).await;
    backend.stalls(1).await;
    let params = json!({ "requestId": 7 });
    local.notifies("notifications/cancelled", params).await;
    backend.is_abandoned_by(1).await;
    local.begins(8, "ping", json!({})).await;
    assert_eq!(local.hears().await["id"], 8);
}

#[tokio::test]
async fn a_modern_read_ends_when_its_client_cancels_it_too() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend);
    let mut local = setup.locally(&[("TOOLBRIDGE_TOKEN", &token_for("alice"))]);
    local.asks_modern(1, "tools/list", json!({})).await;
    backend.does(Script::Stalls);
    let call = json!({ "name": "get_note", "arguments": note() });
    let params = crate::harness::person::modern("tools/call", call)["params"].clone();
    local.begins(7, "tools/call", params).await;
    backend.stalls(1).await;
    let params = json!({ "requestId": 7 });
    local.notifies("notifications/cancelled", params).await;
    backend.is_abandoned_by(1).await;
}

#[tokio::test]
async fn a_cancelled_write_is_carried_out_before_it_ends() {
    let backend = sandbox().await;
    let mut local = connected(Setup::before(&backend)).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let arguments = json!({ "title": "kept", "content": "" });
    local.begins_call(7, "create_note", arguments).await;
    in_time(hold.reached(1)).await;
    let params = json!({ "requestId": 7 });
    local.notifies("notifications/cancelled", params).await;
    // Answered after the cancellation was heard.
    local.asks(8, "ping", json!({})).await;
    local.closes();
    hold.release();
    let left = local.ends().await;
    assert_eq!((left.code, left.said.len()), (Some(0), 0), "{left:?}");
    let mut later = connected(Setup::before(&backend)).await;
    let page = later.calls(1, "list_notes", json!({})).await.good();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_runs_is_answered_after_the_input_has_ended() {
    let backend = sandbox().await;
    let mut local = connected(Setup::before(&backend)).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    local.begins_call(7, "list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    local.closes();
    hold.release();
    let left = local.ends().await;
    assert_eq!((left.code, left.said.len()), (Some(0), 1), "{left:?}");
    assert!(left.said[0]["result"]["structuredContent"]["items"].is_array());
}

#[tokio::test]
async fn what_runs_is_answered_after_a_signal_though_the_input_stays_open() {
    let backend = sandbox().await;
    let mut local = connected(Setup::before(&backend)).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    local.begins_call(7, "list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    local.is_told("TERM").await;
    hold.release();
    let left = local.ends().await;
    assert_eq!((left.code, left.said.len()), (Some(0), 1), "{left:?}");
}

#[tokio::test]
async fn a_call_that_hangs_is_cut_after_the_grace_period() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("shutdown.grace", "100ms");
    let mut local = connected(setup).await;
    backend.does(Script::Stalls);
    local.begins_call(7, "get_note", note()).await;
    backend.stalls(1).await;
    let left = local.leaves().await;
    assert_eq!(left.code, Some(0), "{left:?}");
    backend.is_abandoned_by(1).await;
}
