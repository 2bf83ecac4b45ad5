//! The attacks on the wall between tenants and between people, each as a test. The strict fake knows every header that a
//! backend request may have, so a leak of any kind fails the test that caused it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    canonical_calls::NOTE,
    harness::{
        Answer, FakeBackend, Person, Sidecar, TENANT, fake_backend::Seen, sandbox, token_for,
    },
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

const EVIL: &str = "evil-canary";

/// A call with these headers of the client's; what the backend saw of it. Nothing of the attack may be in there.
async fn seen_of(headers: &[(&str, &str)]) -> Vec<Seen> {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let attacker = headers
        .iter()
        .fold(sidecar.alice(), |person, (name, value)| {
            person.with(name, value)
        });
    // Byte by byte, so that no client library mends the attack.
    let update = json!({ "uid": NOTE, "title": "t", "content": "c" });
    for (tool, arguments) in [("get_note", note()), ("update_note", update)] {
        let answer = attacker.begins(tool, arguments).await.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{headers:?}: {answer}");
        assert!(!answer.contains("isError\":true"), "{answer}");
    }
    let seen = backend.seen();
    assert_eq!(seen.len(), 4);
    for request in &seen {
        assert_eq!(request.header("x-tb-tenant-id"), TENANT);
        assert!(!format!("{request:?}").contains(EVIL), "{request:?}");
    }
    seen
}

#[tokio::test]
async fn a_tenant_header_of_the_client_is_ignored_in_any_spelling() {
    for name in [
        "X-TB-Tenant-ID",
        "x-tb-tenant-id",
        "X-Tb-TeNaNt-Id",
        "X_TB_Tenant_ID",
    ] {
        seen_of(&[(name, EVIL)]).await;
        seen_of(&[(name, EVIL), (name, "evil-canary-2")]).await;
    }
}

/// One spelling of all of them at a time, each header once and twice.
#[tokio::test]
async fn every_header_of_ours_is_ignored_in_every_spelling() {
    let names = [
        "X-TB-Tenant-ID",
        "X-TB-Timestamp",
        "X-TB-Signature",
        "X-Sync-Session",
        "X-Sync-Epoch",
        "X-Correlation-ID",
        "X-Debug-Sub",
        "X-Debug-User",
        "X-Debug-Tenant-ID",
        "X-TB-Anything",
        "X-Sync-Anything",
    ];
    let spellings: [fn(&str) -> String; 6] = [
        str::to_owned,
        str::to_ascii_lowercase,
        str::to_ascii_uppercase,
        |name| name.replace('-', "_"),
        |name| name.replacen('-', "_", 1),
        |name| name.replace('-', ""),
    ];
    for spelling in spellings {
        let names = names.map(spelling);
        let once: Vec<_> = names.iter().map(|name| (name.as_str(), EVIL)).collect();
        seen_of(&once).await;
        seen_of(&[once.clone(), once].concat()).await;
    }
}

#[tokio::test]
async fn a_signature_of_the_client_is_ignored() {
    let replayed = "763c119ca46180ddb3b36e891f8ce6bb06767422f8f18587c805d6d70340d809";
    let headers = [
        ("X-TB-Tenant-ID", EVIL),
        ("X-TB-Timestamp", "1700000000000"),
        ("X-TB-Signature", replayed),
    ];
    for request in seen_of(&headers).await {
        assert_ne!(request.header("x-tb-timestamp"), "1700000000000");
        assert_ne!(request.header("x-tb-signature"), replayed);
    }
}

#[tokio::test]
async fn a_session_of_the_client_is_ignored() {
    seen_of(&[("X-Sync-Session", EVIL), ("X-Sync-Epoch", "424242")]).await;
}

#[tokio::test]
async fn a_debug_subject_of_the_client_is_ignored() {
    seen_of(&[("X-Debug-Sub", EVIL)]).await;
}

#[tokio::test]
async fn forwarding_headers_of_the_client_are_ignored() {
    seen_of(&[
        ("X-Forwarded-For", EVIL),
        ("X-Forwarded-Host", EVIL),
        ("X-Forwarded-Proto", EVIL),
        ("X-Real-IP", EVIL),
        ("Forwarded", "host=evil-canary"),
        ("Via", "1.1 evil-canary"),
        ("X-Original-URL", "/evil-canary"),
        ("X-HTTP-Method-Override", EVIL),
    ])
    .await;
}

#[tokio::test]
async fn cookies_of_the_client_are_ignored() {
    seen_of(&[("Cookie", "session=evil-canary")]).await;
}

#[tokio::test]
async fn a_connection_header_cannot_take_the_tenant_away() {
    for listed in ["x-tb-tenant-id", "close, x-tb-signature, authorization"] {
        let seen = seen_of(&[("Connection", listed), ("Proxy-Connection", EVIL)]).await;
        assert!(
            seen.iter()
                .all(|request| request.header("connection").is_empty())
        );
    }
}

#[tokio::test]
async fn a_version_condition_of_the_client_is_ignored() {
    let seen = seen_of(&[("If-Match", "424242"), ("If-None-Match", EVIL)]).await;
    assert!(
        seen.iter()
            .all(|request| request.header("if-match").is_empty())
    );
}

#[tokio::test]
async fn a_correlation_id_of_the_client_is_ignored() {
    seen_of(&[
        ("X-Correlation-ID", EVIL),
        ("X-Request-ID", EVIL),
        ("traceparent", EVIL),
    ])
    .await;
}

