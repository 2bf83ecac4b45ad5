//! The tries of a call on a clock that jumps: what is repeated, when, how often, and that nothing waits in vain.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, Method, header::IF_MATCH};
use tokio::time::{Instant, sleep};

use super::{super::queue::Queues, *};
use crate::{backend::Stage, catalogue::Effect};

const MINUTE: Duration = Duration::from_secs(60);

fn plan(method: Method) -> Plan {
    Plan {
        effect: match method {
            Method::GET => Effect::Read,
            _ => Effect::Write,
        },
        method,
        target: "/v1/notes".to_owned(),
        headers: HeaderMap::new(),
        body: None,
        new_uid: None,
        session: None,
        success: Arc::from([200]),
    }
}

fn answered(status: u16, retry_after: Option<u64>) -> Rejection {
    Rejection {
        status,
        message: None,
        correlation_id: None,
        retry_after,
        deleted_at: None,
        versions: None,
    }
}

fn rejected(status: u16) -> BackendError {
    BackendError::Rejected(answered(status, None))
}

fn refused(status: u16, retry_after: Option<u64>) -> BackendError {
    BackendError::SessionRefused(answered(status, retry_after))
}

fn cut() -> BackendError {
    BackendError::Unreadable {
        stage: Stage::Request,
        status: 200,
        problem: BodyProblem::CutShort,
    }
}

fn tries(plan: &Plan, deadline: Deadline) -> Tries<'_> {
    Tries {
        settings: RetrySettings {
            base: Duration::from_secs(1),
            dice: || 0.5,
        },
        deadline,
        plan,
        trail: Trail::begin(),
        done: Done::default(),
    }
}

/// How a call ends whose tries fail so, one after the other, and then succeed; how often it was tried, for how long.
async fn ends(
    plan: &Plan,
    failures: Vec<BackendError>,
    deadline: Deadline,
) -> (Result<(), BackendError>, usize, Duration) {
    let begun = Instant::now();
    let failures = RefCell::new(VecDeque::from(failures));
    let count = Cell::new(0);
    let open = || {
        count.set(count.get() + 1);
        let mut failures = failures.borrow_mut();
        let is_opening = matches!(failures.front(), Some(BackendError::SessionRefused(_)));
        let next = is_opening.then(|| failures.pop_front()).flatten();
        async move { next.map_or(Ok(()), Err) }
    };
    let send = |()| {
        let next = failures.borrow_mut().pop_front();
        async move { next.map_or(Ok(()), Err) }
    };
    let queue = Queues::default().of("issuer", "alice");
    let ended = tries(plan, deadline).run(&queue, open, send).await;
    (ended, count.get(), begun.elapsed())
}

async fn within_a_minute(
    plan: &Plan,
    failures: Vec<BackendError>,
) -> (Result<(), BackendError>, usize, Duration) {
    ends(plan, failures, Deadline::after(MINUTE)).await
}

