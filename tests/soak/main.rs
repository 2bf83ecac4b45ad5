//! The soak: fifty people before a real sidecar for minutes, then for a number of calls, with an eye on its memory. In:
//! `soak TOOLBRIDGE MINUTES CALLS`. Out: a table, and status 0 if nothing failed and the memory stayed. The backend is the
//! sandbox, in this process; the sidecar is a process of its own, whose memory alone is looked at. Everything is on
//! 127.0.0.1, on free ports, and ends with this process.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of the tests may fail loudly"
)]

mod people;
mod sidecar;
mod walk;

use std::{
    env,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use toolbridge::{
    catalogue::Catalogue,
    sandbox::{Sandbox, SandboxSettings, Tenants, TokenRules},
};

use people::{AUDIENCE, ISSUER, Person, SECRET, TENANT_SECRET};
use sidecar::Sidecar;

const PEOPLE: usize = 50;

/// How often the memory is looked at in all: every 10,000 calls of 200,000.
const SAMPLES: usize = 20;

/// The last quarter may have so many hundredths more than the first, and one MiB for what a page is rounded to.
const GROWTH_PERCENT: u64 = 5;
const ROUNDING_KIB: u64 = 1024;

/// When walks begin no more.
enum Until {
    Time(Instant),
    /// So many calls of all people together.
    Calls(usize),
}

/// What all people have done together.
#[derive(Default)]
struct Count {
    calls: usize,
    errors: Vec<String>,
    /// The memory in KiB, after so many calls.
    memory: Vec<(usize, u64)>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [toolbridge, minutes, calls] = arguments.as_slice() else {
        eprintln!("usage: soak TOOLBRIDGE MINUTES CALLS");
        return ExitCode::FAILURE;
    };
    let (minutes, calls): (u64, usize) = (minutes.parse().unwrap(), calls.parse().unwrap());
    let backend = sandbox().await;
    let sidecar = Arc::new(Sidecar::start(toolbridge, &backend.url()).await);

    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let steady = run(&sidecar, Until::Time(end)).await;
    println!(
        "{minutes} min: {} calls, {} errors",
        steady.calls,
        steady.errors.len()
    );
    let counted = run(&sidecar, Until::Calls(calls)).await;
    println!(
        "then: {} calls, {} errors",
        counted.calls,
        counted.errors.len()
    );
    for error in steady.errors.iter().chain(&counted.errors).take(10) {
        println!("  {error}");
    }
    let flat = is_flat(&counted.memory);
    let well = sidecar.stops().await;
    if steady.errors.is_empty() && counted.errors.is_empty() && flat && well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn sandbox() -> Sandbox {
    let settings = SandboxSettings {
        tokens: TokenRules {
            issuer: Some(ISSUER.to_owned()),
            audiences: vec![AUDIENCE.to_owned()],
            ..TokenRules::hs256(SECRET)
        },
        tenants: Tenants::Signed {
            secret: TENANT_SECRET.into(),
            next: None,
        },
        ..SandboxSettings::for_tests(Catalogue::shipped().unwrap().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

/// Everybody walks, again and again; a person whose walk fails goes home.
async fn run(sidecar: &Arc<Sidecar>, until: Until) -> Count {
    let mut count = Count::default();
    let mut walking = JoinSet::new();
    let sets_out = |walking: &mut JoinSet<_>, person: Person| {
        walking.spawn(async move { (walk::walk(&person).await, person) });
    };
    for number in 0..PEOPLE {
        sets_out(&mut walking, Person::number(number, &sidecar.url));
    }
    let sample = match until {
        Until::Time(_) => usize::MAX,
        Until::Calls(calls) => (calls / SAMPLES).max(1),
    };
    let (mut begun, mut next) = (PEOPLE * walk::CALLS, sample);
    while let Some(ended) = walking.join_next().await {
        let (ended, person) = ended.unwrap();
        count.calls += person.calls();
        if count.calls >= next {
            count.memory.push((count.calls, sidecar.resident_kib()));
            next = count.calls + sample - count.calls % sample;
        }
        let goes_on = match until {
            Until::Time(end) => Instant::now() < end,
            Until::Calls(calls) => begun < calls,
        };
        match ended {
            Err(error) => count.errors.push(error),
            Ok(()) if goes_on => {
                begun += walk::CALLS;
                sets_out(&mut walking, person);
            }
            Ok(()) => {}
        }
    }
    count
}

/// Prints the memory, and compares its ends: the first sample is for warming up.
fn is_flat(memory: &[(usize, u64)]) -> bool {
    println!("\n   calls   resident");
    for (calls, kib) in memory {
        println!("{calls:>8} {kib:>6} KiB");
    }
    let warm: Vec<u64> = memory.iter().skip(1).map(|(_, kib)| *kib).collect();
    let quarter = warm.len().div_ceil(4);
    if warm.len() < 4 {
        println!("too few calls to say whether it stays");
        return true;
    }
    let first = median(warm.iter().take(quarter));
    let last = median(warm.iter().rev().take(quarter));
    let most = first + first * GROWTH_PERCENT / 100 + ROUNDING_KIB;
    let verdict = if last <= most { "flat" } else { "GROWING" };
    println!("first quarter {first} KiB, last quarter {last} KiB (at most {most}): {verdict}");
    last <= most
}

fn median<'a>(samples: impl Iterator<Item = &'a u64>) -> u64 {
    let mut samples: Vec<u64> = samples.copied().collect();
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
