//! People and their organizations, told by a WorkOS on a real socket: what each may do.

mod failures;
mod memory;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;

use super::{
    Members, Right, TenantSource,
    fixtures::{FakeWorkOs, Fault, ISSUER, active, pass, person, with_status},
    members::POSITIVE,
};
use crate::{
    auth::Caller,
    identity::{Denial, Identities, IdentityError, TenantId},
};

const MINUTE: Duration = Duration::from_secs(60);

async fn tenant(identities: &Identities, caller: &Caller) -> String {
    match identities.of(caller).await {
        Ok(identity) => identity.tenant().to_string(),
        Err(error) => format!("{error:?}"),
    }
}

async fn denial(identities: &Identities, caller: &Caller) -> Option<Denial> {
    match identities.of(caller).await {
        Err(IdentityError::Denied(denial)) => Some(denial),
        _ => None,
    }
}

fn id(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn requiring(right: Right) -> Identities {
    Identities::new(TenantSource::Required(id("org_1"), right), None)
}

#[tokio::test]
async fn only_active_memberships_count() {
    let workos = FakeWorkOs::start().await;
    let rows = ["inactive", "pending", "suspended", "Active", ""];
    let mut rows: Vec<_> = rows.map(|status| with_status("org_1", status)).into();
    workos.set("alice", &rows);
    rows.push(active("org_2"));
    workos.set("bob", &rows);
    let identities = workos.identities(None);
    assert_eq!(
        denial(&identities, &person("alice")).await,
        Some(Denial::NoMembership)
    );
    assert_eq!(tenant(&identities, &person("bob")).await, "org_2");
    // Two: whoever is refused is refused by fresh memberships, and these were fresh.
    assert_eq!(workos.asked(), 2);
}

#[tokio::test]
async fn a_hundred_and_thirty_memberships_are_read_over_two_pages() {
    let workos = FakeWorkOs::start().await;
    let rows: Vec<_> = (0..130).map(|n| active(&format!("org_{n}"))).collect();
    workos.set("alice", &rows);
    let identities = workos.identities(Some("org_default"));
    let Err(IdentityError::SelectionRequired(all)) = identities.of(&person("alice")).await else {
        panic!("nothing to choose");
    };
    assert_eq!(all.len(), 130);
    assert_eq!(
        (all[129].id().as_str(), all[129].name()),
        ("org_129", "Team org_129")
    );
    assert_eq!(workos.asked(), 2);
    identities
        .choose(&person("alice"), "org_129")
        .await
        .unwrap();
    assert_eq!(tenant(&identities, &person("alice")).await, "org_129");
    assert_eq!(workos.asked(), 2);
}

#[tokio::test]
async fn rows_as_the_emulator_writes_them_are_read() {
    let workos = FakeWorkOs::start_like_the_emulator().await;
    workos.set(
        "alice",
        &[active("org_1"), with_status("org_2", "inactive")],
    );
    let identities = workos.identities(None);
    assert_eq!(tenant(&identities, &person("alice")).await, "org_1");
    let workspace = identities.current(&person("alice")).await.unwrap();
    assert_eq!(workspace.current.unwrap().name(), "org_1");
}

#[tokio::test]
async fn a_choice_is_compared_with_the_memberships_of_now() {
    let workos = FakeWorkOs::start().await;
    let all = [active("org_1"), active("org_2"), active("org_3")];
    workos.set("alice", &all);
    let identities = workos.identities(None);
    let alice = person("alice");
    assert!(identities.offers_selection());
    assert_eq!(
        identities.choose(&alice, "Team org_2").await.unwrap().id(),
        &id("org_2")
    );
    assert_eq!(tenant(&identities, &alice).await, "org_2");
    let refused = identities.choose(&alice, "org_4").await;
    assert!(
        matches!(refused, Err(IdentityError::Denied(Denial::NotYours))),
        "{refused:?}"
    );
    assert_eq!(tenant(&identities, &alice).await, "org_2");

    workos.set("alice", &[active("org_1"), active("org_3")]);
    pass(5 * MINUTE).await;
    let answer = identities.of(&alice).await;
    assert!(
        matches!(&answer, Err(IdentityError::SelectionRequired(left)) if left.len() == 2),
        "{answer:?}"
    );
    let workspace = identities.current(&alice).await.unwrap();
    assert_eq!(
        (workspace.current, workspace.organizations.len()),
        (None, 2)
    );
}

#[tokio::test]
async fn a_choice_ends() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1"), active("org_2")]);
    let identities = workos.identities(None);
    identities.choose(&person("alice"), "org_1").await.unwrap();
    pass(59 * MINUTE).await;
    assert_eq!(tenant(&identities, &person("alice")).await, "org_1");
    pass(MINUTE).await;
    let answer = identities.of(&person("alice")).await;
    assert!(
        matches!(answer, Err(IdentityError::SelectionRequired(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_token_for_one_organization_is_never_used_for_another() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1"), active("org_2")]);
    let identities = workos.identities(None);
    let alice = person("alice").in_organization("org_1");
    assert_eq!(tenant(&identities, &alice).await, "org_1");
    let refused = identities.choose(&alice, "org_2").await;
    assert!(
        matches!(refused, Err(IdentityError::Denied(Denial::TokenDecides))),
        "{refused:?}"
    );
    identities.choose(&person("alice"), "org_2").await.unwrap();
    assert_eq!(tenant(&identities, &alice).await, "org_1");
    let foreign = person("alice").in_organization("org_3");
    assert_eq!(
        denial(&identities, &foreign).await,
        Some(Denial::ForeignOrganization)
    );

    let fixed = requiring(Right::Membership(workos.members()));
    assert_eq!(tenant(&fixed, &alice).await, "org_1");
    let elsewhere = person("alice").in_organization("org_2");
    assert_eq!(
        denial(&fixed, &elsewhere).await,
        Some(Denial::ForeignOrganization)
    );
}

#[tokio::test]
async fn a_fixed_tenant_can_require_a_claim() {
    let claiming = |claims: &str| {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        Caller::for_tests(ISSUER, "alice", Some(&token))
    };
    let identities = requiring(Right::Claim("team".to_owned()));
    assert_eq!(
        tenant(&identities, &claiming(r#"{"team":"org_1"}"#)).await,
        "org_1"
    );
    for wrong in [
        r#"{"team":"org_2"}"#,
        r#"{"team":"ORG_1"}"#,
        r#"{"team":["org_1"]}"#,
        r#"{"team":"org_2","team":"org_1"}"#,
        r#"{"org_id":"org_1"}"#,
        "{}",
    ] {
        let refused = denial(&identities, &claiming(wrong)).await;
        assert_eq!(refused, Some(Denial::NotAMember), "{wrong}");
    }
    let nobody = Caller::for_tests(ISSUER, "alice", None);
    assert_eq!(denial(&identities, &nobody).await, Some(Denial::NotAMember));
    assert!(!identities.offers_selection());
    let nothing = identities.choose(&claiming("{}"), "org_1").await;
    assert!(matches!(
        nothing,
        Err(IdentityError::Denied(Denial::NoChoice))
    ));
}

#[tokio::test]
async fn a_subject_that_no_person_has_asks_nobody() {
    let workos = FakeWorkOs::start().await;
    let identities = workos.identities(Some("org_1"));
    let long = person(&"x".repeat(300));
    assert_eq!(denial(&identities, &long).await, Some(Denial::NoMembership));
    assert_eq!(workos.asked(), 0);
    // Whatever it is, it stays one parameter.
    let odd = person("a&user_id=b#/../\r\n");
    workos.set("a&user_id=b#/../\r\n", &[active("org_2")]);
    assert_eq!(tenant(&identities, &odd).await, "org_2");
    assert_eq!(workos.asked(), 1);
}

#[tokio::test]
async fn nothing_shows_the_key() {
    let workos = FakeWorkOs::start().await;
    let source = TenantSource::Required(id("org_1"), Right::Membership(workos.members()));
    let shown = format!("{:?}", Identities::new(source, None));
    assert!(
        !shown.contains("sk_test") && shown.contains("Members(WorkOS)"),
        "{shown}"
    );
    let odd = Members::of_workos(&workos.url, &SecretString::from("sk_canary\n"), POSITIVE);
    assert!(!format!("{} {odd:?}", odd.as_ref().unwrap_err()).contains("canary"));
}
