//! Memberships together with tokens that are made for the backend: people choose, work and are kept apart, while neither
//! the backend nor the question for the tenant ever gets a token of their own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use toolbridge::{
    auth::{NewToken, mint},
    clock,
    sandbox::TokenRules,
};
use url::form_urlencoded;

use super::people::{Person, Setup, believing, code};
use crate::outbound::http_fake::{HttpFake, Reply, Seen};

/// Signs what the backend believes; people's own tokens are signed with another one.
const BACKEND_SECRET: &str = "secret-that-only-the-backend-believes-0123456789";
const LOGIN: &str = "login-of-the-backend";
const MINTER: &str = "toolbridge-mcp";
const AUDIENCE: &str = "notes-backend";

fn rules(issuer: &str) -> TokenRules {
    TokenRules {
        issuer: Some(issuer.to_owned()),
        audiences: vec![AUDIENCE.to_owned()],
        ..TokenRules::hs256(BACKEND_SECRET)
    }
}

/// `sub` of a token that somebody else has checked.
fn subject(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = base64::Engine::decode(&engine, payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

/// A token endpoint: for each token one of the backend's issuer, with the same subject.
async fn endpoint() -> HttpFake {
    HttpFake::start(|seen: Seen| {
        async move {
            let own = form_urlencoded::parse(&seen.body).find(|(name, _)| name == "subject_token");
            let subject = subject(&own.unwrap().1);
            let token = NewToken {
                subject: &subject,
                issuer: LOGIN,
                audience: AUDIENCE,
                scopes: &[],
                issued_at: clock::unix_now(),
                lifetime: std::time::Duration::from_secs(600),
            };
            let token = mint(&SecretString::from(BACKEND_SECRET), token).unwrap();
            Reply::json(
                200,
                &json!({
                    "access_token": token.expose_secret(), "token_type": "Bearer", "expires_in": 600,
                    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                }),
            )
        }
        .boxed()
    })
    .await
}

/// WorkOS, which knows the people of the sandbox.
async fn workos() -> HttpFake {
    HttpFake::start(|seen: Seen| {
        async move {
            let query = seen.path.split_once('?').unwrap().1.to_owned();
            let user = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "user_id");
            let user = user.unwrap().1.into_owned();
            let organizations: &[&str] = match user.as_str() {
                "alice" | "bob" => &["org_acme", "org_beta"],
                "carol" => &["org_acme"],
                _ => &[],
            };
            let time = "2026-11-01T00:00:00.000Z";
            let row = |organization: &&str| {
                json!({
                    "object": "organization_membership", "id": "om_01", "user_id": user,
                    "organization_id": organization, "status": "active",
                    "role": { "slug": "member" }, "created_at": time, "updated_at": time,
                })
            };
            let data: Vec<_> = organizations.iter().map(row).collect();
            let meta = json!({ "before": null, "after": null });
            Reply::json(
                200,
                &json!({ "object": "list", "data": data, "list_metadata": meta }),
            )
        }
        .boxed()
    })
    .await
}

fn exchanging(setup: Setup, endpoint: &HttpFake) -> Setup {
    let url = format!("http://{}/token", endpoint.address);
    setup
        .set("identity.token", "exchange")
        .set("identity.exchange.url", &url)
        .set("identity.exchange.audience", AUDIENCE)
}

fn minting(setup: Setup) -> Setup {
    setup
        .set("identity.token", "mint")
        .set("identity.mint.algorithm", "HS256")
        .set("identity.mint.audience", AUDIENCE)
        .secret("IDENTITY_MINT_KEY", BACKEND_SECRET)
}

fn asking_workos(setup: Setup, workos: &HttpFake) -> Setup {
    setup
        .set("tenant.mode", "workos")
        .set("tenant.workos_url", &format!("http://{}", workos.address))
        .secret("WORKOS_API_KEY", "sk_test_of_the_tests")
}

/// Everything that memberships decide, before a backend that checks tokens and memberships itself.
async fn people_choose_and_are_kept_apart(setup: Setup) {
    let url = setup.start().await;
    let named = |name| Person::named(&url, name).without_forms();
    let (alice, bob, carol) = (named("alice"), named("bob"), named("carol"));
    let note = json!({ "title": "Hi", "content": "There" });

    let refused = alice.calls("create_note", &note).await;
    assert_eq!(code(&refused), "TENANT_SELECTION_REQUIRED", "{refused}");
    let beta = json!({ "organization": "org_beta" });
    let chosen = alice.calls("select_workspace", &beta).await;
    assert_eq!(chosen["structuredContent"]["id"], "org_beta", "{chosen}");
    alice.calls("create_note", &note).await;
    assert_eq!(alice.notes().await, ["Hi"]);

    // Her choice is hers, and so is her note.
    let refused = bob.calls("list_notes", &json!({})).await;
    assert_eq!(code(&refused), "TENANT_SELECTION_REQUIRED", "{refused}");
    bob.calls("select_workspace", &beta).await;
    assert!(bob.notes().await.is_empty());

    assert!(carol.notes().await.is_empty());
    let elsewhere = carol.calls("select_workspace", &beta).await;
    assert_eq!(code(&elsewhere), "FORBIDDEN", "{elsewhere}");
}

#[tokio::test]
async fn the_backend_says_the_tenant_of_exchanged_tokens() {
    let (sandbox, endpoint) = (believing(rules(LOGIN)).await, endpoint().await);
    let setup = exchanging(Setup::before(&sandbox.url()), &endpoint);
    people_choose_and_are_kept_apart(setup).await;
}

#[tokio::test]
async fn the_backend_says_the_tenant_of_minted_tokens() {
    let sandbox = believing(rules(MINTER)).await;
    people_choose_and_are_kept_apart(minting(Setup::before(&sandbox.url()))).await;
}

#[tokio::test]
async fn workos_says_the_tenant_and_the_backend_gets_exchanged_tokens() {
    let (sandbox, endpoint) = (believing(rules(LOGIN)).await, endpoint().await);
    let workos = workos().await;
    let setup = exchanging(Setup::before(&sandbox.url()), &endpoint);
    people_choose_and_are_kept_apart(asking_workos(setup, &workos)).await;
}

#[tokio::test]
async fn workos_says_the_tenant_and_the_backend_gets_minted_tokens() {
    let (sandbox, workos) = (believing(rules(MINTER)).await, workos().await);
    let setup = minting(Setup::before(&sandbox.url()));
    people_choose_and_are_kept_apart(asking_workos(setup, &workos)).await;
}

#[tokio::test]
async fn a_callers_own_token_is_of_no_use_at_such_a_backend() {
    let sandbox = believing(rules(MINTER)).await;
    let url = Setup::before(&sandbox.url()).start().await;
    let refused = Person::named(&url, "carol")
        .calls("list_notes", &json!({}))
        .await;
    assert_eq!(code(&refused), "UNAUTHENTICATED", "{refused}");
}

/// Tokens that an endpoint numbers, and a backend that accepts those from one number on.
struct Numbered {
    backend: HttpFake,
    endpoint: HttpFake,
    exchanges: Arc<AtomicUsize>,
    lookups: Arc<AtomicUsize>,
}

impl Numbered {
    async fn accepting_from(least: usize) -> Self {
        let (exchanges, lookups) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, looked) = (Arc::clone(&exchanges), Arc::clone(&lookups));
        let endpoint = HttpFake::start(move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let token = json!({
                "access_token": format!("issued-{number}"), "token_type": "Bearer", "expires_in": 600,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            });
            async move { Reply::json(200, &token) }.boxed()
        });
        let backend = HttpFake::start(move |seen: Seen| {
            if seen.path == "/v1/auth/tenant" {
                looked.fetch_add(1, Ordering::SeqCst);
            }
            let number = seen.header("authorization").strip_prefix("Bearer issued-");
            let is_accepted = number.is_some_and(|it| it.parse::<usize>().unwrap() >= least);
            let reply = match seen.path.as_str() {
                _ if !is_accepted => Reply::text(401, "unauthorized\n"),
                "/v1/auth/tenant" => Reply::json(
                    200,
                    &json!({ "tenant_id": "org_acme", "requires_selection": false }),
                ),
                "/v1/sync/sessions" => Reply::json(201, &json!({ "id": "s", "epoch": 1 })),
                _ => Reply::json(200, &json!({ "items": [], "nextCursor": null })),
            };
            async move { reply }.boxed()
        });
        Self {
            endpoint: endpoint.await,
            backend: backend.await,
            exchanges,
            lookups,
        }
    }

    async fn asked_by_alice(&self) -> Value {
        let backend = format!("http://{}", self.backend.address);
        let url = exchanging(Setup::before(&backend), &self.endpoint)
            .start()
            .await;
        Person::named(&url, "alice")
            .calls("list_notes", &json!({}))
            .await
    }
}

#[tokio::test]
async fn a_revoked_token_is_exchanged_anew_when_asking_for_the_tenant() {
    let world = Numbered::accepting_from(1).await;
    let listed = world.asked_by_alice().await;
    assert_eq!(listed["structuredContent"]["items"], json!([]), "{listed}");
    assert_eq!(world.lookups.load(Ordering::SeqCst), 2);
    // The refused one, the one that asked, and the one that names the tenant.
    assert_eq!(world.exchanges.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_backend_that_takes_no_exchanged_token_is_asked_for_the_tenant_twice_and_no_more() {
    let world = Numbered::accepting_from(usize::MAX).await;
    let refused = world.asked_by_alice().await;
    assert_eq!(code(&refused), "UNAUTHENTICATED", "{refused}");
    assert_eq!(world.lookups.load(Ordering::SeqCst), 2);
}
