//! Browsers: which pages may ask, and what they may read.

use super::support::{Issuer, OAUTH, Setup};

const PAGE: &str = "https://app.example.com";
const DOCUMENT: &str = "/.well-known/oauth-protected-resource/mcp";

fn preflight<'a>(origin: &'a str, method: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "mcp-protocol-version"),
    ]
}

#[tokio::test]
async fn any_page_may_read_the_descriptions() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let anybody = "https://anybody.example";
    for path in [DOCUMENT, "/.well-known/oauth-protected-resource", OAUTH] {
        let asked = sidecar
            .sends("OPTIONS", path, &preflight(anybody, "GET"), "")
            .await;
        assert_eq!(asked.status, 204, "{path}");
        assert_eq!(asked.header("access-control-allow-origin"), "*");
        let allowed = asked
            .header("access-control-allow-headers")
            .to_ascii_lowercase();
        assert!(allowed.contains("mcp-protocol-version"));
        let read = sidecar.sends("GET", path, &[("origin", anybody)], "").await;
        assert_eq!(read.status, 200, "{path}");
        assert_eq!(read.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn a_known_page_may_call_and_read_the_challenge() {
    let issuer = Issuer::start().await;
    let setup = Setup::trusting(&issuer).set("server.allowed_origins", PAGE);
    let sidecar = setup.start().await;
    let asked = sidecar
        .sends("OPTIONS", "/mcp", &preflight(PAGE, "POST"), "")
        .await;
    assert_eq!(asked.status, 204);
    assert_eq!(asked.header("access-control-allow-origin"), PAGE);
    assert_eq!(asked.header("vary"), "Origin");
    assert_eq!(asked.header("access-control-allow-credentials"), "");
    let methods = asked.header("access-control-allow-methods");
    assert!(
        ["GET", "POST", "DELETE"]
            .iter()
            .all(|it| methods.contains(it))
    );
    let headers = asked
        .header("access-control-allow-headers")
        .to_ascii_lowercase();
    for header in [
        "authorization",
        "content-type",
        "mcp-session-id",
        "mcp-method",
        "mcp-name",
        "prefer",
    ] {
        assert!(headers.contains(header), "{header}");
    }
    let refused = sidecar
        .sends("POST", "/mcp", &[("origin", PAGE)], "{}")
        .await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), PAGE);
    let exposed = refused.header("access-control-expose-headers");
    assert!(exposed.contains("WWW-Authenticate") && exposed.contains("Mcp-Session-Id"));
}

#[tokio::test]
async fn other_pages_may_not_call() {
    let issuer = Issuer::start().await;
    let setup = Setup::trusting(&issuer).set("server.allowed_origins", PAGE);
    let sidecar = setup.start().await;
    for origin in [
        "https://evil.test",
        "null",
        "https://app.example.com.evil.test",
    ] {
        for (method, headers) in [
            ("OPTIONS", preflight(origin, "POST").to_vec()),
            ("POST", vec![("origin", origin)]),
        ] {
            let answer = sidecar.sends(method, "/mcp", &headers, "{}").await;
            assert_eq!(answer.status, 403, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
    // No page, no CORS: asked like anything else.
    let plain = sidecar.sends("OPTIONS", "/mcp", &[], "").await;
    assert_eq!(plain.status, 401);
}
