//! Keys that nobody configured, and several issuers.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::support::{Issuer, OAUTH, PUBLIC, Script, Setup, key_set, sign};

#[tokio::test]
async fn a_name_is_enough_to_check_an_issuers_tokens() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    let token = issuer.token(json!({}), json!({}));
    assert_eq!(sidecar.lists(&token).await.status, 200);
    assert_eq!(issuer.seen(), [OAUTH, "/keys"]);
    assert!(sidecar.readiness().await.body.contains("keys: ok"));
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_no_reason_not_to_start() {
    let issuer = Issuer::start().await;
    issuer.on(OAUTH, Script::Says(503, String::new()));
    let sidecar = Setup::trusting(&issuer).start().await;
    let refused = sidecar.lists(&issuer.token(json!({}), json!({}))).await;
    // Never a 401: clients would throw good tokens away.
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("www-authenticate"), "");
    assert!(!refused.header("retry-after").is_empty());
    let readiness = sidecar.readiness().await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.body.contains("keys: not loaded"), "{readiness:?}");
}

#[tokio::test]
async fn keys_that_the_metadata_puts_on_another_host_are_not_fetched() {
    let issuer = Issuer::start().await;
    let mut document = issuer.document();
    let elsewhere = issuer.url.replace("127.0.0.1", "localhost");
    document["jwks_uri"] = json!(format!("{elsewhere}/keys"));
    issuer.on(OAUTH, Script::Says(200, document.to_string()));
    let sidecar = Setup::trusting(&issuer).start().await;
    let token = issuer.token(json!({}), json!({}));
    assert_eq!(sidecar.lists(&token).await.status, 503);
    assert!(!issuer.seen().contains(&"/keys".to_owned()));
    let told = Setup::trusting(&issuer).set("auth.jwks_url", &format!("{elsewhere}/keys"));
    assert_eq!(told.start().await.lists(&token).await.status, 200);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_makes_no_flood_at_the_issuer() {
    let issuer = Issuer::start().await;
    let sidecar = Setup::trusting(&issuer).start().await;
    for n in 0..50 {
        let forged = issuer.token(json!({ "kid": format!("random-{n}") }), json!({}));
        assert_eq!(sidecar.lists(&forged).await.status, 401);
    }
    let good = issuer.token(json!({}), json!({}));
    assert_eq!(sidecar.lists(&good).await.status, 200);
    assert_eq!(issuer.seen(), [OAUTH, "/keys"]);
}

#[tokio::test]
async fn a_symmetric_key_in_the_set_is_never_used() {
    let issuer = Issuer::start().await;
    let secret = json!({ "kty": "oct", "kid": "oct", "k": "c2VjcmV0", "alg": "HS256" });
    let mut set: serde_json::Value = serde_json::from_str(&key_set(&["rsa"])).unwrap();
    set["keys"].as_array_mut().unwrap().push(secret);
    issuer.on("/keys", Script::Says(200, set.to_string()));
    let sidecar = Setup::trusting(&issuer).start().await;
    let forged = issuer.unsigned(json!({ "kid": "oct", "alg": "HS256" }), json!({}));
    let forged = sign(
        &forged,
        &EncodingKey::from_secret(b"secret"),
        Algorithm::HS256,
    );
    assert_eq!(sidecar.lists(&forged).await.status, 401);
    let good = issuer.token(json!({}), json!({}));
    assert_eq!(sidecar.lists(&good).await.status, 200);
}

#[tokio::test]
async fn each_of_several_issuers_is_believed_with_its_own_keys_for_its_own_audience() {
    let (one, two) = (Issuer::start().await, Issuer::start().await);
    two.on("/keys", Script::Says(200, key_set(&["other"])));
    let secret = "partner-secret-of-the-integration-tests";
    let setup = Setup::trusting(&one)
        .set("auth.issuers.two.issuer", &two.url)
        .set("auth.issuers.two.audience", "client-of-two")
        .set("auth.issuers.partner.issuer", "partner")
        .set("auth.issuers.partner.secret_env", "PARTNER_SECRET")
        .variable("PARTNER_SECRET", secret);
    let sidecar = setup.start().await;
    let for_two = json!({ "aud": "client-of-two" });
    let other = json!({ "kid": "other" });
    let hmac = one.unsigned(json!({ "alg": "HS256" }), json!({ "iss": "partner" }));
    for (token, status) in [
        (one.token(json!({}), json!({})), 200),
        (two.token(other.clone(), for_two.clone()), 200),
        (
            sign(
                &hmac,
                &EncodingKey::from_secret(secret.as_bytes()),
                Algorithm::HS256,
            ),
            200,
        ),
        (one.token(json!({}), for_two.clone()), 401),
        (two.token(other.clone(), json!({})), 401),
        // Signed by one in the name of the other.
        (
            one.token(json!({}), json!({ "iss": two.url, "aud": "client-of-two" })),
            401,
        ),
        (two.token(other, json!({ "iss": one.url })), 401),
    ] {
        assert_eq!(sidecar.lists(&token).await.status, status, "{token}");
    }
    let document = sidecar
        .gets("/.well-known/oauth-protected-resource")
        .await
        .json();
    assert_eq!(document["authorization_servers"], json!([one.url, two.url]));
}

#[tokio::test]
async fn an_authkit_domain_is_enough() {
    let authkit = Issuer::start().await;
    authkit.on("/oauth2/jwks", Script::Says(200, key_set(&["rsa"])));
    let setup = Setup::bare().set("auth.authkit_domain", &authkit.url);
    let sidecar = setup.start().await;
    let token = |claims| authkit.token(json!({}), claims);
    assert_eq!(sidecar.lists(&token(json!({}))).await.status, 200);
    let sse = json!({ "aud": format!("{PUBLIC}/sse") });
    assert_eq!(sidecar.lists(&token(sse)).await.status, 200);
    // What AuthKit stamps where the resource was not registered: good for every server of the environment.
    let client = json!({ "aud": "client_01" });
    assert_eq!(sidecar.lists(&token(client)).await.status, 401);
}
