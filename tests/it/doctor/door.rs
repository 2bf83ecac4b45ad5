//! What a client can meet up to the 401, one thing wrong at a time.

use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener};
use toolbridge::doctor::Verdict;

use super::tls;
use super::world::{Says, World, assert_named, impatience, seen};

#[tokio::test]
async fn the_canned_world_is_healthy() {
    let report = World::new().await.examine().await;
    for step in report.steps() {
        let is_well = matches!(step.verdict, Verdict::Passed | Verdict::Skipped);
        assert!(is_well, "{report}");
        assert!(
            step.side == "operator" || step.name == "tls" || step.verdict == Verdict::Passed,
            "{report}"
        );
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_named() {
    for (typed, words) in [
        ("acme.example.com/mcp", "is no http(s) URL"),
        ("ftp://127.0.0.1/mcp", "is no http(s) URL"),
        ("http://127.0.0.1/mcp?token=x", "has a query or a fragment"),
        (
            "https://alice:pw@127.0.0.1/mcp",
            "holds a user name or a password",
        ),
    ] {
        let mut world = World::new().await;
        world.url = typed.to_owned();
        world.token = None;
        assert_named(&world.examine().await, "url", words);
    }
}

#[tokio::test]
async fn http_to_another_machine_is_named_and_nothing_is_sent() {
    let mut world = World::new().await;
    world.url = "http://acme.example.com/mcp".to_owned();
    let report = world.examine().await;
    assert_named(
        &report,
        "url",
        "is http: whoever sits in between reads every token",
    );
    assert_eq!(
        seen(&report, "dns"),
        (Verdict::Skipped, "because `url` failed")
    );
    assert_eq!(
        seen(&report, "initialize"),
        (Verdict::Skipped, "because `url` failed")
    );
}

#[tokio::test]
async fn a_name_without_an_address_is_named() {
    let mut world = World::new().await;
    world.url = "https://nowhere.invalid/mcp".to_owned();
    world.token = None;
    world.patience = impatience();
    assert_named(
        &world.examine().await,
        "dns",
        "`nowhere.invalid` has no address",
    );
}

#[tokio::test]
async fn a_wrong_port_is_named() {
    let mut world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    world.url = format!("http://127.0.0.1:{port}/mcp");
    world.token = None;
    assert_named(
        &world.examine().await,
        "tcp",
        &format!("nothing accepts connections on port {port}"),
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_named() {
    let mut world = World::new().await;
    world.url = tls::in_front_of(&world.server, tls::SELF_SIGNED).await;
    world.token = None;
    assert_named(
        &world.examine().await,
        "tls",
        "certificate or the handshake is refused",
    );
}

#[tokio::test]
async fn a_port_that_speaks_no_http_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Takes something and hangs up.
            let _ = stream.read(&mut [0; 16]).await;
        }
    });
    let mut world = World::new().await;
    world.url = format!("http://127.0.0.1:{port}/mcp");
    world.token = None;
    assert_named(&world.examine().await, "answers", "no HTTP answer came");
}

#[tokio::test]
async fn a_web_page_in_place_of_mcp_is_named() {
    let world = World::new().await;
    world.server.says("nobody", Says::html(502));
    assert_named(
        &world.examine().await,
        "answers",
        "a web page (502) came in place of MCP",
    );
}

#[tokio::test]
async fn a_refused_host_is_named() {
    let world = World::new().await;
    let words =
        json!({ "error": "invalid_request", "error_description": "this Host is not served" });
    world.server.says("nobody", Says::json(403, &words));
    assert_named(
        &world.examine().await,
        "answers",
        "the server does not answer to this host name (403): `this Host is not served`",
    );
}

#[tokio::test]
async fn a_wrong_path_a_redirect_and_an_unwell_server_are_named() {
    for (answer, words) in [
        (Says::status(404), "no MCP endpoint is at this path (404)"),
        (
            Says::status(308).with("location", "https://acme.example.com/mcp"),
            "redirected (308) to `https://acme.example.com/mcp`",
        ),
        (Says::status(503), "unwell (503)"),
        (Says::status(400), "400 in place of a challenge"),
    ] {
        let world = World::new().await;
        world.server.says("nobody", answer);
        assert_named(&world.examine().await, "answers", words);
    }
}

#[tokio::test]
async fn a_401_without_a_challenge_is_named() {
    let world = World::new().await;
    world.server.says("nobody", Says::json(401, &json!({})));
    assert_named(
        &world.examine().await,
        "challenge",
        "401 comes without a `WWW-Authenticate` header",
    );
}

#[tokio::test]
async fn a_challenge_without_resource_metadata_is_named() {
    let world = World::new().await;
    world.challenge("Bearer realm=\"x\"");
    assert_named(
        &world.examine().await,
        "challenge",
        "the challenge has no `resource_metadata`, though there is a document",
    );
}

#[tokio::test]
async fn a_challenge_that_cannot_be_used_is_named() {
    for (header, words) in [
        ("Bearer realm=\"x", "cannot be read"),
        ("Basic realm=\"nginx\"", "no `Bearer` among the schemes"),
        (
            "Bearer resource_metadata=\"/.well-known/oauth-protected-resource\"",
            "no absolute https URL",
        ),
        (
            "Bearer resource_metadata=\"http://acme.example.com/x\"",
            "no absolute https URL",
        ),
    ] {
        let world = World::new().await;
        world.challenge(header);
        assert_named(&world.examine().await, "challenge", words);
    }
}
