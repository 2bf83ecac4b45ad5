//! What survives a restart, how a sandbox ends, and what it says when it cannot start.

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use toolbridge::sandbox::{
    Moment, Requests, Sandbox, SandboxError, SandboxSettings, Storage, StoreError,
};

use super::support::{Person, entities, start, start_with};

async fn on_file(folder: &TempDir) -> Sandbox {
    let file = folder.path().join("new folder/sandbox.db");
    start_with(|settings| settings.storage = Storage::File(file)).await
}

#[tokio::test]
async fn records_users_and_epochs_survive_a_restart_and_sessions_do_not() {
    let folder = TempDir::new().unwrap();
    let sandbox = on_file(&folder).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    alice
        .post("/v1/sync/wipe", &json!({ "confirm": "WIPE" }))
        .await
        .good(200);
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!(
        "/v1/notes/{}",
        alice.creates("notes", &json!({ "title": "x" })).await
    );
    let before = alice.get(&path).await;
    let session = alice.headers[1].1.clone();
    sandbox.stop().await;

    let sandbox = on_file(&folder).await;
    let old = Person::named(&sandbox, "alice").with("x-sync-session", &session);
    assert_eq!(old.get(&path).await.status, 428);
    let alice = Person::named(&sandbox, "alice").in_session().await;
    assert_eq!(alice.headers[2].1, "2");
    alice.get(&path).await.is(200, &before.body);
}

#[tokio::test]
async fn what_was_answered_before_a_kill_is_there_afterwards() {
    let folder = TempDir::new().unwrap();
    let sandbox = on_file(&folder).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let uid = alice.creates("notes", &json!({})).await;
    sandbox.kill().await;
    let sandbox = on_file(&folder).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    assert_eq!(alice.get(&format!("/v1/notes/{uid}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_sandboxes_on_one_file_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let sandboxes = [on_file(&folder).await, on_file(&folder).await];
    let people = [
        Person::named(&sandboxes[0], "alice").in_session().await,
        Person::named(&sandboxes[1], "alice").in_session().await,
    ];
    let path = people[0]
        .creates("notes", &json!({ "content": "x".repeat(100_000) }))
        .await;
    let path = format!("/v1/notes/{path}");
    let mut writers = JoinSet::new();
    for writer in 0..100 {
        let (alice, path) = (people[writer % 2].clone(), path.clone());
        writers.spawn(async move {
            let body = json!({ format!("key{writer}"): writer }).to_string();
            alice.send("PATCH", &path, &body).await.good(200);
        });
    }
    writers.join_all().await;
    let item = people[0].get(&path).await.good(200);
    assert_eq!(item["version"], 101);
    for writer in 0..100 {
        assert_eq!(item["payload"][format!("key{writer}")], writer);
    }
}

#[tokio::test]
async fn a_busy_port_and_an_unusable_file_are_told_apart() {
    let sandbox = start().await;
    let mut settings = SandboxSettings::for_tests(entities());
    settings.listen = sandbox.addr();
    let error = Sandbox::start(settings).await.err();
    let busy = sandbox.addr();
    assert!(matches!(error, Some(SandboxError::Bind { addr, .. }) if addr == busy));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("text.db");
    std::fs::write(
        &file,
        "this is no database, and long enough to be seen as none",
    )
    .unwrap();
    let mut settings = SandboxSettings::for_tests(entities());
    settings.storage = Storage::File(file);
    let error = Sandbox::start(settings).await.err();
    assert!(matches!(
        error,
        Some(SandboxError::Store(StoreError::Database(_)))
    ));
}

#[tokio::test]
async fn the_port_is_free_once_a_sandbox_has_ended() {
    let first = start().await;
    let addr = first.addr();
    first.kill().await;
    let second = start_with(|settings| settings.listen = addr).await;
    assert_eq!(second.addr(), addr);
    second.stop().await;
    start_with(|settings| settings.listen = addr).await;
}

#[tokio::test]
async fn stopping_lets_a_running_request_finish_and_killing_does_not() {
    for graceful in [true, false] {
        let sandbox = start().await;
        let alice = Person::named(&sandbox, "alice").in_session().await;
        let hold = sandbox.faults().hold(Requests::Entities, Moment::Answer);
        let running = tokio::spawn(async move { alice.try_send("GET", "/v1/notes", "").await });
        hold.reached(1).await;
        if graceful {
            let stopping = tokio::spawn(sandbox.stop());
            hold.release();
            assert_eq!(running.await.unwrap().unwrap().status, 200);
            stopping.await.unwrap();
        } else {
            sandbox.kill().await;
            assert!(running.await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn a_sandbox_can_be_seeded_for_a_subject() {
    let sandbox = start().await;
    assert!(sandbox.is_empty("alice").await.unwrap());
    let uid = sandbox
        .seed("alice", "note", json!({ "title": "x" }))
        .await
        .unwrap();
    assert!(!sandbox.is_empty("alice").await.unwrap());
    assert!(sandbox.is_empty("bob").await.unwrap());
    let alice = Person::named(&sandbox, "alice").in_session().await;
    assert_eq!(alice.get(&format!("/v1/notes/{uid}")).await.status, 200);
    for (entity, payload) in [
        ("nothing", json!({})),
        ("note", json!([])),
        ("comment", json!({ "content": "no parent" })),
    ] {
        let error = sandbox.seed("alice", entity, payload).await.err();
        assert!(matches!(error, Some(SandboxError::Seed { .. })), "{entity}");
    }
}
