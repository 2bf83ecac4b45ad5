//! The keys behind a URL, remembered. In: a `kid`. Out: its key, or whether it is unknown or cannot be known now.
//! One fetch at a time, and after each a pause in which unknown `kid`s fail at once, so that forged tokens cannot make
//! us call the issuer. A new set replaces the old one whole: a key that the issuer took back must stop working.

use std::{
    error::Error,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{HeaderMap, header};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};
use url::Url;

use crate::{
    auth::{
        Algorithm, AuthError,
        key_set::{Key, KeySet, LONGEST_KEY_ID, SetError},
    },
    outgoing::{self, ReadError, Timeouts},
};

/// Largest key set that is read, in bytes.
const LARGEST_BODY: usize = 256 * 1024;

/// How long fetched keys are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Used without asking again; `Cache-Control: max-age` may lengthen it, to one hour at most.
    pub fresh: Duration,
    /// After a fetch, good or not, the issuer is left alone this long.
    pub cool_down: Duration,
    /// Used at most this long while the issuer does not answer.
    pub max_stale: Duration,
    /// One fetch, connect included, may take this long.
    pub timeout: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(5 * 60),
            cool_down: Duration::from_secs(10),
            max_stale: Duration::from_secs(12 * 60 * 60),
            timeout: Duration::from_secs(3),
        }
    }
}

/// The key set of one issuer.
pub(super) struct Jwks {
    issuer: String,
    url: Url,
    policy: CachePolicy,
    algorithms: Vec<Algorithm>,
    http: reqwest::Client,
    current: RwLock<Option<Arc<Fetched>>>,
    /// Held while a fetch runs: single flight.
    gate: Arc<Mutex<Option<Attempt>>>,
}

#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    at: Instant,
    fresh: Duration,
}

struct Attempt {
    at: Instant,
    succeeded: bool,
}

/// What the newest fetch says about a `kid` that is not in the set.
enum Newest {
    /// The set is the issuer's: the key does not exist.
    Succeeded,
    /// Nobody knows; the next fetch may be made after this time.
    Failed(Duration),
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// The innermost cause only: the outer ones repeat the URL, whose query may be a secret.
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("status {0}")]
    Status(u16),
    #[error("larger than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error(transparent)]
    Set(#[from] SetError),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Unreachable(cause.to_string())
    }
}

impl From<ReadError> for FetchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { .. } => Self::TooLarge,
            ReadError::Broken(error) => error.into(),
        }
    }
}

impl Newest {
    fn of(succeeded: bool, pause: Duration) -> Self {
        if succeeded {
            Self::Succeeded
        } else {
            Self::Failed(pause)
        }
    }
}

impl Jwks {
    pub(super) fn new(
        issuer: String,
        url: Url,
        policy: CachePolicy,
        algorithms: Vec<Algorithm>,
    ) -> Result<Self, reqwest::Error> {
        let timeouts = Timeouts {
            connect: policy.timeout,
            request: policy.timeout,
        };
        Ok(Self {
            issuer,
            url,
            policy,
            algorithms,
            http: outgoing::client(timeouts)?,
            current: RwLock::default(),
            gate: Arc::default(),
        })
    }

    /// The key `kid`; waits for at most one fetch.
    pub(super) async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<Key>, AuthError> {
        if kid.len() > LONGEST_KEY_ID {
            return Err(AuthError::UnknownKey);
        }
        if let Some(set) = self.usable()
            && let Some(key) = set.keys.get(kid)
        {
            if set.at.elapsed() >= set.fresh {
                self.refresh_in_background();
            }
            return Ok(Arc::clone(key));
        }
        let newest = self.refresh().await;
        let set = self.usable();
        if let Some(key) = set.as_ref().and_then(|set| set.keys.get(kid)) {
            return Ok(Arc::clone(key));
        }
        Err(match newest {
            Newest::Succeeded if set.is_some() => AuthError::UnknownKey,
            Newest::Succeeded => unavailable(Duration::ZERO),
            Newest::Failed(pause) => unavailable(pause),
        })
    }

