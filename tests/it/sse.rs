//! Clients of revision 2024-11-05, at `/sse`: a stream, an address to send to, and the door that both stand behind.

use reqwest::Method;
use serde_json::{Value, json};
use toolbridge::sandbox::{Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{
        Claims, FakeBackend, Person, Script, Setup, Sidecar, in_time, sandbox,
        sse::{OLDEST, SseConnection},
    },
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

/// An open connection after its handshake.
async fn connected(person: &Person) -> SseConnection {
    let mut connection = person.opens_sse().await;
    connection.initializes(OLDEST, json!({})).await;
    connection
}

fn ping(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })
}

#[tokio::test]
async fn a_note_lives_its_life_over_the_stream() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let mut connection = sidecar.alice().opens_sse().await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(connection.headers[name], value);
    }
    let opened = connection.initializes(OLDEST, json!({})).await;
    assert_eq!(opened["protocolVersion"], OLDEST);
    let tools = connection.asks(2, "tools/list", json!({})).await;
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 40);
    let arguments = json!({ "title": "old", "content": "but well" });
    let created = connection.calls(3, "create_note", arguments).await.good();
    let uid = json!({ "uid": created["uid"] });
    let read = connection.calls(4, "get_note", uid.clone()).await.good();
    assert_eq!(read["payload"]["title"], "old");
    connection.calls(5, "delete_note", uid.clone()).await.good();
    assert_eq!(connection.calls(6, "get_note", uid).await.code(), "GONE");
    let unknown = json!({ "name": "no_such_tool", "arguments": {} });
    let refused = connection.asks(7, "tools/call", unknown).await;
    assert_eq!(refused["error"]["code"], -32602);
}

#[tokio::test]
async fn newer_revisions_may_use_the_old_transport() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut connection = sidecar.alice().opens_sse().await;
        let opened = connection.initializes(version, json!({})).await;
        assert_eq!(opened["protocolVersion"], version);
    }
}

