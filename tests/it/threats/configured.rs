//! What an operator writes, or is made to write: addresses that lead elsewhere, and text that ends up in a header.

use crate::harness::{FakeBackend, Setup};

/// What settings with this one say; empty where a sidecar would start with them.
fn problems(key: &str, value: &str) -> String {
    let setup = Setup::before("http://127.0.0.1:1");
    let setup = if key.starts_with("identity.exchange.") {
        let setup = setup.set("identity.token", "exchange");
        setup
            .set("identity.exchange.audience", "backend")
            .set("identity.exchange.client_id", "sidecar")
            .secret("TOOLBRIDGE_EXCHANGE_CLIENT_SECRET", "secret-of-the-client")
    } else {
        setup
    };
    // With a secret at hand an issuer is a name that nobody is asked at, whatever it looks like.
    let setup = match key {
        "auth.issuer" => setup.without_jwt_secret(),
        _ => setup,
    };
    setup.set(key, value).problems()
}

#[test]
fn no_configured_address_leads_inside_a_network_or_away_from_it() {
    for key in [
        "backend.url",
        "server.public_url",
        "auth.jwks_url",
        "auth.authkit_domain",
        "auth.issuer",
        "identity.exchange.url",
    ] {
        for url in [
            "http://169.254.169.254",
            "http://169.254.169.254/latest/meta-data/",
            "http://metadata.google.internal",
            "http://127.0.0.1.evil.test",
            "http://localhost.evil.test",
            "http://[::ffff:10.0.0.1]",
            "http://[::ffff:a9fe:a9fe]",
            "http://0.0.0.0",
            "http://2852039166",
            "file:///etc/passwd",
            "ftp://127.0.0.1",
            "gopher://127.0.0.1:6379/_",
            "https://u:p@h",
            "http://u@127.0.0.1",
            "http://127.0.0.1#@evil.test",
            "http://127.0.0.1?@evil.test",
        ] {
            let problems = problems(key, url);
            // An issuer that is no web address is taken for a name, and then what is missing is its keys.
            let names = problems.contains(&format!("`{key}`")) || key == "auth.issuer";
            assert!(names && !problems.is_empty(), "{key} = {url}: {problems}");
        }
    }
}

#[test]
fn what_is_configured_cannot_end_a_header() {
    for key in [
        "server.public_url",
        "server.documentation_url",
        "auth.issuer",
        "auth.audience",
        "auth.extra_audiences",
        "tenant.id",
    ] {
        for value in [
            "https://a.example.com\" error=\"ok",
            "https://a.example.com\r\nSet-Cookie: a=b",
            "https://a.example.com\nSet-Cookie: a=b",
        ] {
            let problems = problems(key, value);
            assert!(
                problems.contains(&format!("`{key}`")),
                "{key} = {value:?}: {problems}"
            );
            assert!(!problems.contains("\r\n"), "{problems:?}");
        }
    }
}

#[tokio::test]
async fn the_challenge_is_one_header_of_one_parameter() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("auth.issuer", "https://login.example.com")
        .set("server.public_url", "https://acme.example.com");
    let sidecar = setup.start().await;
    let nobody = sidecar
        .nobody()
        .with("x-forwarded-host", "evil.test\", a=\"b");
    let answer = nobody.sends("POST", "/mcp?\"", "{}").await;
    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    let expected = r#"Bearer resource_metadata="https://acme.example.com/.well-known/oauth-protected-resource/mcp""#;
    assert_eq!(challenges, [expected]);
}
