//! Health, for whoever asks: live, ready, and the original's `/health`; in full on the operations port, bare on the
//! public one, where probes come by address and attackers too.

use crate::harness::{Answer, FakeBackend, Person, Setup, Sidecar, fake_backend::Down};

const PATHS: [&str; 3] = ["/healthz", "/readyz", "/health"];

async fn asks(url: &str, path: &str, accept: &str) -> (u16, String) {
    let answer = Person::at(url).with("accept", accept).gets(path).await;
    (answer.status, answer.body)
}

fn told(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test]
async fn each_thing_that_a_call_needs_has_its_line() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let ready = asks(&sidecar.ops_url, "/readyz", "*/*").await;
    assert_eq!(ready, told(200, "backend: ok\nkeys: ok\ncatalogue: ok\n"));
    let down = Down::new();
    let sidecar = Setup::before(&down).start().await;
    let ready = asks(&sidecar.ops_url, "/readyz", "*/*").await;
    let said = "backend: cannot be reached\nkeys: ok\ncatalogue: ok\n";
    assert_eq!(ready, told(503, said));
}

#[tokio::test]
async fn health_has_the_originals_two_shapes() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for url in [&sidecar.ops_url, &sidecar.url] {
        assert_eq!(asks(url, "/health", "*/*").await, told(200, "ok\n"));
    }
    let json = Person::at(&sidecar.ops_url).with("accept", "application/json");
    let answer = json.gets("/health").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    let all = r#"{"status":"healthy","checks":{"backend":"ok","keys":"ok","catalogue":"ok"}}"#;
    assert_eq!(answer.body, all);
    let bare = asks(&sidecar.url, "/health", "application/json").await;
    assert_eq!(bare, told(200, r#"{"status":"healthy"}"#));
}

#[tokio::test]
async fn an_unhealthy_sidecar_says_so_in_both_shapes_and_lives() {
    let down = Down::new();
    let sidecar = Setup::before(&down).start().await;
    for url in [&sidecar.ops_url, &sidecar.url] {
        assert_eq!(asks(url, "/healthz", "*/*").await, told(200, "ok\n"));
        assert_eq!(asks(url, "/health", "*/*").await, told(503, "unhealthy\n"));
        let (status, body) = asks(url, "/health", "application/json").await;
        assert!(
            status == 503 && body.starts_with(r#"{"status":"unhealthy""#),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_public_port_tells_a_verdict_and_no_names() {
    let down = Down::new();
    let sidecar = Setup::before(&down).start().await;
    assert_eq!(
        asks(&sidecar.url, "/readyz", "*/*").await,
        told(503, "not ready\n")
    );
    let bare = asks(&sidecar.url, "/health", "application/json").await;
    assert_eq!(bare, told(503, r#"{"status":"unhealthy"}"#));
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    assert_eq!(
        asks(&sidecar.url, "/readyz", "*/*").await,
        told(200, "ready\n")
    );
}

#[tokio::test]
async fn probes_come_by_address_and_other_paths_do_not() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let probe = Person::at(&sidecar.url).with("host", "10.1.2.3:8001");
    for path in PATHS {
        assert_eq!(probe.gets(path).await.status, 200, "{path}");
        assert_eq!(probe.sends("POST", path, "").await.status, 403, "{path}");
    }
    assert_eq!(probe.gets("/mcp").await.status, 403);
}

#[tokio::test]
async fn head_works_wherever_get_does() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for url in [&sidecar.url, &sidecar.ops_url] {
        let person = Person::at(url);
        for path in PATHS {
            let (get, head) = (
                person.gets(path).await,
                person.sends("HEAD", path, "").await,
            );
            let length = |answer: &Answer| answer.header("content-length").to_owned();
            assert_eq!((head.status, length(&head)), (200, length(&get)), "{path}");
            assert_eq!(head.body, "");
        }
    }
    let ops = Person::at(&sidecar.ops_url);
    assert_eq!(ops.sends("HEAD", "/elsewhere", "").await.status, 404);
    assert_eq!(ops.sends("POST", "/readyz", "").await.status, 405);
}
