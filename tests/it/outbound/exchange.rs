//! The exchange by itself, with the time as a test says it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use toolbridge::{
    auth::{Caller, IssuerRules, KeySource, NewToken, Verifier, mint},
    identity::{
        Outbound, OutboundError, TenantId,
        outbound::{ClientAuth, Exchange, ExchangeForm, ExchangeSettings},
    },
    outgoing::Timeouts,
};

use super::{
    endpoint::{Endpoint, Wants, issued},
    http_fake::Reply,
};

const SECRET: &str = "a secret of the issuer and the sidecar, long";
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn later(seconds: u64) -> Duration {
    NOW + Duration::from_secs(seconds)
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A verified caller with a token that was issued at `issued_at` and is good for an hour.
async fn caller(subject: &str, issued_at: Duration) -> Caller {
    let secret = SecretString::from(SECRET);
    let token = NewToken {
        subject,
        issuer: "issuer",
        audience: "sidecar",
        scopes: &[],
        issued_at,
        lifetime: Duration::from_secs(3600),
    };
    let token = mint(&secret, token).unwrap();
    let rules = IssuerRules::new("issuer", ["sidecar"], KeySource::SharedSecret(secret));
    let verifier = Verifier::new(vec![rules]).unwrap();
    let header = format!("Bearer {}", token.expose_secret());
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(header).unwrap())]);
    verifier.caller(&headers, NOW).await.unwrap()
}

fn asking(endpoint: &Endpoint, client: ClientAuth) -> Arc<Outbound> {
    let form = ExchangeForm::Rfc8693 {
        audience: Some("notes-backend".to_owned()),
        resource: None,
        scopes: Vec::new(),
        client,
    };
    with_form(endpoint, form, Duration::from_secs(60))
}

fn with_form(endpoint: &Endpoint, form: ExchangeForm, patience: Duration) -> Arc<Outbound> {
    let settings = ExchangeSettings {
        url: endpoint.url.clone(),
        form,
        timeouts: Timeouts {
            connect: patience,
            request: patience,
        },
    };
    Arc::new(Outbound::Exchange(Exchange::new(settings, None).unwrap()))
}

/// The token that `who` gets, as it would be sent.
async fn token(outbound: &Outbound, who: &Caller, now: Duration) -> Result<String, OutboundError> {
    let token = outbound.token_for(who, Some(&acme()), now).await?;
    let value = token.unwrap().authorization();
    assert!(value.is_sensitive());
    Ok(value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_hundred_calls_at_once_of_one_person_make_one_exchange() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    endpoint.hesitates();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (outbound, alice) = (Arc::clone(&outbound), alice.clone());
            tokio::spawn(async move { token(&outbound, &alice, NOW).await })
        })
        .collect();
    endpoint.arrival().await;
    endpoint.goes_on();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "Bearer issued-alice-0");
    }
    assert_eq!(
        token(&outbound, &alice, later(1)).await.unwrap(),
        "Bearer issued-alice-0"
    );
    assert_eq!(endpoint.exchanges(), 1);
}

#[tokio::test]
async fn two_people_never_share_a_token_however_they_interleave() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let people = [caller("alice", NOW).await, caller("bob", NOW).await];
    let calls = (0..200).map(|index| {
        let (outbound, who) = (Arc::clone(&outbound), people[index % 2].clone());
        tokio::spawn(async move { (who.clone(), token(&outbound, &who, NOW).await.unwrap()) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (who, token) = call.await.unwrap();
        assert!(token.starts_with(&format!("Bearer issued-{}-", who.subject())));
    }
    assert_eq!(endpoint.exchanges(), 2);
}

#[tokio::test]
async fn two_tokens_of_one_person_do_not_share() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let old = caller("alice", NOW - Duration::from_secs(10)).await;
    let new = caller("alice", NOW).await;
    assert!(old.is_same_person(&new));
    assert_eq!(
        token(&outbound, &old, NOW).await.unwrap(),
        "Bearer issued-alice-0"
    );
    assert_eq!(
        token(&outbound, &new, NOW).await.unwrap(),
        "Bearer issued-alice-1"
    );
    assert_eq!(
        token(&outbound, &old, NOW).await.unwrap(),
        "Bearer issued-alice-0"
    );
}

#[tokio::test]
async fn two_tenants_of_one_person_do_not_share() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    let umbra: TenantId = "umbra".parse().unwrap();
    token(&outbound, &alice, NOW).await.unwrap();
    outbound.token_for(&alice, Some(&umbra), NOW).await.unwrap();
    assert_eq!(endpoint.exchanges(), 2);
}

