//! WorkOS fails in every way it can: nobody gets in, nobody waits long, and nothing of it is shown.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;

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
    pass(Duration::from_secs(5)).await;
    assert!(identities.of(&person("alice")).await.is_err());
    pass(Duration::from_secs(5)).await;
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
