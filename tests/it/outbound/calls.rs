//! Tool calls with exchanged tokens: what the backend is given, what happens when it says 401, and what the model reads
//! when there is no token.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt;
use serde_json::json;

use crate::harness::{Setup, Sidecar, token_for};

use super::{
    backend::StrictBackend,
    endpoint::{Endpoint, Wants, issued},
    http_fake::{HttpFake, Reply},
    process::Process,
};

async fn exchanging(backend: &StrictBackend, endpoint: &Endpoint) -> Sidecar {
    Setup::before(backend)
        .set("identity.token", "exchange")
        .set("identity.exchange.url", endpoint.url.as_str())
        .set("identity.exchange.audience", "notes-backend")
        .start()
        .await
}

#[tokio::test]
async fn the_backend_gets_the_exchanged_token_and_never_the_callers_own() {
    let endpoint = Endpoint::start().await;
    let backend = StrictBackend::accepting(&["issued-alice-0", "issued-bob-1"]).await;
    let sidecar = exchanging(&backend, &endpoint).await;
    let (alice, bob) = (sidecar.alice(), sidecar.bob());
    for (who, token) in [("alice-0", &alice), ("bob-1", &bob), ("alice-0", &alice)] {
        token.calls("list_notes", json!({})).await.good();
        let requests = backend.requests();
        assert_eq!(requests.len(), 2);
        assert!(
            requests
                .iter()
                .all(|request| request.contains(&format!("issued-{who} → 20")))
        );
    }
    assert_eq!(endpoint.exchanges(), 2);
}

#[tokio::test]
async fn a_401_drops_the_token_and_the_call_is_made_once_more() {
    let endpoint = Endpoint::start().await;
    let backend = StrictBackend::accepting(&["issued-alice-0"]).await;
    let sidecar = exchanging(&backend, &endpoint).await;
    let alice = sidecar.alice();
    alice.calls("list_notes", json!({})).await.good();
    backend.requests();
    // Revoked at the backend; a write, because nothing of it was begun.
    backend.accepts_only(&["issued-alice-1"]);
    let note = json!({ "title": "t", "content": "c" });
    alice.calls("create_note", note).await.good();
    assert_eq!(
        backend.requests(),
        [
            "POST /v1/sync/sessions issued-alice-0 → 401",
            "POST /v1/sync/sessions issued-alice-1 → 201",
            "POST /v1/notes issued-alice-1 → 201",
        ]
    );
    assert_eq!(endpoint.exchanges(), 2);
}

#[tokio::test]
async fn a_second_401_is_the_end_of_the_call() {
    let endpoint = Endpoint::start().await;
    let backend = StrictBackend::accepting(&[]).await;
    let sidecar = exchanging(&backend, &endpoint).await;
    let error = sidecar
        .alice()
        .calls("list_notes", json!({}))
        .await
        .failed();
    assert_eq!(error["code"], "UNAUTHENTICATED");
    assert_eq!(backend.requests().len(), 2);
    assert_eq!(endpoint.exchanges(), 2);
}

#[tokio::test]
async fn a_forwarded_token_that_is_refused_is_not_sent_twice() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let backend = HttpFake::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Reply::text(401, "unauthorized\n") }.boxed()
    })
    .await;
    let url = format!("http://{}", backend.address);
    let sidecar = Setup::before(url.as_str()).start().await;
    let alice = sidecar.alice();
    let error = alice.calls("list_notes", json!({})).await.failed();
    assert_eq!(error["code"], "UNAUTHENTICATED");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_model_reads_what_to_do() {
    let endpoint = Endpoint::start().await;
    let backend = StrictBackend::accepting(&[]).await;
    let sidecar = exchanging(&backend, &endpoint).await;
    let alice = sidecar.alice();
    let note = json!({ "title": "t", "content": "c" });
    let canary = json!({ "error": "invalid_target", "error_description": "canary" });
    for (reply, code, retryable) in [
        (Reply::json(400, &canary), "INTERNAL", false),
        (
            Reply::json(401, &json!({ "error": "invalid_client" })),
            "INTERNAL",
            false,
        ),
        (Reply::text(200, "<html>canary"), "INTERNAL", false),
        (
            Reply::text(502, "<html>canary"),
            "BACKEND_UNAVAILABLE",
            true,
        ),
        (
            Reply::text(429, "").with("retry-after", "7"),
            "RATE_LIMITED",
            true,
        ),
    ] {
        endpoint.answers(reply);
        let error = alice.calls("create_note", note.clone()).await.failed();
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!(code), &json!(retryable))
        );
        let shown = error.to_string();
        assert!(shown.contains("nothing was changed"), "{shown}");
        for hidden in ["canary", "invalid_", "127.0.0.1", "issued"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
    endpoint.dies();
    let error = alice.calls("list_notes", json!({})).await.failed();
    assert_eq!(error["code"], "BACKEND_UNAVAILABLE");
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn the_log_says_why_there_is_no_token_and_shows_none() {
    let client = "canary-of-the-client-secret";
    let fields = vec![
        ("audience", "notes-backend"),
        ("client_id", "toolbridge"),
        ("client_secret", client),
    ];
    let authorization = "";
    let endpoint = Endpoint::wanting(Wants {
        fields,
        authorization,
    })
    .await;
    let backend = StrictBackend::accepting(&["issued-canary-1"]).await;
    let url = endpoint.url.as_str();
    let flags = [
        ("log.level", "trace"),
        ("identity.token", "exchange"),
        ("identity.exchange.url", url),
        ("identity.exchange.audience", "notes-backend"),
        ("identity.exchange.client_id", "toolbridge"),
        ("identity.exchange.client_auth", "post"),
    ];
    let secrets = [("IDENTITY_EXCHANGE_CLIENT_SECRET", client)];
    let sidecar = Process::start(&backend, &flags, &secrets).await;
    let token = token_for("alice");
    let alice = sidecar.person().with_token(&token);
    endpoint.answers(Reply::json(400, &json!({ "error": "invalid_target" })));
    alice.calls("list_notes", json!({})).await.failed();
    endpoint.answers(Reply::json(200, &issued("canary", 1)));
    alice.calls("list_notes", json!({})).await.good();
    let log = sidecar.log().await;
    let why = "the token endpoint refused the exchange (status 400, invalid_target)";
    assert!(log.contains(why), "{log}");
    assert!(!log.contains("canary"), "{log}");
    assert_eq!(endpoint.exchanges(), 2);
    for part in token.as_bytes().windows(12) {
        assert!(!log.contains(std::str::from_utf8(part).unwrap()), "{log}");
    }
}