#[tokio::test]
async fn the_address_is_relative_and_cannot_be_guessed() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let one = sidecar.alice().opens_sse().await;
    let other = sidecar.alice().opens_sse().await;
    let id = |connection: &SseConnection| {
        let id = connection.endpoint.strip_prefix("/messages?connection=");
        id.unwrap().to_owned()
    };
    assert_eq!(id(&one).len(), 64);
    assert!(id(&one).bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(id(&one), id(&other));
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_for_the_resource_sse() {
    const TRUSTED: &str = "https://login.example.com";
    let sidecar = Setup::before(&FakeBackend::start())
        .set("auth.issuer", TRUSTED)
        .set("server.public_url", "https://acme.example.com")
        .start()
        .await;
    let claims = Claims {
        issuer: TRUSTED,
        ..Claims::of("alice")
    };
    let alice = sidecar.nobody().with_token(&claims.signed());
    let connection = connected(&alice).await;
    let expected = "https://acme.example.com/.well-known/oauth-protected-resource/sse";
    let nobody = sidecar.nobody();
    for answer in [
        nobody.gets("/sse").await,
        nobody.sends("POST", &connection.endpoint, "{}").await,
        sidecar.mallory().gets("/sse").await,
        sidecar
            .mallory()
            .sends("POST", &connection.endpoint, "{}")
            .await,
    ] {
        assert_eq!(answer.status, 401, "{answer:?}");
        let challenge = answer.header("www-authenticate");
        let metadata = format!("resource_metadata=\"{expected}\"");
        assert!(challenge.contains(&metadata), "{challenge}");
    }
}

#[tokio::test]
async fn another_persons_connection_is_as_unknown_as_an_invented_one() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let mut hers = connected(&sidecar.alice()).await;
    let (alice, endpoint) = (hers.person.clone(), hers.endpoint.clone());
    hers.person = sidecar.bob();
    let stolen = hers.posts(&ping(9)).await;
    hers.endpoint = format!("/messages?connection={}", "0".repeat(64));
    let invented = hers.posts(&ping(9)).await;
    assert_eq!((stolen.status, &stolen.body), (404, &invented.body));
    assert_eq!(invented.status, 404);
    for odd in ["/messages", "/messages?connection=", "/messages?id=1"] {
        hers.endpoint = odd.to_owned();
        assert_eq!(hers.posts(&ping(9)).await.status, 404, "{odd}");
    }
    hers.endpoint = format!("{endpoint}&connection=1");
    hers.person = alice;
    assert_eq!(hers.posts(&ping(9)).await.status, 404);
    hers.endpoint = endpoint;
    assert_eq!(hers.asks(9, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn each_call_is_made_with_the_token_of_its_own_message() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let mut connection = connected(&sidecar.alice()).await;
    let renewed = Claims {
        age: std::time::Duration::from_secs(7),
        ..Claims::of("alice")
    };
    let renewed = renewed.signed();
    connection.person = sidecar.nobody().with_token(&renewed);
    connection.calls(2, "get_note", note()).await.good();
    for request in backend.seen() {
        assert_eq!(request.header("authorization"), format!("Bearer {renewed}"));
    }
}

#[tokio::test]
async fn pages_and_names_of_others_are_stopped_at_both_doors() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = connected(&sidecar.alice()).await;
    for (name, value) in [("host", "evil.test"), ("origin", "https://evil.test")] {
        let elsewhere = sidecar.alice().with(name, value);
        assert_eq!(elsewhere.gets("/sse").await.status, 403, "{name}");
        let posted = elsewhere.sends("POST", &connection.endpoint, "{}").await;
        assert_eq!(posted.status, 403, "{name}");
    }
}

#[tokio::test]
async fn a_page_that_is_let_in_can_read_the_answers() {
    const PAGE: &str = "https://app.example.com";
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.allowed_origins", PAGE);
    let sidecar = setup.start().await;
    let connection = connected(&sidecar.alice().with("origin", PAGE)).await;
    let stream = &connection.headers;
    assert_eq!(stream["access-control-allow-origin"], PAGE);
    let posted = connection.posts(&ping(2)).await;
    assert_eq!(posted.header("access-control-allow-origin"), PAGE);
}

#[tokio::test]
async fn a_call_without_its_scopes_is_refused_before_mcp() {
    const CATALOGUE: &str = r#"
version: 1
scopes: { read: ["notes:read"] }
entities:
  note:
    path: /v1/notes
    description: A note.
    operations: [get]
    fields:
      title: { type: string, required: true, description: Title }
"#;
    let catalogue = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(catalogue.path(), CATALOGUE).unwrap();
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("catalogue.file", catalogue.path().to_str().unwrap())
        .start()
        .await;
    let connection = connected(&sidecar.alice()).await;
    let params = json!({ "name": "get_note", "arguments": note() });
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params });
    let refused = connection.posts(&call).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("notes:read"), "{challenge}");
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_words() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.max_request_bytes", "1 KiB");
    let sidecar = setup.start().await;
    let mut connection = connected(&sidecar.alice()).await;
    let endpoint = connection.endpoint.clone();
    let sends = async |kind: &str, body: &str| {
        let alice = sidecar.alice().with("content-type", kind);
        let answer = alice.sends("POST", &endpoint, body).await;
        (answer.status, answer.error_code())
    };
    let json = "application/json";
    assert_eq!(sends(json, "{").await, (400, -32700));
    assert_eq!(sends(json, "").await, (400, -32700));
    assert_eq!(sends(json, "5").await, (400, -32600));
    assert_eq!(
        sends(json, &json!([ping(2)]).to_string()).await,
        (400, -32600)
    );
    let float = json!({ "jsonrpc": "2.0", "id": 1.5, "method": "ping" });
    assert_eq!(sends(json, &float.to_string()).await, (400, -32600));
    assert_eq!(sends("text/plain", &ping(2).to_string()).await.0, 415);
    assert_eq!(sends(json, &" ".repeat(2000)).await.0, 413);
    // The connection is none the worse for it.
    connection.asks(2, "ping", json!({})).await;
}

#[tokio::test]
async fn other_methods_are_told_which_one_is_meant() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    // What newer clients try first: from here they fall back to this transport.
    let posted = alice.sends("POST", "/sse", "{}").await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET"));
    let got = alice.gets("/messages?connection=1").await;
    assert_eq!((got.status, got.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("server.sse", "false")
        .start()
        .await;
    for path in ["/sse", "/messages?connection=1"] {
        let answer = sidecar.alice().gets(path).await;
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("server.sse"), "{answer:?}");
    }
    assert_eq!(
        sidecar.alice().asks("tools/list", json!({})).await.status,
        200
    );
}

