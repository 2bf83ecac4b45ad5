//! The three tenant modes (contract §4). Tenants gate, they never separate records.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use toolbridge::sandbox::{Organization, Organizations, Sandbox, Tenants};

use super::support::{Hands, Person, start, start_with};

const NOW: u64 = 1_735_689_600_000;
const SIGNATURE: &str = "d7c99c106c99286c5f52c729c77ccd8e4f166df811786182b67ecaddbce74437";
const REFUSED: &str = "Unauthorized: invalid tenant headers";

async fn signed(hands: &Hands) -> Sandbox {
    start_with(|settings| {
        settings.clock = hands.clock();
        settings.tenants = Tenants::Signed {
            secret: SecretString::from("s3cr3t"),
            next: None,
        };
    })
    .await
}

fn signs(person: &Person, tenant: &str, timestamp: &str, signature: &str) -> Person {
    person
        .with("x-tb-tenant-id", tenant)
        .with("x-tb-timestamp", timestamp)
        .with("x-tb-signature", signature)
}

#[tokio::test]
async fn without_a_mode_tenant_headers_are_ignored() {
    let sandbox = start().await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let answer = alice
        .with("x-tb-tenant-id", "anything")
        .get("/v1/notes")
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_known_signature_opens_everything_behind_authentication() {
    let hands = Hands::at(NOW);
    let sandbox = signed(&hands).await;
    let alice = Person::named(&sandbox, "alice");
    for path in ["/v1/sync/sessions", "/auth/token-exchange"] {
        alice.send("POST", path, "").await.is_text(401, REFUSED);
    }
    let signing = signs(&alice, "acme", "1735689600000", SIGNATURE);
    let in_session = signing.in_session().await;
    assert_eq!(in_session.get("/v1/notes").await.status, 200);
    signing
        .get("/v1/auth/tenant")
        .await
        .is_text(404, "404 page not found");
}

#[tokio::test]
async fn a_wrong_missing_or_foreign_signature_is_refused() {
    let hands = Hands::at(NOW);
    let sandbox = signed(&hands).await;
    let alice = Person::named(&sandbox, "alice");
    let upper = SIGNATURE.to_uppercase();
    for (tenant, timestamp, signature) in [
        ("acme", "1735689600000", upper.as_str()),
        ("acme", "1735689600000", ""),
        ("acme", "1735689600000", &SIGNATURE[..62]),
        ("acme", "1735689600000", "zz"),
        ("acme", "1735689600001", SIGNATURE),
        ("acme", "01735689600000", SIGNATURE),
        ("acme", "1735689600000.0", SIGNATURE),
        ("acme", "", SIGNATURE),
        ("other", "1735689600000", SIGNATURE),
        ("", "1735689600000", SIGNATURE),
    ] {
        let signing = signs(&alice, tenant, timestamp, signature);
        let answer = signing.send("POST", "/v1/sync/sessions", "").await;
        answer.is_text(401, REFUSED);
    }
}

#[tokio::test]
async fn a_signature_is_good_for_five_minutes_either_way() {
    let early = Hands::at(NOW - 300_000);
    let sandbox = signed(&early).await;
    let signing = signs(
        &Person::named(&sandbox, "alice"),
        "acme",
        "1735689600000",
        SIGNATURE,
    );
    let status = async || signing.send("POST", "/v1/sync/sessions", "").await.status;
    assert_eq!(status().await, 201);
    early.advance(Duration::from_secs(600));
    assert_eq!(status().await, 201);
    early.advance(Duration::from_millis(1));
    assert_eq!(status().await, 401);
    sandbox
        .faults()
        .change(|switches| switches.clock_offset_ms = -1);
    assert_eq!(status().await, 201);
}

fn organization(id: &str, name: &str) -> Organization {
    Organization {
        id: id.to_owned(),
        name: name.to_owned(),
    }
}

async fn organizations(configured: bool) -> Sandbox {
    start_with(|settings| {
        settings.tenants = Tenants::Organizations(Organizations {
            configured,
            members: [
                ("alice".to_owned(), vec![organization("org_a", "Acme")]),
                (
                    "bob".to_owned(),
                    vec![organization("org_a", "Acme"), organization("org_b", "Bolt")],
                ),
            ]
            .into(),
            ..Organizations::default()
        });
    })
    .await
}

#[tokio::test]
async fn resolution_knows_none_one_and_several_organizations() {
    let sandbox = organizations(true).await;
    for (subject, body) in [
        (
            "carol",
            r#"{"tenant_id":"tenant_thinkpen_b2c","organization_name":"ThinkPen","requires_selection":false}"#,
        ),
        (
            "alice",
            r#"{"tenant_id":"org_a","organization_name":"Acme","requires_selection":false}"#,
        ),
        (
            "bob",
            r#"{"tenant_id":"","organizations":[{"id":"org_a","name":"Acme"},{"id":"org_b","name":"Bolt"}],"requires_selection":true}"#,
        ),
    ] {
        let person = Person::named(&sandbox, subject);
        person
            .get("/v1/auth/tenant")
            .await
            .is(200, &format!("{body}\n"));
    }
}

#[tokio::test]
async fn members_use_their_organizations_and_everybody_else_the_default() {
    let sandbox = organizations(true).await;
    for (subject, tenant, allowed) in [
        ("alice", "org_a", true),
        ("alice", "org_b", false),
        ("alice", "tenant_thinkpen_b2c", false),
        ("bob", "org_b", true),
        ("carol", "tenant_thinkpen_b2c", true),
        ("carol", "org_a", false),
        ("mallory", "org_b", false),
    ] {
        // The session needs no tenant.
        let person = Person::named(&sandbox, subject).in_session().await;
        let answer = person.with("x-tb-tenant-id", tenant).get("/v1/notes").await;
        assert_eq!(
            answer.status,
            if allowed { 200 } else { 403 },
            "{subject} {tenant}"
        );
    }
}

#[tokio::test]
async fn without_configuration_only_the_default_tenant_passes() {
    let sandbox = organizations(false).await;
    let alice = Person::named(&sandbox, "alice").in_session().await;
    let answer = alice.get("/v1/auth/tenant").await;
    answer.is_error(503, "WorkOS tenant resolution not configured");
    for (tenant, status) in [("org_a", 403), ("tenant_thinkpen_b2c", 200)] {
        let answer = alice.with("x-tb-tenant-id", tenant).get("/v1/notes").await;
        assert_eq!(answer.status, status, "{tenant}");
    }
}

#[tokio::test]
async fn one_user_sees_the_same_records_in_two_tenants() {
    let sandbox = organizations(true).await;
    let bob = Person::named(&sandbox, "bob").in_session().await;
    let uid = bob
        .with("x-tb-tenant-id", "org_a")
        .creates("notes", &json!({ "title": "x" }))
        .await;
    let other = bob.with("x-tb-tenant-id", "org_b");
    assert_eq!(other.get(&format!("/v1/notes/{uid}")).await.status, 200);
}
