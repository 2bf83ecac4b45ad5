//! Where an issuer's keys come from, and loading them. In: a [`KeySource`]. Out: `Keys`, which yield the key for a
//! `kid`. A shared secret verifies HS256 and nothing else does, so a public key can never be used as a secret.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jsonwebtoken::{DecodingKey, crypto::aws_lc, jwk::Jwk};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::auth::{
    Algorithm, AuthError, KeyAge,
    discovery::Discovery,
    fetch::{Http, check_url},
    jwks::{Jwks, Location},
    key_set::{Key, KeySet, SetError, Unusable},
    remote::{CachePolicy, Remote},
};

/// Where the keys of an issuer are.
#[derive(Clone)]
pub enum KeySource {
    /// One secret that issuer and verifier share; HS256 only, a `kid` is ignored.
    SharedSecret(SecretString),
    /// One public key in a PEM file (`PUBLIC KEY` or `RSA PUBLIC KEY`); a `kid` is ignored.
    PublicKeyFile(PathBuf),
    /// A JSON Web Key Set in a file, read once.
    JwksFile(PathBuf),
    /// A JSON Web Key Set at a URL: `https`, or `http` to this machine.
    JwksUrl {
        /// Where it is.
        url: Url,
        /// How long its answers are used.
        cache: CachePolicy,
    },
    /// A JSON Web Key Set at the `jwks_uri` that the issuer's metadata names (RFC 8414, `OpenID` Connect Discovery).
    Discovered {
        /// How long the key set is used; the metadata is used for an hour.
        cache: CachePolicy,
    },
}

impl KeySource {
    /// What issuers with such keys mostly use: HS256, or RS256, ES256 and `EdDSA`.
    #[must_use]
    pub fn usual_algorithms(&self) -> Vec<Algorithm> {
        match self {
            Self::SharedSecret(_) => vec![Algorithm::HS256],
            Self::PublicKeyFile(_)
            | Self::JwksFile(_)
            | Self::JwksUrl { .. }
            | Self::Discovered { .. } => {
                vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
            }
        }
    }

    fn suits(&self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::SharedSecret(_), algorithm) => algorithm == Algorithm::HS256,
            (_, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) => false,
            _ => true,
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedSecret(_) => f.write_str("SharedSecret(redacted)"),
            Self::PublicKeyFile(path) => f.debug_tuple("PublicKeyFile").field(path).finish(),
            Self::JwksFile(path) => f.debug_tuple("JwksFile").field(path).finish(),
            // A URL may carry credentials in its user part or query.
            Self::JwksUrl { url, .. } => f.debug_tuple("JwksUrl").field(&url.host_str()).finish(),
            Self::Discovered { .. } => f.write_str("Discovered"),
        }
    }
}

/// Why a verifier cannot be built: a setting to correct, or a file to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Tokens are to be checked, but nobody may issue them.
    #[error("no issuer is configured")]
    NoIssuer,
    /// An empty `iss` cannot be pinned.
    #[error("an issuer has no name")]
    UnnamedIssuer,
    /// Without an audience, tokens for other services would be accepted.
    #[error("issuer {issuer}: no audience is configured, or an empty one")]
    NoAudience {
        /// The rule's issuer.
        issuer: String,
    },
    /// Without an algorithm, no token would be accepted.
    #[error("issuer {issuer}: no algorithm is configured")]
    NoAlgorithm {
        /// The rule's issuer.
        issuer: String,
    },
    /// The door to algorithm confusion.
    #[error(
        "issuer {issuer}: {algorithm:?} cannot be used with this kind of key (a shared secret takes HS256, a public key anything but HS…)"
    )]
    AlgorithmMismatch {
        /// The rule's issuer.
        issuer: String,
        /// The first algorithm that does not fit.
        algorithm: Algorithm,
    },
    /// Two rules for the same issuer would claim the same token.
    #[error("issuer {issuer}: configured twice with the same algorithm")]
    Ambiguous {
        /// The rules' issuer.
        issuer: String,
    },
    /// A long leeway is a longer life for stolen tokens.
    #[error("issuer {issuer}: the leeway is longer than 5 minutes")]
    LeewayTooLong {
        /// The rule's issuer.
        issuer: String,
    },
    /// Everybody could sign with it.
    #[error("issuer {issuer}: the shared secret is empty")]
    EmptySecret {
        /// The rule's issuer.
        issuer: String,
    },
    /// Keys from there could be anybody's.
    #[error("issuer {issuer}: the key set URL {why}")]
    UrlRefused {
        /// The rule's issuer.
        issuer: String,
        /// What is wrong with the URL.
        why: &'static str,
    },
    /// Without an address there is nobody to ask for keys.
    #[error("issuer {issuer}: its keys cannot be discovered, because it {why}")]
    NotDiscoverable {
        /// The rule's issuer.
        issuer: String,
        /// What is wrong with it as a URL.
        why: &'static str,
    },
    /// A key file is absent or may not be read.
    #[error("key file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key file holds no good keys.
    #[error("key file {}: {why}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// The entry and what is wrong with it.
        why: String,
    },
    /// No TLS.
    #[error("the HTTP client for key sets cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Loaded keys.
