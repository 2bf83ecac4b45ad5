//! `If-Match` and writers at the same time (contract §5.5): unlike the original, nothing is ever lost.

use serde_json::json;
use tokio::task::JoinSet;

use super::support::{Person, start};

#[tokio::test]
async fn if_match_guards_put_and_patch_and_is_ignored_when_unreadable() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!("/v1/notes/{}", alice.creates("notes", &json!({})).await);
    for method in ["PUT", "PATCH"] {
        let stale = alice.with("if-match", "77").send(method, &path, "{}").await;
        let version = alice.get(&path).await.json()["version"].clone();
        stale.is_error(
            412,
            &format!("version mismatch: version mismatch: expected 77, actual {version}"),
        );
        for header in [
            version.to_string(),
            format!("\"{}\"", &version.as_i64().unwrap() + 1),
        ] {
            alice
                .with("if-match", &header)
                .send(method, &path, "{}")
                .await
                .good(200);
        }
        for unreadable in ["W/\"1\"", "*", "\"abc\"", "\"1"] {
            alice
                .with("if-match", unreadable)
                .send(method, &path, "{}")
                .await
                .good(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_writers_with_the_same_version_exactly_one_wins() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!("/v1/notes/{}", alice.creates("notes", &json!({})).await);
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let (alice, path) = (alice.with("if-match", "1"), path.clone());
        writers.spawn(async move {
            let body = json!({ "writer": writer }).to_string();
            (writer, alice.send("PATCH", &path, &body).await.status)
        });
    }
    let answers = writers.join_all().await;
    let winners: Vec<_> = answers
        .iter()
        .filter(|(_, status)| *status == 200)
        .collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|(_, status)| matches!(status, 200 | 412))
    );
    let item = alice.get(&path).await.good(200);
    assert_eq!(item["version"], 2);
    assert_eq!(item["payload"]["writer"], winners[0].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_creates_and_patches_at_once_lose_nothing() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let shared = format!("/v1/tasks/{}", alice.creates("tasks", &json!({})).await);
    let mut writers = JoinSet::new();
    for writer in 0..200 {
        let (alice, shared) = (alice.clone(), shared.clone());
        writers.spawn(async move {
            let body = json!({ format!("key{writer}"): writer }).to_string();
            alice.send("PATCH", &shared, &body).await.good(200);
            alice.creates("notes", &json!({ "writer": writer })).await
        });
    }
    let mut created = writers.join_all().await;
    created.sort();
    created.dedup();
    assert_eq!(created.len(), 200);
    let list = alice.get("/v1/notes?limit=1000").await.good(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 200);
    let item = alice.get(&shared).await.good(200);
    assert_eq!(item["version"], 201);
    for writer in 0..200 {
        assert_eq!(item["payload"][format!("key{writer}")], writer);
    }
}