#[tokio::test]
async fn arguments_cannot_become_headers() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for smuggled in [
        json!("5\r\nX-TB-Tenant-ID: evil"),
        json!("5"),
        json!(-1),
        json!(1.5),
    ] {
        let patch = json!({ "uid": NOTE, "updates": { "title": "a" }, "if_match": smuggled });
        sidecar.alice().calls("patch_note", patch).await;
    }
    for request in backend.seen().iter().filter(|seen| !seen.opens_session()) {
        assert_eq!(request.header("if-match"), "5");
    }
    for name in ["X-TB-Tenant-ID", "tenant_id", "tenant", "headers"] {
        let mut arguments = note();
        arguments[name] = json!("evil");
        let ended = sidecar.alice().calls("get_note", arguments).await;
        assert_eq!(ended.code(), "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn every_request_is_signed_anew_and_every_session_is_used_once() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for _ in 0..5 {
        sidecar.alice().calls("get_note", note()).await.good();
    }
    let seen = backend.seen();
    assert_eq!(seen.len(), 10);
    let all = |name: &str| -> HashSet<_> {
        seen.iter()
            .map(|request| request.header(name).to_owned())
            .collect()
    };
    assert_eq!(all("x-tb-signature").len(), 10);
    assert_eq!(all("x-correlation-id").len(), 5);
    // Five sessions, and none in the five openings.
    assert_eq!(all("x-sync-session").len(), 6);
}

#[tokio::test]
async fn a_connection_id_of_somebody_else_is_unknown() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    let bob = |id: &str| {
        let bob = sidecar.bob().with("mcp-session-id", id);
        bob.with("mcp-protocol-version", "2025-11-25")
    };
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let stolen = bob(&connection.id).posts(&list).await;
    let invented = bob("99999999-9999-4999-8999-999999999999")
        .posts(&list)
        .await;
    let both = [&stolen, &invented].map(|answer| (answer.status, answer.body.clone()));
    assert_eq!(both[0], both[1]);
    assert_eq!(stolen.status, 404);
    let bobs = bob(&connection.id).with("accept", "text/event-stream");
    assert_eq!(bobs.gets("/mcp").await.status, 404);
    assert_eq!(
        bobs.with("last-event-id", "0").gets("/mcp").await.status,
        404
    );
    assert_eq!(bobs.sends("DELETE", "/mcp", "").await.status, 404);
    // It is still alice's.
    connection.calls("get_note", note()).await.good();
}

#[tokio::test]
async fn a_connection_without_a_token_is_nobodys() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = sidecar.alice().connects().await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let refused = |answer: Answer| assert_eq!(answer.status, 401);
    refused(
        connection
            .person
            .without("authorization")
            .posts(&list)
            .await,
    );
    let mallory = sidecar.mallory().with("mcp-session-id", &connection.id);
    refused(mallory.posts(&list).await);
}

#[tokio::test]
async fn the_record_of_another_person_is_not_found() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let note = json!({ "title": "alices", "content": "" });
    let made = sidecar.alice().calls("create_note", note).await.good();
    let uid = json!({ "uid": made["uid"] });
    let bob = sidecar.bob();
    for tool in ["get_note", "delete_note", "archive_note"] {
        assert_eq!(
            bob.calls(tool, uid.clone()).await.code(),
            "NOT_FOUND",
            "{tool}"
        );
    }
    let page = bob.calls("list_notes", json!({})).await.good();
    assert_eq!(page["items"], json!([]));
    sidecar.alice().calls("get_note", uid).await.good();
}

/// Fifty notes at the same time, by one person.
async fn fifty_notes(person: Person, name: &'static str) {
    let calls = (0..50).map(|number| {
        let person = person.clone();
        let arguments = json!({ "title": format!("{name} {number}"), "content": name });
        tokio::spawn(async move { person.calls("create_note", arguments).await.good() })
    });
    for call in calls.collect::<Vec<_>>() {
        let made = call.await.unwrap();
        assert_eq!(made["payload"]["content"], name);
    }
    let page = person.calls("list_notes", json!({})).await.good();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 50);
    assert!(items.iter().all(|item| item["payload"]["content"] == name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_at_the_same_time_never_see_each_others_records() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    tokio::join!(
        fifty_notes(sidecar.alice(), "alice"),
        fifty_notes(sidecar.bob(), "bob"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_calls_share_neither_sessions_nor_tokens() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let token = token_for(&format!("person-{}", number % 5));
            let person = sidecar.nobody().with_token(&token);
            tokio::spawn(async move { person.calls("get_note", note()).await.good() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(backend.seen().len(), 100);
}

/// The fake itself: it must be able to fail.
#[tokio::test]
async fn the_fake_refuses_a_client_that_comes_around_the_sidecar() {
    let backend = FakeBackend::start();
    let direct = Person::at(&crate::harness::Backend::url(&backend));
    let unsigned = direct
        .with_token(&token_for("alice"))
        .with("x-tb-tenant-id", TENANT);
    let unsigned = unsigned.with("x-correlation-id", NOTE);
    assert_eq!(
        unsigned.sends("POST", "/v1/sync/sessions", "").await.status,
        400
    );
    assert_eq!(
        unsigned.with("cookie", "a").gets("/v1/notes").await.status,
        400
    );
    let complaints = backend.take_complaints();
    assert!(
        complaints[0].starts_with("unknown header accept-encoding")
            || complaints[0].contains("timestamp"),
        "{complaints:?}"
    );
    assert!(
        complaints[1].starts_with("unknown header cookie"),
        "{complaints:?}"
    );
}
