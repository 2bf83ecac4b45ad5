//! What an issuer says of itself: its metadata document (RFC 8414, `OpenID` Connect Discovery). In: the configured issuer.
//! Out: the document as it came, and where its keys are. A document is believed only if its `issuer` is the configured
//! one byte for byte; whoever can put a document there may still not send us to keys on another host.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Deserialize;
use url::Url;

use crate::auth::{
    error::plain,
    fetch::{FetchError, Http, check_url},
    remote::{CachePolicy, Remote, Source},
};

/// Used for an hour, then asked for again.
pub(super) const POLICY: CachePolicy = CachePolicy {
    fresh: Duration::from_secs(60 * 60),
    cool_down: Duration::from_secs(10),
    max_stale: Duration::from_secs(12 * 60 * 60),
    timeout: Duration::from_secs(3),
};

/// Where an issuer's metadata is.
pub(super) struct Discovery {
    issuer: String,
    url: Url,
    http: Http,
}

/// A metadata document of the configured issuer.
pub(super) struct Metadata {
    /// The document as it came.
    pub(super) body: Bytes,
    jwks_uri: Option<String>,
}

/// An issuer's metadata, for clients that look for it at the resource instead of at the issuer.
pub struct IssuerMetadata(Arc<Remote<Discovery>>);

/// Why there is no metadata to pass on. The texts are for anybody: they hold no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The issuer does not answer, or answers with a failure of its own.
    #[error("the authorization server does not answer at the moment")]
    Unavailable {
        /// Seconds until it is worth trying again.
        retry_after: u64,
    },
    /// What it answers is not its metadata.
    #[error("the authorization server's metadata cannot be used: {0}")]
    Unusable(String),
}

impl Discovery {
    /// # Errors
    /// What about the issuer's URL forbids asking there.
    pub(super) fn new(issuer: &str, http: Http) -> Result<Self, &'static str> {
        let url = Url::parse(issuer).map_err(|_| "is not a URL")?;
        check_url(&url)?;
        if url.query().is_some() {
            return Err("must not contain a query");
        }
        let issuer = issuer.to_owned();
        Ok(Self { issuer, url, http })
    }

    /// The well-known places, in the order in which they are tried (authorization specification of MCP).
    fn places(&self) -> Vec<Url> {
        let path = self.url.path().trim_end_matches('/');
        let oauth = format!("/.well-known/oauth-authorization-server{path}");
        let inserted = format!("/.well-known/openid-configuration{path}");
        let mut paths = vec![oauth, inserted];
        if !path.is_empty() {
            paths.push(format!("{path}/.well-known/openid-configuration"));
        }
        let at = |path: &String| {
            let mut url = self.url.clone();
            url.set_path(path);
            url
        };
        paths.iter().map(at).collect()
    }

    fn read(&self, body: Vec<u8>) -> Result<Metadata, FetchError> {
        /// A struct, so that a field that is there twice is an error.
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: Option<String>,
        }
        let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let document = serde_json::from_slice::<Document>(&body).ok();
        let document = document.filter(|_| is_object);
        let document = document.ok_or_else(|| unusable("it is no metadata document"))?;
        if document.issuer != self.issuer {
            let got = plain(&document.issuer, 100);
            return Err(unusable(&format!("it is that of issuer {got}")));
        }
        Ok(Metadata {
            body: body.into(),
            jwks_uri: document.jwks_uri,
        })
    }

    /// Where the issuer's keys are, by what `metadata` says.
    pub(super) fn key_set_url(&self, metadata: &Metadata) -> Result<Url, FetchError> {
        let uri = metadata.jwks_uri.as_ref();
        let uri = uri.ok_or_else(|| unusable("the metadata has no jwks_uri: set auth.jwks_url"))?;
        let url = Url::parse(uri).map_err(|_| unusable("jwks_uri is not a URL"))?;
        check_url(&url).map_err(|why| unusable(&format!("jwks_uri {why}")))?;
        if url.host() != self.url.host() {
            let why = "jwks_uri is not on the issuer's host: if that is right, set auth.jwks_url";
            return Err(unusable(why));
        }
        Ok(url)
    }
}

impl Source for Discovery {
    type Document = Metadata;

    const WHAT: &'static str = "metadata";

