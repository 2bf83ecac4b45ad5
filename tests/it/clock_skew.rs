//! The backend's clock differs from ours: readiness says so before anybody wonders why signatures are refused.

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use toolbridge::clock;

use crate::harness::{FakeBackend, Person, Script, Setup};

/// What `/readyz` says of a backend whose clock is so many seconds ahead of ours.
async fn readiness(seconds: i64) -> (u16, String) {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend).start().await;
    let date = OffsetDateTime::from_unix_timestamp(
        i64::try_from(clock::unix_now().as_secs()).unwrap() + seconds,
    );
    let date = date.unwrap().format(&Rfc2822);
    let date = date.unwrap().replace("+0000", "GMT");
    let script = Script::with(503, &[("date", &date)], "{}");
    backend.opens_sessions_with(script);
    let failed = sidecar.alice().calls("list_notes", json!({})).await;
    assert_eq!(failed.failed()["status"], 503);
    let ready = Person::at(&sidecar.ops_url).gets("/readyz").await;
    (ready.status, ready.body)
}

#[tokio::test]
async fn readiness_says_how_far_the_backends_clock_is_from_ours() {
    let (status, body) = readiness(0).await;
    assert_eq!((status, body.contains("clock")), (200, false), "{body}");
    for seconds in [-120, 120] {
        let (status, body) = readiness(seconds).await;
        assert_eq!(status, 200, "{body}");
        assert!(
            body.contains("clock: backend's clock differs by 1"),
            "{body}"
        );
    }
    for seconds in [-400, 400] {
        let (status, body) = readiness(seconds).await;
        assert_eq!(status, 503, "{body}");
        assert!(
            body.contains("clock: backend's clock differs by "),
            "{body}"
        );
    }
}
