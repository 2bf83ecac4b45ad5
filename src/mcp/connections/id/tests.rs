//! What an id opens, for whom, for how long, under which key; and every way of tampering with one.

use std::cell::Cell;

use proptest::prelude::*;
use secrecy::SecretString;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const NOW: Duration = Duration::from_secs(1_800_000_000);

thread_local! {
    static CLOCK: Cell<Duration> = const { Cell::new(NOW) };
}

fn clock() -> Duration {
    CLOCK.get()
}

fn ids(secrets: &[&str]) -> ConnectionIds {
    let secrets: Vec<_> = secrets.iter().map(|it| SecretString::from(*it)).collect();
    ConnectionIds::new(&SealKeys::of(&secrets), 30 * DAY, clock).unwrap()
}

fn person(subject: &str) -> Caller {
    Caller::for_tests("https://issuer.test", subject, None)
}

fn peer() -> InitializeRequestParams {
    let capabilities = serde_json::json!({ "elicitation": { "form": {} }, "roots": {} });
    let capabilities = serde_json::from_value(capabilities).unwrap();
    InitializeRequestParams::new(capabilities, Implementation::new("client", "1.2"))
        .with_protocol_version(ProtocolVersion::V_2025_06_18)
}

#[test]
fn a_process_that_never_saw_a_connection_knows_it_from_its_id() {
    let (id, made) = ids(&["a"]).make(&peer(), &person("alice")).unwrap();
    let opened = ids(&["a"]).open(id.as_bytes(), &person("alice")).unwrap();
    assert_eq!(opened.key, made.key);
    assert_eq!(opened.peer, peer());
    assert_eq!(opened.since, NOW);
    // What a header may hold (protocol page A.6), and short enough to be carried by every request.
    assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    assert!(id.len() < 400, "{}", id.len());
}

#[test]
fn another_persons_id_opens_nothing() {
    let ids = ids(&["a"]);
    let (id, _) = ids.make(&peer(), &person("alice")).unwrap();
    let open = |caller: &Caller| ids.open(id.as_bytes(), caller).map(drop);
    assert_eq!(open(&person("mallory")), Err(NoConnection::NotYours));
    let elsewhere = Caller::for_tests("https://other.test", "alice", None);
    assert_eq!(open(&elsewhere), Err(NoConnection::NotYours));
    // The border between issuer and subject is part of it.
    let shifted = Caller::for_tests("https://issuer.testa", "lice", None);
    assert_eq!(open(&shifted), Err(NoConnection::NotYours));
    assert_eq!(open(&person("alice")), Ok(()));
}

#[test]
fn every_changed_byte_of_an_id_is_noticed() {
    let ids = ids(&["a"]);
    let (id, _) = ids.make(&peer(), &person("alice")).unwrap();
    for at in 0..id.len() {
        let mut changed = id.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let opened = ids.open(&changed, &person("alice")).map(drop);
        assert_eq!(opened, Err(NoConnection::Unknown), "byte {at}");
        let cut = ids.open(&id.as_bytes()[..at], &person("alice")).map(drop);
        assert_eq!(cut, Err(NoConnection::Unknown), "the first {at}");
    }
}

#[test]
fn a_secret_is_replaced_without_losing_a_connection() {
    let alice = person("alice");
    let (before, between, after) = (ids(&["old"]), ids(&["new", "old"]), ids(&["new"]));
    let (id, _) = before.make(&peer(), &alice).unwrap();
    assert!(between.open(id.as_bytes(), &alice).is_ok());
    assert!(after.open(id.as_bytes(), &alice).is_err());
    let (id, _) = between.make(&peer(), &alice).unwrap();
    assert!(after.open(id.as_bytes(), &alice).is_ok());
}

#[test]
fn an_id_ends_with_its_lifetime_and_does_not_come_from_the_future() {
    let (ids, alice) = (ids(&["a"]), person("alice"));
    let (id, _) = ids.make(&peer(), &alice).unwrap();
    let opens_at = |now| {
        CLOCK.set(now);
        ids.open(id.as_bytes(), &alice).is_ok()
    };
    let second = Duration::from_secs(1);
    assert!(opens_at(NOW + 30 * DAY));
    assert!(!opens_at(NOW + 30 * DAY + second));
    assert!(opens_at(NOW - SKEW));
    assert!(!opens_at(NOW - SKEW - second));
}

#[test]
fn a_client_that_says_very_much_of_itself_gets_a_short_id_all_the_same() {
    let (ids, alice) = (ids(&["a"]), person("alice"));
    let long = "x".repeat(100_000);
    let capabilities = serde_json::json!({
        "elicitation": {},
        "experimental": { "a": { "b": long } },
        "sampling": { "tools": { "a": long } },
    });
    let capabilities = serde_json::from_value(capabilities).unwrap();
    let client = Implementation::new(long.clone(), long);
    let peer = InitializeRequestParams::new(capabilities, client);
    let (id, _) = ids.make(&peer, &alice).unwrap();
    assert!(id.len() < LONGEST, "{}", id.len());
    let opened = ids.open(id.as_bytes(), &alice).unwrap();
    assert!(opened.peer.capabilities.elicitation.is_some());
    assert!(opened.peer.capabilities.sampling.is_some());
}

#[test]
fn no_two_connections_share_a_key() {
    let (ids, alice) = (ids(&["a"]), person("alice"));
    let (one, first) = ids.make(&peer(), &alice).unwrap();
    let (other, second) = ids.make(&peer(), &alice).unwrap();
    assert_ne!(one, other);
    assert_ne!(first.key, second.key);
}

proptest! {
    #[test]
    fn whatever_a_client_invents_is_unknown(id in prop::collection::vec(any::<u8>(), 0..600)) {
        let opened = ids(&["a"]).open(&id, &person("alice")).map(drop);
        prop_assert_eq!(opened, Err(NoConnection::Unknown));
    }
}