    fn issuer(&self) -> &str {
        &self.issuer
    }

    async fn fetch(&self) -> Result<(Metadata, Duration), FetchError> {
        let mut trouble = None;
        for place in self.places() {
            let read = match self.http.get(&place).await {
                Ok(got) => self.read(got.body).map(|read| (read, got.max_age)),
                // Nobody is there: the other places are on the same host.
                Err(error @ FetchError::Unreachable(_)) => return Err(error),
                Err(error) => Err(error),
            };
            match read {
                Ok(found) => return Ok(found),
                // That there is nothing says less than that there is something wrong.
                Err(FetchError::Status(404)) => {}
                Err(error) => drop(trouble.get_or_insert(error)),
            }
        }
        Err(trouble.unwrap_or(FetchError::Status(404)))
    }
}

impl IssuerMetadata {
    pub(super) fn new(discovery: &Arc<Remote<Discovery>>) -> Self {
        Self(Arc::clone(discovery))
    }

    /// The document as the issuer publishes it; waits for at most one fetch.
    ///
    /// # Errors
    /// [`MetadataError`], from memory while the issuer is left alone after a failed fetch.
    pub async fn document(&self) -> Result<Bytes, MetadataError> {
        let held = self.0.get().await.map_err(|trouble| match trouble.error {
            FetchError::Unreachable(_) | FetchError::Status(429 | 500..) => {
                let retry_after = trouble.pause.as_secs() + 1;
                MetadataError::Unavailable { retry_after }
            }
            error => MetadataError::Unusable(error.to_string()),
        })?;
        Ok(held.document.body.clone())
    }
}

impl fmt::Debug for IssuerMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerMetadata({})", self.0.source.issuer)
    }
}

