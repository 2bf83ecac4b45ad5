//! What a client can meet between the 401 and its token, one thing wrong at a time.

use serde_json::json;
use toolbridge::doctor::Verdict;

use super::world::{Says, World, assert_named, assert_warned, seen, token};

#[tokio::test]
async fn a_missing_metadata_document_is_named() {
    let world = World::new().await;
    let place = "GET /.well-known/oauth-protected-resource";
    world.server.says(place, Says::status(404));
    world
        .server
        .says(&format!("{place}/mcp"), Says::status(404));
    let report = world.examine().await;
    assert_named(
        &report,
        "metadata",
        "oauth-protected-resource/mcp` answers 404",
    );
    assert_eq!(seen(&report, "issuer").0, Verdict::Skipped);
}

#[tokio::test]
async fn a_metadata_document_at_one_place_only_is_a_warning() {
    let world = World::new().await;
    let place = "GET /.well-known/oauth-protected-resource";
    world.server.says(place, Says::html(200));
    let words = "oauth-protected-resource` is no JSON document (text/html)";
    assert_warned(&world.examine().await, "metadata", words);
}

#[tokio::test]
async fn two_metadata_documents_that_differ_are_named() {
    let world = World::new().await;
    let other =
        json!({ "resource": world.url, "authorization_servers": ["https://other.example.com"] });
    let place = "GET /.well-known/oauth-protected-resource";
    world.server.says(place, Says::json(200, &other));
    assert_named(&world.examine().await, "metadata", "say different things");
}

#[tokio::test]
async fn a_resource_that_is_not_what_was_typed_is_named_with_the_difference() {
    for (resource, words) in [
        ("{origin}/mcp/", "a slash at the end makes it another URL"),
        ("{origin}", "the path is missing"),
        (
            "http://toolbridge.internal:8001/mcp",
            "a host name that only the inside knows",
        ),
        ("https://other.example.com/mcp", "another host"),
    ] {
        let world = World::new().await;
        let resource = resource.replace("{origin}", &world.server.url);
        world.metadata(&resource, &[&world.issuer.url]);
        let report = world.examine().await;
        assert_named(&report, "metadata", words);
        assert_named(&report, "metadata", &format!("`resource` is `{resource}`"));
    }
}

#[tokio::test]
async fn a_document_that_names_no_authorization_server_is_named() {
    let world = World::new().await;
    world.metadata(&world.url, &[]);
    assert_named(
        &world.examine().await,
        "metadata",
        "`authorization_servers` is empty",
    );
}

#[tokio::test]
async fn a_document_that_browsers_cannot_read_or_keep_is_a_warning() {
    let world = World::new().await;
    let document = json!({ "resource": world.url, "authorization_servers": [world.issuer.url] });
    let answer = Says::json(200, &document).with("cache-control", "no-store");
    let place = "GET /.well-known/oauth-protected-resource";
    world.server.says(place, answer.clone());
    world.server.says(&format!("{place}/mcp"), answer);
    let report = world.examine().await;
    assert_warned(&report, "metadata", "Access-Control-Allow-Origin");
    assert_warned(&report, "metadata", "may not be cached");
    assert!(report.is_healthy());
}

#[tokio::test]
async fn a_document_that_only_one_origin_may_read_is_a_warning() {
    let place = "GET /.well-known/oauth-protected-resource";
    for (allowed, is_warned) in [
        ("https://only-this.example", true),
        ("null", true),
        // Who answers with the origin that asked, as many proxies do, is right too.
        ("https://client.example", false),
        ("*", false),
    ] {
        let world = World::new().await;
        let issuers = [&world.issuer.url];
        let document = json!({ "resource": world.url, "authorization_servers": issuers });
        let answer = Says::json(200, &document)
            .with("cache-control", "public, max-age=3600")
            .with("access-control-allow-origin", allowed);
        world.server.says(place, answer.clone());
        world.server.says(&format!("{place}/mcp"), answer);
        let report = world.examine().await;
        if is_warned {
            assert_warned(&report, "metadata", "neither `*` nor the origin that asked");
        } else {
            assert!(!report.to_string().contains("browser"), "{report}");
        }
    }
}

