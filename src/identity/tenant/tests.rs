//! People and their organizations, told by a WorkOS on a real socket: what each may do, and what happens when it fails.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use secrecy::SecretString;

use super::{
    Members, Right, TenantSource,
    fixtures::{FakeWorkOs, Fault, ISSUER, active, pass, person, with_status},
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
async fn whatever_goes_wrong_lets_nobody_in() {
    let faults = [
        Fault::Status(429, Some(59)),
        Fault::Status(429, None),
        Fault::Status(500, None),
        Fault::Status(503, Some(7)),
        Fault::Status(401, None),
        Fault::Status(403, None),
        Fault::Status(404, None),
        Fault::Status(422, None),
        Fault::Status(204, None),
        Fault::Huge,
        Fault::Cut,
        Fault::Html,
        Fault::Loop,
        Fault::Endless,
        Fault::Foreign,
    ];
    for fault in faults {
        let workos = FakeWorkOs::start().await;
        workos.set("alice", &[active("org_1")]);
        workos.fault(fault);
        // Neither the default tenant nor the fixed one is a way out.
        let choosing = workos.identities(Some("org_1")).of(&person("alice")).await;
        let fixed = requiring(Right::Membership(workos.members()));
        for answer in [choosing, fixed.of(&person("alice")).await] {
            let shown = format!("{:?}", answer.unwrap_err());
            assert!(
                !shown.contains("canary") && !shown.contains("127.0.0.1"),
                "{shown}"
            );
        }
        let _strict = workos.asked();
    }
}

#[tokio::test]
async fn a_cursor_that_comes_twice_and_pages_without_end_are_no_answer() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1"), active("org_2")]);
    for (fault, asked) in [(Fault::Loop, 2), (Fault::Endless, 20)] {
        workos.fault(fault);
        let before = workos.asked();
        let answer = workos.identities(None).of(&person("alice")).await;
        assert!(
            matches!(answer, Err(IdentityError::Unavailable { .. })),
            "{answer:?}"
        );
        assert_eq!(workos.asked() - before, asked);
    }
}

#[tokio::test]
async fn our_refused_key_is_our_fault_and_not_the_callers() {
    let workos = FakeWorkOs::start().await;
    for status in [401, 403] {
        workos.fault(Fault::Status(status, None));
        let answer = workos.identities(None).of(&person("alice")).await;
        let Err(IdentityError::Misconfigured(what)) = answer else {
            panic!("{answer:?}");
        };
        assert!(what.starts_with("WORKOS_API_KEY is refused"), "{what}");
    }
}

#[tokio::test]
async fn a_long_retry_after_is_reported_and_never_slept() {
    let workos = FakeWorkOs::start().await;
    workos.fault(Fault::Status(429, Some(59)));
    let identities = workos.identities(None);
    let begun = tokio::time::Instant::now();
    let callers = vec![person("alice"); 100];
    for answer in join_all(callers.iter().map(|caller| identities.of(caller))).await {
        let Err(IdentityError::Unavailable { retry_after, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(59)));
    }
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(workos.asked(), 1);
    // Nor is WorkOS asked again at once; but the wait that it names does not lock people out for long either.
    workos.set("alice", &[active("org_1")]);
    workos.fault(Fault::None);
    pass(Duration::from_secs(9)).await;
    assert!(identities.of(&person("alice")).await.is_err());
    pass(Duration::from_secs(1)).await;
    assert_eq!(tenant(&identities, &person("alice")).await, "org_1");
}

