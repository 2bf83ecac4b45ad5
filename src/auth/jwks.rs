//! An issuer's keys, fetched and remembered. In: a `kid`. Out: its key, or whether it is unknown or cannot be known now.
//! When and how often is `remote`'s business: unknown `kid`s fail at once in the pause after a fetch, so that forged
//! tokens cannot make us call the issuer.

use std::{fmt, sync::Arc, time::Duration};

use url::Url;

use crate::auth::{
    Algorithm, AuthError,
    discovery::Discovery,
    fetch::{FetchError, Http},
    key_set::{Key, KeySet, LONGEST_KEY_ID},
    remote::{CachePolicy, Newest, Remote, Source},
};

/// The key set of one issuer.
pub(super) struct Jwks(Arc<Remote<Published>>);

/// Where a key set is.
pub(super) enum Location {
    /// Somebody told us.
    At(Url),
    /// The issuer's metadata says it.
    Discovered(Arc<Remote<Discovery>>),
}

/// A key set and how it is fetched.
struct Published {
    issuer: String,
    location: Location,
    algorithms: Vec<Algorithm>,
    http: Http,
}

impl Jwks {
    pub(super) fn new(
        issuer: String,
        location: Location,
        policy: CachePolicy,
        algorithms: Vec<Algorithm>,
        http: Http,
    ) -> Self {
        let published = Published {
            issuer,
            location,
            algorithms,
            http,
        };
        Self(Remote::new(published, policy))
    }

    /// The key `kid`; waits for at most one fetch.
    pub(super) async fn key(&self, kid: &str) -> Result<Arc<Key>, AuthError> {
        if kid.len() > LONGEST_KEY_ID {
            return Err(AuthError::UnknownKey);
        }
        if let Some(set) = self.0.usable()
            && let Some(key) = set.document.get(kid)
        {
            // Asked again, so that an old set is replaced in the background.
            self.0.held();
            return Ok(Arc::clone(key));
        }
        let newest = self.0.refresh().await;
        let set = self.0.usable();
        if let Some(key) = set.as_ref().and_then(|set| set.document.get(kid)) {
            return Ok(Arc::clone(key));
        }
        Err(match newest {
            Newest::Succeeded if set.is_some() => AuthError::UnknownKey,
            Newest::Succeeded => unavailable(Duration::ZERO),
            Newest::Failed(trouble) => unavailable(trouble.pause),
        })
    }

    /// Fetches the set if there is none.
    pub(super) async fn warm(&self) {
        self.0.warm().await;
    }

    /// How long ago the set was fetched, too old to be used or not.
    pub(super) fn age(&self) -> Option<Duration> {
        self.0.age()
    }

    /// How many keys there are to check tokens with.
    pub(super) fn count(&self) -> usize {
        self.0.usable().map_or(0, |held| held.document.count())
    }

    /// Whether there are keys to check tokens with.
    pub(super) fn ready(&self) -> bool {
        self.0.ready()
    }
}

impl Published {
    async fn fetch_from(&self, url: &Url) -> Result<(KeySet, Duration), FetchError> {
        let got = self.http.get(url).await?;
        let keys = KeySet::lenient(&got.body, &self.algorithms);
        let keys = keys.map_err(|error| FetchError::Unusable(error.to_string()))?;
        Ok((keys, got.max_age))
    }
}

impl Source for Published {
    type Document = KeySet;

    const WHAT: &'static str = "key set";

    fn issuer(&self) -> &str {
        &self.issuer
    }

    async fn fetch(&self) -> Result<(KeySet, Duration), FetchError> {
        let discovery = match &self.location {
            Location::At(url) => return self.fetch_from(url).await,
            Location::Discovered(discovery) => discovery,
        };
        let found = discovery.get().await.map_err(|trouble| trouble.error)?;
        let url = discovery.source.key_set_url(&found.document);
        let fetched = match url {
            Ok(url) => self.fetch_from(&url).await,
            Err(error) => Err(error),
        };
        if fetched.is_err() {
            // The keys may have moved.
            discovery.doubt();
        }
        fetched
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL's query may be a secret.
        let host = match &self.0.source.location {
            Location::At(url) => url.host_str(),
            Location::Discovered(_) => None,
        };
        f.debug_struct("Jwks")
            .field("issuer", &self.0.source.issuer)
            .field("host", &host)
            .finish_non_exhaustive()
    }
}

/// 503 with the time after which a fetch is allowed again.
fn unavailable(pause: Duration) -> AuthError {
    AuthError::KeysUnavailable {
        retry_after: pause.as_secs() + 1,
    }
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
        Arc::new(Jwks::new(
            ISSUER.to_owned(),
            Location::At(server.url.clone()),
            CachePolicy::default(),
            algorithms,
            Http::default(),
        ))
    }

    async fn find(jwks: &Arc<Jwks>, kid: &str) -> Result<(), AuthError> {
        jwks.key(kid).await.map(drop)
    }

    /// Waits until a background fetch that has begun is over.
    async fn settle(jwks: &Jwks) {
        jwks.0.settle().await;
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
        let place = Location::At(url.parse().unwrap());
        let jwks = Jwks::new(
            ISSUER.to_owned(),
            place,
            policy,
            algorithms,
            Http::default(),
        );
        let begun = tokio::time::Instant::now();
        assert!(is_unavailable(&find(&Arc::new(jwks), "rsa").await));
        assert!(begun.elapsed() < policy.timeout + Duration::from_secs(1));
    }
}
