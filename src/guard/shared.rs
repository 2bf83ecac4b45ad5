//! The limits of everybody, for several machines: in Redis or Valkey, one script a decision. In: who asks, for which tool.
//! Out: yes, no, or that nobody can say; then this is degraded until the store answers again, and nobody waits for it
//! meanwhile. Keys hold a digest of the person and expire by themselves; the store's address, which may hold its
//! password, is in no text.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{
    Client, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    memory::{Rules, Whose},
    person::Person,
    rate::{Over, Rule},
};

/// What all keys begin with.
const PREFIX: &str = "toolbridge:limits";
/// How often a store that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// A connection may take longer than a decision: nobody waits for it.
const CONNECT: Duration = Duration::from_secs(2);

/// Where it is, and how long a decision may take.
#[derive(Clone, Debug)]
pub struct SharedSettings {
    /// `redis://`, `rediss://` (TLS) or `unix://`, perhaps with a password.
    pub url: SecretString,
    /// How long one decision may take.
    pub timeout: Duration,
}

/// The store's address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`LIMITS_REDIS_URL` is no address of a Redis: write it like `redis://:password@host:6379/0`, `rediss://…` or `unix:///path`"
)]
pub struct InvalidStore;

/// Nobody can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unavailable;

pub(super) struct Shared {
    connection: ConnectionManager,
    script: Script,
    timeout: Duration,
    scope: String,
    degraded: watch::Sender<bool>,
}

impl Shared {
    /// Nothing is asked yet. People of different scopes are different people.
    pub(super) fn new(settings: &SharedSettings, scope: &str) -> Result<Arc<Self>, InvalidStore> {
        let client = Client::open(settings.url.expose_secret()).map_err(|_| InvalidStore)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(settings.timeout))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client, config);
        Ok(Arc::new(Self {
            connection: connection.map_err(|_| InvalidStore)?,
            script: Script::new(include_str!("decide.lua")),
            timeout: settings.timeout,
            scope: scope.to_owned(),
            degraded: watch::Sender::new(false),
        }))
    }

    /// Whether the store does not answer, now and whenever that changes.
    pub(super) fn degraded(&self) -> watch::Receiver<bool> {
        self.degraded.subscribe()
    }

    /// Whether the call fits, as all machines together know; then it is counted.
    pub(super) async fn ask(
        self: &Arc<Self>,
        person: &Person,
        tool: &str,
        rules: &Rules,
    ) -> Result<Result<(), (Whose, Over)>, Unavailable> {
        if *self.degraded.borrow() {
            return Err(Unavailable);
        }
        let digest = person.digest(&self.scope);
        let decided = self.decide(&digest, tool, rules).await;
        if decided.is_err() {
            self.fails();
        }
        decided
    }

    async fn decide(
        &self,
        digest: &str,
        tool: &str,
        rules: &Rules,
    ) -> Result<Result<(), (Whose, Over)>, Unavailable> {
        // In braces: both keys on one machine of a cluster.
        let person = format!("{PREFIX}:{{{digest}}}");
        let mut call = self.script.prepare_invoke();
        call.key(&person).key(format!("{person}:{tool}"));
        for rule in [&rules.person, &rules.tool] {
            for number in in_microseconds(rule) {
                call.arg(number);
            }
        }
        let mut connection = self.connection.clone();
        let asked = timeout(self.timeout, call.invoke_async(&mut connection)).await;
        let (status, key, wait): (u8, u8, u64) =
            asked.map_err(|_| Unavailable)?.map_err(|_| Unavailable)?;
        let wait = Duration::from_micros(wait);
        let whose = if key == 1 { Whose::Person } else { Whose::Tool };
        match status {
            0 => Ok(Ok(())),
            1 => Ok(Err((whose, Over::Limit(wait)))),
            2 => Ok(Err((whose, Over::Block(wait)))),
            _ => Err(Unavailable),
        }
    }

    /// From now on nobody asks, until it answers again.
    fn fails(self: &Arc<Self>) {
        if self.degraded.send_replace(true) {
            return;
        }
        tracing::warn!(
            "the store of the rate limits does not answer: stricter limits of this process alone hold until it does"
        );
        tokio::spawn(recovers(Arc::downgrade(self)));
    }

    /// Asks what a call would ask, of nobody.
    pub(super) async fn answers(&self) -> bool {
        let free = Rule {
            requests: 1_000_000,
            window: Duration::from_secs(1),
            burst: 1_000_000,
            block: Duration::ZERO,
        };
        let rules = Rules {
            person: free,
            tool: free,
        };
        self.decide("probe", "probe", &rules).await == Ok(Ok(()))
    }
}

/// Ends with the first answer, or when nobody needs one any more.
async fn recovers(shared: Weak<Shared>) {
    loop {
        sleep(AGAIN).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if shared.answers().await {
            tracing::warn!("the store of the rate limits answers again: all machines share limits");
            shared.degraded.send_replace(false);
            return;
        }
    }
}

/// Interval, tolerance, block.
fn in_microseconds(rule: &Rule) -> [u64; 3] {
    let times = [
        rule.interval().max(Duration::from_micros(1)),
        rule.tolerance().max(Duration::from_micros(1)),
        rule.block,
    ];
    times.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