#[tokio::test]
async fn a_token_is_exchanged_anew_shortly_before_it_ends() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    let short = json!({ "access_token": "short", "token_type": "bearer", "expires_in": 300 });
    endpoint.answers(Reply::json(200, &short));
    assert_eq!(token(&outbound, &alice, NOW).await.unwrap(), "Bearer short");
    assert_eq!(
        token(&outbound, &alice, later(269)).await.unwrap(),
        "Bearer short"
    );
    assert_eq!(
        token(&outbound, &alice, later(270)).await.unwrap(),
        "Bearer issued-alice-1"
    );
}

#[tokio::test]
async fn no_token_is_handed_out_for_a_caller_whose_own_has_ended() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    let long = json!({ "access_token": "long", "token_type": "Bearer", "expires_in": 86_400 });
    endpoint.answers(Reply::json(200, &long));
    assert_eq!(token(&outbound, &alice, NOW).await.unwrap(), "Bearer long");
    let ended = Duration::from_secs(alice.expires_at());
    assert_eq!(
        token(&outbound, &alice, ended).await,
        Err(OutboundError::CallerExpired)
    );
    assert_eq!(endpoint.exchanges(), 1);
}

#[tokio::test]
async fn an_answer_without_expires_in_is_remembered_for_a_minute() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    let unknown = json!({ "access_token": "unknown", "token_type": "Bearer" });
    endpoint.answers(Reply::json(200, &unknown));
    assert_eq!(
        token(&outbound, &alice, NOW).await.unwrap(),
        "Bearer unknown"
    );
    assert_eq!(
        token(&outbound, &alice, later(59)).await.unwrap(),
        "Bearer unknown"
    );
    assert_eq!(
        token(&outbound, &alice, later(60)).await.unwrap(),
        "Bearer issued-alice-1"
    );
}

#[tokio::test]
async fn a_refused_token_is_dropped_once() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    let refused = outbound
        .token_for(&alice, Some(&acme()), NOW)
        .await
        .unwrap()
        .unwrap();
    for _ in 0..3 {
        assert!(outbound.forget(&alice, Some(&acme()), &refused));
        assert_eq!(
            token(&outbound, &alice, NOW).await.unwrap(),
            "Bearer issued-alice-1"
        );
    }
    assert_eq!(endpoint.exchanges(), 2);
}

#[tokio::test]
async fn each_way_to_be_a_client_is_sent_as_the_standard_says() {
    let (id, secret) = (
        || "tool bridge".to_owned(),
        || SecretString::from("s:e c/ret"),
    );
    let audience = ("audience", "notes-backend");
    for (client, fields, authorization) in [
        (
            ClientAuth::Public { id: id() },
            vec![audience, ("client_id", "tool bridge")],
            "",
        ),
        (
            ClientAuth::Post {
                id: id(),
                secret: secret(),
            },
            vec![
                audience,
                ("client_id", "tool bridge"),
                ("client_secret", "s:e c/ret"),
            ],
            "",
        ),
        (
            ClientAuth::Basic {
                id: id(),
                secret: secret(),
            },
            vec![audience],
            // base64 of `tool+bridge:s%3Ae+c%2Fret`
            "Basic dG9vbCticmlkZ2U6cyUzQWUrYyUyRnJldA==",
        ),
    ] {
        let endpoint = Endpoint::wanting(Wants {
            fields,
            authorization,
        })
        .await;
        let outbound = asking(&endpoint, client);
        token(&outbound, &caller("alice", NOW).await, NOW)
            .await
            .unwrap();
        assert_eq!(endpoint.exchanges(), 1);
    }
}

#[tokio::test]
async fn resource_and_scope_are_sent_when_they_are_set() {
    let fields = vec![
        ("resource", "https://backend.example.com/api"),
        ("scope", "notes:read notes:write"),
    ];
    let endpoint = Endpoint::wanting(Wants {
        fields,
        authorization: "",
    })
    .await;
    let form = ExchangeForm::Rfc8693 {
        audience: None,
        resource: Some("https://backend.example.com/api".to_owned()),
        scopes: vec!["notes:read".to_owned(), "notes:write".to_owned()],
        client: ClientAuth::None,
    };
    let outbound = with_form(&endpoint, form, Duration::from_secs(60));
    token(&outbound, &caller("alice", NOW).await, NOW)
        .await
        .unwrap();
    assert_eq!(endpoint.exchanges(), 1);
}

