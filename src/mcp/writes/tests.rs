//! Writes that are repeated at every moment of their life.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::json_text::JsonText;

const NOW: Duration = Duration::from_secs(1_000);

fn writes_with(journal: Option<Journal>) -> Writes {
    Writes::new(WriteRules {
        keep: Duration::from_secs(600),
        journal,
        now: || NOW,
    })
}

fn writes() -> Writes {
    writes_with(None)
}

fn digest(number: u8) -> WriteDigest {
    WriteDigest {
        person: [0; 32],
        key: [number; 32],
        request: [number; 32],
        is_named: false,
    }
}

fn done(number: u64) -> Outcome {
    Outcome::Success(JsonText::of(&json!({ "number": number })))
}

fn value(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Success(text) => text.value(),
        Outcome::Failure(failure) => panic!("{failure:?}"),
    }
}

#[track_caller]
fn first(begun: Begun) -> Write {
    match begun {
        Begun::First(write) => write,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn repeats(begun: Begun) -> Earlier {
    match begun {
        Begun::Repeats(earlier) => earlier,
        other => panic!("{other:?}"),
    }
}

fn way() -> Delivery {
    Delivery::over(Arc::new(|| false))
}

/// Carried out and answered on this way.
fn answered_over(writes: &Writes, way: &Delivery) -> Uuid {
    answered_name(writes, 1, way)
}

#[tokio::test]
async fn the_same_write_joins_the_one_that_runs() {
    let writes = writes();
    let write = first(writes.begin(digest(1)));
    let joined = repeats(writes.begin(digest(1)));
    let other = first(writes.begin(digest(2)));
    assert_ne!(write.name, other.name);
    let waiting = tokio::spawn(joined.outcome());
    let answered = write.ends(&done(1), Fate::Done);
    let (outcome, own) = waiting.await.unwrap().unwrap();
    assert_eq!(value(outcome), json!({ "number": 1 }));
    // One of both arrives: that is enough.
    own.unwrap().over(None);
    answered.unwrap().over(Some(&way()));
    assert_eq!(writes.remembered(), 1);
    assert!(!first(writes.begin(digest(1))).in_doubt);
}

#[tokio::test]
async fn an_answer_that_never_left_is_given_to_who_asks_again() {
    let writes = writes();
    drop(first(writes.begin(digest(1))).ends(&done(1), Fate::Done));
    for _ in 0..3 {
        let (outcome, _) = repeats(writes.begin(digest(1))).outcome().await.unwrap();
        assert_eq!(value(outcome), json!({ "number": 1 }));
    }
}

#[tokio::test]
async fn two_wishes_are_two_writes_once_the_first_answer_has_arrived() {
    let writes = writes();
    let way = way();
    let name = answered_over(&writes, &way);
    way.sent();
    let second = first(writes.begin(digest(1)));
    assert!(second.name != name && !second.in_doubt);
    second.ends(&done(2), Fate::Done).unwrap().over(None);
    // And where the client went on before it asked.
    let name = answered_over(&writes, &way);
    assert_ne!(first(writes.begin(digest(1))).name, name);
}

#[tokio::test]
async fn an_answer_that_was_lost_on_its_way_is_given_again() {
    for broke_after_it_was_sent in [false, true] {
        let writes = writes();
        let way = way();
        answered_over(&writes, &way);
        if broke_after_it_was_sent {
            way.sent();
        }
        way.lost();
        let (outcome, again) = repeats(writes.begin(digest(1))).outcome().await.unwrap();
        assert_eq!(value(outcome), json!({ "number": 1 }));
        again.unwrap().over(None);
        assert_eq!(writes.remembered(), 0);
    }
}

#[tokio::test]
async fn a_break_that_only_the_socket_knows_is_seen_before_a_write_is_done_twice() {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    let way = Delivery::over(Arc::new(move || seen.load(Ordering::Relaxed)));
    let writes = writes();
    answered_over(&writes, &way);
    way.sent();
    broken.store(true, Ordering::Relaxed);
    repeats(writes.begin(digest(1)));
}

#[test]
fn a_write_in_doubt_keeps_its_name_until_it_is_clear() {
    let writes = writes();
    let doubtful = first(writes.begin(digest(1)));
    let name = doubtful.name;
    assert!(doubtful.ends(&done(1), Fate::InDoubt).is_none());
    let again = first(writes.begin(digest(1)));
    assert_eq!((again.name, again.in_doubt), (name, true));
    // A refusal now says nothing of the first time.
    assert!(again.ends(&done(1), Fate::Undone).is_none());
    let again = first(writes.begin(digest(1)));
    assert_eq!((again.name, again.in_doubt), (name, true));
    // Its record was made and is gone.
    again.spend();
    assert_ne!(first(writes.begin(digest(1))).name, name);
}

#[tokio::test]
async fn a_write_that_is_dropped_is_in_doubt_and_who_waits_for_it_is_told() {
    let writes = writes();
    let write = first(writes.begin(digest(1)));
    let name = write.name;
    let joined = repeats(writes.begin(digest(1)));
    drop(write);
    assert!(joined.outcome().await.is_none());
    let again = first(writes.begin(digest(1)));
    assert_eq!((again.name, again.in_doubt), (name, true));
}

#[tokio::test]
async fn who_joined_a_write_that_stays_in_doubt_does_not_end_the_doubt() {
    let writes = writes();
    let write = first(writes.begin(digest(1)));
    let name = write.name;
    let joined = repeats(writes.begin(digest(1)));
    assert!(write.ends(&done(1), Fate::InDoubt).is_none());
    let (_, answered) = joined.outcome().await.unwrap();
    assert!(answered.is_none());
    assert_eq!(first(writes.begin(digest(1))).name, name);
}

#[test]
fn nothing_is_remembered_of_a_write_that_changed_nothing() {
    let writes = writes();
    assert!(
        first(writes.begin(digest(1)))
            .ends(&done(1), Fate::Undone)
            .is_none()
    );
    assert_eq!(writes.remembered(), 0);
}

#[tokio::test]
async fn a_write_with_a_name_of_its_clients_stays_the_same_also_when_its_answer_arrived() {
    let writes = writes();
    let named = WriteDigest {
        is_named: true,
        ..digest(1)
    };
    let write = first(writes.begin(named));
    let way = way();
    write.ends(&done(1), Fate::Done).unwrap().over(Some(&way));
    way.sent();
    way.received();
    let (outcome, _) = repeats(writes.begin(named)).outcome().await.unwrap();
    assert_eq!(value(outcome), json!({ "number": 1 }));
    let other = WriteDigest {
        request: [9; 32],
        ..named
    };
    assert!(matches!(writes.begin(other), Begun::OtherName));
}

#[test]
fn a_flood_of_one_person_does_not_make_others_forget() {
    let writes = writes();
    let of = |person: u8, number: u32| {
        let mut key = [person; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        WriteDigest {
            person: [person; 32],
            key,
            request: key,
            is_named: false,
        }
    };
    let bobs = first(writes.begin(of(2, 0)));
    let name = bobs.name;
    assert!(bobs.ends(&done(1), Fate::InDoubt).is_none());
    for number in 0..20_000 {
        let write = first(writes.begin(of(1, number)));
        assert!(write.ends(&done(1), Fate::InDoubt).is_none());
    }
    assert!(writes.remembered() <= 1_002, "{}", writes.remembered());
    assert_eq!(first(writes.begin(of(2, 0))).name, name);
}

#[tokio::test]
async fn answers_that_there_is_no_room_for_leave_their_writes_in_doubt() {
    let writes = writes();
    let large = Outcome::Success(JsonText::of(&json!({ "text": "x".repeat(1024 * 1024) })));
    for number in 0..8 {
        drop(first(writes.begin(digest(number))).ends(&large, Fate::Done));
    }
    assert!(first(writes.begin(digest(0))).in_doubt);
    repeats(writes.begin(digest(7)));
}

#[test]
fn a_process_that_was_killed_hands_its_open_writes_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("own");
    let journal = || Some(Journal::open(&folder, ["backend", "tenant"]).unwrap());
    let killed = writes_with(journal());
    let name = first(killed.begin(digest(1))).name;
    let unsent = answered_name(&killed, 2, &way());
    let (sent, lost) = (way(), way());
    answered_name(&killed, 3, &sent);
    let broken = answered_name(&killed, 4, &lost);
    sent.sent();
    lost.sent();
    lost.lost();
    drop(killed);
    let next = writes_with(journal());
    for (number, name) in [(1, name), (2, unsent), (4, broken)] {
        let again = first(next.begin(digest(number)));
        assert_eq!((again.name, again.in_doubt), (name, true), "{number}");
    }
    assert!(!first(next.begin(digest(3))).in_doubt);
}

/// The name of a write that was carried out and answered on this way.
fn answered_name(writes: &Writes, number: u8, way: &Delivery) -> Uuid {
    let write = first(writes.begin(digest(number)));
    let name = write.name;
    write.ends(&done(1), Fate::Done).unwrap().over(Some(way));
    name
}