#[derive(Debug)]
pub(super) enum Keys {
    One(Arc<Key>),
    Named(KeySet),
    Fetched(Jwks),
}

/// Fixes the crypto back end, whatever features other crates switch on: with two of them the JWT crate would panic.
pub(super) fn install_crypto() {
    // An error says that it is fixed already.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
}

/// What fetching keys takes.
pub(super) struct Fetching {
    pub(super) http: Http,
    /// The issuer's metadata, or why it cannot be asked for.
    pub(super) discovery: Result<Arc<Remote<Discovery>>, &'static str>,
}

impl Fetching {
    fn fetched(
        &self,
        issuer: String,
        location: Location,
        cache: CachePolicy,
        algorithms: &[Algorithm],
    ) -> Result<Keys, KeyError> {
        // Made now, so that a machine without certificates is noticed at start.
        self.http.client()?;
        let http = self.http.clone();
        let algorithms = algorithms.to_vec();
        Ok(Keys::Fetched(Jwks::new(
            issuer, location, cache, algorithms, http,
        )))
    }
}

impl Keys {
    /// How old they are.
    pub(super) fn age(&self) -> KeyAge {
        match self {
            Self::Fetched(jwks) => jwks.age().map_or(KeyAge::Awaited, KeyAge::Fetched),
            Self::One(_) | Self::Named(_) => KeyAge::Ours,
        }
    }

    pub(super) fn load(
        issuer: &str,
        source: KeySource,
        algorithms: &[Algorithm],
        fetching: &Fetching,
    ) -> Result<Self, KeyError> {
        let issuer = || issuer.to_owned();
        if algorithms.is_empty() {
            return Err(KeyError::NoAlgorithm { issuer: issuer() });
        }
        if let Some(algorithm) = algorithms.iter().copied().find(|it| !source.suits(*it)) {
            return Err(KeyError::AlgorithmMismatch {
                issuer: issuer(),
                algorithm,
            });
        }
        match source {
            KeySource::SharedSecret(secret) if secret.expose_secret().is_empty() => {
                Err(KeyError::EmptySecret { issuer: issuer() })
            }
            KeySource::SharedSecret(secret) => Ok(Self::One(Arc::new(Key::shared_secret(
                secret.expose_secret().as_bytes(),
            )))),
            KeySource::PublicKeyFile(path) => {
                Ok(Self::One(Arc::new(public_key(&path, algorithms)?)))
            }
            KeySource::JwksFile(path) => Ok(Self::Named(key_set(&path, algorithms)?)),
            KeySource::JwksUrl { url, cache } => {
                check_url(&url).map_err(|why| KeyError::UrlRefused {
                    issuer: issuer(),
                    why,
                })?;
                fetching.fetched(issuer(), Location::At(url), cache, algorithms)
            }
            KeySource::Discovered { cache } => {
                let discovery = fetching.discovery.as_ref();
                let discovery = discovery.map_err(|why| KeyError::NotDiscoverable {
                    issuer: issuer(),
                    why,
                })?;
                let location = Location::Discovered(Arc::clone(discovery));
                fetching.fetched(issuer(), location, cache, algorithms)
            }
        }
    }

    /// The key for `kid`. A key set needs one: guessing would try every key on every forged token.
    pub(super) async fn key(&self, kid: Option<&str>) -> Result<Arc<Key>, AuthError> {
        let kid = || kid.ok_or(AuthError::Malformed("no key id (kid)"));
        match self {
            Self::One(key) => Ok(Arc::clone(key)),
            Self::Named(set) => set.get(kid()?).cloned().ok_or(AuthError::UnknownKey),
            Self::Fetched(jwks) => jwks.key(kid()?).await,
        }
    }

    pub(super) async fn warm(&self) {
        if let Self::Fetched(jwks) = self {
            jwks.warm().await;
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Named(set) => set.count(),
            Self::Fetched(jwks) => jwks.count(),
        }
    }