    /// Fetches the set if there is none.
    pub(super) async fn warm(self: &Arc<Self>) {
        if !self.ready() {
            self.refresh().await;
        }
    }

    /// Whether there are keys to check tokens with.
    pub(super) fn ready(&self) -> bool {
        self.usable().is_some()
    }

    fn usable(&self) -> Option<Arc<Fetched>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .filter(|set| set.at.elapsed() < self.policy.max_stale)
            .cloned()
    }

    /// Whoever comes while a fetch runs waits for it here, then finds the pause and uses what it brought.
    async fn refresh(self: &Arc<Self>) -> Newest {
        let gate = Arc::clone(&self.gate).lock_owned().await;
        self.attempt(gate).await
    }

    fn refresh_in_background(self: &Arc<Self>) {
        if let Ok(gate) = Arc::clone(&self.gate).try_lock_owned() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.attempt(gate).await });
        }
    }

    async fn attempt(self: &Arc<Self>, mut gate: OwnedMutexGuard<Option<Attempt>>) -> Newest {
        let cool_down = self.policy.cool_down;
        if let Some(last) = gate.as_ref()
            && last.at.elapsed() < cool_down
        {
            let pause = cool_down.saturating_sub(last.at.elapsed());
            return Newest::of(last.succeeded, pause);
        }
        let this = Arc::clone(self);
        // A task of its own: a client that hangs up must neither stop the fetch nor skip the pause after it.
        let fetching = tokio::spawn(async move {
            let succeeded = this.replace().await;
            *gate = Some(Attempt {
                at: Instant::now(),
                succeeded,
            });
            succeeded
        });
        Newest::of(fetching.await.unwrap_or(false), cool_down)
    }

    async fn replace(&self) -> bool {
        match self.fetch().await {
            Ok(set) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
                true
            }
            Err(error) => {
                tracing::warn!(auth.issuer = %self.issuer, %error, "the issuer's key set could not be fetched");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<Fetched, FetchError> {
        let request = self
            .http
            .get(self.url.clone())
            .header(header::ACCEPT, "application/json");
        let response = request.send().await?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let fresh = self.policy.fresh.max(max_age(response.headers()));
        let body = outgoing::read_at_most(response, LARGEST_BODY).await?;
        let keys = KeySet::lenient(&body, &self.algorithms)?;
        Ok(Fetched {
            keys,
            at: Instant::now(),
            fresh,
        })
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL's query may be a secret.
        f.debug_struct("Jwks")
            .field("issuer", &self.issuer)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// 503 with the time after which a fetch is allowed again.
fn unavailable(pause: Duration) -> AuthError {
    AuthError::KeysUnavailable {
        retry_after: pause.as_secs() + 1,
    }
}

/// `max-age` of the answer, at most one hour; zero without one.
fn max_age(headers: &HeaderMap) -> Duration {
    let control = headers
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok());
    let age = control
        .unwrap_or_default()
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age="));
    let seconds = age.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_secs(seconds.min(3600))
}

#[cfg(test)]
mod tests {
    use std::future;

    use futures_util::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::auth::{
        AuthError, KeySource, Verifier,
        fixtures::{
            ISSUER, KeyServer, P256, RSA, claims, key_set, pass, public_key_rules, weak_jwk,
        },
    };

    const COOL_DOWN: Duration = Duration::from_secs(10);

    fn cache(server: &KeyServer) -> Arc<Jwks> {
        let algorithms = vec![Algorithm::RS256, Algorithm::ES256];
        let jwks = Jwks::new(
            ISSUER.to_owned(),
            server.url.clone(),
            CachePolicy::default(),
            algorithms,
        );
        Arc::new(jwks.unwrap())
    }

    async fn find(jwks: &Arc<Jwks>, kid: &str) -> Result<(), AuthError> {
        jwks.key(kid).await.map(drop)
    }

    /// Waits until a background fetch that has begun is over.
    async fn settle(jwks: &Jwks) {
        drop(jwks.gate.lock().await);
    }

    fn is_unavailable(found: &Result<(), AuthError>) -> bool {
        matches!(found, Err(AuthError::KeysUnavailable { .. }))
    }

    #[tokio::test]
    async fn a_token_is_verified_with_a_fetched_key() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let keys = KeySource::JwksUrl {
            url: server.url.clone(),
            cache: CachePolicy::default(),
        };
        let verifier = Verifier::new(vec![public_key_rules(keys)]).unwrap();
        assert_eq!(
            (verifier.ready(), verifier.without_keys()),
            (false, vec![ISSUER])
        );
        verifier.warm().await;
        assert_eq!((verifier.ready(), server.fetches()), (true, 1));
        let token = RSA.token(json!({}), &claims(json!({})));
        assert_eq!(verifier.judge(&token).unwrap().subject(), "alice");
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn many_cold_look_ups_make_one_fetch() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        let found = join_all((0..500).map(|_| find(&jwks, "rsa"))).await;
        assert!(found.iter().all(Result::is_ok));
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn a_flood_of_unknown_keys_makes_one_fetch_per_cool_down() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        for round in 1..=3 {
            for n in 0..300 {
                assert_eq!(
                    find(&jwks, &format!("random-{round}-{n}")).await,
                    Err(AuthError::UnknownKey)
                );
            }
            assert_eq!(find(&jwks, "rsa").await, Ok(()));
            assert_eq!(server.fetches(), round);
            pass(COOL_DOWN).await;
        }
    }

    #[tokio::test]
    async fn a_kid_that_no_key_can_have_makes_no_fetch() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        assert_eq!(
            find(&cache(&server), &"k".repeat(257)).await,
            Err(AuthError::UnknownKey)
        );
        assert_eq!(server.fetches(), 0);
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_neither_stops_the_fetch_nor_skips_the_cool_down() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        for n in 0..20 {
            let kid = format!("random-{n}");
            let mut look_up = Box::pin(jwks.key(&kid));
            // Begun, then dropped.
            future::poll_fn(|context| {
                let _ = look_up.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            drop(look_up);
            tokio::task::yield_now().await;
        }
        settle(&jwks).await;
        assert_eq!((jwks.ready(), server.fetches()), (true, 1));
    }

    #[tokio::test]
    async fn a_new_key_works_at_its_first_use_and_a_removed_one_no_longer() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        server.publish(&[P256.jwk()]);
        assert_eq!(
            find(&jwks, "p256").await,
            Err(AuthError::UnknownKey),
            "within the cool-down"
        );
        pass(COOL_DOWN).await;
        assert_eq!(find(&jwks, "p256").await, Ok(()));
        assert_eq!(find(&jwks, "rsa").await, Err(AuthError::UnknownKey));
    }

    #[tokio::test]
    async fn an_old_set_answers_at_once_and_is_replaced_in_the_background() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        server.publish(&[P256.jwk()]);
        pass(CachePolicy::default().fresh).await;
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        settle(&jwks).await;
        assert_eq!(server.fetches(), 2);
        assert_eq!(find(&jwks, "rsa").await, Err(AuthError::UnknownKey));
        assert_eq!(find(&jwks, "p256").await, Ok(()));
    }

    #[tokio::test]
    async fn an_outage_is_bridged_until_max_stale() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        server.fail();
        pass(Duration::from_secs(11 * 60 * 60)).await;
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        settle(&jwks).await;
        assert!(
            is_unavailable(&find(&jwks, "new").await),
            "a new key cannot be told from an unknown one"
        );
        assert!(jwks.ready());
        pass(Duration::from_secs(60 * 60)).await;
        assert!(!jwks.ready());
        assert!(is_unavailable(&find(&jwks, "rsa").await));
        server.publish(&[RSA.jwk()]);
        pass(COOL_DOWN).await;
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
    }

    #[tokio::test]
    async fn an_issuer_that_is_down_from_the_start_is_asked_once_per_cool_down() {
        let server = KeyServer::start(String::new()).await;
        let jwks = cache(&server);
        jwks.warm().await;
        for _ in 0..50 {
            let refused = find(&jwks, "rsa").await.unwrap_err();
            assert!(
                matches!(
                    refused,
                    AuthError::KeysUnavailable {
                        retry_after: 1..=11
                    }
                ),
                "{refused:?}"
            );
        }
        assert_eq!(server.fetches(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_key_set_leaves_the_old_keys() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let jwks = cache(&server);
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        let huge = json!({ "pad": "x".repeat(300 * 1024), "keys": [P256.jwk()] }).to_string();
        let target = server.url.to_string();
        let weak = key_set(&[weak_jwk()]);
        for (status, body) in [
            (200, huge),
            (200, "<html>".to_owned()),
            (200, weak),
            (307, String::new()),
            (204, String::new()),
        ] {
            server.answer(|answer| {
                answer.status = http::StatusCode::from_u16(status).unwrap();
                answer.headers = vec![("location", target.clone())];
                answer.body = body;
            });
            pass(COOL_DOWN).await;
            let before = server.fetches();
            assert!(is_unavailable(&find(&jwks, "p256").await), "{status}");
            assert_eq!(
                server.fetches(),
                before + 1,
                "{status}: a redirect is not followed"
            );
            assert_eq!(find(&jwks, "rsa").await, Ok(()), "{status}");
        }
    }

    #[tokio::test]
    async fn max_age_lengthens_the_time_a_set_is_fresh() {
        let server = KeyServer::start(key_set(&[RSA.jwk()])).await;
        server.answer(|answer| {
            answer.headers = vec![("cache-control", "public, max-age=1800".to_owned())]
        });
        let jwks = cache(&server);
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        pass(Duration::from_secs(1799)).await;
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        settle(&jwks).await;
        assert_eq!(server.fetches(), 1);
        pass(Duration::from_secs(1)).await;
        assert_eq!(find(&jwks, "rsa").await, Ok(()));
        settle(&jwks).await;
        assert_eq!(server.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_never_answers_is_given_up_after_the_timeout() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", silent.local_addr().unwrap());
        let policy = CachePolicy::default();
        let algorithms = vec![Algorithm::RS256];
        let jwks = Jwks::new(ISSUER.to_owned(), url.parse().unwrap(), policy, algorithms);
        let begun = Instant::now();
        assert!(is_unavailable(&find(&Arc::new(jwks.unwrap()), "rsa").await));
        assert!(begun.elapsed() < policy.timeout + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_failed_fetch_is_described_without_the_address() {
        let server = KeyServer::start(String::new()).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}/jwks?key=canary", listener.local_addr().unwrap());
        drop(listener);
        let algorithms = vec![Algorithm::RS256];
        let policy = CachePolicy::default();
        let jwks = Jwks::new(
            ISSUER.to_owned(),
            closed.parse().unwrap(),
            policy,
            algorithms,
        );
        let error = jwks.unwrap().fetch().await.unwrap_err().to_string();
        assert!(error.starts_with("unreachable: "), "{error}");
        assert!(
            !error.contains("127.0.0.1") && !error.contains("canary"),
            "{error}"
        );
        server.fail();
        let error = cache(&server).fetch().await.unwrap_err().to_string();
        assert_eq!(error, "status 502");
    }

    #[test]
    fn max_age_is_at_most_an_hour_and_nothing_if_unreadable() {
        let age = |text: &str| {
            max_age(&HeaderMap::from_iter([(
                header::CACHE_CONTROL,
                text.parse().unwrap(),
            )]))
            .as_secs()
        };
        assert_eq!(age("max-age=99999999"), 3600);
        assert_eq!(age("no-store"), 0);
        assert_eq!(age("max-age=-1"), 0);
        assert_eq!(age("max-age=99999999999999999999999"), 0);
        assert_eq!(max_age(&HeaderMap::new()), Duration::ZERO);
    }
}
