//! Sessions, epochs, wipe and the rate limits around them (contract §2, §6.1).

use std::time::Duration;

use serde_json::json;
use toolbridge::sandbox::Limits;

use super::support::{Hands, Person, keys, start, start_with};

#[tokio::test]
async fn a_session_tells_five_fields_and_its_epoch() {
    let hands = Hands::at(1_735_689_600_160);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice");
    let answer = alice.send("POST", "/v1/sync/sessions", "anything").await;
    assert_eq!(answer.header("x-sync-epoch"), "1");
    let session = answer.good(201);
    assert_eq!(
        keys(&session),
        ["id", "userId", "createdAt", "expiresAt", "epoch"]
    );
    assert_eq!(session["createdAt"], "2025-01-01T00:00:00.16Z");
    assert_eq!(session["expiresAt"], "2025-01-01T00:30:00.16Z");
    assert_eq!(session["epoch"], 1);
    assert_ne!(session["userId"], "alice");
    let path = format!("/v1/sync/sessions/{}", session["id"].as_str().unwrap());
    let read = alice.get(&path).await;
    assert_eq!(read.header("x-sync-epoch"), "");
    read.is(200, &answer.body);
}

#[tokio::test]
async fn a_session_is_closed_once_and_by_its_owner_only() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice");
    let session = alice.send("POST", "/v1/sync/sessions", "").await.good(201);
    let path = format!("/v1/sync/sessions/{}", session["id"].as_str().unwrap());
    let mallory = Person::named(&sandbox, "mallory");
    mallory.get(&path).await.is_text(403, "forbidden");
    mallory
        .send("DELETE", &path, "")
        .await
        .is_text(403, "forbidden");
    alice.send("DELETE", &path, "").await.is(204, "");
    let gone = "session not found or expired";
    alice.send("DELETE", &path, "").await.is_text(404, gone);
    alice.get(&path).await.is_text(404, gone);
}

#[tokio::test]
async fn a_session_expires_absolutely_whatever_its_use() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| {
        settings.clock = hands.clock();
        settings.session_lifetime = Duration::from_secs(60);
    })
    .await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    hands.advance(Duration::from_secs(60));
    assert_eq!(alice.get("/v1/notes").await.status, 200);
    hands.advance(Duration::from_millis(1));
    assert_eq!(alice.get("/v1/notes").await.status, 428);
}

#[tokio::test]
async fn a_late_epoch_is_told_the_current_one_and_loses_its_correlation_id() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    for epoch in ["0", "", "x", "1.0"] {
        let mut late = alice.clone();
        late.headers[2].1 = epoch.to_owned();
        let answer = late.get("/v1/notes").await;
        answer.is(
            409,
            "{\"error\":\"epoch_mismatch\",\"epoch\":1,\"correlation_id\":\"\"}\n",
        );
        assert_eq!(answer.header("x-sync-epoch"), "1");
        assert_eq!(answer.headers.get("x-correlation-id").unwrap(), "");
        let answer = late.with("x-correlation-id", "abc").get("/v1/notes").await;
        answer.is(
            409,
            "{\"error\":\"epoch_mismatch\",\"epoch\":1,\"correlation_id\":\"abc\"}\n",
        );
        assert_eq!(answer.header("x-correlation-id"), "abc");
    }
    let mut early = alice.clone();
    early.headers[2].1 = "99".to_owned();
    assert_eq!(early.get("/v1/notes").await.status, 200);
}

#[tokio::test]
async fn a_wipe_deletes_everything_of_one_user_and_raises_the_epoch() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| settings.clock = hands.clock()).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let bob = Person::named(&sandbox, "bob").in_session().await;
    let note = alice.creates("notes", &json!({})).await;
    alice.creates("notes", &json!({})).await;
    bob.creates("notes", &json!({})).await;
    alice
        .send("DELETE", &format!("/v1/notes/{note}"), "")
        .await
        .good(200);

    let path = "/v1/sync/wipe";
    alice
        .send("POST", path, "[]")
        .await
        .is_error(400, "invalid request body");
    alice.send("POST", path, "{}").await.is_error(
        400,
        r#"confirmation required: must send {"confirm":"WIPE"}"#,
    );
    let wiped = alice
        .post(path, &json!({ "confirm": "WIPE", "mode": "x" }))
        .await;
    wiped.is(
        200,
        "{\"epoch\":2,\"deleted\":{\"chat\":0,\"chat_message\":0,\"comment\":0,\"note\":2,\"task\":0,\"task_list\":0,\"task_list_category\":0}}\n",
    );

    assert_eq!(alice.get("/v1/notes").await.status, 428);
    let mut again = Person::named(&sandbox, "alice").in_session().await;
    assert_eq!(again.headers[2].1, "2");
    again
        .get("/v1/notes?includeDeleted=true")
        .await
        .is(200, "{\"items\":[]}\n");
    let state = again.get("/v1/sync/state").await.good(200);
    assert_eq!(state["lastWipeAt"], "2025-01-01T00:00:00Z");
    assert_eq!(keys(&state), ["epoch", "lastWipeAt", "lastWipeBy"]);
    again.headers[2].1 = "1".to_owned();
    assert_eq!(again.get("/v1/notes").await.status, 409);
    assert_eq!(
        bob.get("/v1/notes").await.good(200)["items"][0]["version"],
        1
    );
}

#[tokio::test]
async fn the_twenty_first_session_of_a_burst_is_refused_and_one_a_second_follows() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| {
        settings.clock = hands.clock();
        settings.limits = Limits::default();
    })
    .await;
    let alice = Person::named(&sandbox, "alice");
    let open = async || alice.send("POST", "/v1/sync/sessions", "").await;
    for left in (0..20).rev() {
        let answer = open().await;
        answer.good(201);
        assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
    }
    let refused = open().await;
    refused.is_error(429, "Rate limit exceeded. Please retry after 1 seconds.");
    for (name, value) in [
        ("retry-after", "1"),
        ("x-ratelimit-limit", "60"),
        ("x-ratelimit-burst", "20"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1735689620"),
    ] {
        assert_eq!(refused.header(name), value, "{name}");
    }
    // The exchange and everybody's own bucket.
    assert_eq!(
        alice
            .send("POST", "/auth/token-exchange", "{}")
            .await
            .status,
        429
    );
    let bob = Person::named(&sandbox, "bob");
    assert_eq!(bob.send("POST", "/v1/sync/sessions", "").await.status, 201);
    hands.advance(Duration::from_secs(1));
    assert_eq!(open().await.status, 201);
    assert_eq!(open().await.status, 429);
}

#[tokio::test]
async fn entity_requests_have_a_bucket_of_their_own() {
    let hands = Hands::at(1_735_689_600_000);
    let sandbox = start_with(|settings| {
        settings.clock = hands.clock();
        settings.limits = Limits::default();
    })
    .await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    for left in (0..120).rev() {
        let answer = alice.get("/v1/tasks/x").await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
        assert_eq!(answer.header("x-ratelimit-limit"), "600");
    }
    assert_eq!(alice.get("/v1/notes").await.status, 429);
    hands.advance(Duration::from_millis(100));
    assert_eq!(alice.get("/v1/notes").await.status, 200);
    // Without a bucket: state.
    assert_eq!(
        alice
            .get("/v1/sync/state")
            .await
            .header("x-ratelimit-limit"),
        ""
    );
}
