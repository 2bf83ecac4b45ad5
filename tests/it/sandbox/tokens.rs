//! Which tokens the sandbox accepts and issues (contract §3.1, §3.2).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use toolbridge::sandbox::{Organizations, Sandbox, Tenants, TokenRules};
use url::Url;

use super::support::{Hands, Person, start_with};

const SECRET: &str = "the secret of these tests";
const NOW_S: u64 = 1_735_689_600;

fn token(algorithm: Algorithm, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn hs256(claims: &Value) -> String {
    token(Algorithm::HS256, claims)
}

async fn sandbox(change: impl FnOnce(&mut TokenRules)) -> Sandbox {
    start_with(|settings| {
        settings.clock = Hands::at(NOW_S * 1000).clock();
        settings.tokens = TokenRules::hs256(SECRET);
        change(&mut settings.tokens);
    })
    .await
}

async fn status_of(sandbox: &Sandbox, authorization: &str) -> u16 {
    let person = Person::nobody(sandbox).with("authorization", authorization);
    let answer = person.send("POST", "/v1/sync/sessions", "").await;
    if answer.status == 401 {
        answer.is_text(401, "unauthorized");
    }
    answer.status
}

async fn accepts(sandbox: &Sandbox, token: &str) -> bool {
    status_of(sandbox, &format!("Bearer {token}")).await == 201
}

#[tokio::test]
async fn three_hmac_algorithms_are_accepted_and_exp_is_not_required() {
    let sandbox = sandbox(|_| {}).await;
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert!(accepts(&sandbox, &token(algorithm, &json!({ "sub": "alice" }))).await);
    }
}

#[tokio::test]
async fn expiry_and_start_are_exact() {
    let sandbox = sandbox(|_| {}).await;
    for (claims, accepted) in [
        (json!({ "sub": "a", "exp": NOW_S + 1 }), true),
        (json!({ "sub": "a", "exp": NOW_S }), false),
        (json!({ "sub": "a", "exp": "tomorrow" }), false),
        (json!({ "sub": "a", "nbf": NOW_S }), true),
        (json!({ "sub": "a", "nbf": NOW_S + 1 }), false),
        (json!({ "sub": "a", "iat": NOW_S + 1000 }), true),
        (json!({ "sub": "" }), false),
        (json!({ "sub": 5 }), false),
        (json!({}), false),
    ] {
        assert_eq!(
            accepts(&sandbox, &hs256(&claims)).await,
            accepted,
            "{claims}"
        );
    }
}

#[tokio::test]
async fn foreign_unsigned_and_misspelled_tokens_are_refused() {
    let sandbox = sandbox(|_| {}).await;
    let claims = json!({ "sub": "alice" });
    let good = hs256(&claims);
    let other = EncodingKey::from_secret(b"another secret");
    let foreign = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &other).unwrap();
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    for authorization in [
        format!("bearer {good}"),
        format!("Bearer  {good}"),
        good.clone(),
        format!("Bearer {foreign}"),
        format!("Bearer {unsigned}"),
        "Bearer ".to_owned(),
        "Bearer x.y.z".to_owned(),
    ] {
        assert_eq!(
            status_of(&sandbox, &authorization).await,
            401,
            "{authorization}"
        );
    }
    assert_eq!(status_of(&sandbox, &format!("Bearer {good}")).await, 201);
}

#[tokio::test]
async fn issuer_and_audience_are_checked_where_they_are_set() {
    let sandbox = sandbox(|rules| {
        rules.issuer = Some("https://issuer".to_owned());
        rules.audiences = vec!["api".to_owned(), "mcp".to_owned()];
    })
    .await;
    for (claims, accepted) in [
        (
            json!({ "sub": "a", "iss": "https://issuer", "aud": "mcp" }),
            true,
        ),
        (
            json!({ "sub": "a", "iss": "https://issuer", "aud": ["x", "api"] }),
            true,
        ),
        (
            json!({ "sub": "a", "iss": "https://issuer/", "aud": "api" }),
            false,
        ),
        (
            json!({ "sub": "a", "iss": "https://issuer", "aud": "other" }),
            false,
        ),
        (json!({ "sub": "a", "iss": "https://issuer" }), false),
        (json!({ "sub": "a", "aud": "api" }), false),
        // Backend tokens are not asked, as in the original.
        (json!({ "sub": "a", "token_type": "backend" }), true),
        (json!({ "sub": "a", "iss": "toolbridge-api" }), true),
        (
            json!({ "sub": "a", "iss": "toolbridge-api", "token_type": "x" }),
            false,
        ),
    ] {
        assert_eq!(
            accepts(&sandbox, &hs256(&claims)).await,
            accepted,
            "{claims}"
        );
    }
    assert!(accepts(&sandbox, &sandbox.token_for("alice").unwrap()).await);
}

#[tokio::test]
async fn an_empty_secret_accepts_and_issues_no_token() {
    let sandbox = sandbox(|rules| *rules = TokenRules::hs256("")).await;
    let key = EncodingKey::from_secret(b"");
    let claims = json!({ "sub": "alice" });
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    assert!(!accepts(&sandbox, &forged).await);
    assert!(sandbox.token_for("alice").is_err());
}

