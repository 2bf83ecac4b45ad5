//! What becomes of connections that fail, and where nothing may ever connect to.

use std::time::Duration;

use tokio::net::TcpListener;

use super::{
    super::{BackendError, BackendSettings, Limited, Stage},
    call,
    fake::{Answer, Fake, Script},
    impatient, posting, reading, settings, writing,
};
use crate::{catalogue::Plan, outgoing};

/// An address at which nobody listens.
async fn deserted() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_backend_that_is_down_is_unreachable() {
    let address = deserted().await;
    let error = call(settings(address), &writing()).await.unwrap_err();
    assert!(!error.may_have_written(&writing()));
    assert!(
        matches!(
            error,
            BackendError::Unreachable {
                stage: Stage::Opening,
                ..
            }
        ),
        "{error:?}"
    );
    let shown = format!("{error} {}", std::error::Error::source(&error).unwrap());
    assert!(!shown.contains(&address.port().to_string()), "{shown}");
}

#[tokio::test]
async fn a_backend_that_speaks_no_tls_is_unreachable() {
    let fake = Fake::start().await;
    let base = format!("https://{}", fake.address).parse().unwrap();
    let tls = BackendSettings {
        base,
        ..settings(fake.address)
    };
    let error = call(tls, &reading()).await.unwrap_err();
    assert!(
        matches!(error, BackendError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(fake.lines().is_empty());
}

#[tokio::test]
async fn silence_at_the_opening_ends_in_time_and_nothing_was_sent() {
    let fake = Fake::start().await;
    fake.opens_with(Answer::script(201, Script::Silence));
    let error = call(impatient(fake.address), &writing()).await.unwrap_err();
    assert!(!error.may_have_written(&writing()));
    assert!(
        matches!(error, BackendError::TimedOut { stage: Stage::Opening, after, .. } if after == Duration::from_millis(250)),
        "{error:?}"
    );
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn the_end_of_the_call_ends_its_requests() {
    let fake = Fake::start().await;
    fake.answers_with(Answer::script(200, Script::Silence));
    let short = Duration::from_millis(250);
    let call_timeout = BackendSettings {
        call_timeout: short,
        ..settings(fake.address)
    };
    let error = call(call_timeout, &reading()).await.unwrap_err();
    assert!(
        matches!(error, BackendError::TimedOut { limit: Limited::Call, after, .. } if after == short),
        "{error:?}"
    );
}

#[tokio::test]
async fn silence_at_the_call_ends_in_time_and_may_have_written() {
    for script in [Script::Silence, Script::Stalled(b"{".to_vec())] {
        let fake = Fake::start().await;
        fake.answers_with(Answer::script(200, script));
        let plan = Plan {
            session: None,
            ..writing()
        };
        let error = call(impatient(fake.address), &plan).await.unwrap_err();
        assert!(error.may_have_written(&plan));
        assert!(!error.may_have_written(&reading()));
        assert!(
            matches!(
                error,
                BackendError::TimedOut {
                    stage: Stage::Request,
                    sent: true,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(fake.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_may_have_written_and_is_not_tried_again() {
    let fake = Fake::start().await;
    fake.answers_with(Answer::script(200, Script::HangUp));
    let error = call(settings(fake.address), &posting()).await.unwrap_err();
    assert!(error.may_have_written(&writing()));
    assert!(
        matches!(
            error,
            BackendError::Broken {
                stage: Stage::Request,
                ..
            }
        ),
        "{error:?}"
    );
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("/v1/notes") && !shown.contains("canary"),
        "{shown}"
    );
    assert_eq!(fake.lines().len(), 2);
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let with_proxies = reqwest::Client::builder().build().unwrap();
    assert!(
        format!("{with_proxies:?}").contains("proxies"),
        "the assertion below would say nothing"
    );
    let address = "127.0.0.1:1".parse().unwrap();
    let ours = outgoing::client(settings(address).timeouts).unwrap();
    assert!(!format!("{ours:?}").contains("prox"));
}
