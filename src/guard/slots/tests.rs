//! Who gets a slot, who waits, and who is turned away. Tokio's clock stands still but where it is moved.

use tokio::{task::JoinHandle, task::yield_now};

use super::*;
use crate::auth::Caller;

fn person(name: &str) -> Arc<Person> {
    Person::of(&Caller::for_tests("issuer", name, None))
}

fn slots(slots: usize, queue: usize) -> Slots {
    Slots::new(SlotSettings {
        slots,
        queue,
        wait: Duration::from_secs(10),
    })
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A call that begins to wait now.
async fn waits(slots: &Slots, name: &str) -> JoinHandle<Result<Slot, Busy>> {
    let (slots, person) = (slots.clone(), person(name));
    let waiting = slots.counts().waiting;
    let call = {
        let slots = slots.clone();
        tokio::spawn(async move { slots.enter(&person, far()).await })
    };
    while slots.counts().waiting == waiting && !call.is_finished() {
        yield_now().await;
    }
    call
}

async fn has(slots: &Slots, name: &str) -> Slot {
    slots.enter(&person(name), far()).await.unwrap()
}

fn are_all_free(slots: &Slots) {
    let counts = slots.counts();
    assert_eq!((counts.held, counts.waiting), (0, 0));
    let state = slots.lock();
    assert!(state.people.is_empty() && state.turns.is_empty());
}

#[tokio::test(start_paused = true)]
async fn people_are_served_in_turn_whatever_each_has_waiting() {
    let slots = slots(1, 100);
    let first = has(&slots, "mallory").await;
    let mut flood = Vec::new();
    for _ in 0..20 {
        flood.push(waits(&slots, "mallory").await);
    }
    let alice = waits(&slots, "alice").await;
    let bob = waits(&slots, "bob").await;
    drop(first);
    drop(flood.remove(0).await.unwrap().unwrap());
    drop(alice.await.unwrap().unwrap());
    drop(bob.await.unwrap().unwrap());
    for call in flood {
        drop(call.await.unwrap().unwrap());
    }
    are_all_free(&slots);
}

#[tokio::test(start_paused = true)]
async fn one_person_never_holds_more_than_half_of_the_slots() {
    let slots = slots(4, 100);
    let _two = [has(&slots, "mallory").await, has(&slots, "mallory").await];
    let third = waits(&slots, "mallory").await;
    let alice = has(&slots, "alice").await;
    assert!(!third.is_finished());
    // Nor when others give theirs back.
    drop(alice);
    yield_now().await;
    assert!(!third.is_finished());
    let [one, _other] = _two;
    drop(one);
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sheds_the_calls_of_whoever_has_most_in_it() {
    let slots = slots(2, 4);
    let held = [has(&slots, "mallory").await, has(&slots, "bob").await];
    let mut flood = Vec::new();
    for _ in 0..4 {
        flood.push(waits(&slots, "mallory").await);
    }
    // One more of mallory's own is turned away at once.
    let full = slots.enter(&person("mallory"), far()).await;
    assert!(matches!(full, Err(Busy::Full { .. })));
    // Alice takes the place of the newest of them, so that the queue stays as long as it is.
    let alice = {
        let (slots, person) = (slots.clone(), person("alice"));
        tokio::spawn(async move { slots.enter(&person, far()).await })
    };
    let newest = flood.pop().unwrap().await.unwrap();
    assert!(matches!(newest, Err(Busy::Full { .. })));
    assert_eq!(slots.counts().shed, 2);
    drop(held);
    alice.await.unwrap().unwrap();
    for call in flood {
        call.await.unwrap().unwrap();
    }
    are_all_free(&slots);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_how_long() {
    let slots = slots(1, 4);
    let held = has(&slots, "alice").await;
    let ten = slots.enter(&person("bob"), far()).await;
    let waited = |result: Result<Slot, Busy>| match result {
        Err(Busy::Waited { waited, .. }) => waited.as_secs(),
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(waited(ten), 10);
    let soon = Instant::now() + Duration::from_secs(3);
    assert_eq!(waited(slots.enter(&person("bob"), soon).await), 3);
    drop(held);
    are_all_free(&slots);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_the_queue_and_loses_no_slot() {
    let slots = slots(1, 4);
    let held = has(&slots, "alice").await;
    let gone = waits(&slots, "bob").await;
    let stays = waits(&slots, "carol").await;
    gone.abort();
    assert!(gone.await.is_err());
    assert_eq!(slots.counts().waiting, 1);
    // One who goes when the slot is theirs already, and has not seen it.
    drop(held);
    assert_eq!(slots.counts().held, 1);
    stays.abort();
    let _ = stays.await;
    are_all_free(&slots);
}
