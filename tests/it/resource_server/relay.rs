//! The issuer's metadata, for clients that look for it at the resource.

use futures_util::future::join_all;
use serde_json::json;

use super::support::{Issuer, OAUTH, OPENID, Script, Setup};

#[tokio::test]
async fn the_issuers_metadata_is_passed_on_byte_for_byte_and_asked_for_once() {
    let issuer = Issuer::start().await;
    let text = format!(" {{ \"issuer\":\"{}\" ,\n\"x\": 1.50 }}", issuer.url);
    issuer.on(OAUTH, Script::Says(200, text.clone()));
    let setup = Setup::trusting(&issuer).set("auth.jwks_url", &format!("{}/keys", issuer.url));
    let sidecar = setup.start().await;
    let places = [
        OAUTH.to_owned(),
        format!("{OAUTH}/mcp"),
        format!("{OAUTH}/sse"),
    ];
    let answers = join_all(
        places
            .iter()
            .cycle()
            .take(90)
            .map(|path| sidecar.gets(path)),
    )
    .await;
    for answer in answers {
        assert_eq!((answer.status, &answer.body), (200, &text));
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "public, max-age=3600");
    }
    assert_eq!(sidecar.gets(&format!("{OAUTH}/x")).await.status, 404);
    let asked = issuer.seen().iter().filter(|path| *path == OAUTH).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_issuer_with_openid_metadata_only_is_found_as_well() {
    let issuer = Issuer::start().await;
    issuer.on(OPENID, Script::Says(200, issuer.document().to_string()));
    issuer.on(OAUTH, Script::Says(404, "no".to_owned()));
    let sidecar = Setup::trusting(&issuer).start().await;
    assert_eq!(sidecar.gets(OAUTH).await.json(), issuer.document());
}

#[tokio::test]
async fn what_is_not_the_issuers_metadata_is_not_passed_on() {
    let other = Issuer::start().await;
    let other_document = other.document().to_string();
    let huge = json!({ "issuer": "x", "pad": "x".repeat(10_000_000) }).to_string();
    for (script, why) in [
        (Script::Says(200, other_document), "it is that of issuer"),
        (Script::Says(200, "<html>".to_owned()), "no metadata"),
        (Script::Says(200, "[".repeat(10_000)), "no metadata"),
        (Script::Says(200, huge), "larger than"),
        (
            Script::RedirectsTo(format!("{}{OAUTH}", other.url)),
            "status 302",
        ),
        (Script::Says(404, "{}".to_owned()), "status 404"),
    ] {
        let issuer = Issuer::start().await;
        issuer.on(OAUTH, script.clone());
        let sidecar = Setup::trusting(&issuer).start().await;
        let refused = sidecar.gets(OAUTH).await;
        assert_eq!(refused.status, 502, "{script:?}");
        assert_eq!(refused.header("cache-control"), "no-store");
        assert_eq!(refused.json()["error"], "server_error");
        let said = refused.json()["error_description"].to_string();
        assert!(said.contains(why), "{said}");
    }
    assert!(other.seen().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn an_issuer_that_fails_is_a_503_and_left_alone_for_a_while() {
    let issuer = Issuer::start().await;
    issuer.on(OAUTH, Script::Says(500, "secret stack trace".to_owned()));
    let sidecar = Setup::trusting(&issuer).start().await;
    for answer in join_all((0..50).map(|_| sidecar.gets(OAUTH))).await {
        assert_eq!(answer.status, 503);
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=11).contains(&wait), "{wait}");
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        assert!(!answer.body.contains("secret") && !answer.body.contains("127.0.0.1"));
    }
    assert_eq!(issuer.seen(), [OAUTH, OPENID]);
}

#[tokio::test]
async fn an_issuer_that_never_answers_is_given_up() {
    let issuer = Issuer::start().await;
    issuer.on(OAUTH, Script::Stalls);
    let sidecar = Setup::trusting(&issuer).start().await;
    let answer = sidecar.gets(OAUTH).await;
    assert_eq!(answer.status, 503);
    let refused = sidecar.lists(&issuer.token(json!({}), json!({}))).await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (503, "")
    );
    assert_eq!(issuer.seen(), [OAUTH]);
}
