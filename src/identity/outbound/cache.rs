//! Exchanged tokens, remembered until shortly before they end. In: the digest of the caller's token with the tenant, and
//! how to get a token where there is none. Out: the token. One exchange at a time for each key, however many wait for
//! it; a bounded number of tokens. The key is never a name: two tokens of one person may carry different rights.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::OutboundError;
use crate::{auth::BearerToken, identity::tenant::TenantId};

/// Whose token: SHA-256 of the caller's token, and the tenant it is used for, if that is known.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    digest: [u8; 32],
    tenant: Option<TenantId>,
}

impl Key {
    pub(super) fn of(own: &BearerToken, tenant: Option<&TenantId>) -> Self {
        Self {
            digest: Sha256::digest(own.expose().as_bytes()).into(),
            tenant: tenant.cloned(),
        }
    }
}

/// A token, and the Unix second from which it is no longer handed out.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) token: BearerToken,
    pub(super) until: u64,
}

type Outcome = Result<BearerToken, OutboundError>;
/// An exchange under way, for everybody who waits for it.
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// The tokens of all callers.
pub(super) struct TokenCache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    flights: HashMap<Key, Flight>,
    /// Counts hand-outs, to tell which entry was used longest ago.
    uses: u64,
}

struct Entry {
    issued: Issued,
    used: u64,
}