/// Serves the test key under `kid` one, once more as a key that is not for signatures, and a key of another type;
/// this many times, then the port is closed.
async fn key_server(times: usize) -> (Url, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let n = include_str!("rsa_key_for_tests.modulus");
    let body = json!({ "keys": [
        { "kid": "one", "kty": "RSA", "use": "sig", "n": n, "e": "AQAB" },
        { "kid": "two", "kty": "RSA", "use": "enc", "n": n, "e": "AQAB" },
        { "kid": "three", "kty": "EC" },
    ] })
    .to_string();
    let serving = tokio::spawn(async move {
        for _ in 0..times {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let head = "HTTP/1.1 200 OK\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url.parse().unwrap(), serving)
}

/// A token of alice's, signed with the test key.
fn rsa_token(algorithm: Algorithm, kid: Option<&str>) -> String {
    let key = EncodingKey::from_rsa_pem(include_bytes!("rsa_key_for_tests.pem")).unwrap();
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, &json!({ "sub": "alice" }), &key).unwrap()
}

#[tokio::test]
async fn rsa_tokens_need_a_kid_that_the_key_set_has_for_signatures() {
    let (url, _serving) = key_server(10).await;
    let sandbox = sandbox(|rules| rules.jwks_url = Some(url)).await;
    for (algorithm, kid, accepted) in [
        (Algorithm::RS256, Some("one"), true),
        (Algorithm::RS512, Some("one"), true),
        (Algorithm::RS256, Some("two"), false),
        (Algorithm::RS256, Some("four"), false),
        (Algorithm::RS256, None, false),
        (Algorithm::PS256, Some("one"), false),
    ] {
        let token = rsa_token(algorithm, kid);
        assert_eq!(
            accepts(&sandbox, &token).await,
            accepted,
            "{algorithm:?} {kid:?}"
        );
    }
}

#[tokio::test]
async fn the_debug_header_works_only_where_it_is_allowed_and_without_a_token() {
    let closed = sandbox(|_| {}).await;
    let debug = Person::nobody(&closed).with("x-debug-sub", "alice");
    let answer = debug.send("POST", "/v1/sync/sessions", "").await;
    answer.is_text(401, "unauthorized");

    let open = start_with(|settings| {
        settings.tokens.debug_subject_header = true;
        settings.tenants = Tenants::Organizations(Organizations::default());
    })
    .await;
    let debug = Person::nobody(&open).with("x-debug-sub", "alice");
    debug.in_session().await;
    let answer = debug
        .with("authorization", "Bearer bad")
        .send("POST", "/v1/sync/sessions", "")
        .await;
    answer.is_text(401, "unauthorized");
    // These two want a real token.
    let exchange = debug.send("POST", "/auth/token-exchange", "{}").await;
    exchange.is_error(401, "Missing Authorization header");
    let exchange = debug
        .with("authorization", "Basic x")
        .send("POST", "/auth/token-exchange", "{}")
        .await;
    exchange.is_error(401, "Invalid Authorization header format");
    let tenant = debug.get("/v1/auth/tenant").await;
    tenant.is_error(401, "Missing or invalid Authorization header");
}

#[tokio::test]
async fn the_same_subject_is_the_same_user_however_it_authenticates() {
    let sandbox = sandbox(|rules| rules.debug_subject_header = true).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let uid = alice.creates("notes", &json!({})).await;
    let debug = Person::nobody(&sandbox)
        .with("x-debug-sub", "alice")
        .in_session()
        .await;
    assert_eq!(debug.get(&format!("/v1/notes/{uid}")).await.status, 200);
}

#[tokio::test]
async fn an_exchanged_token_is_the_same_user_with_the_documented_claims() {
    let sandbox = sandbox(|rules| rules.issuer = Some("https://issuer".to_owned())).await;
    let alice = Person::named(&sandbox, "alice");
    let request = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": "backend",
    });
    let answer = alice.post("/auth/token-exchange", &request).await.good(200);
    assert_eq!(
        answer["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(
        (&answer["token_type"], &answer["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    let token = answer["access_token"].as_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        claims,
        json!({
            "sub": "alice", "iss": "toolbridge-api", "aud": "backend", "exp": NOW_S + 3600,
            "iat": NOW_S, "nbf": NOW_S, "token_type": "backend", "exchanged_from": "mcp_oauth",
        })
    );
    assert!(accepts(&sandbox, token).await);
}

#[tokio::test]
async fn a_bad_exchange_is_told_what_is_wrong() {
    let sandbox = sandbox(|_| {}).await;
    let alice = Person::named(&sandbox, "alice");
    let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    for (body, message) in [
        ("grant_type=x", "Invalid request body"),
        ("", "Invalid request body"),
        (r#"{"grant_type":5}"#, "Invalid request body"),
        (
            r#"{"audience":"x"}"#,
            "Invalid grant_type. Expected: urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            &format!(r#"{{"grant_type":"{grant}"}}"#),
            "Missing audience",
        ),
    ] {
        let answer = alice.send("POST", "/auth/token-exchange", body).await;
        answer.is_error(400, message);
    }
}

#[tokio::test]
async fn known_keys_outlive_their_source() {
    let (url, serving) = key_server(1).await;
    let hands = Hands::at(NOW_S * 1000);
    let sandbox = start_with(|settings| {
        settings.clock = hands.clock();
        settings.tokens.jwks_url = Some(url);
    })
    .await;
    let token = rsa_token(Algorithm::RS256, Some("one"));
    assert!(accepts(&sandbox, &token).await);
    serving.await.unwrap();
    // Within the hour nobody asks again; after it nobody answers.
    for hours in [0, 2] {
        hands.advance(Duration::from_secs(hours * 3600));
        assert!(accepts(&sandbox, &token).await, "after {hours} hours");
    }
}
