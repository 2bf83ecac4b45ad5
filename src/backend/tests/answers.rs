//! What becomes of answers: successes with odd bodies, and every way to say no.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        BackendError, BackendSettings, BodyProblem, Rejection, ReplyBody, Stage,
        rejection::Versions,
    },
    call,
    fake::{Answer, Fake, Script},
    posting, reading, rejection, settings, writing,
};
use crate::catalogue::Plan;

/// The error of a call that is answered so.
async fn failed(answer: Answer) -> BackendError {
    let fake = Fake::start().await;
    fake.answers_with(answer);
    let error = call(settings(fake.address), &posting()).await.unwrap_err();
    assert_eq!(fake.lines().len(), 2, "nothing is repeated");
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("127.0.0.1"),
        "{shown}"
    );
    error
}

async fn rejected(answer: Answer) -> Rejection {
    rejection(Err(failed(answer).await))
}

async fn unreadable(answer: Answer) -> BodyProblem {
    let error = failed(answer).await;
    assert!(error.may_have_written(&writing()));
    assert!(!error.may_have_written(&reading()));
    match error {
        BackendError::Unreadable {
            stage: Stage::Request,
            problem,
            ..
        } => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_content_is_an_empty_reply() {
    let fake = Fake::start().await;
    fake.answers_with(Answer::script(204, Script::Whole(Vec::new())));
    let plan = Plan {
        success: Arc::from([200, 204]),
        ..writing()
    };
    let reply = call(settings(fake.address), &plan).await.unwrap();
    assert_eq!((reply.status, reply.body), (204, ReplyBody::Empty));
}

#[tokio::test]
async fn a_success_that_is_not_whole_json_is_unreadable() {
    let cut = br#"{"items":[{"uid""#.to_vec();
    let long = Answer::script(200, Script::Cut(cut.clone())).with("content-length", "1000");
    assert_eq!(unreadable(long).await, BodyProblem::CutShort);
    let chunked = Answer::script(200, Script::Cut(cut));
    assert_eq!(unreadable(chunked).await, BodyProblem::CutShort);
    let html = Answer::of(200, "text/html", "<html>canary</html>");
    assert_eq!(unreadable(html).await, BodyProblem::NotJson);
    let latin = Answer::of(200, "application/json", b"{\"a\":\"canary\xe9\"}");
    assert_eq!(unreadable(latin).await, BodyProblem::NotUtf8);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert_eq!(
        unreadable(Answer::json(200, &deep)).await,
        BodyProblem::NotJson
    );
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0];
    let said = Answer::of(200, "application/json", gzip).with("content-encoding", "gzip");
    assert_eq!(unreadable(said).await, BodyProblem::Encoded);
    let unsaid = Answer::of(200, "application/json", gzip);
    assert_eq!(unreadable(unsaid).await, BodyProblem::NotUtf8);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read_on() {
    let fake = Fake::start().await;
    let size = 200 * 1024 * 1024;
    fake.answers_with(Answer::script(200, Script::Flood(size)));
    let error = call(settings(fake.address), &reading()).await.unwrap_err();
    assert!(
        matches!(
            error,
            BackendError::TooLarge {
                stage: Stage::Request,
                limit: 0x10_0000
            }
        ),
        "{error:?}"
    );
    // What was taken beyond the limit lies in the buffers of the two sockets.
    assert!(fake.flooded() < size / 4, "{}", fake.flooded());

    let announced =
        Answer::script(200, Script::Stalled(Vec::new())).with("content-length", "209715200");
    fake.answers_with(announced);
    let error = call(settings(fake.address), &reading()).await.unwrap_err();
    assert!(matches!(error, BackendError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endless_error_is_still_that_error() {
    let fake = Fake::start().await;
    let size = 200 * 1024 * 1024;
    fake.answers_with(Answer::script(500, Script::Flood(size)));
    let rejection = rejection(call(settings(fake.address), &reading()).await);
    assert_eq!((rejection.status, rejection.message), (500, None));
    assert!(fake.flooded() < size / 4, "{}", fake.flooded());
}

#[tokio::test]
async fn a_redirect_goes_nowhere() {
    let (address, visits) = super::fake::tripwire().await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://{address}/canary");
        let answer = Answer::json(status, "").with("location", &location);
        let error = failed(answer).await;
        assert!(
            matches!(
                error,
                BackendError::Redirected {
                    stage: Stage::Request,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert_eq!(visits.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_shape_of_no_keeps_its_meaning() {
    let not_found = rejected(Answer::json(
        404,
        r#"{"error":"note not found","correlation_id":"c-1"}"#,
    ))
    .await;
    assert_eq!(not_found.message.as_deref(), Some("note not found"));
    assert_eq!(not_found.correlation_id.as_deref(), Some("c-1"));

    let text = "Unauthorized: not authorized for requested tenant";
    let forbidden = rejected(Answer::text(403, &format!("{text}\n"))).await;
    assert_eq!(
        (forbidden.status, forbidden.message.as_deref()),
        (403, Some(text))
    );

    let gone = Answer::json(
        410,
        r#"{"error":"note deleted","deletedAt":"2025-11-20T10:00:00Z"}"#,
    );
    assert_eq!(
        rejected(gone).await.deleted_at.as_deref(),
        Some("2025-11-20T10:00:00Z")
    );

    let conflict = r#"{"error":"version mismatch: version mismatch: expected 5, actual 7","correlation_id":"c"}"#;
    let versions = Versions {
        expected: 5,
        actual: 7,
    };
    assert_eq!(
        rejected(Answer::json(412, conflict)).await.versions,
        Some(versions)
    );

    let empty = rejected(Answer::script(500, Script::Whole(Vec::new()))).await;
    assert_eq!((empty.status, empty.message), (500, None));

    let html = Answer::of(
        502,
        "text/html",
        "<html><h1>502</h1>canary at 127.0.0.1</html>",
    );
    let html = rejected(html).await;
    assert_eq!((html.status, html.message), (502, None));

    let cut =
        rejected(Answer::script(503, Script::Cut(b"{\"err".to_vec())).with("retry-after", "9"))
            .await;
    assert_eq!(
        (cut.status, cut.message, cut.retry_after),
        (503, None, Some(9))
    );
}

#[tokio::test]
async fn an_address_in_the_backends_words_is_taken_out() {
    let said = r#"{"error":"dial tcp 127.0.0.1:5432: refused, see http://127.0.0.1:9000/canary"}"#;
    let rejection = rejected(Answer::json(500, said)).await;
    let shown = "dial tcp [address] refused, see [address]";
    assert_eq!(rejection.message.as_deref(), Some(shown));
}

#[tokio::test]
async fn a_refusal_wrote_nothing_and_a_crash_may_have() {
    for (status, may_have_written) in [
        (400, false),
        (404, false),
        (429, false),
        (500, true),
        (503, true),
        (202, true),
    ] {
        let error = failed(Answer::json(status, "{}")).await;
        assert_eq!(
            error.may_have_written(&writing()),
            may_have_written,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_refused_session_is_not_a_rejected_call() {
    let wait =
        r#"{"error":"Rate limit exceeded. Please retry after 1 seconds.","correlation_id":"c"}"#;
    let refusals = [
        (
            Answer::text(401, "unauthorized\n"),
            401,
            Some("unauthorized"),
            None,
        ),
        (
            Answer::text(403, "forbidden\n"),
            403,
            Some("forbidden"),
            None,
        ),
        (
            Answer::json(429, wait).with("retry-after", "1"),
            429,
            Some("Rate limit exceeded. Please retry after 1 seconds."),
            Some(1),
        ),
        (
            Answer::json(500, r#"{"error":"Failed to load epoch"}"#),
            500,
            Some("Failed to load epoch"),
            None,
        ),
        (Answer::json(428, ""), 428, None, None),
    ];
    for (answer, status, message, retry_after) in refusals {
        let fake = Fake::start().await;
        fake.opens_with(answer);
        // Too short for any wait that the backend asks for, so it is not waited for at all.
        let hasty = BackendSettings {
            call_timeout: Duration::from_millis(900),
            ..settings(fake.address)
        };
        let error = call(hasty, &writing()).await.unwrap_err();
        assert!(!error.may_have_written(&writing()));
        let BackendError::SessionRefused(refusal) = error else {
            panic!("{error:?}");
        };
        assert_eq!((refusal.status, refusal.retry_after), (status, retry_after));
        assert_eq!(refusal.message.as_deref(), message);
        assert_eq!(fake.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_session_without_its_values_is_unusable() {
    for (body, pointer) in [
        ("", "/id"),
        ("{}", "/id"),
        (r#"{"id":"s"}"#, "/epoch"),
        (r#"{"id":"s","epoch":null}"#, "/epoch"),
        (r#"{"id":"","epoch":1}"#, "/id"),
        (r#"{"id":"a\r\nx-tb-tenant-id: b","epoch":1}"#, "/id"),
    ] {
        let fake = Fake::start().await;
        fake.opens_with(Answer::json(201, body));
        let error = call(settings(fake.address), &writing()).await.unwrap_err();
        assert!(!error.may_have_written(&writing()));
        let BackendError::SessionUnusable {
            pointer: missing, ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(missing.to_string(), pointer, "{body}");
        assert_eq!(fake.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_session_answer_is_read_with_the_same_care() {
    let (address, visits) = super::fake::tripwire().await;
    let location = format!("http://{address}/");
    let answers = [
        Answer::json(307, "").with("location", &location),
        Answer::of(201, "text/html", "<html>"),
        Answer::script(201, Script::Flood(8 * 1024 * 1024)),
    ];
    for answer in answers {
        let fake = Fake::start().await;
        fake.opens_with(answer);
        let small = BackendSettings {
            max_response_bytes: 1000,
            ..settings(fake.address)
        };
        let error = call(small, &writing()).await.unwrap_err();
        assert!(!error.may_have_written(&writing()), "{error:?}");
        assert!(error.to_string().contains("opening a session"), "{error}");
        assert_eq!(fake.lines().len(), 1);
    }
    assert_eq!(visits.load(std::sync::atomic::Ordering::SeqCst), 0);
}
