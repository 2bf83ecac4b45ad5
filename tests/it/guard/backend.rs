//! How many at once, and when the backend is left alone.

use serde_json::json;
use tokio::task::yield_now;

use super::{note, reads, refused};
use crate::harness::{FakeBackend, Person, Script, Setup, Sidecar, fake_backend::Down, in_time};

/// Waits until so many calls wait for their turn.
async fn wait_there(sidecar: &Sidecar, calls: usize) {
    let waiting = || sidecar.calls.guard().snapshot().slots.waiting;
    in_time(async {
        while waiting() < calls {
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn slow_calls_of_one_person_leave_room_for_others_and_the_queue_is_short() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("limits.concurrency", "2")
        .set("limits.queue", "1");
    let sidecar = setup.start().await;
    let mallory = sidecar.person("mallory");
    backend.does(Script::Stalls);
    let _stalled = mallory.begins("get_note", note()).await;
    backend.stalls(1).await;
    let _waiting = mallory.begins("get_note", note()).await;
    wait_there(&sidecar, 1).await;
    backend.recovers();
    reads(&sidecar.alice()).await.good();
    let (words, _) = refused(&reads(&mallory).await, "RATE_LIMITED");
    assert!(words.contains("of everybody wait"), "{words}");
    assert_eq!(sidecar.calls.guard().snapshot().slots.shed, 1);
}

#[tokio::test]
async fn who_waits_too_long_for_a_turn_is_told_how_long() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("limits.concurrency", "1")
        .set("backend.pool_timeout", "50ms");
    let sidecar = setup.start().await;
    backend.does(Script::Stalls);
    let stalled = sidecar.alice().begins("get_note", note()).await;
    backend.stalls(1).await;
    let ended = sidecar.bob().calls("delete_note", note()).await;
    let (words, wait) = refused(&ended, "RATE_LIMITED");
    assert!(words.starts_with("delete_note waited 50 ms"), "{words}");
    assert!(wait >= 1);
    // A client that goes away gives its slot back.
    drop(stalled);
    backend.is_abandoned_by(1).await;
    backend.recovers();
    let bob = sidecar.bob();
    in_time(async { while reads(&bob).await.result["isError"] == true {} }).await;
}

/// In front of it, a breaker that opens with the second failure.
fn touchy(backend: &impl crate::harness::Backend, pause: &str) -> Setup {
    Setup::before(backend)
        .set("breaker.failures", "2")
        .set("breaker.after", "0s")
        .set("breaker.pause", pause)
}

async fn says_ready(sidecar: &Sidecar) -> String {
    Person::at(&sidecar.ops_url).gets("/readyz").await.body
}

#[tokio::test]
async fn a_backend_that_keeps_failing_is_left_alone_and_calls_end_at_once() {
    let down = Down::new();
    let sidecar = touchy(&down, "1h").start().await;
    let alice = sidecar.alice();
    for tool in ["get_note", "delete_note"] {
        let ended = alice.calls(tool, note()).await;
        assert_eq!(ended.code(), "BACKEND_UNAVAILABLE");
        assert_eq!(ended.failed()["retry_after_s"], serde_json::Value::Null);
    }
    let backend = down.recovers();
    let ended = sidecar.bob().calls("list_notes", json!({})).await;
    let (words, wait) = refused(&ended, "BACKEND_UNAVAILABLE");
    assert!(words.contains("has failed for a while"), "{words}");
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert!(backend.seen().is_empty());
    let ready = says_ready(&sidecar).await;
    assert!(ready.contains("breaker: open for the backend\n"), "{ready}");
}

#[tokio::test]
async fn after_the_pause_a_probe_finds_that_the_backend_is_well() {
    let down = Down::new();
    let sidecar = touchy(&down, "1ms").start().await;
    let alice = sidecar.alice();
    for _ in 0..4 {
        assert_eq!(reads(&alice).await.code(), "BACKEND_UNAVAILABLE");
    }
    assert!(says_ready(&sidecar).await.contains("breaker: "));
    let _backend = down.recovers();
    in_time(async { while reads(&alice).await.result["isError"] == true {} }).await;
    let ready = says_ready(&sidecar).await;
    assert!(!ready.contains("breaker"), "{ready}");
}

#[tokio::test]
async fn a_tool_that_always_fails_stops_itself_and_leaves_the_others_alone() {
    let backend = FakeBackend::start();
    let sidecar = touchy(&backend, "1h").start().await;
    let alice = sidecar.alice();
    backend.does(Script::status(503));
    for _ in 0..2 {
        assert_eq!(reads(&alice).await.code(), "BACKEND_UNAVAILABLE");
    }
    backend.recovers();
    let (words, _) = refused(&reads(&sidecar.bob()).await, "BACKEND_UNAVAILABLE");
    assert!(words.contains("at every get_note"), "{words}");
    alice.calls("list_notes", json!({})).await.good();
    let ready = says_ready(&sidecar).await;
    assert!(ready.contains("breaker: open for 1 tool "), "{ready}");
}

#[tokio::test]
async fn a_no_is_no_failure_and_neither_is_a_client_that_does_not_wait() {
    let backend = FakeBackend::start();
    let sidecar = touchy(&backend, "1h").start().await;
    let alice = sidecar.alice();
    for status in [404, 409, 412, 500] {
        backend.does(Script::status(status));
        for _ in 0..3 {
            let ended = reads(&alice).await;
            assert_ne!(ended.failed()["retry_after_s"], 3_600);
        }
    }
    backend.does(Script::Stalls);
    let limit = json!({ "dev.toolbridge/timeout_ms": 20 });
    for _ in 0..3 {
        let answer = alice.calls_with("get_note", note(), &limit).await;
        assert!(answer.body.contains("TIMEOUT"), "{answer:?}");
    }
    backend.recovers();
    reads(&alice).await.good();
}
