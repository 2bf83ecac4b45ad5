//! Ten thousand hostile requests. Each ends in a sane answer or an end; afterwards nothing of them is left, everybody
//! else is served as before, and the process has the memory it had. Limits of time are short, and the sidecar's end of
//! a connection is what is waited for, so that nothing sleeps.

mod corpus;
mod process;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    canonical_calls::NOTE,
    harness::{FakeBackend, Person, Setup, in_time, token_for},
};
use corpus::{Attack, MOST_BODY, Target, Then};
use process::Process;

const SEED: u64 = 5;
const REQUESTS: usize = 10_000;
/// Attackers at work at a time.
const ATTACKERS: usize = 64;
/// Connections that the sidecar takes.
const PLACES: usize = 100;
/// What all of them together may make the process hold, in KiB: the largest body for every place.
const HELD: u64 = (PLACES * MOST_BODY / 1024) as u64;

/// What the sidecar is told beside the least.
fn limits() -> Vec<(&'static str, String)> {
    let body = format!("{} KiB", MOST_BODY / 1024);
    let mut limits = vec![
        ("server.max_request_bytes", body),
        ("server.max_connections", PLACES.to_string()),
    ];
    // The first is for honest people too, however busy the machine is.
    for (name, timeout) in [
        ("server.header_timeout", "400ms"),
        ("server.body_timeout", "25ms"),
        ("server.write_timeout", "25ms"),
        ("server.idle_timeout", "25ms"),
    ] {
        limits.push((name, timeout.to_owned()));
    }
    limits
}

fn target(url: &str) -> Target {
    Target {
        host: url.trim_start_matches("http://").to_owned(),
        token: token_for("mallory"),
    }
}

/// Everything that comes back until the connection ends.
async fn strikes(host: &str, attack: &Attack) -> Vec<u8> {
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let writes = async {
        // The sidecar may hang up before it has read everything.
        let _ = writing.write_all(&attack.bytes).await;
        if attack.then == Then::HalfCloses {
            let _ = writing.shutdown().await;
        }
        writing
    };
    if attack.then == Then::Vanishes {
        let writing = writes.await;
        let stream = reading.reunite(writing).unwrap();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        return Vec::new();
    }
    let mut came = Vec::new();
    let reads = reading.read_to_end(&mut came);
    let (_writing, _) = tokio::join!(writes, reads);
    came
}

/// The statuses of the answers in what came back.
fn statuses(mut came: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !came.is_empty() {
        let end = came.windows(4).position(|end| end == b"\r\n\r\n");
        let Some(end) = end else {
            // Cut short by the end of the connection.
            assert!(b"HTTP/1.1 ".starts_with(&came[..came.len().min(9)]));
            break;
        };
        let head = std::str::from_utf8(&came[..end])
            .unwrap()
            .to_ascii_lowercase();
        let status = head
            .strip_prefix("http/1.1 ")
            .and_then(|rest| rest.get(..3));
        statuses.push(
            status
                .unwrap_or_else(|| panic!("no answer: {head}"))
                .parse()
                .unwrap(),
        );
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let body = &came[end + 4..];
        let taken = match length {
            Some(length) => length.parse().unwrap(),
            None if head.contains("transfer-encoding: chunked") => {
                let end = body.windows(5).position(|end| end == b"0\r\n\r\n");
                end.map_or(body.len(), |end| end + 5)
            }
            None => 0,
        };
        came = &body[body.len().min(taken)..];
    }
    statuses
}

/// All of them, so many at a time. How often which status was answered, 0 standing for an end without an answer.
async fn strike_all(host: &str, attacks: Vec<Attack>) -> BTreeMap<u16, usize> {
    let free = Arc::new(Semaphore::new(ATTACKERS));
    let mut running = JoinSet::new();
    for attack in attacks {
        let (host, place) = (host.to_owned(), Arc::clone(&free).acquire_owned().await);
        running.spawn(async move {
            let came = strikes(&host, &attack).await;
            drop(place);
            (attack, came)
        });
    }
    let mut seen = BTreeMap::new();
    while let Some(ended) = in_time(running.join_next()).await {
        let (attack, came) = ended.unwrap();
        let statuses = statuses(&came);
        for status in &statuses {
            let sane = matches!(status, 100..500) || *status == 503;
            let request = String::from_utf8_lossy(&attack.bytes[..attack.bytes.len().min(400)]);
            assert!(sane, "{}: {status}: {request:?}", attack.category);
            *seen.entry(*status).or_default() += 1;
        }
        if statuses.is_empty() {
            *seen.entry(0).or_default() += 1;
        }
    }
    seen
}

/// More connections than there are places, all at once; each is served, turned away or let go.
async fn flood(host: &str) {
    let mut running = JoinSet::new();
    for _ in 0..PLACES + 100 {
        let attack = Attack {
            category: "connection floods",
            bytes: b"GET /healthz HTTP/1.1\r\nhost: x\r\n".to_vec(),
            then: Then::Waits,
        };
        let host = host.to_owned();
        running.spawn(async move { statuses(&strikes(&host, &attack).await) });
    }
    while let Some(ended) = in_time(running.join_next()).await {
        let statuses = ended.unwrap();
        assert!(matches!(*statuses, [] | [408 | 503]), "{statuses:?}");
    }
}

/// What an honest person gets, on a connection of its own, while the others let theirs go.
async fn is_served(person: &Person) {
    let uid = json!({ "uid": NOTE });
    person
        .with("connection", "close")
        .calls("get_note", uid)
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_requests_leave_nothing_behind() {
    let backend = FakeBackend::start();
    let mut setup = Setup::before(&backend);
    for (name, value) in limits() {
        setup = setup.set(name, &value);
    }
    let sidecar = setup.start().await;
    is_served(&sidecar.alice()).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let target = target(&sidecar.url);
    let all = corpus::attacks(SEED, REQUESTS, &target);
    assert!(all.len() >= REQUESTS);
    let seen = strike_all(&target.host, all).await;
    // It was not all the same to the sidecar.
    for status in [0, 200, 400, 401, 408, 413, 431] {
        assert!(
            seen.get(&status).is_some_and(|times| *times > 10),
            "{status}: {seen:?}"
        );
    }
    flood(&target.host).await;
    assert!(sidecar.door.counts().too_many > 0);
    in_time(async {
        while sidecar.door.counts().open > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    is_served(&sidecar.alice()).await;
    // Connections to the backend are kept for the next calls.
    let left = tasks().saturating_sub(before);
    assert!(left <= 2 * ATTACKERS, "{left} tasks are left");
    assert!(sidecar.stops().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time: scripts/test runs it"]
async fn ten_thousand_hostile_requests_cost_the_process_no_memory() {
    let backend = FakeBackend::start();
    let mut process = Process::start(&backend, &limits()).await;
    let alice = process.nobody().with_token(&token_for("alice"));
    is_served(&alice).await;
    let target = target(&process.url);
    let mut all = corpus::attacks(SEED + 1, REQUESTS, &target);
    let rest = all.split_off(all.len() / 10);
    strike_all(&target.host, all).await;
    let before = process.resident_kib();
    strike_all(&target.host, rest).await;
    flood(&target.host).await;
    is_served(&alice).await;
    let (after, peak) = (process.resident_kib(), process.peak_kib());
    assert!(after <= before + HELD, "{before} KiB, then {after} KiB");
    // Once as bytes, and once as what was read of them.
    assert!(peak <= before + 2 * HELD, "{before} KiB, then {peak} KiB");
    let log = process.stops().await;
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
}