#[tokio::test]
async fn an_endpoint_that_answers_nonsense_is_a_fault_of_its_operator() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    let elsewhere = Endpoint::start().await;
    let huge = json!({ "access_token": "t", "padding": "x".repeat(70_000) });
    for reply in [
        Reply::text(200, "<html>canary</html>").with("content-type", "text/html"),
        Reply::json(200, &huge),
        Reply::json(
            200,
            &json!({ "access_token": "canary", "token_type": "N_A" }),
        ),
        Reply::text(307, "").with("location", elsewhere.url.as_str()),
        Reply::text(204, ""),
    ] {
        endpoint.answers(reply.clone());
        let error = token(&outbound, &alice, NOW).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Unusable(_)),
            "{reply:?}: {error}"
        );
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    assert_eq!(elsewhere.exchanges(), 0, "a redirect was followed");
    // Nothing of it is remembered.
    token(&outbound, &alice, NOW).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_told_by_its_code() {
    let endpoint = Endpoint::start().await;
    let outbound = asking(&endpoint, ClientAuth::None);
    let alice = caller("alice", NOW).await;
    for (status, code) in [
        (400, "invalid_grant"),
        (400, "invalid_target"),
        (403, "access_denied"),
    ] {
        let body = json!({ "error": code, "error_description": "canary" });
        endpoint.answers(Reply::json(status, &body));
        let error = token(&outbound, &alice, NOW).await.unwrap_err();
        let code = Some(code.to_owned());
        assert_eq!(error, OutboundError::Refused { status, code });
    }
    endpoint.answers(Reply::json(401, &json!({ "error": "invalid_client" })));
    let error = token(&outbound, &alice, NOW).await.unwrap_err();
    assert_eq!(error, OutboundError::ClientRefused { status: 401 });
}

#[tokio::test]
async fn an_endpoint_that_is_down_or_slow_may_do_better_later() {
    let endpoint = Endpoint::start().await;
    let form = ExchangeForm::Rfc8693 {
        audience: Some("notes-backend".to_owned()),
        resource: None,
        scopes: Vec::new(),
        client: ClientAuth::None,
    };
    let outbound = with_form(&endpoint, form, Duration::from_millis(200));
    let alice = caller("alice", NOW).await;
    endpoint.answers(Reply::text(503, "<html>").with("retry-after", "7"));
    let busy = token(&outbound, &alice, NOW).await.unwrap_err();
    assert!(matches!(
        busy,
        OutboundError::Unavailable {
            status: Some(503),
            retry_after: Some(7),
            ..
        }
    ));
    endpoint.hesitates();
    let slow = token(&outbound, &alice, NOW).await.unwrap_err();
    assert_eq!(
        slow.to_string(),
        "the token endpoint is not available: no whole answer in time"
    );
    let address = endpoint.url.port().unwrap().to_string();
    endpoint.dies();
    let down = token(&outbound, &alice, NOW).await.unwrap_err();
    assert!(matches!(
        down,
        OutboundError::Unavailable { status: None, .. }
    ));
    assert!(!format!("{down} {down:?}").contains(&address), "{down:?}");
}

#[tokio::test]
async fn nothing_that_is_remembered_or_sent_can_be_printed() {
    let endpoint = Endpoint::start().await;
    let form = ExchangeForm::Rfc8693 {
        audience: Some("notes-backend".to_owned()),
        resource: None,
        scopes: Vec::new(),
        client: ClientAuth::Basic {
            id: "toolbridge".to_owned(),
            secret: SecretString::from("canary-secret"),
        },
    };
    let outbound = with_form(&endpoint, form, Duration::from_secs(60));
    let alice = caller("alice", NOW).await;
    endpoint.answers(Reply::json(200, &issued("canary", 0)));
    let token = outbound
        .token_for(&alice, Some(&acme()), NOW)
        .await
        .unwrap();
    let shown = format!("{outbound:?} {token:?} {alice:?}");
    let own = alice.token().unwrap().authorization();
    let own = own.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    assert!(
        !shown.contains("canary") && !shown.contains(&own[..20]),
        "{shown}"
    );
}