fn seconds(time: Duration) -> u64 {
    // The clock of tokio counts milliseconds, and rounds up.
    (time.as_millis() / 1000).try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_tried_after_one_two_and_four_seconds() {
    for failure in [cut, || rejected(502), || rejected(503), || rejected(504)] {
        let three = vec![failure(), failure(), failure()];
        let (ended, count, took) = within_a_minute(&plan(Method::GET), three).await;
        assert!(ended.is_ok());
        assert_eq!((count, seconds(took)), (4, 7));
        let four = (0..4).map(|_| failure()).collect();
        let (ended, count, _) = within_a_minute(&plan(Method::GET), four).await;
        assert!(ended.is_err());
        assert_eq!(count, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn chance_makes_a_wait_half_as_long_to_half_as_long_again() {
    let reading = plan(Method::GET);
    for (dice, expected) in [((|| 0.0) as fn() -> f64, 500), (|| 1.0, 1500)] {
        let begun = Instant::now();
        let mut tries = tries(&reading, Deadline::after(MINUTE));
        tries.settings.dice = dice;
        let next = tries.next(&rejected(503)).unwrap();
        assert_eq!((next - begun).as_millis(), expected);
    }
    let mut slow = tries(&reading, Deadline::after(MINUTE * 10));
    slow.settings.base = MINUTE;
    slow.done.again = 2;
    let next = slow.next(&rejected(503)).unwrap();
    assert_eq!(next - Instant::now(), MINUTE, "capped");
    for _ in 0..100 {
        assert!((0.0..=1.0).contains(&dice()));
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_waits_as_long_as_told_and_at_most_five_times() {
    let limited = |seconds| refused(429, seconds);
    let five = (0..5).map(|_| limited(Some(2))).collect();
    let (ended, count, took) = within_a_minute(&plan(Method::POST), five).await;
    assert!(ended.is_ok());
    // Never sooner than told, a quarter later with these dice.
    assert_eq!((count, seconds(took)), (6, 12));
    let six = (0..6).map(|_| limited(Some(2))).collect();
    let (ended, count, _) = within_a_minute(&plan(Method::POST), six).await;
    assert!(matches!(ended, Err(BackendError::SessionRefused(it)) if it.retry_after == Some(2)));
    assert_eq!(count, 6);
    // Without a time it is a minute, which is too long for this deadline and not for another.
    let (ended, _, took) = within_a_minute(&plan(Method::GET), vec![limited(None)]).await;
    assert_eq!((ended.is_err(), took), (true, Duration::ZERO));
    let late = Deadline::after(2 * MINUTE);
    let (ended, _, took) = ends(&plan(Method::GET), vec![limited(None)], late).await;
    assert_eq!((ended.is_ok(), seconds(took)), (true, 75));
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_past_the_deadline_or_the_clients_patience() {
    let asked = || vec![refused(429, Some(30))];
    let (ended, count, took) = ends(&plan(Method::GET), asked(), Deadline::after(MINUTE / 2)).await;
    assert_eq!((ended.is_err(), count, took), (true, 1, Duration::ZERO));
    let soon = Instant::now() + Duration::from_secs(5);
    let impatient = Deadline::after(MINUTE).with_client(Some(soon));
    let (ended, count, took) = ends(&plan(Method::GET), asked(), impatient).await;
    assert_eq!((ended.is_err(), count, took), (true, 1, Duration::ZERO));
    let (ended, ..) = within_a_minute(&plan(Method::GET), asked()).await;
    assert!(ended.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stale_session_is_replaced_once_and_at_once() {
    let stale = || BackendError::Stale(answered(428, None));
    let (ended, count, took) = within_a_minute(&plan(Method::POST), vec![stale()]).await;
    assert_eq!((ended.is_ok(), count, seconds(took)), (true, 2, 0));
    let (ended, count, _) = within_a_minute(&plan(Method::POST), vec![stale(), stale()]).await;
    assert_eq!((ended.is_err(), count), (true, 2));
}

#[tokio::test(start_paused = true)]
async fn other_refusals_and_slowness_are_final() {
    let slow = || BackendError::TimedOut {
        stage: Stage::Request,
        limit: Limited::Request,
        after: MINUTE,
        sent: true,
    };
    let mut failures: Vec<_> = [400, 401, 403, 404, 409, 410, 412, 500, 501]
        .map(rejected)
        .into();
    failures.push(slow());
    for failure in failures {
        let (ended, count, _) = within_a_minute(&plan(Method::GET), vec![failure]).await;
        assert_eq!((ended.is_err(), count), (true, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_arrived_is_repeated_only_if_twice_is_once() {
    for (method, versioned, count) in [
        (Method::POST, false, 1),
        (Method::POST, true, 1),
        (Method::PATCH, false, 1),
        (Method::PATCH, true, 2),
        (Method::PUT, false, 2),
        (Method::DELETE, false, 2),
    ] {
        let mut plan = plan(method.clone());
        if versioned {
            plan.headers.insert(IF_MATCH, 5.into());
        }
        for failure in [cut, || rejected(503)] {
            let (_, tried, _) = within_a_minute(&plan, vec![failure()]).await;
            assert_eq!(tried, count, "{method} {versioned}");
        }
        // What never reached a handler may always be sent.
        for failure in [refused(503, None), rejected(429)] {
            let late = Deadline::after(2 * MINUTE);
            let (ended, tried, _) = ends(&plan, vec![failure], late).await;
            assert_eq!((ended.is_ok(), tried), (true, 2), "{method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_echo_of_an_own_write_is_no_conflict() {
    let mut patch = plan(Method::PATCH);
    patch.headers.insert(IF_MATCH, 5.into());
    let (ended, count, _) = within_a_minute(&patch, vec![cut(), rejected(412)]).await;
    let error = ended.unwrap_err();
    assert!(error.may_have_written(&patch), "{error:?}");
    assert_eq!(count, 2);
}

/// What the original grants one person: a burst of 20 sessions, then one each second (contract §6.1).
struct Bucket {
    tokens: Cell<f64>,
    filled: Cell<Instant>,
}

impl Bucket {
    fn full() -> Self {
        Self {
            tokens: Cell::new(20.0),
            filled: Cell::new(Instant::now()),
        }
    }

    async fn opens(&self) -> Result<(), BackendError> {
        let now = Instant::now();
        let since = (now - self.filled.replace(now)).as_secs_f64();
        let tokens = (self.tokens.get() + since).min(20.0);
        let is_granted = tokens >= 1.0;
        self.tokens.set(tokens - f64::from(u8::from(is_granted)));
        sleep(Duration::from_millis(5)).await;
        is_granted
            .then_some(())
            .ok_or_else(|| refused(429, Some(1)))
    }
}

/// How so many calls of one person end that begin at once.
async fn burst(calls: usize, deadline: Duration) -> (usize, Vec<u64>) {
    let (bucket, queues) = (Bucket::full(), Queues::default());
    let plan = plan(Method::POST);
    let all = (0..calls).map(|_| async {
        let queue = queues.of("issuer", "alice");
        let tries = tries(&plan, Deadline::after(deadline));
        tries
            .run(&queue, || bucket.opens(), |()| async { Ok(()) })
            .await
    });
    let mut waits = Vec::new();
    for ended in futures_util::future::join_all(all).await {
        match ended {
            Ok(()) => {}
            Err(BackendError::SessionRefused(it)) if it.status == 429 => {
                waits.push(it.retry_after.unwrap());
            }
            Err(BackendError::Crowded { retry_after }) => waits.push(retry_after),
            Err(other) => panic!("{other:?}"),
        }
    }
    (calls - waits.len(), waits)
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_fifty_calls_of_one_person_ends_with_fifty_successes() {
    assert_eq!(burst(50, Duration::from_secs(55)).await, (50, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_does_not_fit_into_the_deadline_is_told_when_to_come_back() {
    let begun = Instant::now();
    let (served, waits) = burst(50, Duration::from_secs(10)).await;
    assert!((26..=31).contains(&served), "{served}");
    assert!(waits.iter().all(|seconds| *seconds >= 1), "{waits:?}");
    assert!(begun.elapsed() <= Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_burst_of_somebody_else() {
    let queues = Queues::default();
    let alices = queues.of("issuer", "alice");
    let soon = Instant::now() + Duration::from_secs(1);
    let _turn = alices.join(soon).await.unwrap();
    let bobs = queues.of("issuer", "bob");
    assert!(bobs.behind_others(soon).await.unwrap().is_none());
    let namesake = queues.of("another", "alice");
    assert!(namesake.behind_others(soon).await.unwrap().is_none());
    let crowded = queues.of("issuer", "alice").behind_others(soon).await;
    assert!(matches!(crowded, Err(BackendError::Crowded { .. })));
}
