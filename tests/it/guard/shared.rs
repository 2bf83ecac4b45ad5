//! Several machines count together in a real store; when it is away each counts for itself, more strictly.

use super::{few, reads, redis_server::RedisServer, refused};
use crate::harness::{FakeBackend, Person, Setup, Sidecar, in_time};
use tokio::{net::TcpListener, sync::watch};

fn counting_in(setup: Setup, url: &'static str) -> Setup {
    setup
        .set("limits.store", "redis")
        // Verdicts must not hang on the speed of a busy machine.
        .set("limits.redis_timeout", "10s")
        .secret("LIMITS_REDIS_URL", url)
}

fn degraded(sidecar: &Sidecar) -> watch::Receiver<bool> {
    sidecar.calls.guard().degraded().unwrap()
}

async fn becomes(state: &mut watch::Receiver<bool>, degraded: bool) {
    in_time(state.wait_for(|now| *now == degraded))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_person_has_one_limit_at_all_machines_together() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let backend = FakeBackend::start();
    let one = counting_in(few(&backend, 4), redis.url()).start().await;
    let other = counting_in(few(&backend, 4), redis.url()).start().await;
    for _ in 0..2 {
        reads(&one.alice()).await.good();
        reads(&other.alice()).await.good();
    }
    for sidecar in [&one, &other] {
        let (words, wait) = refused(&reads(&sidecar.alice()).await, "RATE_LIMITED");
        assert!(words.contains("4 times at once"), "{words}");
        assert!((86_000..=86_400).contains(&wait), "{wait}");
        reads(&sidecar.bob()).await.good();
        let now = sidecar.calls.guard().snapshot();
        assert_eq!((now.is_degraded, now.decisions.degraded), (false, 0));
    }
}

#[tokio::test]
async fn a_block_holds_at_every_machine() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let backend = FakeBackend::start();
    let setup = || {
        counting_in(
            few(&backend, 1).set("limits.person.block", "1h"),
            redis.url(),
        )
    };
    let (one, other) = (setup().start().await, setup().start().await);
    reads(&one.alice()).await.good();
    // The other's own count has none yet: the store says it.
    let (words, _) = refused(&reads(&other.alice()).await, "RATE_LIMITED");
    assert!(words.contains("held back for 3600 s more"), "{words}");
    for sidecar in [&one, &other] {
        refused(&reads(&sidecar.alice()).await, "RATE_LIMITED");
    }
    assert_eq!(other.calls.guard().snapshot().decisions.blocked, 2);
}

#[tokio::test]
async fn the_store_sees_no_name_and_keeps_nothing_forever() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let backend = FakeBackend::start();
    let setup = few(&backend, 4)
        .set("limits.tool.requests", "1")
        .set("limits.tool.window", "1d")
        .set("limits.tool.burst", "4");
    let sidecar = counting_in(setup, redis.url()).start().await;
    reads(&sidecar.person("mallory@example.com")).await.good();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in keys {
        assert!(
            !key.contains("mallory") && !key.contains("example"),
            "{key}"
        );
        let left: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert!(left > 0, "{key} stays forever");
    }
}

#[tokio::test]
async fn without_its_store_each_machine_is_stricter_and_says_so_until_it_is_back() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    let backend = FakeBackend::start();
    let sidecar = counting_in(few(&backend, 8), redis.url()).start().await;
    let mut state = degraded(&sidecar);
    reads(&sidecar.alice()).await.good();
    let ops = Person::at(&sidecar.ops_url);
    let ready = ops.gets("/readyz").await;
    assert!(ready.body.contains("limits: ok\n"), "{ready:?}");
    redis.is_killed();
    // It is looked at, also while nobody calls.
    let ready = ops.gets("/readyz").await;
    assert!(ready.body.contains("limits: degraded: "), "{ready:?}");
    let mallory = sidecar.person("mallory");
    reads(&mallory).await.good();
    becomes(&mut state, true).await;
    // Half of eight, the one above among them.
    for _ in 0..3 {
        reads(&mallory).await.good();
    }
    let (words, _) = refused(&reads(&mallory).await, "RATE_LIMITED");
    assert!(words.contains("4 times at once"), "{words}");
    let ready = Person::at(&sidecar.ops_url).gets("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body.contains("limits: degraded: "), "{ready:?}");
    assert!(sidecar.calls.guard().snapshot().decisions.degraded >= 4);

    redis.starts();
    becomes(&mut state, false).await;
    // The whole limit again, of which this process knows four.
    for _ in 0..4 {
        reads(&mallory).await.good();
    }
    refused(&reads(&mallory).await, "RATE_LIMITED");
    let ready = Person::at(&sidecar.ops_url).gets("/readyz").await;
    assert!(ready.body.contains("limits: ok\n"), "{ready:?}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_holds_up_one_call_and_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:hunter2@{}", silent.local_addr().unwrap());
    let backend = FakeBackend::start();
    let setup = counting_in(few(&backend, 8), url.leak());
    let sidecar = setup.set("limits.redis_timeout", "20ms").start().await;
    let alice = sidecar.alice();
    reads(&alice).await.good();
    becomes(&mut degraded(&sidecar), true).await;
    for _ in 0..3 {
        reads(&alice).await.good();
    }
    refused(&reads(&alice).await, "RATE_LIMITED");
    assert_eq!(sidecar.calls.guard().snapshot().decisions.degraded, 5);
}

#[tokio::test]
async fn a_store_has_to_be_named_and_its_password_is_never_shown() {
    let backend = FakeBackend::start();
    let unnamed = Setup::before(&backend).set("limits.store", "redis");
    let problems = unnamed.problems();
    assert!(problems.contains("LIMITS_REDIS_URL"), "{problems}");
    for wrong in ["http://:hunter2@host", "hunter2", "redis//hunter2"] {
        let setup = Setup::before(&backend)
            .set("limits.store", "redis")
            .secret("LIMITS_REDIS_URL", wrong);
        let problems = setup.problems();
        assert!(problems.contains("no address of a Redis"), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}