impl TokenCache {
    /// Remembers at most `capacity` tokens.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::default(),
        }
    }

    /// The remembered token, or the one that the exchange under way brings, or the one that `exchange` brings.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        key: Key,
        now: Duration,
        exchange: impl FnOnce() -> F,
    ) -> Outcome
    where
        F: Future<Output = Result<Issued, OutboundError>> + Send + 'static,
    {
        let flight = {
            let mut state = self.lock();
            if let Some(token) = state.token(&key, now) {
                return Ok(token);
            }
            let under_way = state.flights.get(&key);
            match under_way.filter(|flight| flight.peek().is_none()) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.launch(key.clone(), now, exchange());
                    state.flights.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    /// Drops the token under `key` if it still is `refused`: what has replaced it meanwhile stays.
    pub(super) fn forget(&self, key: &Key, refused: &BearerToken) {
        let mut state = self.lock();
        let entry = state.entries.get(key);
        if entry.is_some_and(|entry| entry.issued.token == *refused) {
            state.entries.remove(key);
        }
    }

    /// In a task of its own, so that it goes on when the caller that began it goes away and others wait.
    fn launch<F>(self: &Arc<Self>, key: Key, now: Duration, exchange: F) -> Flight
    where
        F: Future<Output = Result<Issued, OutboundError>> + Send + 'static,
    {
        let (landed, waiting) = oneshot::channel();
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = cache.land(key, now, exchange.await);
            // Nobody may wait any more.
            let _ = landed.send(outcome);
        });
        let outcome = waiting.map(|outcome| outcome.unwrap_or(Err(OutboundError::Abandoned)));
        outcome.boxed().shared()
    }

    /// Keeps what an exchange brought, and ends the flight in the same moment: whoever asks sees one or the other.
    fn land(&self, key: Key, now: Duration, outcome: Result<Issued, OutboundError>) -> Outcome {
        let mut state = self.lock();
        state.flights.remove(&key);
        let issued = outcome?;
        let token = issued.token.clone();
        if issued.until > now.as_secs() {
            state.make_room(self.capacity, now);
            let used = state.tick();
            state.entries.insert(key, Entry { issued, used });
        }
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn token(&mut self, key: &Key, now: Duration) -> Option<BearerToken> {
        let used = self.tick();
        let entry = self.entries.get_mut(key)?;
        if entry.issued.until <= now.as_secs() {
            self.entries.remove(key);
            return None;
        }
        entry.used = used;
        Some(entry.issued.token.clone())
    }

    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Room for one more: what has ended goes first, then the tenth that was used longest ago, so that a full cache does
    /// not look for one victim on each call.
    fn make_room(&mut self, capacity: usize, now: Duration) {
        if self.entries.len() < capacity {
            return;
        }
        self.entries
            .retain(|_, entry| entry.issued.until > now.as_secs());
        if self.entries.len() < capacity {
            return;
        }
        let mut uses: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        let victims = (capacity / 10).min(uses.len().saturating_sub(1));
        let (_, newest_victim, _) = uses.select_nth_unstable(victims);
        let newest_victim = *newest_victim;
        self.entries.retain(|_, entry| entry.used > newest_victim);
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("capacity", &self.capacity)
            .field("entries", &self.lock().entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn token(text: &str) -> BearerToken {
        BearerToken::issued(text).unwrap()
    }

    fn key(own: &str, tenant: &str) -> Key {
        Key::of(&token(own), Some(&tenant.parse().unwrap()))
    }

    /// A cache that counts its exchanges.
    struct Counted {
        cache: Arc<TokenCache>,
        exchanges: AtomicUsize,
    }

    impl Counted {
        fn new(capacity: usize) -> Self {
            Self {
                cache: Arc::new(TokenCache::new(capacity)),
                exchanges: AtomicUsize::new(0),
            }
        }

        /// Asks at `now`; an exchange brings a token that says how many there were, good for `lifetime` seconds.
        async fn ask(&self, own: &str, now: Duration, lifetime: u64) -> String {
            let brings = |count: usize| async move {
                Ok(Issued {
                    token: token(&format!("issued-{count}")),
                    until: now.as_secs() + lifetime,
                })
            };
            let exchange = || brings(self.exchanges.fetch_add(1, Ordering::SeqCst));
            let token = self.cache.get(key(own, "acme"), now, exchange).await;
            token.unwrap().expose().to_owned()
        }

        fn len(&self) -> usize {
            self.cache.lock().entries.len()
        }
    }

    #[tokio::test]
    async fn a_token_is_handed_out_until_its_time_and_then_exchanged_anew() {
        let cache = Counted::new(10);
        assert_eq!(cache.ask("alice", NOW, 300).await, "issued-0");
        let later = |seconds| NOW + Duration::from_secs(seconds);
        assert_eq!(cache.ask("alice", later(299), 300).await, "issued-0");
        assert_eq!(cache.ask("alice", later(300), 300).await, "issued-1");
    }

    #[tokio::test]
    async fn a_token_that_is_good_for_no_time_serves_this_call_only() {
        let cache = Counted::new(10);
        assert_eq!(cache.ask("alice", NOW, 0).await, "issued-0");
        assert_eq!(cache.len(), 0);
        assert_eq!(cache.ask("alice", NOW, 0).await, "issued-1");
    }

    #[tokio::test]
    async fn other_tokens_and_other_tenants_have_entries_of_their_own() {
        assert!(key("alice", "acme") != key("alice", "umbra"));
        assert!(key("alice-1", "acme") != key("alice-2", "acme"));
        let cache = Counted::new(10);
        assert_eq!(cache.ask("alice-1", NOW, 300).await, "issued-0");
        assert_eq!(cache.ask("alice-2", NOW, 300).await, "issued-1");
        assert_eq!(cache.ask("alice-1", NOW, 300).await, "issued-0");
    }

    #[tokio::test]
    async fn everybody_who_waits_gets_the_outcome_of_one_exchange() {
        let cache = Arc::new(TokenCache::new(10));
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let exchanges = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            let (cache, exchanges) = (Arc::clone(&cache), Arc::clone(&exchanges));
            async move {
                let exchange = || async move {
                    exchanges.fetch_add(1, Ordering::SeqCst);
                    begun.notify_one();
                    go_on.notified().await;
                    Err(OutboundError::Unusable("it is a test"))
                };
                cache.get(key("alice", "acme"), NOW, exchange).await
            }
        };
        // The one that began the exchange goes away; the others are served all the same.
        let mut first = Box::pin(ask());
        assert!((&mut first).now_or_never().is_none());
        begun.notified().await;
        let mut others: Vec<_> = (0..100).map(|_| Box::pin(ask())).collect();
        for other in &mut others {
            assert!(other.now_or_never().is_none());
        }
        drop(first);
        go_on.notify_one();
        for outcome in futures_util::future::join_all(others).await {
            assert_eq!(outcome, Err(OutboundError::Unusable("it is a test")));
        }
        assert_eq!(exchanges.load(Ordering::SeqCst), 1);
        assert!(cache.lock().flights.is_empty());
    }

    #[tokio::test]
    async fn an_exchange_that_dies_fails_its_waiters_and_is_begun_again() {
        let cache = Arc::new(TokenCache::new(10));
        let dies = || async { panic!("a bug") };
        let died = cache.get(key("alice", "acme"), NOW, dies).await;
        assert_eq!(died, Err(OutboundError::Abandoned));
        let works = || async {
            let (token, until) = (token("issued"), u64::MAX);
            Ok(Issued { token, until })
        };
        let works = cache.get(key("alice", "acme"), NOW, works).await;
        assert_eq!(works, Ok(token("issued")));
    }

    #[tokio::test]
    async fn only_the_refused_token_is_forgotten_not_the_one_that_replaced_it() {
        let cache = Counted::new(10);
        let alice = key("alice", "acme");
        assert_eq!(cache.ask("alice", NOW, 300).await, "issued-0");
        cache.cache.forget(&alice, &token("issued-0"));
        assert_eq!(cache.ask("alice", NOW, 300).await, "issued-1");
        // A hundred calls learn of the same refusal; those that are late must not throw the new token away.
        cache.cache.forget(&alice, &token("issued-0"));
        assert_eq!(cache.ask("alice", NOW, 300).await, "issued-1");
    }

    #[tokio::test]
    async fn a_full_cache_drops_what_has_ended_then_what_was_used_longest_ago() {
        let cache = Counted::new(20);
        cache.ask("ends", NOW, 1).await;
        for index in 0..19 {
            cache.ask(&format!("person-{index}"), NOW, 300).await;
        }
        let later = NOW + Duration::from_secs(10);
        cache.ask("twentieth", later, 300).await;
        assert_eq!(cache.len(), 20, "the one that had ended made room");
        assert_eq!(cache.ask("person-0", later, 300).await, "issued-1");
        cache.ask("one-more", later, 300).await;
        assert_eq!(cache.len(), 18);
        assert_eq!(cache.ask("person-0", later, 300).await, "issued-1");
        assert_ne!(cache.ask("person-1", later, 300).await, "issued-2");
    }

    #[tokio::test]
    async fn neither_tokens_nor_digests_can_be_printed() {
        let cache = Counted::new(10);
        cache.ask("canary-own", NOW, 300).await;
        insta::assert_debug_snapshot!(cache.cache, @r"
        TokenCache {
            capacity: 10,
            entries: 1,
            ..
        }
        ");
    }
}