#[tokio::test]
async fn an_issuer_without_a_document_is_named() {
    let world = World::new().await;
    let place = "GET /.well-known/oauth-authorization-server";
    world.issuer.says(place, Says::status(404));
    let report = world.examine().await;
    assert_named(&report, "issuer", "publishes no metadata");
    assert_eq!(
        seen(&report, "jwks"),
        (Verdict::Skipped, "because `issuer` failed")
    );
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_or_is_no_https_url_is_named() {
    for (issuer, words) in [
        ("http://127.0.0.1:1", "publishes no metadata"),
        ("http://login.example.com", "is no https URL"),
        ("toolbridge-dev", "is no https URL"),
    ] {
        let mut world = World::new().await;
        world.token = None;
        world.metadata(&world.url, &[issuer]);
        assert_named(&world.examine().await, "issuer", words);
    }
}

#[tokio::test]
async fn an_issuer_with_another_name_is_named() {
    let world = World::new().await;
    let with_slash = format!("{}/", world.issuer.url);
    world.issuer_says(json!({ "issuer": with_slash }));
    let words = format!("its document says `issuer` `{with_slash}`");
    assert_named(&world.examine().await, "issuer", &words);
}

#[tokio::test]
async fn an_issuer_without_s256_is_named() {
    for methods in [json!(null), json!(["plain"])] {
        let world = World::new().await;
        world.issuer_says(json!({ "code_challenge_methods_supported": methods }));
        assert_named(&world.examine().await, "issuer", "does not list S256");
    }
}

#[tokio::test]
async fn a_key_set_without_a_usable_key_is_named() {
    let oct = json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0" });
    for (answer, words) in [
        (Says::json(200, &json!({ "keys": [] })), "it has no keys"),
        (
            Says::json(200, &json!({ "keys": [oct, oct] })),
            "it has only `oct, oct`",
        ),
        (Says::html(200), "not a JSON Web Key Set"),
        (Says::status(500), "it answers 500"),
    ] {
        let world = World::new().await;
        world.issuer.says("GET /jwks", answer);
        assert_named(&world.examine().await, "jwks", words);
    }
}

#[tokio::test]
async fn an_issuer_where_no_client_can_register_is_named() {
    let world = World::new().await;
    world.issuer_says(json!({ "registration_endpoint": null }));
    assert_named(
        &world.examine().await,
        "registration",
        "clients have no way to get an id",
    );
}

#[tokio::test]
async fn registration_that_claude_cannot_use_is_a_warning() {
    let world = World::new().await;
    world.issuer_says(
        json!({ "registration_endpoint": null, "client_id_metadata_document_supported": true }),
    );
    assert_warned(
        &world.examine().await,
        "registration",
        "does not list `none`",
    );
}

#[tokio::test]
async fn an_expired_token_is_named_and_not_sent() {
    let mut world = World::new().await;
    world.token = Some(token(&world.issuer.url, &world.url, -600));
    let report = world.examine().await;
    assert_named(&report, "token", "the token expired 10m");
    assert_eq!(
        seen(&report, "initialize"),
        (Verdict::Skipped, "because `token` failed")
    );
}

#[tokio::test]
async fn a_token_of_another_issuer_is_named() {
    let mut world = World::new().await;
    world.token = Some(token("https://other.example.com", &world.url, 600));
    assert_named(
        &world.examine().await,
        "token",
        "`iss` is `https://other.example.com`",
    );
}

#[tokio::test]
async fn a_token_for_another_audience_is_named() {
    let mut world = World::new().await;
    world.token = Some(token(&world.issuer.url, "https://t2.example.com/mcp", 600));
    assert_named(
        &world.examine().await,
        "audience",
        "the token's `aud` is `https://t2.example.com/mcp`, but this server is",
    );
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_named() {
    for text in ["", "Bearer a.b.c", "a.b.c\n"] {
        let mut world = World::new().await;
        world.token = Some(text.to_owned());
        assert_named(&world.examine().await, "token", "cannot be sent");
    }
}

#[tokio::test]
async fn a_token_signed_with_a_key_that_is_gone_is_named() {
    let world = World::new().await;
    let answer = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k2", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    world.issuer.says("GET /jwks", Says::json(200, &answer));
    assert_named(
        &world.examine().await,
        "token",
        "the issuer publishes no key `k1`",
    );
}
