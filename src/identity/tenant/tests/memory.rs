//! What is remembered of memberships: whose, for how long, and how often anybody is asked.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;

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
async fn a_removal_is_noticed_within_the_time_that_the_settings_say_and_never_later_than_five_minutes()
 {
    let hour = Duration::from_secs(3600);
    for (cache, noticed) in [(MINUTE, MINUTE), (hour, 5 * MINUTE)] {
        let workos = FakeWorkOs::start().await;
        workos.set("alice", &[active("org_1")]);
        let fixed = requiring(Right::Membership(workos.believed_for(cache)));
        let alice = person("alice");
        assert_eq!(denial(&fixed, &alice).await, None);
        workos.set("alice", &[with_status("org_1", "inactive")]);
        // Four fifths of it are certain, whatever the spread.
        pass(noticed / 2).await;
        assert_eq!(denial(&fixed, &alice).await, None);
        assert_eq!(workos.asked(), 1);
        pass(noticed / 2).await;
        assert_eq!(denial(&fixed, &alice).await, Some(Denial::NotAMember));
    }
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
    pass(Duration::from_secs(5)).await;
    assert_eq!(
        denial(&fixed, &person("alice")).await,
        Some(Denial::NotAMember)
    );
    assert_eq!(workos.asked(), 1);
    pass(Duration::from_secs(5)).await;
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
