//! What a write does to a record (contract §5.2, §5.3).

use std::time::Duration;

use serde_json::json;

use super::support::{Hands, Person, keys, payload_without_stamps, start, start_with};

const UID: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

async fn alice() -> (toolbridge::sandbox::Sandbox, Person) {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    (sandbox, alice)
}

#[tokio::test]
async fn a_create_stamps_what_the_client_cannot_set() {
    let (_sandbox, alice) = alice().await;
    let sent = json!({
        "title": "x", "sync": { "isDeleted": true, "version": 9, "extra": 1 },
        "updatedTs": "1999", "updateTime": "1999", "updatedAt": "kept", "version": 50,
    });
    let item = alice.post("/v1/tasks", &sent).await.good(201);
    assert_eq!(keys(&item), ["uid", "version", "updatedAt", "payload"]);
    let payload = &item["payload"];
    assert_eq!(payload["sync"], json!({ "isDeleted": false, "version": 1 }));
    assert_eq!(payload["updatedTs"], item["updatedAt"]);
    assert_eq!(payload["updateTime"], item["updatedAt"]);
    assert_eq!(payload["uid"], item["uid"]);
    assert_eq!(
        (&payload["updatedAt"], &payload["version"]),
        (&json!("kept"), &json!(50))
    );
}

#[tokio::test]
async fn notes_also_carry_flat_metadata() {
    let (_sandbox, alice) = alice().await;
    let item = alice
        .post("/v1/notes", &json!({ "version": 50 }))
        .await
        .good(201);
    let payload = &item["payload"];
    for (key, value) in [
        ("version", json!(1)),
        ("isDirty", json!(0)),
        ("isDeleted", json!(0)),
        ("remoteUpdatedAt", item["updatedAt"].clone()),
        ("lastSyncedAt", item["updatedAt"].clone()),
    ] {
        assert_eq!(payload[key], value, "{key}");
    }
    let path = format!("/v1/notes/{}", item["uid"].as_str().unwrap());
    let deleted = alice.send("DELETE", &path, "").await.good(200);
    assert_eq!(deleted["payload"]["isDeleted"], 1);
    assert_eq!(deleted["payload"]["version"], 2);
}

#[tokio::test]
async fn a_create_takes_a_good_uid_and_replaces_a_bad_one() {
    let (_sandbox, alice) = alice().await;
    let upper = UID.to_uppercase();
    let item = alice
        .post("/v1/chats", &json!({ "uid": upper }))
        .await
        .good(201);
    assert_eq!(item["uid"], UID);
    assert_eq!(item["payload"]["uid"], upper);
    for bad in [
        json!("nonsense"),
        json!(5),
        json!(null),
        json!("00000000-0000-0000-0000-000000000000"),
    ] {
        let item = alice
            .post("/v1/chats", &json!({ "uid": bad }))
            .await
            .good(201);
        assert_ne!(item["uid"], bad);
        assert_eq!(item["payload"]["uid"], item["uid"], "{bad}");
        assert_eq!(item["uid"].as_str().unwrap().as_bytes()[14], b'4');
    }
}

#[tokio::test]
async fn a_create_with_a_known_uid_replaces_and_revives() {
    let (_sandbox, alice) = alice().await;
    let path = format!(
        "/v1/tasks/{}",
        alice.creates("tasks", &json!({ "uid": UID, "a": 1 })).await
    );
    alice.send("DELETE", &path, "").await.good(200);
    let again = alice
        .with("if-match", "77")
        .post("/v1/tasks", &json!({ "uid": UID, "b": 2 }))
        .await
        .good(201);
    assert_eq!(again["version"], 3);
    assert_eq!(again.get("deletedAt"), None);
    assert_eq!(payload_without_stamps(&again), json!({ "b": 2 }));
    assert_eq!(alice.get(&path).await.status, 200);
}

#[tokio::test]
async fn put_replaces_and_patch_merges_the_top_level() {
    let (_sandbox, alice) = alice().await;
    let sent = json!({ "a": 1, "nested": { "x": 1, "y": 2 }, "tags": ["t"] });
    let path = format!("/v1/tasks/{}", alice.creates("tasks", &sent).await);
    let changes =
        json!({ "nested": { "z": 3 }, "tags": null, "uid": UID, "sync": { "version": 9 } });
    let patched = alice
        .send("PATCH", &path, &changes.to_string())
        .await
        .good(200);
    assert_eq!(patched["version"], 2);
    assert_ne!(patched["payload"]["uid"], UID);
    assert_eq!(
        payload_without_stamps(&patched),
        json!({ "a": 1, "nested": { "z": 3 }, "tags": null })
    );
    for (version, body) in [(3, "{}"), (4, "null")] {
        let same = alice.send("PATCH", &path, body).await.good(200);
        assert_eq!(same["version"], version);
        assert_eq!(
            payload_without_stamps(&same),
            payload_without_stamps(&patched)
        );
    }
    let put = alice
        .send("PUT", &path, &json!({ "b": 2, "uid": UID }).to_string())
        .await
        .good(200);
    assert_eq!(put["version"], 5);
    assert_eq!(put["payload"]["uid"], put["uid"]);
    assert_ne!(put["uid"], UID);
    assert_eq!(payload_without_stamps(&put), json!({ "b": 2 }));
}

