//! Tokens that the sidecar signs: the backend takes them with nothing but the served key set, and the caller's own token
//! is of no use there.

use serde_json::{Value, json};
use toolbridge::sandbox::{Sandbox, SandboxSettings, TokenRules};

use crate::harness::{AUDIENCE, Backend, Claims, Setup, Sidecar, shipped};

const RSA: &str = include_str!("../../keys/rsa.pem");
const ED25519: &str = include_str!("../../keys/ed25519.pem");
const JWKS: &str = "/.well-known/jwks.json";
/// Where no backend is.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A sidecar that signs with this key.
fn minting(backend: &(impl Backend + ?Sized), key: &'static str) -> Setup {
    Setup::before(backend)
        .set("identity.token", "mint")
        .set("identity.mint.audience", "notes-backend")
        .secret("IDENTITY_MINT_KEY", key)
}

/// A sandbox that trusts the sidecar's issuer and audience, with these keys and no others.
async fn trusting(keys: TokenRules) -> Sandbox {
    let settings = SandboxSettings {
        tokens: TokenRules {
            issuer: Some("toolbridge-mcp".to_owned()),
            audiences: vec!["notes-backend".to_owned()],
            ..keys
        },
        ..SandboxSettings::for_tests(shipped().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

#[tokio::test]
async fn a_backend_needs_the_served_key_set_and_nothing_else_to_accept_minted_tokens() {
    // The backend has to know where the sidecar is and the other way round: the first sidecar only lends its key set,
    // which is the second one's, because the key is the same.
    let publishing = minting(NOWHERE, RSA).start().await;
    let backend = trusting(TokenRules {
        jwks_url: Some(format!("{}{JWKS}", publishing.url).parse().unwrap()),
        ..TokenRules::hs256("")
    })
    .await;
    let sidecar = minting(&backend, RSA).start().await;
    let (alice, bob) = (sidecar.alice(), sidecar.bob());
    let note = json!({ "title": "t", "content": "c" });
    alice.calls("create_note", note).await.good();
    let own = alice.calls("list_notes", json!({})).await.good();
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    let foreign = bob.calls("list_notes", json!({})).await.good();
    assert_eq!(foreign["items"], json!([]));
    // The backend takes the caller's own token from nobody.
    let forwarding = Sidecar::before(&backend).await;
    let refused = forwarding
        .alice()
        .calls("list_notes", json!({}))
        .await
        .failed();
    assert_eq!(refused["code"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn people_of_two_issuers_with_one_subject_do_not_see_each_others_records() {
    let partner = "jwt-secret-of-the-partner-0123456789-0123456789";
    let signing = "secret-that-only-the-backend-believes-0123456789";
    let backend = trusting(TokenRules::hs256(signing)).await;
    let sidecar = minting(&backend, signing)
        .set("identity.mint.algorithm", "HS256")
        .set("identity.mint.subject", "issuer|sub")
        .set("auth.issuers.partner.issuer", "partner")
        .set("auth.issuers.partner.audience", AUDIENCE)
        .set("auth.issuers.partner.secret_env", "PARTNER")
        .secret("PARTNER", partner)
        .start()
        .await;
    let theirs = Claims {
        issuer: "partner",
        secret: partner,
        ..Claims::of("alice")
    };
    let (ours, theirs) = (
        sidecar.alice(),
        sidecar.nobody().with_token(&theirs.signed()),
    );
    let note = json!({ "title": "t", "content": "c" });
    let made = ours.calls("create_note", note).await.good();
    let seen = theirs.calls("list_notes", json!({})).await.good();
    assert_eq!(seen["items"], json!([]));
    let read = theirs
        .calls("get_note", json!({ "uid": made["uid"] }))
        .await;
    assert_eq!(read.failed()["code"], "NOT_FOUND");
    let own = ours.calls("list_notes", json!({})).await.good();
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_served_key_set_has_the_public_half_alone() {
    let sidecar = minting(NOWHERE, ED25519)
        .set("identity.mint.algorithm", "EdDSA")
        .set("identity.mint.key_id", "2026-11")
        .start()
        .await;
    let answer = sidecar.nobody().gets(JWKS).await;
    let (status, body) = (answer.status, answer.body);
    assert_eq!(status, 200);
    let set: Value = serde_json::from_str(&body).unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["kid"], "2026-11");
    assert!(keys[0].get("d").is_none());
}

#[tokio::test]
async fn a_shared_secret_signs_for_the_backend_and_is_never_served() {
    let secret = "a secret of sidecar and backend, and nobody else";
    let backend = trusting(TokenRules::hs256(secret)).await;
    let sidecar = minting(&backend, secret)
        .set("identity.mint.algorithm", "HS256")
        .start()
        .await;
    sidecar.alice().calls("list_notes", json!({})).await.good();
    let answer = sidecar.nobody().gets(JWKS).await;
    let (status, body) = (answer.status, answer.body);
    assert_eq!(status, 404);
    assert!(!body.contains(secret) && !body.contains("keys"), "{body}");
}

#[tokio::test]
async fn where_nothing_is_signed_no_key_set_is_served() {
    let sidecar = Setup::before(NOWHERE).start().await;
    assert_eq!(sidecar.nobody().gets(JWKS).await.status, 404);
}
