//! How often.

use serde_json::json;

use super::{few, reads, refused};
use crate::harness::{Claims, FakeBackend, Setup, in_time};

#[tokio::test]
async fn nobody_else_is_limited_by_a_flood() {
    let backend = FakeBackend::start();
    let sidecar = few(&backend, 3).start().await;
    let mallory = sidecar.person("mallory");
    for _ in 0..3 {
        reads(&mallory).await.good();
    }
    for _ in 0..3 {
        let (words, wait) = refused(&reads(&mallory).await, "RATE_LIMITED");
        assert!(words.contains("3 times at once"), "{words}");
        assert!(words.contains("limits.person"), "{words}");
        assert!((86_000..=86_400).contains(&wait), "{wait}");
    }
    for _ in 0..3 {
        reads(&sidecar.alice()).await.good();
    }
    // Nothing of what was refused reached the backend: two requests for each of six calls.
    assert_eq!(backend.seen().len(), 12);
    let decisions = sidecar.calls.guard().snapshot().decisions;
    assert_eq!((decisions.allowed, decisions.limited), (6, 3));
}

#[tokio::test]
async fn a_person_cannot_escape_the_limit_by_another_connection_or_another_token_of_theirs() {
    let backend = FakeBackend::start();
    // Twice as many requests as calls are let in, and a connection takes three.
    let sidecar = few(&backend, 5).start().await;
    for _ in 0..5 {
        reads(&sidecar.alice()).await.good();
    }
    let older = Claims {
        age: std::time::Duration::from_secs(60),
        ..Claims::of("alice")
    };
    let renewed = sidecar.nobody().with_token(&older.signed());
    refused(&reads(&renewed).await, "RATE_LIMITED");
    let client = sidecar.alice().using("another-client");
    refused(&reads(&client).await, "RATE_LIMITED");
    let connection = sidecar.alice().connects().await;
    let ended = connection.calls("get_note", super::note()).await;
    refused(&ended, "RATE_LIMITED");
}

#[tokio::test]
async fn a_call_that_is_refused_for_its_arguments_counts_too() {
    let backend = FakeBackend::start();
    let sidecar = few(&backend, 2).start().await;
    let mallory = sidecar.person("mallory");
    for _ in 0..2 {
        let ended = mallory.calls("get_note", json!({})).await;
        assert_eq!(ended.code(), "VALIDATION_ERROR");
    }
    let ended = mallory.calls("get_note", json!({})).await;
    refused(&ended, "RATE_LIMITED");
}

#[tokio::test]
async fn one_tool_can_be_used_up_by_itself() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("limits.tool.requests", "1")
        .set("limits.tool.window", "1h")
        .set("limits.tool.burst", "2");
    let sidecar = setup.start().await;
    let alice = sidecar.alice();
    for _ in 0..2 {
        reads(&alice).await.good();
    }
    let (words, _) = refused(&reads(&alice).await, "RATE_LIMITED");
    assert!(words.contains("limits.tool"), "{words}");
    alice.calls("list_notes", json!({})).await.good();
}

#[tokio::test]
async fn whoever_asks_for_more_is_held_back_where_the_operator_says_so() {
    let backend = FakeBackend::start();
    let setup = few(&backend, 2).set("limits.person.window", "1h");
    let sidecar = setup.set("limits.person.block", "2h").start().await;
    let alice = sidecar.alice();
    for _ in 0..2 {
        reads(&alice).await.good();
    }
    for _ in 0..2 {
        let (words, wait) = refused(&reads(&alice).await, "RATE_LIMITED");
        assert!(words.contains("held back for 7"), "{words}");
        assert!((7_000..=7_200).contains(&wait), "{wait}");
    }
    reads(&sidecar.bob()).await.good();
    let decisions = sidecar.calls.guard().snapshot().decisions;
    assert!(decisions.blocked == 2 && decisions.limited == 0);
}

#[tokio::test]
async fn a_flood_of_other_requests_is_answered_before_mcp_with_the_time_to_wait() {
    let backend = FakeBackend::start();
    let sidecar = few(&backend, 2).start().await;
    let mallory = sidecar.person("mallory");
    for _ in 0..4 {
        assert_eq!(mallory.asks("tools/list", json!({})).await.status, 200);
    }
    let answer = mallory.asks("tools/list", json!({})).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    let wait = answer.headers["retry-after"].to_str().unwrap();
    assert!((42_000..=43_200).contains(&wait.parse().unwrap()), "{wait}");
    assert!(answer.body.contains("too many requests"), "{answer:?}");
    // A call is one of them, too; and nobody else is concerned.
    reads(&sidecar.alice()).await.good();
}

#[tokio::test]
async fn the_profile_of_tests_is_met_soon_and_that_of_production_not_by_a_burst_of_fifty() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("limits.profile", "test")
        .start()
        .await;
    let mut limited = 0;
    for _ in 0..10 {
        let ended = sidecar.alice().calls("get_note", json!({})).await;
        limited += usize::from(ended.code() == "RATE_LIMITED");
    }
    assert!(limited > 0);

    let sidecar = Setup::before(&backend)
        .without("limits.profile")
        .start()
        .await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let alice = sidecar.alice();
        calls.spawn(async move { reads(&alice).await.good() });
    }
    assert_eq!(in_time(calls.join_all()).await.len(), 50);
}
