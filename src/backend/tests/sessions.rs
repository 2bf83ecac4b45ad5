//! What is sent: one session, one request, exactly our headers.

use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::{
    super::{Backend, BackendError, BackendSettings, ReplyBody},
    alice, backend, call, closing, errand,
    fake::{Answer, Fake},
    reading, settings, writing,
};
use crate::{catalogue::Plan, json_text::JsonText};

const OPEN: &str = "POST /v1/sync/sessions";
const LIST: &str = "GET /v1/notes?limit=5";

#[tokio::test]
async fn a_call_opens_a_session_and_sends_one_request() {
    let fake = Fake::start().await;
    let (identity, errand) = (alice().await, errand());
    let correlation = errand.correlation;
    let backend = backend(settings(fake.address));
    let reply = backend
        .call(&identity, &writing(), &errand, backend.deadline())
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        ReplyBody::Json(JsonText::of(&json!({ "ok": true })))
    );
    assert_eq!(reply.correlation_id, correlation);

    let seen = fake.finish();
    assert_eq!(seen.len(), 2);
    let names = |index: usize| {
        let mut names: Vec<&str> = seen[index].headers.keys().map(HeaderName::as_str).collect();
        names.retain(|name| *name != "content-length");
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(
        names(0),
        "accept authorization host x-correlation-id x-tb-signature x-tb-tenant-id x-tb-timestamp"
    );
    assert_eq!(
        names(1),
        "accept authorization content-type host if-match x-correlation-id x-sync-epoch x-sync-session \
         x-tb-signature x-tb-tenant-id x-tb-timestamp"
    );
    assert!(seen[0].body.is_empty());
    assert_eq!(seen[1].body, &br#"{"title":"t"}"#[..]);
    assert_eq!(seen[1].headers["if-match"], "5");
    assert_eq!(seen[1].headers["content-type"], "application/json");
    for request in &seen {
        assert_eq!(
            request.headers["x-correlation-id"],
            correlation.to_string().as_str()
        );
    }
}

#[tokio::test]
async fn every_call_has_a_session_of_its_own() {
    let fake = Fake::start().await;
    let (identity, backend) = (alice().await, backend(settings(fake.address)));
    let plan = reading();
    let errands = [(); 20].map(|()| errand());
    let calls = errands
        .iter()
        .map(|errand| backend.call(&identity, &plan, errand, backend.deadline()));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    let lines = fake.lines();
    assert_eq!(lines.iter().filter(|line| *line == OPEN).count(), 20);
    assert_eq!(lines.iter().filter(|line| *line == LIST).count(), 20);
}

#[tokio::test]
async fn a_plan_without_a_session_sends_the_request_alone() {
    let fake = Fake::start().await;
    let without = Plan {
        session: None,
        ..reading()
    };
    call(settings(fake.address), &without).await.unwrap();
    let seen = fake.finish();
    assert_eq!(seen.len(), 1);
    assert!(
        seen.iter()
            .all(|seen| !seen.headers.contains_key("x-sync-session"))
    );
}

#[tokio::test]
async fn a_prefix_of_the_backend_comes_before_every_target() {
    let fake = Fake::start().await;
    let base = format!("http://{}/api/", fake.address).parse().unwrap();
    let below = BackendSettings {
        base,
        ..settings(fake.address)
    };
    let without = Plan {
        session: None,
        ..reading()
    };
    call(below, &without).await.unwrap();
    assert_eq!(fake.lines(), ["GET /api/v1/notes?limit=5"]);
}

#[tokio::test]
async fn a_plan_cannot_take_another_identity_or_another_framing() {
    let fake = Fake::start().await;
    let mut plan = writing();
    for (name, value) in [
        ("authorization", "Bearer mallory"),
        ("x-tb-tenant-id", "mallory"),
        ("x-tb-timestamp", "1"),
        ("x-tb-signature", "00"),
        ("host", "evil.test"),
        ("connection", "x-tb-tenant-id"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
        ("x-sync-session", "mallory"),
        ("x-correlation-id", "mallory"),
    ] {
        plan.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    plan.headers
        .append("if-match", HeaderValue::from_static("6"));
    call(settings(fake.address), &plan).await.unwrap();
    let seen = fake.finish();
    assert_eq!(seen[1].headers["host"], fake.address.to_string().as_str());
}

#[tokio::test]
async fn a_target_that_climbs_is_never_sent() {
    let fake = Fake::start().await;
    for target in [
        "/v1/notes/../sync/state",
        "/v1/notes/%2e%2e/wipe",
        "/v1/notes/a\\..\\b",
        "@evil.test/",
    ] {
        let plan = Plan {
            target: target.to_owned(),
            session: None,
            ..reading()
        };
        let error = call(settings(fake.address), &plan).await.unwrap_err();
        assert!(
            matches!(error, BackendError::UnsafeTarget { .. }),
            "{error:?}"
        );
        assert!(!error.to_string().contains(target));
    }
    assert!(fake.lines().is_empty());
}

#[tokio::test]
async fn a_stale_session_is_replaced_once() {
    let epoch = r#"{"error":"epoch_mismatch","epoch":4,"correlation_id":""}"#;
    let expired = r#"{"error":"Invalid or expired sync session.","correlation_id":"c"}"#;
    for (status, body) in [(428, expired), (428, ""), (409, epoch)] {
        let fake = Fake::start().await;
        fake.answers_with(Answer::json(status, body));
        let reply = call(settings(fake.address), &writing()).await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(fake.lines().len(), 4, "{status}");
    }
}

#[tokio::test]
async fn a_fresh_session_that_is_stale_too_ends_it() {
    let fake = Fake::start().await;
    for _ in 0..2 {
        fake.answers_with(Answer::json(428, r#"{"error":"expired"}"#));
    }
    let error = call(settings(fake.address), &writing()).await.unwrap_err();
    assert!(!error.may_have_written(&writing()));
    let BackendError::Stale(rejection) = error else {
        panic!("{error:?}");
    };
    assert_eq!(rejection.status, 428);
    assert_eq!(fake.lines().len(), 4);
}

#[tokio::test]
async fn another_conflict_is_no_stale_session() {
    let fake = Fake::start().await;
    fake.answers_with(Answer::json(409, r#"{"error":"title taken"}"#));
    let rejection = super::rejection(call(settings(fake.address), &writing()).await);
    assert_eq!(rejection.message.as_deref(), Some("title taken"));
    assert_eq!(fake.lines().len(), 2);
}

#[tokio::test]
async fn without_a_session_nothing_can_be_stale() {
    let fake = Fake::start().await;
    fake.answers_with(Answer::json(
        428,
        r#"{"error":"X-Sync-Session header required."}"#,
    ));
    let plan = Plan {
        session: None,
        ..reading()
    };
    let rejection = super::rejection(call(settings(fake.address), &plan).await);
    assert_eq!(rejection.status, 428);
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn a_session_is_closed_after_the_call_however_it_ended() {
    for status in [200, 500] {
        let fake = Fake::start().await;
        fake.answers_with(Answer::json(status, "{}"));
        let closings = TaskTracker::new();
        let backend = Backend::new(settings(fake.address), closings.clone()).unwrap();
        let identity = alice().await;
        let outcome = backend
            .call(&identity, &closing(), &errand(), backend.deadline())
            .await;
        assert_eq!(outcome.is_ok(), status == 200);
        closings.close();
        closings.wait().await;
        let seen = fake.finish();
        assert_eq!(seen.len(), 3);
        let session = seen[1].headers["x-sync-session"].to_str().unwrap();
        assert_eq!(seen[2].target, format!("/v1/sync/sessions/{session}"));
    }
}

#[tokio::test]
async fn a_session_is_closed_when_the_caller_gives_up() {
    let fake = Fake::start().await;
    fake.answers_with(Answer::script(200, super::fake::Script::Silence));
    let closings = TaskTracker::new();
    let backend = Backend::new(settings(fake.address), closings.clone()).unwrap();
    let (identity, plan, errand) = (alice().await, closing(), errand());
    {
        let mut call = std::pin::pin!(backend.call(&identity, &plan, &errand, backend.deadline()));
        for _ in 0..2 {
            tokio::select! {
                outcome = &mut call => panic!("{outcome:?}"),
                () = fake.arrival() => {}
            }
        }
    }
    closings.close();
    closings.wait().await;
    assert!(fake.lines()[2].starts_with("DELETE /v1/sync/sessions/"));
}

#[tokio::test]
async fn a_session_and_a_reply_print_no_secret() {
    let fake = Fake::start().await;
    let (identity, backend) = (alice().await, backend(settings(fake.address)));
    let (plan, errand) = (reading(), errand());
    let session = backend
        .session_for(&identity, &plan, &errand, backend.deadline())
        .await
        .unwrap();
    let shown = format!("{session:?}");
    let reply = session.send(&plan).await.unwrap();
    let shown = format!("{shown} {reply:?} {identity:?}");
    let seen = fake.finish();
    let id = seen[1].headers["x-sync-session"].to_str().unwrap();
    for secret in ["canary", id, "\"ok\""] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
