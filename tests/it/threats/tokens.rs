//! Tokens that say something twice, that end while somebody listens, and clocks that jump.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use toolbridge::{
    auth::{NewToken, Verifier, development, mint},
    clock,
};

use crate::{
    canonical_calls::NOTE,
    harness::{AUDIENCE, Claims, FakeBackend, ISSUER, SECRET, Setup, Sidecar},
};

/// A token of these texts, rightly signed.
fn signed(header: &str, claims: &str) -> String {
    let text = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

#[tokio::test]
async fn a_token_that_says_something_twice_is_refused() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let end = clock::unix_now().as_secs() + 600;
    let header = r#""alg":"HS256""#;
    let claims = format!(r#""iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"alice","exp":{end}"#);
    let status = async |header: &str, claims: &str| {
        let token = signed(&format!("{{{header}}}"), &format!("{{{claims}}}"));
        let person = sidecar.nobody().with_token(&token);
        person.asks("tools/list", json!({})).await.status
    };
    assert_eq!(status(header, &claims).await, 200);
    for again in [
        r#""sub":"bob""#,
        r#""sub":"alice""#,
        r#""aud":"another""#,
        &format!(r#""iss":"{ISSUER}""#),
        &format!(r#""exp":{}"#, end + 1),
    ] {
        for twice in [format!("{claims},{again}"), format!("{again},{claims}")] {
            assert_eq!(status(header, &twice).await, 401, "{twice}");
        }
    }
    for again in [r#""alg":"none""#, r#""alg":"HS256""#] {
        let twice = format!("{header},{again}");
        assert_eq!(status(&twice, &claims).await, 401, "{twice}");
    }
    // Beside what is looked at, depth is passed over without descending; in it, it is no value.
    let deep = "[".repeat(2500) + &"]".repeat(2500);
    assert_eq!(
        status(header, &format!(r#"{claims},"org":{deep}"#)).await,
        200
    );
    let scope = format!(r#"{claims},"scope":{deep}"#);
    assert_eq!(status(header, &scope).await, 401);
}

#[tokio::test]
async fn an_open_stream_does_not_carry_a_token_beyond_its_end() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("auth.leeway", "0s")
        .start()
        .await;
    let claims = Claims {
        age: Duration::from_secs(3600 - 3),
        ..Claims::of("alice")
    };
    let connection = sidecar
        .nobody()
        .with_token(&claims.signed())
        .connects()
        .await;
    let stream = connection.listens().await;
    connection
        .calls("get_note", json!({ "uid": NOTE }))
        .await
        .good();
    backend.take_seen();
    // The stream has nothing to say, so it is what passes the time until the token has ended.
    let _ = tokio::time::timeout(Duration::from_secs(4), stream.ends()).await;
    let params = json!({ "name": "get_note", "arguments": { "uid": NOTE } });
    let answer = connection.asks("tools/call", params).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(
        answer
            .header("www-authenticate")
            .contains("the token has expired")
    );
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_clock_that_jumps_ten_minutes_believes_no_token_too_early_or_too_late() {
    let verifier = Verifier::new(vec![development::rules()]).unwrap();
    let secret = SecretString::from(development::DEVELOPMENT_SECRET);
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let begin = minutes(29_000_000);
    let token = NewToken {
        subject: "alice",
        issuer: development::ISSUER,
        audience: development::AUDIENCE,
        scopes: &[],
        issued_at: begin,
        lifetime: minutes(15),
    };
    let token = mint(&secret, token).unwrap();
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {}", token.expose_secret());
    headers.insert("authorization", value.parse().unwrap());
    let halves = Duration::from_secs(29);
    // In this order: nothing is remembered of an earlier time.
    for (now, is_good) in [
        (begin, true),
        (begin + minutes(10), true),
        (begin + minutes(20), false),
        (begin - minutes(10), false),
        (begin + minutes(10), true),
        (begin - halves, true),
        (begin + minutes(15) + halves, true),
        (Duration::ZERO, false),
        (Duration::MAX, false),
        (begin, true),
    ] {
        let caller = verifier.caller(&headers, now).await;
        assert_eq!(caller.is_ok(), is_good, "{now:?}: {caller:?}");
    }
}

/// Cryptography that was not chosen, or chosen twice, would show at the first token.
#[tokio::test]
async fn a_sidecar_signs_and_verifies_a_token_from_its_first_request_on() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let answer = sidecar.alice().asks("tools/list", json!({})).await;
    assert_eq!(answer.status, 200);
}
