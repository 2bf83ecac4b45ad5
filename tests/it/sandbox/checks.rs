//! The order of checks of contract §1.2: each request is wrong in two ways, the first one answers.

use serde_json::json;
use toolbridge::sandbox::{Limits, Organizations, Tenants};

use super::support::{Person, start, start_with};

const MISSING_SESSION: &str =
    "X-Sync-Session header required. Please call POST /v1/sync/sessions to begin a session.";
const BAD_SESSION: &str =
    "Invalid or expired sync session. Please call POST /v1/sync/sessions to begin a new session.";

#[tokio::test]
async fn an_unknown_route_is_404_before_authentication() {
    let sandbox = start().await;
    let nobody = Person::nobody(&sandbox);
    for path in [
        "/",
        "/v1/notes/",
        "/v1/nothing",
        "/v1/notes/a/b",
        "/v1/notes/a/archive/b",
        "/v1/notes//archive",
        "/v1/notesx",
        "/v1/auth/tenant",
        "/_sandbox/nothing",
    ] {
        nobody.get(path).await.is_text(404, "404 page not found");
    }
}

#[tokio::test]
async fn a_wrong_method_is_an_empty_405_with_allow_before_authentication() {
    let sandbox = start().await;
    let nobody = Person::nobody(&sandbox);
    for (method, path, allow) in [
        ("DELETE", "/v1/notes", "GET, POST"),
        ("HEAD", "/v1/notes", "GET, POST"),
        ("OPTIONS", "/v1/notes", "GET, POST"),
        ("POST", "/v1/notes/a", "GET, PUT, PATCH, DELETE"),
        ("GET", "/v1/notes/a/archive", "POST"),
        ("GET", "/v1/sync/sessions", "POST"),
        ("PUT", "/v1/sync/sessions/a", "GET, DELETE"),
        ("POST", "/healthz", "GET"),
        ("GET", "/auth/token-exchange", "POST"),
    ] {
        let answer = nobody.send(method, path, "").await;
        answer.is(405, "");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn the_token_comes_before_the_tenant_and_the_tenant_before_the_session() {
    let sandbox = start_with(|settings| {
        settings.tenants = Tenants::Organizations(Organizations::default());
        settings.limits = Limits::default();
    })
    .await;
    let nobody = Person::nobody(&sandbox);
    nobody.get("/v1/notes").await.is_text(401, "unauthorized");
    let alice = Person::named(&sandbox, "alice");
    let answer = alice.get("/v1/notes").await;
    answer.is_text(401, "Unauthorized: missing tenant header");
    assert_eq!(answer.header("x-ratelimit-limit"), "");
    alice
        .with("x-tb-tenant-id", "org_other")
        .get("/v1/notes")
        .await
        .is_text(403, "Unauthorized: not authorized for requested tenant");
    alice
        .with("x-tb-tenant-id", "tenant_thinkpen_b2c")
        .get("/v1/notes")
        .await
        .is_error(428, MISSING_SESSION);
}

#[tokio::test]
async fn the_session_comes_before_the_epoch_and_the_epoch_before_the_handler() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice");
    alice
        .get("/v1/notes/x")
        .await
        .is_error(428, MISSING_SESSION);
    alice
        .with("x-sync-session", "no-such-session")
        .get("/v1/notes/x")
        .await
        .is_error(428, BAD_SESSION);
    let in_session = alice.in_session().await;
    let mallory = Person::named(&sandbox, "mallory").in_session().await;
    let stolen = in_session.headers[1].1.clone();
    let mut thief = mallory.clone();
    thief.headers[1].1 = stolen;
    thief
        .get("/v1/notes/x")
        .await
        .is_error(403, "Session does not belong to authenticated user.");
    let mut late = in_session.clone();
    late.headers[2].1 = "0".to_owned();
    assert_eq!(late.get("/v1/notes/x").await.status, 409);
    in_session
        .get("/v1/notes/x")
        .await
        .is_error(400, "invalid UID");
}

#[tokio::test]
async fn the_rate_limit_comes_after_the_session_and_before_the_epoch() {
    let sandbox = start_with(|settings| {
        let mut limits = Limits::default();
        if let Some(bucket) = &mut limits.entities {
            bucket.burst = 1;
            bucket.max = 1;
        }
        settings.limits = limits;
    })
    .await;
    let alice = Person::named(&sandbox, "alice");
    let no_session = alice.get("/v1/notes").await;
    assert_eq!(no_session.header("x-ratelimit-limit"), "");
    let in_session = alice.in_session().await;
    let mut late = in_session.clone();
    late.headers[2].1 = "0".to_owned();
    let first = late.get("/v1/notes").await;
    assert_eq!(first.status, 409);
    assert_eq!(first.header("x-ratelimit-remaining"), "0");
    let second = late.get("/v1/notes").await;
    assert_eq!(second.status, 429);
}

#[tokio::test]
async fn wipe_and_state_need_a_session_but_no_epoch() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice");
    alice
        .get("/v1/sync/state")
        .await
        .is_error(428, MISSING_SESSION);
    let mut late = alice.in_session().await;
    late.headers[2].1 = "0".to_owned();
    late.get("/v1/sync/state").await.is(200, "{\"epoch\":1}\n");
}

#[tokio::test]
async fn health_and_information_are_open_to_everybody() {
    let sandbox = start().await;
    let nobody = Person::nobody(&sandbox);
    let health = nobody.get("/healthz").await;
    health.is(200, "ok");
    assert_eq!(health.header("content-type"), "text/plain; charset=utf-8");
    let info = nobody.get("/v1/sync/info").await.good(200);
    assert_eq!(info["apiVersion"], "1.1");
    assert_eq!(
        info["entities"]["notes"],
        json!({ "maxLimit": 1000, "push": true, "pull": true })
    );
    assert_eq!(
        info["locking"],
        json!({ "supported": true, "mode": "session" })
    );
    assert_eq!(info["minClientVersion"], "0.1.0");
    assert_eq!(
        info["rateLimit"],
        json!({ "windowSeconds": 60, "maxRequests": 600, "burst": 120 })
    );
    assert_eq!(
        info["hints"],
        json!({ "recommendedBatch": 500, "backoffMsOn429": 1500 })
    );
}

#[tokio::test]
async fn the_correlation_id_is_echoed_or_generated() {
    let sandbox = start().await;
    let nobody = Person::nobody(&sandbox);
    let echoed = nobody
        .with("x-correlation-id", "my <id>")
        .get("/healthz")
        .await;
    assert_eq!(echoed.header("x-correlation-id"), "my <id>");
    let generated = nobody.get("/healthz").await;
    assert_eq!(generated.header("x-correlation-id").len(), 36);
    let alice = Person::named(&sandbox, "alice").in_session().await;
    alice
        .with("x-correlation-id", "my <id>")
        .get("/v1/notes/x")
        .await
        .is(
            400,
            "{\"error\":\"invalid UID\",\"correlation_id\":\"my \\u003cid\\u003e\"}\n",
        );
}