#[tokio::test]
async fn times_rise_with_every_write_even_when_the_clock_stands() {
    let hands = Hands::at(1_735_689_600_998);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!("/v1/tasks/{}", alice.creates("tasks", &json!({})).await);
    for time in [
        "2025-01-01T00:00:00.999Z",
        "2025-01-01T00:00:01Z",
        "2025-01-01T00:00:01.001Z",
    ] {
        let item = alice.send("PATCH", &path, "{}").await.good(200);
        assert_eq!(item["updatedAt"], time);
    }
}

#[tokio::test]
async fn a_delete_keeps_the_payload_and_marks_it() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!(
        "/v1/tasks/{}",
        alice.creates("tasks", &json!({ "a": 1 })).await
    );
    hands.advance(Duration::from_secs(1));
    let item = alice
        .with("if-match", "77")
        .send("DELETE", &path, "not json")
        .await
        .good(200);
    assert_eq!(
        keys(&item),
        ["uid", "version", "updatedAt", "deletedAt", "payload"]
    );
    assert_eq!(item["deletedAt"], "2025-01-01T00:00:01Z");
    assert_eq!(payload_without_stamps(&item), json!({ "a": 1 }));
    assert_eq!(
        item["payload"]["sync"],
        json!({ "deletedAt": "2025-01-01T00:00:01Z", "isDeleted": true, "version": 2 })
    );
}

/// A record of each collection with everything its references need.
async fn one_of(alice: &Person, collection: &str) -> String {
    let payload = match collection {
        "comments" => {
            let parent = alice.creates("notes", &json!({})).await;
            json!({ "parentType": "note", "parentUid": parent })
        }
        "chat_messages" => json!({ "chatUid": alice.creates("chats", &json!({})).await }),
        _ => json!({}),
    };
    format!(
        "/v1/{collection}/{}",
        alice.creates(collection, &payload).await
    )
}

#[tokio::test]
async fn archive_sets_what_each_collection_means_by_it() {
    let (_sandbox, alice) = alice().await;
    for (collection, sets) in [
        ("notes", json!({ "status": "archived" })),
        ("comments", json!({ "status": "archived" })),
        ("tasks", json!({ "status": "archived", "done": true })),
        ("chats", json!({ "archived": true })),
        ("chat_messages", json!({ "archived": true })),
        ("task_lists", json!({ "archived": true })),
        ("task_list_categories", json!({ "archived": true })),
    ] {
        let path = one_of(&alice, collection).await;
        for body in ["", "{}", "not json"] {
            let item = alice
                .send("POST", &format!("{path}/archive"), body)
                .await
                .good(200);
            for (key, value) in sets.as_object().unwrap() {
                assert_eq!(&item["payload"][key], value, "{collection}");
            }
        }
    }
}

#[tokio::test]
async fn every_action_of_every_collection_sets_its_fields_from_any_state() {
    let (_sandbox, alice) = alice().await;
    let table = [
        ("notes", "pin", json!({ "pinned": true })),
        ("notes", "unpin", json!({ "pinned": false })),
        ("notes", "archive", json!({ "status": "archived" })),
        ("notes", "unarchive", json!({ "status": "active" })),
        (
            "tasks",
            "complete",
            json!({ "status": "completed", "done": true }),
        ),
        (
            "tasks",
            "start",
            json!({ "status": "in_progress", "done": false }),
        ),
        (
            "tasks",
            "reopen",
            json!({ "status": "open", "done": false }),
        ),
        ("comments", "resolve", json!({ "status": "resolved" })),
        ("comments", "reopen", json!({ "status": "open" })),
        ("chats", "resolve", json!({ "status": "resolved" })),
        ("chats", "reopen", json!({ "status": "active" })),
        ("chat_messages", "mark_read", json!({ "read": true })),
        (
            "chat_messages",
            "mark_delivered",
            json!({ "delivered": true }),
        ),
        ("task_lists", "unarchive", json!({ "archived": false })),
        (
            "task_list_categories",
            "unarchive",
            json!({ "archived": false }),
        ),
    ];
    for (collection, action, sets) in table {
        let path = format!("{}/process", one_of(&alice, collection).await);
        for version in [2, 3] {
            let body = json!({ "ACTION": action, "metadata": { "why": "x" } });
            let item = alice.post(&path, &body).await.good(200);
            assert_eq!(item["version"], version);
            assert_eq!(item["payload"].get("metadata"), None);
            for (key, value) in sets.as_object().unwrap() {
                assert_eq!(&item["payload"][key], value, "{collection} {action}");
            }
        }
    }
}
