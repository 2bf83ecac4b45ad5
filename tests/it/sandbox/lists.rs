//! Reading: items, lists, cursors and isolation between users (contract §5.1, §5.2).

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Hands, Person, start, start_with};

const UID: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const CURSOR: &str = "MTczNTY4OTYwMDAwMHwzZjI1MDRlMC00Zjg5LTQxZDMtOWEwYy0wMzA1ZTgyYzMzMDE";

fn uids(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["uid"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_item_and_a_list_are_exactly_these_bytes() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    alice.get("/v1/tasks").await.is(200, "{\"items\":[]}\n");
    alice
        .creates("tasks", &json!({ "uid": UID, "title": "<a> & b" }))
        .await;
    let item = format!(
        r#"{{"uid":"{UID}","version":1,"updatedAt":"2025-01-01T00:00:00Z","payload":{{"sync":{{"isDeleted":false,"version":1}},"title":"\u003ca\u003e \u0026 b","uid":"{UID}","updateTime":"2025-01-01T00:00:00Z","updatedTs":"2025-01-01T00:00:00Z"}}}}"#
    );
    let answer = alice.get(&format!("/v1/tasks/{UID}")).await;
    answer.is(200, &format!("{item}\n"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("etag"), "");
    let list = format!("{{\"items\":[{item}],\"nextCursor\":\"{CURSOR}\"}}\n");
    alice.get("/v1/tasks").await.is(200, &list);
    let path = format!("/v1/tasks?cursor={CURSOR}");
    alice.get(&path).await.is(200, "{\"items\":[]}\n");
}

#[tokio::test]
async fn a_walk_sees_everything_once_least_recently_changed_first() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let mut same_moment = Vec::new();
        for _ in 0..3 {
            same_moment.push(alice.creates("notes", &json!({ "round": round })).await);
        }
        same_moment.sort();
        expected.extend(same_moment);
        hands.advance(Duration::from_millis(7));
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    // Five pages, and the empty one that ends the walk.
    for page_number in 0..6 {
        let page = format!("/v1/notes?limit=2&cursor={cursor}");
        let page = alice.get(&page).await.good(200);
        seen.extend(uids(&page).into_iter().map(str::to_owned));
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => assert_eq!((page_number, uids(&page).len()), (5, 0)),
        }
    }
    assert_eq!(seen, expected);
    let oldest = &expected[0];
    alice
        .send("PATCH", &format!("/v1/notes/{oldest}"), "{}")
        .await
        .good(200);
    let list = alice.get("/v1/notes").await.good(200);
    assert_eq!(uids(&list).last(), Some(&oldest.as_str()));
}

#[tokio::test]
async fn a_bad_cursor_starts_over_and_unknown_parameters_are_ignored() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    alice.creates("notes", &json!({})).await;
    let list = alice.get("/v1/notes").await;
    let next = list.json()["nextCursor"].as_str().unwrap().to_owned();
    for query in [
        "cursor=!!",
        "cursor=YWJj",
        &format!("cursor={next}="),
        "status=archived&q=x",
    ] {
        alice
            .get(&format!("/v1/notes?{query}"))
            .await
            .is(200, &list.body);
    }
}

#[tokio::test]
async fn a_page_has_500_records_unless_asked_and_never_more_than_1000() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    for _ in 0..1001 {
        sandbox.seed("alice", "note", json!({})).await.unwrap();
    }
    for (query, length) in [
        ("", 500),
        ("?limit=3", 3),
        ("?limit=1000", 1000),
        ("?limit=5000", 1000),
        ("?limit=0", 500),
        ("?limit=abc", 500),
        ("?limit=2&limit=9", 2),
    ] {
        let list = alice.get(&format!("/v1/notes{query}")).await.good(200);
        assert_eq!(list["items"].as_array().unwrap().len(), length, "{query}");
    }
}

#[tokio::test]
async fn a_tombstone_is_shown_only_when_asked_for_exactly() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let path = format!("/v1/notes/{}", alice.creates("notes", &json!({})).await);
    alice.send("DELETE", &path, "").await.good(200);
    for (query, length) in [
        ("", 0),
        ("?includeDeleted=1", 0),
        ("?includeDeleted=TRUE", 0),
        ("?includeDeleted=true", 1),
    ] {
        let list = alice.get(&format!("/v1/notes{query}")).await.good(200);
        assert_eq!(list["items"].as_array().unwrap().len(), length, "{query}");
        let status = if length == 0 { 410 } else { 200 };
        let item = alice.get(&format!("{path}{query}")).await;
        assert_eq!(item.status, status, "{query}");
        if status == 200 {
            assert_eq!(item.json()["deletedAt"], item.json()["updatedAt"]);
        }
    }
}

#[tokio::test]
async fn a_path_uid_is_found_in_every_spelling() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    alice.creates("notes", &json!({ "uid": UID })).await;
    for spelling in [
        UID.to_uppercase(),
        UID.replace('-', ""),
        format!("%7B{UID}%7D"),
        format!("urn:uuid:{UID}"),
    ] {
        let item = alice.get(&format!("/v1/notes/{spelling}")).await.good(200);
        assert_eq!(item["uid"], UID, "{spelling}");
    }
}

#[tokio::test]
async fn nobody_reads_or_writes_the_records_of_another_user() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let mallory = Person::named(&sandbox, "mallory").in_session().await;
    let uid = alice.creates("notes", &json!({ "title": "mine" })).await;
    let path = format!("/v1/notes/{uid}");
    let before = alice.get(&path).await;
    for (method, suffix) in [
        ("GET", ""),
        ("GET", "?includeDeleted=true"),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/archive"),
        ("POST", "/process"),
    ] {
        let answer = mallory.send(method, &format!("{path}{suffix}"), "{}").await;
        answer.is_error(404, "note not found");
    }
    mallory.get("/v1/notes").await.is(200, "{\"items\":[]}\n");
    // A create with the same uid is a record of her own.
    let own = mallory
        .post("/v1/notes", &json!({ "uid": uid }))
        .await
        .good(201);
    assert_eq!(own["version"], 1);
    alice.get(&path).await.is(200, &before.body);
}
