//! Every token that is refused, and what its owner is told.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use toolbridge::clock;

use super::support::{Answer, Issuer, METADATA, RESOURCE, Setup, key_set, sign};

const INVALID: (u16, &str) = (401, "invalid_token");
const BROKEN: (u16, &str) = (400, "invalid_request");

/// The challenge and the body say the same, and where to turn.
#[track_caller]
fn refused(answer: &Answer, (status, error): (u16, &str), why: &str) {
    assert_eq!(answer.status, status, "{why}: {answer:?}");
    let challenge = format!(
        r#"Bearer error="{error}", error_description="{why}", resource_metadata="{METADATA}""#
    );
    assert_eq!(answer.header("www-authenticate"), challenge);
    let body = json!({ "error": error, "error_description": why });
    assert_eq!(answer.json(), body);
}

fn public_key() -> EncodingKey {
    EncodingKey::from_secret(include_bytes!("../../keys/rsa.public.pem"))
}

/// Changes of a good token's claims, and what is said of the result.
fn wrong_claims() -> Vec<(Value, &'static str)> {
    let now = clock::unix_now().as_secs();
    let early = "the token is not valid yet";
    vec![
        (json!({ "exp": now - 60 }), "the token has expired"),
        (json!({ "nbf": now + 600 }), early),
        (json!({ "iat": now + 600 }), early),
        (
            json!({ "iss": "https://evil.test" }),
            "unknown issuer https://evil.test",
        ),
        (json!({ "nonce": "n-0S6" }), "this is not an access token"),
    ]
}

/// Claims that must be there, and of which kind.
fn absent_or_odd_claims() -> Vec<(Value, String)> {
    let missing = |name: &str| {
        let why = format!("the claim {name} is missing");
        (json!({ (name): null }), why)
    };
    let odd = |name: &str, value: Value| {
        let why = format!("the claim {name} has the wrong type");
        (json!({ (name): value }), why)
    };
    vec![
        missing("exp"),
        missing("sub"),
        missing("aud"),
        missing("iss"),
        (json!({ "sub": "" }), "the claim sub is missing".to_owned()),
        odd("exp", json!("9999999999")),
        odd("sub", json!(17)),
        odd("sub", json!(["alice"])),
        odd("aud", json!(5)),
        odd("aud", json!([RESOURCE, 5])),
        odd("iss", json!({ "a": 1 })),
    ]
}

/// Changes of a good token's header.
fn wrong_headers() -> Vec<(Value, &'static str)> {
    let algorithm = "the signing algorithm is not accepted";
    let critical = "malformed token: critical header";
    vec![
        (json!({ "kid": "gone" }), "unknown signing key"),
        (json!({ "kid": null }), "malformed token: no key id (kid)"),
        (json!({ "crit": ["b64"], "b64": false }), critical),
        (
            json!({ "typ": "logout+jwt" }),
            "this is not an access token",
        ),
        (json!({ "alg": "none" }), algorithm),
        (json!({ "alg": "HS256" }), algorithm),
        (json!({ "alg": "PS256" }), algorithm),
    ]
}

#[tokio::test]
async fn every_wrong_token_is_refused_with_what_is_wrong_with_it() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let good = issuer.token(json!({}), json!({}));
    assert_eq!(sidecar.lists(&good).await.status, 200);
    for (claims, why) in wrong_claims() {
        let token = issuer.token(json!({}), claims);
        refused(&sidecar.lists(&token).await, INVALID, why);
    }
    for (claims, why) in absent_or_odd_claims() {
        let token = issuer.token(json!({}), claims);
        refused(&sidecar.lists(&token).await, INVALID, &why);
    }
    for (header, why) in wrong_headers() {
        let token = issuer.token(header, json!({}));
        refused(&sidecar.lists(&token).await, INVALID, why);
    }
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused_with_both_audiences() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let expected = "wrong audience: expected https://acme.example.com/mcp or https://acme.example.com/sse, got ";
    for (audience, got) in [
        (
            json!("https://globex.example.com/mcp"),
            "https://globex.example.com/mcp",
        ),
        (json!(["a", "b"]), "a and b"),
        (
            json!(format!("{RESOURCE}/")),
            "https://acme.example.com/mcp/",
        ),
        (
            json!(RESOURCE.to_uppercase()),
            "HTTPS://ACME.EXAMPLE.COM/MCP",
        ),
        (json!([]), "none"),
        (
            json!("x\", error=\"ok\r\nset-cookie: a"),
            "x, error=okset-cookie: a",
        ),
    ] {
        let token = issuer.token(json!({}), json!({ "aud": audience }));
        let answer = sidecar.lists(&token).await;
        refused(&answer, INVALID, &format!("{expected}{got}"));
    }
}