#[tokio::test]
async fn there_are_only_so_many_connections_of_one_person_and_in_all() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("connections.max", "3")
        .set("connections.max_per_person", "2")
        .start()
        .await;
    let (alice, bob) = (sidecar.alice(), sidecar.bob());
    let first = connected(&alice).await;
    let _second = connected(&alice).await;
    let third = alice.gets("/sse").await;
    assert_eq!((third.status, third.header("retry-after")), (503, "5"));
    assert!(
        third.body.contains("connections.max_per_person"),
        "{third:?}"
    );
    let _bob = connected(&bob).await;
    let full = bob.gets("/sse").await;
    assert_eq!(full.status, 503);
    assert!(full.body.contains("connections.max)"), "{full:?}");
    // Whoever goes away makes room.
    drop(first);
    in_time(async {
        while alice.opens_at(Method::GET, "/sse").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_so_many_requests_of_a_connection_may_be_unanswered() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let connection = connected(&sidecar.alice()).await;
    backend.does(Script::Stalls);
    for id in 2..66 {
        connection.begins_call(id, "get_note", note()).await;
    }
    let call = |id: u64| {
        let params = json!({ "name": "get_note", "arguments": note() });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    let twice = connection.posts(&call(2)).await;
    assert_eq!((twice.status, twice.error_code()), (400, -32600));
    let more = connection.posts(&call(66)).await;
    assert_eq!((more.status, more.header("retry-after")), (503, "5"));
    connection
        .notifies("notifications/cancelled", json!({ "requestId": 2 }))
        .await;
    connection.begins_call(66, "get_note", note()).await;
}

#[tokio::test]
async fn a_read_ends_when_its_client_cancels_it() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let mut connection = connected(&sidecar.alice()).await;
    backend.does(Script::Stalls);
    connection.begins_call(7, "get_note", note()).await;
    backend.stalls(1).await;
    connection
        .notifies("notifications/cancelled", json!({ "requestId": 7 }))
        .await;
    backend.is_abandoned_by(1).await;
    // Nothing is said of it; the connection goes on.
    connection.begins(8, "ping", json!({})).await;
    assert_eq!(connection.hears().await["id"], 8);
}

#[tokio::test]
async fn a_read_ends_when_its_client_goes_away() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let connection = connected(&sidecar.alice()).await;
    backend.does(Script::Stalls);
    connection.begins_call(7, "get_note", note()).await;
    backend.stalls(1).await;
    drop(connection);
    backend.is_abandoned_by(1).await;
}

#[tokio::test]
async fn a_write_is_neither_cancelled_nor_lost_with_its_client() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let connection = connected(&sidecar.alice()).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    for (id, title) in [(7, "cancelled"), (8, "left alone")] {
        let arguments = json!({ "title": title, "content": "" });
        connection.begins_call(id, "create_note", arguments).await;
    }
    in_time(hold.reached(2)).await;
    connection
        .notifies("notifications/cancelled", json!({ "requestId": 7 }))
        .await;
    drop(connection);
    hold.release();
    assert!(sidecar.stops().await, "the writes were not waited for");
    let later = Sidecar::before(&backend).await;
    let page = later.alice().calls("list_notes", json!({})).await.good();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_cancels_the_call_of_another_connection() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let hers = connected(&sidecar.alice()).await;
    let his = connected(&sidecar.bob()).await;
    backend.does(Script::Stalls);
    hers.begins_call(7, "get_note", note()).await;
    backend.stalls(1).await;
    his.begins_call(7, "get_note", note()).await;
    backend.stalls(2).await;
    his.notifies("notifications/cancelled", json!({ "requestId": 7 }))
        .await;
    backend.is_abandoned_by(1).await;
    assert_eq!(backend.abandoned(), 1);
}

#[tokio::test]
async fn at_shutdown_what_runs_is_answered_and_then_the_stream_ends() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let connection = connected(&sidecar.alice()).await;
    let quiet = connected(&sidecar.bob()).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let arguments = json!({ "title": "kept", "content": "" });
    connection.begins_call(7, "create_note", arguments).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    hold.release();
    let said = connection.ends().await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["id"], 7);
    assert_eq!(quiet.ends().await, Vec::<Value>::new());
    assert!(sidecar.ended().await);
}
