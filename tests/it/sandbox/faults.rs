//! The fault switches: each does what it says, to the requests it names, and nothing else.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use toolbridge::sandbox::{Failure, Fault, Latency, Moment, Requests, Sandbox, Switches};

use super::support::{Person, start};

async fn alice() -> (Sandbox, Person) {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    (sandbox, alice)
}

fn once(on: Requests, when: Moment, does: Failure) -> Fault {
    Fault {
        on,
        when,
        times: Some(1),
        does,
    }
}

#[tokio::test]
async fn a_forced_status_strikes_for_its_number_of_times() {
    let (sandbox, alice) = alice().await;
    sandbox.faults().add(Fault {
        times: Some(2),
        ..once(
            Requests::Entities,
            Moment::Arrival,
            Failure::Status {
                code: 503,
                retry_after_s: Some(7),
            },
        )
    });
    assert_eq!(
        alice.send("POST", "/v1/sync/sessions", "").await.status,
        201
    );
    for _ in 0..2 {
        let answer = alice.post("/v1/notes", &json!({})).await;
        answer.is_error(503, "forced by a fault switch");
        assert_eq!(answer.header("retry-after"), "7");
    }
    alice.get("/v1/notes").await.is(200, "{\"items\":[]}\n");
}

#[tokio::test]
async fn a_fault_strikes_only_the_requests_it_names() {
    let (sandbox, alice) = alice().await;
    for (requests, struck) in [
        (Requests::Sessions, [418, 401, 200, 200]),
        (Requests::Identity, [201, 418, 200, 200]),
        (Requests::Entities, [201, 401, 418, 200]),
        (Requests::All, [418, 418, 418, 418]),
    ] {
        let failure = Failure::Status {
            code: 418,
            retry_after_s: None,
        };
        let mut fault = once(requests, Moment::Arrival, failure);
        fault.times = None;
        sandbox.faults().set(Switches {
            faults: vec![fault],
            ..Switches::default()
        });
        let nobody = Person::nobody(&sandbox);
        let statuses = [
            alice.send("POST", "/v1/sync/sessions", "").await.status,
            nobody.send("POST", "/auth/token-exchange", "").await.status,
            alice.get("/v1/notes").await.status,
            nobody.get("/healthz").await.status,
        ];
        assert_eq!(statuses, struck, "{requests:?}");
    }
}

#[tokio::test]
async fn a_connection_drops_before_or_after_the_write_is_done() {
    let (sandbox, alice) = alice().await;
    for (moment, stored) in [(Moment::Arrival, 0), (Moment::Answer, 1)] {
        sandbox
            .faults()
            .add(once(Requests::Entities, moment, Failure::Drop));
        assert!(alice.try_send("POST", "/v1/notes", "{}").await.is_err());
        let list = alice.get("/v1/notes").await.good(200);
        assert_eq!(
            list["items"].as_array().unwrap().len(),
            stored,
            "{moment:?}"
        );
    }
}