#[tokio::test]
async fn a_silent_workos_is_given_up_within_three_seconds() {
    let workos = FakeWorkOs::start().await;
    workos.fault(Fault::Silent);
    let identities = workos.identities(Some("org_1"));
    let alice = person("alice");
    let (answer, ()) = tokio::join!(identities.of(&alice), async {
        workos.has_come().await;
        pass(Duration::from_secs(3)).await;
    });
    assert!(
        matches!(answer, Err(IdentityError::Unavailable { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let workos = FakeWorkOs::start().await;
    let elsewhere = FakeWorkOs::start().await;
    elsewhere.set("alice", &[active("org_1")]);
    let path = "/user_management/organization_memberships";
    workos.fault(Fault::Redirect(format!(
        "{}{path}",
        elsewhere.url.as_str().trim_end_matches('/')
    )));
    assert!(workos.identities(None).of(&person("alice")).await.is_err());
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_hundred_calls_of_one_person_at_once_ask_once() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1")]);
    let identities = workos.identities(None);
    let callers = vec![person("alice"); 100];
    for answer in join_all(callers.iter().map(|caller| identities.of(caller))).await {
        assert_eq!(answer.unwrap().tenant().as_str(), "org_1");
    }
    assert_eq!(workos.asked(), 1);
}

#[tokio::test]
async fn whoever_waits_asks_when_the_one_who_asked_leaves() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1")]);
    workos.fault(Fault::Silent);
    let identities = workos.identities(None);
    let first = tokio::spawn({
        let identities = identities.clone();
        async move { identities.of(&person("alice")).await.is_ok() }
    });
    workos.has_come().await;
    workos.fault(Fault::None);
    let alice = person("alice");
    let (answer, ()) = tokio::join!(identities.of(&alice), async { first.abort() });
    assert_eq!(answer.unwrap().tenant().as_str(), "org_1");
    assert_eq!(workos.asked(), 2);
}

#[tokio::test]
async fn the_same_subject_at_two_issuers_is_two_people() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1"), active("org_2")]);
    let identities = workos.identities(None);
    let here = person("alice");
    let there = Caller::for_tests("https://other.test", "alice", Some("h.p.s"));
    identities.choose(&here, "org_1").await.unwrap();
    identities.choose(&there, "org_2").await.unwrap();
    assert_eq!(tenant(&identities, &here).await, "org_1");
    assert_eq!(tenant(&identities, &there).await, "org_2");
    assert_eq!(workos.asked(), 2);
}

#[tokio::test]
async fn a_thousand_mixed_calls_each_get_their_own_answer() {
    let workos = FakeWorkOs::start().await;
    // Joined with a colon these would be one another's: ("i:a", "b") and ("i", "a:b").
    let people = [
        ("i", "a:b", "org_1"),
        ("i:a", "b", "org_2"),
        ("i", "a", "org_3"),
    ];
    for (_, subject, organization) in people {
        workos.set(subject, &[active(organization)]);
    }
    workos.set("c", &[active("org_4"), active("org_5")]);
    let in_organization = |id| Caller::for_tests("i", "c", Some("h.p.s")).in_organization(id);
    let mut cases: Vec<_> = people
        .map(|(issuer, subject, organization)| {
            (
                Caller::for_tests(issuer, subject, Some("h.p.s")),
                organization,
            )
        })
        .into();
    cases.push((in_organization("org_4"), "org_4"));
    cases.push((in_organization("org_5"), "org_5"));
    let identities = workos.identities(None);
    let calls = cases.iter().cycle().take(1_000);
    let calls = calls.map(|(caller, expected)| {
        let identities = &identities;
        async move { assert_eq!(tenant(identities, caller).await, *expected) }
    });
    join_all(calls).await;
    assert_eq!(workos.asked(), cases.len());
}

#[tokio::test]
async fn a_removal_is_noticed_within_five_minutes_however_often_one_asks() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1")]);
    let identities = workos.identities(None);
    assert_eq!(tenant(&identities, &person("alice")).await, "org_1");
    workos.set("alice", &[with_status("org_1", "inactive")]);
    let mut last = None;
    for _ in 0..5 {
        pass(MINUTE).await;
        last = denial(&identities, &person("alice")).await;
    }
    assert_eq!(last, Some(Denial::NoMembership));
    assert_eq!(workos.asked(), 2);
}

#[tokio::test]
async fn an_answer_is_used_for_four_minutes() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1")]);
    let identities = workos.identities(None);
    for _ in 0..4 {
        assert_eq!(tenant(&identities, &person("alice")).await, "org_1");
        pass(MINUTE - Duration::from_millis(1)).await;
    }
    assert_eq!(workos.asked(), 1);
}

#[tokio::test]
async fn a_refusal_lasts_for_ten_seconds() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_2")]);
    let fixed = requiring(Right::Membership(workos.members()));
    assert_eq!(
        denial(&fixed, &person("alice")).await,
        Some(Denial::NotAMember)
    );
    workos.set("alice", &[active("org_2"), active("org_1")]);
    pass(Duration::from_secs(9)).await;
    assert_eq!(
        denial(&fixed, &person("alice")).await,
        Some(Denial::NotAMember)
    );
    assert_eq!(workos.asked(), 1);
    pass(Duration::from_secs(1)).await;
    assert_eq!(tenant(&fixed, &person("alice")).await, "org_1");
    assert_eq!(workos.asked(), 2);
}

#[tokio::test]
async fn what_the_backend_refused_is_asked_anew() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1")]);
    workos.set("bob", &[active("org_1")]);
    let identities = workos.identities(None);
    for name in ["alice", "bob"] {
        assert_eq!(tenant(&identities, &person(name)).await, "org_1");
        workos.set(name, &[active("org_2")]);
    }
    identities.forget(&person("alice"));
    assert_eq!(tenant(&identities, &person("alice")).await, "org_2");
    assert_eq!(tenant(&identities, &person("bob")).await, "org_1");
}

#[tokio::test]
async fn when_workos_dies_nobody_gets_in_once_the_answers_are_old() {
    let workos = FakeWorkOs::start().await;
    workos.set("alice", &[active("org_1")]);
    let sources = [
        workos.identities(Some("org_1")),
        requiring(Right::Membership(workos.members())),
    ];
    for identities in &sources {
        assert_eq!(tenant(identities, &person("alice")).await, "org_1");
    }
    workos.dies();
    for identities in &sources {
        assert!(identities.of(&person("bob")).await.is_err());
        pass(5 * MINUTE).await;
        let answer = identities.of(&person("alice")).await;
        assert!(
            matches!(answer, Err(IdentityError::Unavailable { .. })),
            "{answer:?}"
        );
    }
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
    let odd = Members::of_workos(&workos.url, &SecretString::from("sk_canary\n"));
    assert!(!format!("{} {odd:?}", odd.as_ref().unwrap_err()).contains("canary"));
}
