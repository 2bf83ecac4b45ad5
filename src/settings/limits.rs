//! `limits.*` and `breaker.*`: how often people may call, how many calls ask the backend at once, and when it is left
//! alone. A profile says it all, and each key that is set replaces its part. `LIMITS_REDIS_URL` may hold a password, so
//! it is a secret.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    keys::{self, Key},
    parse,
    problem::Wrong,
    reader::Reader,
    secrets::Secret,
};
use crate::guard::{BreakerSettings, Rule, Rules, SharedSettings};

/// `limits.*`, without what is the backend's.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// How often a person may call.
    pub rules: Rules,
    /// Where several machines count together; `None`: each for itself.
    pub shared: Option<SharedSettings>,
    /// Calls that ask the backend at once.
    pub concurrency: usize,
    /// Calls that wait for that.
    pub queue: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Memory,
    Redis,
}

/// Nothing that one developer, a test or a load of ours does meets it.
const DEVELOPMENT: Rules = Rules {
    person: rule(1_000_000, 1, 1_000_000),
    tool: rule(1_000_000, 1, 1_000_000),
};
/// A person with an AI client, as the original backend's own limit has it; one tool gets half of that.
const PRODUCTION: Rules = Rules {
    person: rule(600, 60, 120),
    tool: rule(300, 60, 100),
};
/// So little that each limit can be seen.
const TEST: Rules = Rules {
    person: Rule {
        block: Duration::from_secs(2),
        ..rule(10, 10, 5)
    },
    tool: rule(5, 10, 3),
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

const fn rule(requests: u32, seconds: u64, burst: u32) -> Rule {
    Rule {
        requests,
        window: Duration::from_secs(seconds),
        burst,
        block: Duration::ZERO,
    }
}

impl LimitSettings {
    pub(super) fn read(reader: &mut Reader, url: Result<Option<Secret>, ()>) -> Option<Self> {
        let profiles = [
            ("production", PRODUCTION),
            ("development", DEVELOPMENT),
            ("test", TEST),
        ];
        let profile = reader.text(&keys::LIMITS_PROFILE, |text| parse::one_of(text, &profiles));
        let whole = profile.unwrap_or(PRODUCTION);
        let rules = Rules {
            person: changed(reader, whole.person, &keys::LIMITS_PERSON),
            tool: changed(reader, whole.tool, &keys::LIMITS_TOOL),
        };
        let shared = shared(reader, url);
        let concurrency = reader.scalar(&keys::LIMITS_CONCURRENCY, parse::count);
        let queue = reader.scalar(&keys::LIMITS_QUEUE, parse::count);
        profile?;
        Some(Self {
            rules,
            shared: shared?,
            concurrency: concurrency?,
            queue: queue?,
        })
    }
}

/// The profile's rule with what is set: requests, window, burst, block.
fn changed(reader: &mut Reader, rule: Rule, [requests, window, burst, block]: &[Key; 4]) -> Rule {
    let requests = reader.scalar(requests, number);
    let window = reader.duration(window, SECOND..=DAY);
    let burst = reader.scalar(burst, number);
    let block = reader.duration(block, Duration::ZERO..=DAY);
    Rule {
        requests: requests.unwrap_or(rule.requests),
        window: window.unwrap_or(rule.window),
        burst: burst.unwrap_or(rule.burst),
        block: block.unwrap_or(rule.block),
    }
}

fn number(text: &str) -> Result<u32, Wrong> {
    // At most a million.
    parse::count(text).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// The store, if there is one; `None` where its problem is reported.
fn shared(reader: &mut Reader, url: Result<Option<Secret>, ()>) -> Option<Option<SharedSettings>> {
    let stores = [("memory", Store::Memory), ("redis", Store::Redis)];
    let store = reader.text(&keys::LIMITS_STORE, |text| parse::one_of(text, &stores));
    let bounds = MILLISECOND..=Duration::from_secs(10);
    let timeout = reader.duration(&keys::LIMITS_REDIS_TIMEOUT, bounds);
    if store? == Store::Memory {
        return Some(None);
    }
    let Some(url) = url.ok()? else {
        let what = format!("`redis` needs `{}`", keys::LIMITS_REDIS_URL);
        let hint = "set the variable to the store's address, such as `redis://:password@host:6379/0`, or use `memory`";
        reader.refuse(&keys::LIMITS_STORE, what, hint);
        return None;
    };
    if !is_address(&url.value) {
        let hint = "write it like `redis://:password@host:6379/0`, `rediss://…` for TLS, or `unix:///path`";
        let problem = url.problem("it is no address of a Redis or Valkey", hint);
        reader.problems.push(problem);
        return None;
    }
    Some(Some(SharedSettings {
        url: url.value,
        timeout: timeout?,
    }))
}

fn is_address(url: &SecretString) -> bool {
    let schemes = ["redis", "rediss", "valkey", "valkeys", "unix"];
    Url::parse(url.expose_secret()).is_ok_and(|url| schemes.contains(&url.scheme()))
}

/// `breaker.*`.
pub(super) fn breaker(reader: &mut Reader) -> Option<BreakerSettings> {
    let failures = reader.scalar(&keys::BREAKER_FAILURES, number);
    let after = reader.duration(&keys::BREAKER_AFTER, Duration::ZERO..=DAY);
    let pause = reader.duration(&keys::BREAKER_PAUSE, MILLISECOND..=DAY);
    let probes = reader.scalar(&keys::BREAKER_PROBES, number);
    Some(BreakerSettings {
        failures: failures?,
        after: after?,
        pause: pause?,
        probes: probes?,
    })
}