#[tokio::test]
async fn a_signature_by_anything_but_the_named_key_is_refused() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let good = issuer.token(json!({}), json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let none = issuer.unsigned(json!({ "alg": "none" }), json!({}));
    let confused = issuer.unsigned(json!({ "alg": "HS256" }), json!({}));
    let confused = sign(&confused, &public_key(), Algorithm::HS256);
    // Signed as HS256 with the public key, and called RS256.
    let lying = sign(signed, &public_key(), Algorithm::HS256);
    let changed = issuer.unsigned(json!({}), json!({ "sub": "mallory" }));
    let bad = "the signature does not match";
    let algorithm = "the signing algorithm is not accepted";
    for (token, why) in [
        (format!("{none}."), algorithm),
        (confused, algorithm),
        (lying, bad),
        (format!("{changed}.{signature}"), bad),
        (format!("{signed}."), bad),
    ] {
        let answer = sidecar.lists(&token).await;
        refused(&answer, INVALID, why);
    }
}

#[tokio::test]
async fn a_header_that_is_no_single_bearer_token_is_a_bad_request() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let good = format!("Bearer {}", issuer.token(json!({}), json!({})));
    let long = format!("Bearer {}", "a".repeat(8193));
    for (headers, why) in [
        (vec![&*long], "the token is longer than 8192 bytes"),
        (vec![&*good, &*good], "more than one Authorization header"),
        (
            vec!["Basic YTpi"],
            "the Authorization scheme must be Bearer",
        ),
        (vec!["Bearer"], "no token after Bearer"),
    ] {
        let headers: Vec<_> = headers.iter().map(|it| ("authorization", *it)).collect();
        refused(&sidecar.posts(&headers, &json!({})).await, BROKEN, why);
    }
    let enormous = "a".repeat(64 * 1024);
    let headers = [("authorization", &*enormous)];
    assert_eq!(sidecar.posts(&headers, &json!({})).await.status, 431);
}

#[tokio::test]
async fn a_token_in_the_query_is_no_token() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let token = issuer.token(json!({}), json!({}));
    let path = format!("/mcp?access_token={token}");
    let answer = sidecar.sends("POST", &path, &[], "{}").await;
    assert_eq!(answer.status, 401);
    let challenge = format!(r#"Bearer resource_metadata="{METADATA}""#);
    assert_eq!(answer.header("www-authenticate"), challenge);
}

#[tokio::test]
async fn keys_and_addresses_that_a_token_brings_along_are_not_looked_at() {
    let (issuer, evil) = (Issuer::start().await, Issuer::start().await);
    let sidecar = Setup::trusting(&issuer).start().await;
    let jwk: Value = serde_json::from_str(&key_set(&["other"])).unwrap();
    let lure = json!({
        "kid": "other", "jku": format!("{}/keys", evil.url), "x5u": evil.url, "jwk": jwk["keys"][0],
    });
    let answer = sidecar.lists(&issuer.token(lure, json!({}))).await;
    refused(&answer, INVALID, "unknown signing key");
    assert!(evil.seen().is_empty());
}

#[tokio::test]
async fn settings_decide_about_types_nonces_and_slashes() {
    let issuer = Issuer::start().await;
    let setup = Setup::trusting(&issuer)
        .set("auth.access_tokens_only", "true")
        .set("auth.refuse_nonce", "false")
        .set("auth.audience_trailing_slash", "true")
        .set("auth.extra_audiences", "client_01");
    let sidecar = setup.start().await;
    for (header, claims, status) in [
        (json!({}), json!({}), 200),
        (json!({ "typ": "application/at+jwt" }), json!({}), 200),
        (json!({ "typ": "JWT" }), json!({}), 401),
        (json!({ "typ": null }), json!({}), 401),
        (json!({}), json!({ "nonce": "n-0S6" }), 200),
        (json!({}), json!({ "aud": format!("{RESOURCE}/") }), 200),
        (json!({}), json!({ "aud": "client_01" }), 200),
        (json!({}), json!({ "aud": "client_01/" }), 401),
    ] {
        let shown = format!("{header} {claims}");
        let token = issuer.token(header, claims);
        assert_eq!(sidecar.lists(&token).await.status, status, "{shown}");
    }
}