    pub(super) fn ready(&self) -> bool {
        match self {
            Self::One(_) | Self::Named(_) => true,
            Self::Fetched(jwks) => jwks.ready(),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|source| KeyError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn key_set(path: &Path, algorithms: &[Algorithm]) -> Result<KeySet, KeyError> {
    KeySet::strict(&read(path)?, algorithms).map_err(|error: SetError| KeyError::BadFile {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// Reads the PEM by way of a JWK, so that one place decides what a usable key is.
fn public_key(path: &Path, algorithms: &[Algorithm]) -> Result<Key, KeyError> {
    let bad = |why: &str| KeyError::BadFile {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let pem = read(path)?;
    let text = String::from_utf8_lossy(&pem);
    if text.contains("PRIVATE KEY-----") {
        return Err(bad("it is a private key; only the public one belongs here"));
    }
    if !text.contains("PUBLIC KEY-----") {
        return Err(bad("not a PEM public key"));
    }
    let key = DecodingKey::from_rsa_pem(&pem)
        .or_else(|_| DecodingKey::from_ec_pem(&pem))
        .or_else(|_| DecodingKey::from_ed_pem(&pem))
        .map_err(|_| bad("neither an RSA nor an EC nor an Ed25519 key"))?;
    let jwk = Jwk::from_decoding_key(&key, None)
        .map_err(|_| bad("its type or curve is not supported"))?;
    Key::public(&jwk, algorithms).map_err(|unusable| match unusable {
        Unusable::NotForUs(why) | Unusable::Bad(why) => bad(why),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::{
        Verifier,
        fixtures::{
            ED25519, P256, P384, RSA, RSA_OTHER, SECRET, claims, key_file, knowing,
            public_key_rules,
        },
    };

    fn alone() -> Fetching {
        Fetching {
            http: Http::default(),
            discovery: Err("is not a URL"),
        }
    }

    fn from_file(name: &str) -> Result<Verifier, KeyError> {
        Verifier::new(vec![public_key_rules(KeySource::PublicKeyFile(key_file(
            name,
        )))])
    }

    #[test]
    fn each_kind_of_public_key_is_read_from_a_pem_file() {
        let keys = [
            ("rsa.public.pem", RSA),
            ("p256.public.pem", P256),
            ("p384.public.pem", P384),
            ("ed25519.public.pem", ED25519),
        ];
        for (file, key) in keys {
            let token = key.token(json!({ "kid": null }), &claims(json!({})));
            assert_eq!(
                from_file(file).unwrap().judge(&token).map(drop),
                Ok(()),
                "{file}"
            );
            let foreign = RSA_OTHER.token(json!({}), &claims(json!({})));
            assert!(from_file(file).unwrap().judge(&foreign).is_err(), "{file}");
        }
    }

    #[test]
    fn a_file_that_holds_no_good_public_key_is_named_with_the_reason() {
        for (file, reason) in [
            (
                "rsa.pem",
                "it is a private key; only the public one belongs here",
            ),
            (
                "rsa-weak.public.pem",
                "its size is wrong (RSA: 2048 to 8192 bits)",
            ),
            ("README.md", "not a PEM public key"),
            ("absent.pem", "No such file or directory"),
        ] {
            let error = from_file(file).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_bad_key_set_file_is_named_with_its_entry() {
        let error = knowing(&[
            RSA.jwk(),
            json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0" }),
        ])
        .unwrap_err();
        let KeyError::BadFile { path, why } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            why,
            r#"keys[1] (kid "a"): a symmetric key does not belong in a key set"#
        );
        assert!(error.to_string().contains(&path.display().to_string()));
    }

    #[test]
    fn an_algorithm_that_does_not_fit_the_key_source_is_refused() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let source = KeySource::PublicKeyFile(key_file("rsa.public.pem"));
            let refused = Keys::load("i", source, &[Algorithm::RS256, algorithm], &alone());
            assert!(matches!(refused, Err(KeyError::AlgorithmMismatch { .. })));
        }
        let secret = KeySource::SharedSecret(SecretString::from(SECRET));
        let refused = Keys::load("i", secret, &[Algorithm::HS512], &alone());
        assert!(matches!(refused, Err(KeyError::AlgorithmMismatch { .. })));
        let ec = KeySource::PublicKeyFile(key_file("p256.public.pem"));
        assert!(matches!(
            Keys::load("i", ec, &[Algorithm::RS256], &alone()),
            Err(KeyError::BadFile { .. })
        ));
    }

    #[test]
    fn key_sets_are_fetched_over_https_or_from_this_machine() {
        for url in [
            "https://h/jwks",
            "https://h/jwks?p=policy",
            "http://127.0.0.1:9/jwks",
            "http://localhost/jwks",
            "http://[::1]/jwks",
        ] {
            assert_eq!(check_url(&url.parse().unwrap()), Ok(()), "{url}");
        }
        for url in [
            "http://h/jwks",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://127.0.0.1.evil.test/",
            "http://[::ffff:10.0.0.1]/",
            "http://localhost.evil.test/",
            "file:///etc/passwd",
            "ftp://h/jwks",
            "https://u:p@h/jwks",
            "https://u@h/jwks",
            "https://h/jwks#a",
            "data:,x",
        ] {
            assert!(check_url(&url.parse().unwrap()).is_err(), "{url}");
        }
    }
}
