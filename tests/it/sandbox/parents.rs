//! Parent links and task lists (contract §5.4): what a record hangs on, and what hangs on it.

use std::time::Duration;

use serde_json::json;

use super::support::{Hands, Person, payload_without_stamps, start, start_with};

const UID: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

#[tokio::test]
async fn a_comment_needs_a_living_parent_of_its_own_user_on_every_write() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let mallory = Person::named(&sandbox, "mallory").in_session().await;
    let foreign = mallory.creates("notes", &json!({})).await;
    let note = alice.creates("notes", &json!({})).await;
    let task = alice.creates("tasks", &json!({})).await;
    let refused = "failed to create comment";
    for payload in [
        json!({}),
        json!({ "parentType": "note" }),
        json!({ "parentUid": note }),
        json!({ "parentType": "chat", "parentUid": note }),
        json!({ "parentType": "task", "parentUid": note }),
        json!({ "parentType": "note", "parentUid": "nonsense" }),
        json!({ "parentType": "note", "parentUid": 5 }),
        json!({ "parentType": "note", "parentUid": UID }),
        json!({ "parentType": "note", "parentUid": foreign }),
    ] {
        alice
            .post("/v1/comments", &payload)
            .await
            .is_error(500, refused);
    }
    let payload = json!({ "parentType": "note", "parentUid": note, "content": "c" });
    let path = format!("/v1/comments/{}", alice.creates("comments", &payload).await);
    let moved = json!({ "parentType": "task", "parentUid": task }).to_string();
    alice.send("PATCH", &path, &moved).await.good(200);
    let put = alice.send("PUT", &path, r#"{"content":"x"}"#).await;
    put.is_error(500, "failed to update comment");

    alice
        .send("DELETE", &format!("/v1/tasks/{task}"), "")
        .await
        .good(200);
    assert_eq!(alice.get(&path).await.status, 200);
    for (method, suffix, body, verb) in [
        ("PUT", "", moved.as_str(), "update"),
        ("PATCH", "", "{}", "patch"),
        ("POST", "/archive", "", "archive"),
        ("POST", "/process", r#"{"action":"resolve"}"#, "process"),
    ] {
        let answer = alice.send(method, &format!("{path}{suffix}"), body).await;
        answer.is_error(500, &format!("failed to {verb} comment"));
    }
    assert_eq!(alice.get(&path).await.good(200)["version"], 2);
    alice.send("DELETE", &path, "").await.good(200);
}

#[tokio::test]
async fn a_chat_message_needs_its_chat_and_a_sub_task_nothing() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let refused = "failed to create chat message";
    alice
        .post("/v1/chat_messages", &json!({}))
        .await
        .is_error(500, refused);
    let chat = alice.creates("chats", &json!({})).await;
    alice
        .creates("chat_messages", &json!({ "chatUid": chat.to_uppercase() }))
        .await;
    alice
        .creates("tasks", &json!({ "parentUid": UID, "taskListUid": UID }))
        .await;
}

#[tokio::test]
async fn deleting_a_task_list_detaches_its_living_tasks() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let list = alice.creates("task_lists", &json!({})).await;
    let inside = alice
        .creates("tasks", &json!({ "taskListUid": list, "a": 1 }))
        .await;
    let outside = alice.creates("tasks", &json!({ "taskListUid": UID })).await;
    let dead = alice
        .creates("tasks", &json!({ "taskListUid": list }))
        .await;
    alice
        .send("DELETE", &format!("/v1/tasks/{dead}"), "")
        .await
        .good(200);
    hands.advance(Duration::from_secs(1));
    alice
        .send("DELETE", &format!("/v1/task_lists/{list}"), "")
        .await
        .good(200);

    let task = alice.get(&format!("/v1/tasks/{inside}")).await.good(200);
    let time = "2025-01-01T00:00:01Z";
    assert_eq!(
        (&task["version"], &task["updatedAt"]),
        (&json!(2), &json!(time))
    );
    assert_eq!(
        payload_without_stamps(&task),
        json!({ "a": 1, "updatedAt": time })
    );
    assert_eq!(
        task["payload"]["sync"],
        json!({ "isDeleted": false, "updatedAt": time, "version": 2 })
    );
    let task = alice.get(&format!("/v1/tasks/{outside}")).await.good(200);
    assert_eq!(task["version"], 1);
    let task = alice
        .get(&format!("/v1/tasks/{dead}?includeDeleted=true"))
        .await
        .good(200);
    assert_eq!(task["payload"]["taskListUid"], list);
}