#[tokio::test]
async fn a_forced_status_in_place_of_the_answer_hides_a_write_that_was_done() {
    let (sandbox, alice) = alice().await;
    let failure = Failure::Status {
        code: 502,
        retry_after_s: None,
    };
    sandbox
        .faults()
        .add(once(Requests::Entities, Moment::Answer, failure));
    assert_eq!(alice.post("/v1/notes", &json!({})).await.status, 502);
    let list = alice.get("/v1/notes").await.good(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_truncated_answer_has_its_head_and_breaks_off() {
    let (sandbox, alice) = alice().await;
    sandbox
        .faults()
        .add(once(Requests::Entities, Moment::Arrival, Failure::Truncate));
    let client = toolbridge::outgoing::client(toolbridge::outgoing::Timeouts {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(5),
    });
    let mut request = client
        .unwrap()
        .post(format!("{}/v1/notes", sandbox.url()))
        .body("{}");
    for (name, value) in &alice.headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
    let announced = response.content_length().unwrap();
    let half = response.chunk().await.unwrap().unwrap();
    assert_eq!(half.len() as u64, announced / 2);
    assert!(response.chunk().await.is_err());
    let list = alice.get("/v1/notes").await.good(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_can_be_a_web_page_a_redirect_or_huge() {
    let (sandbox, alice) = alice().await;
    let faults = sandbox.faults();
    faults.add(once(Requests::Entities, Moment::Arrival, Failure::Html));
    let page = alice.get("/v1/notes").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.body.starts_with('<'));

    let location = "http://127.0.0.1:1/elsewhere".to_owned();
    let failure = Failure::Redirect {
        location: location.clone(),
    };
    faults.add(once(Requests::Entities, Moment::Arrival, failure));
    let redirect = alice.get("/v1/notes").await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (307, location.as_str())
    );

    for chunked in [false, true] {
        let failure = Failure::Huge {
            megabytes: 2,
            chunked,
        };
        faults.add(once(Requests::Entities, Moment::Arrival, failure));
        let huge = alice.get("/v1/notes").await;
        assert!(huge.body.len() > 2 << 20);
        assert_eq!(huge.header("content-length").is_empty(), chunked);
        assert_eq!(huge.json()["version"], 1);
    }
}

#[tokio::test]
async fn sessions_can_expire_on_use_or_all_at_once() {
    let (sandbox, alice) = alice().await;
    sandbox
        .faults()
        .change(|switches| switches.expire_sessions = true);
    assert_eq!(alice.get("/v1/notes").await.status, 428);
    sandbox.faults().clear();
    assert_eq!(alice.get("/v1/notes").await.status, 200);
    sandbox.expire_sessions();
    assert_eq!(alice.get("/v1/notes").await.status, 428);
}

#[tokio::test]
async fn the_epoch_can_be_raised_between_a_session_and_its_use() {
    let (sandbox, alice) = alice().await;
    sandbox
        .faults()
        .change(|switches| switches.bump_epoch_after_sessions = 1);
    let raced = Person::named(&sandbox, "alice").in_session().await;
    assert_eq!(raced.headers[2].1, "1");
    let answer = raced.get("/v1/notes").await;
    assert_eq!((answer.status, answer.header("x-sync-epoch")), (409, "2"));
    assert_eq!(alice.get("/v1/notes").await.status, 409);
    let fresh = Person::named(&sandbox, "alice").in_session().await;
    assert_eq!(fresh.get("/v1/notes").await.status, 200);
}

#[tokio::test]
async fn a_leaking_backend_shows_a_foreign_record_to_a_get_only() {
    let (sandbox, alice) = alice().await;
    let path = format!(
        "/v1/notes/{}",
        alice.creates("notes", &json!({ "title": "mine" })).await
    );
    let mallory = Person::named(&sandbox, "mallory").in_session().await;
    assert_eq!(mallory.get(&path).await.status, 404);
    sandbox
        .faults()
        .change(|switches| switches.leak_foreign_records = true);
    let leaked = mallory.get(&path).await.good(200);
    assert_eq!(leaked["payload"]["title"], "mine");
    assert_eq!(mallory.send("PATCH", &path, "{}").await.status, 404);
}

#[tokio::test]
async fn latency_delays_the_requests_it_names() {
    let (sandbox, alice) = alice().await;
    let ms = 40;
    sandbox.faults().change(|switches| {
        switches.latency = Some(Latency {
            ms,
            on: Requests::Entities,
        });
    });
    let start = Instant::now();
    alice.get("/v1/notes").await.good(200);
    assert!(start.elapsed() >= Duration::from_millis(ms));
}

#[tokio::test]
async fn a_hold_stops_requests_until_it_is_released() {
    let (sandbox, alice) = alice().await;
    let hold = sandbox.faults().hold(Requests::Entities, Moment::Answer);
    let creating = tokio::spawn({
        let alice = alice.clone();
        async move { alice.post("/v1/notes", &json!({})).await.status }
    });
    hold.reached(1).await;
    // Held after the commit: the record is there, its answer is not.
    assert!(!creating.is_finished());
    assert!(!sandbox.is_empty("alice").await.unwrap());
    let reading = tokio::spawn(async move { alice.get("/v1/notes").await.status });
    hold.reached(2).await;
    assert!(!reading.is_finished());
    hold.release();
    assert_eq!(
        (creating.await.unwrap(), reading.await.unwrap()),
        (201, 200)
    );
}

#[tokio::test]
async fn the_switches_are_set_over_http_too() {
    let (sandbox, alice) = alice().await;
    let nobody = Person::nobody(&sandbox);
    let path = "/_sandbox/faults";
    let switches = json!({
        "faults": [{ "on": "entities", "times": 3, "does": { "status": { "code": 500 } } }],
        "clock_offset_ms": -5,
    });
    let shown = nobody
        .send("PUT", path, &switches.to_string())
        .await
        .good(200);
    assert_eq!(nobody.get(path).await.good(200), shown);
    assert_eq!(sandbox.faults().switches().clock_offset_ms, -5);
    assert_eq!(alice.get("/v1/notes").await.status, 500);
    let left = nobody.get(path).await.good(200);
    assert_eq!(left["faults"][0]["times"], 2);
    let refused = nobody.send("PUT", path, r#"{"latenzy":1}"#).await;
    assert_eq!(refused.status, 400);
    nobody.send("DELETE", path, "").await.is(204, "");
    assert_eq!(sandbox.faults().switches(), Switches::default());
    nobody
        .send("DELETE", "/_sandbox/sessions", "")
        .await
        .is(204, "");
    assert_eq!(alice.get("/v1/notes").await.status, 428);
}

#[tokio::test]
async fn faults_do_not_strike_the_switches_themselves() {
    let (sandbox, _alice) = alice().await;
    let mut fault = once(Requests::All, Moment::Arrival, Failure::Drop);
    fault.times = None;
    sandbox.faults().add(fault);
    let nobody = Person::nobody(&sandbox);
    assert!(nobody.try_send("GET", "/healthz", "").await.is_err());
    nobody
        .send("DELETE", "/_sandbox/faults", "")
        .await
        .is(204, "");
    nobody.get("/healthz").await.is(200, "ok");
}