fn unusable(why: &str) -> FetchError {
    FetchError::Unusable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::{
        AuthError, IssuerRules, KeySource, Verifier,
        fixtures::{
            KeyServer, NOW, P256, RSA, TestKey, bearer, claims, key_set, pass, public_key_rules,
        },
    };

    fn of(issuer: &str) -> Discovery {
        Discovery::new(issuer, Http::default()).unwrap()
    }

    fn places(issuer: &str) -> Vec<String> {
        of(issuer).places().iter().map(Url::to_string).collect()
    }

    #[test]
    fn an_issuer_is_asked_at_its_well_known_places_in_order() {
        let root = [
            "https://h.example/.well-known/oauth-authorization-server",
            "https://h.example/.well-known/openid-configuration",
        ];
        assert_eq!(places("https://h.example"), root);
        assert_eq!(places("https://h.example/"), root);
        assert_eq!(
            places("https://h.example:8443/a/b"),
            [
                "https://h.example:8443/.well-known/oauth-authorization-server/a/b",
                "https://h.example:8443/.well-known/openid-configuration/a/b",
                "https://h.example:8443/a/b/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn keys_are_looked_for_on_the_issuers_host_only() {
        let issuer = of("https://h.example/p");
        let url = |jwks_uri: Option<&str>| {
            let metadata = Metadata {
                body: Bytes::new(),
                jwks_uri: jwks_uri.map(str::to_owned),
            };
            issuer.key_set_url(&metadata).map(|url| url.to_string())
        };
        let good = "https://h.example/keys";
        assert_eq!(url(Some(good)).as_deref(), Ok(good));
        for bad in [
            None,
            Some("https://h.example.evil.test/keys"),
            Some("https://evil.test/keys"),
            Some("https://h.example@evil.test/keys"),
            Some("https://u:p@h.example/keys"),
            Some("http://h.example/keys"),
            Some("file:///etc/passwd"),
            Some("/keys"),
        ] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_issuers_own_document_is_believed() {
        let issuer = of("https://h.example");
        let read = |text: &str| issuer.read(text.as_bytes().to_vec()).map(drop);
        assert_eq!(read(r#" {"issuer":"https://h.example","x":1}"#), Ok(()));
        for text in [
            r#"{"issuer":"https://h.example/"}"#,
            r#"{"issuer":"https://H.example"}"#,
            r#"{"issuer":"https://evil.test","issuer":"https://h.example"}"#,
            r#"["https://h.example"]"#,
            r#"{"issuer":["https://h.example"]}"#,
            "{}",
            "",
            "<html>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    /// An issuer whose metadata sends to the keys of `keys`, and a verifier that knows nothing else of it.
    async fn discovered(keys: &KeyServer) -> (KeyServer, Verifier) {
        let issuer = KeyServer::start(String::new()).await;
        publish(&issuer, keys);
        let cache = CachePolicy::default();
        let rules = IssuerRules {
            issuer: name_of(&issuer),
            ..public_key_rules(KeySource::Discovered { cache })
        };
        (issuer, Verifier::new(vec![rules]).unwrap())
    }

    fn name_of(issuer: &KeyServer) -> String {
        issuer.url.origin().ascii_serialization()
    }

    fn publish(issuer: &KeyServer, keys: &KeyServer) {
        let document = json!({ "issuer": name_of(issuer), "jwks_uri": keys.url.as_str() });
        issuer.answer(|answer| answer.body = document.to_string());
    }

    async fn asks(verifier: &Verifier, issuer: &KeyServer, key: TestKey) -> Result<(), AuthError> {
        let token = key.token(json!({}), &claims(json!({ "iss": name_of(issuer) })));
        verifier.caller(&bearer(&token), NOW).await.map(drop)
    }

    #[tokio::test]
    async fn keys_are_found_through_the_metadata_which_is_asked_for_once() {
        let keys = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let (issuer, verifier) = discovered(&keys).await;
        assert!(!verifier.ready());
        verifier.warm().await;
        assert!(verifier.ready());
        assert_eq!(asks(&verifier, &issuer, RSA).await, Ok(()));
        for _ in 0..3 {
            let unknown = asks(&verifier, &issuer, P256).await;
            assert_eq!(unknown, Err(AuthError::UnknownKey));
            pass(CachePolicy::default().cool_down).await;
        }
        assert_eq!((issuer.fetches(), keys.fetches()), (1, 3));
    }

    #[tokio::test]
    async fn keys_that_moved_are_found_again() {
        let old = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let new = KeyServer::start(key_set(&[P256.jwk()])).await;
        let (issuer, verifier) = discovered(&old).await;
        assert_eq!(asks(&verifier, &issuer, RSA).await, Ok(()));
        old.fail();
        publish(&issuer, &new);
        pass(CachePolicy::default().cool_down).await;
        let unknown = asks(&verifier, &issuer, P256).await;
        assert!(matches!(unknown, Err(AuthError::KeysUnavailable { .. })));
        assert_eq!(issuer.fetches(), 1);
        pass(CachePolicy::default().cool_down).await;
        assert_eq!(asks(&verifier, &issuer, P256).await, Ok(()));
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test]
    async fn metadata_outlives_an_outage_of_its_issuer() {
        let keys = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let (issuer, verifier) = discovered(&keys).await;
        let metadata = verifier.issuer_metadata().unwrap();
        let before = metadata.document().await.unwrap();
        issuer.fail();
        pass(POLICY.fresh).await;
        assert_eq!(metadata.document().await.unwrap(), before);
        pass(POLICY.max_stale).await;
        let gone = metadata.document().await;
        assert!(matches!(gone, Err(MetadataError::Unavailable { .. })));
    }

    #[tokio::test]
    async fn an_issuer_that_is_down_is_asked_once_per_cool_down() {
        let keys = KeyServer::start(key_set(&[RSA.jwk()])).await;
        let (issuer, verifier) = discovered(&keys).await;
        issuer.fail();
        let metadata = verifier.issuer_metadata().unwrap();
        for _ in 0..50 {
            let refused = metadata.document().await;
            assert!(matches!(
                refused,
                Err(MetadataError::Unavailable {
                    retry_after: 1..=11
                })
            ));
        }
        // Both well-known places, once.
        assert_eq!(issuer.fetches(), 2);
    }

    #[test]
    fn an_issuer_that_cannot_be_asked_safely_is_refused() {
        for issuer in [
            "http://169.254.169.254",
            "file:///etc",
            "https://u:p@h.example",
            "http://127.0.0.1.evil.test",
            "http://[::ffff:10.0.0.1]",
            "https://h.example?x=1",
            "toolbridge",
        ] {
            assert!(Discovery::new(issuer, Http::default()).is_err(), "{issuer}");
        }
    }
}
