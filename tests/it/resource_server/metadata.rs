//! What clients learn of the resource (RFC 9728).

use serde_json::json;

use super::support::{Issuer, METADATA, PUBLIC, Setup};

const PATH: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn each_resource_is_described_at_its_own_place_and_mcp_at_the_root_too() {
    let issuer = Issuer::start().await;
    let setup =
        Setup::trusting(&issuer).set("server.documentation_url", "https://docs.example.com/acme");
    let sidecar = setup.start().await;
    for (path, resource) in [("", "/mcp"), ("/mcp", "/mcp"), ("/sse", "/sse")] {
        let answer = sidecar.gets(&format!("{PATH}{path}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "public, max-age=3600");
        let expected = json!({
            "resource": format!("{PUBLIC}{resource}"),
            "authorization_servers": [issuer.url],
            "bearer_methods_supported": ["header"],
            "resource_name": "toolbridge",
            "resource_documentation": "https://docs.example.com/acme",
        });
        assert_eq!(answer.json(), expected, "{path}");
    }
    assert_eq!(sidecar.gets(&format!("{PATH}/healthz")).await.status, 404);
    assert_eq!(sidecar.sends("HEAD", PATH, &[], "").await.status, 200);
    let posted = sidecar.sends("POST", PATH, &[], "{}").await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn nothing_that_a_client_sends_changes_the_description() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let before = sidecar.gets(PATH).await.body;
    let lies = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.test"),
        ("x-original-url", "/evil"),
    ];
    assert_eq!(sidecar.sends("GET", PATH, &lies, "").await.body, before);
    let rebound = sidecar
        .sends("GET", PATH, &[("host", "evil.test")], "")
        .await;
    assert_eq!(rebound.status, 403);
    assert!(!rebound.body.contains("evil.test"), "{rebound:?}");
}

#[tokio::test]
async fn without_a_public_url_the_listen_address_is_described() {
    let issuer = Issuer::start().await;
    let setup = Setup::trusting(&issuer).set("auth.audience", "somebody");
    let sidecar = setup.without("server.public_url").start().await;
    let document = sidecar.gets(PATH).await.json();
    assert_eq!(document["resource"], format!("{}/mcp", sidecar.url));
}

#[tokio::test]
async fn an_issuer_that_is_no_address_leaves_nothing_to_describe() {
    let setup = Setup::bare()
        .set("auth.issuer", "our-backend")
        .variable("JWT_HS256_SECRET", "jwt-secret-of-the-integration-tests");
    let sidecar = setup.start().await;
    for path in [PATH, "/.well-known/oauth-authorization-server"] {
        assert_eq!(sidecar.gets(path).await.status, 404, "{path}");
    }
    let refused = sidecar.gets("/mcp").await;
    assert_eq!(
        refused.header("www-authenticate"),
        r#"Bearer realm="toolbridge""#
    );
}

#[tokio::test]
async fn whoever_has_no_token_is_sent_to_the_description() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    for method in ["GET", "POST", "DELETE"] {
        let refused = sidecar.sends(method, "/mcp", &[], "").await;
        assert_eq!(refused.status, 401, "{method}");
        let challenge = format!(r#"Bearer resource_metadata="{METADATA}""#);
        assert_eq!(refused.header("www-authenticate"), challenge);
    }
}
