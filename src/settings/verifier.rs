//! Whose tokens are believed, from the settings: each issuer with its audiences, algorithms and keys. In: `auth.*`. Out: a
//! [`Verifier`]. A setting is carried over as it is; what it means is decided in `auth`.

use secrecy::SecretString;

use crate::auth::{Algorithm, CachePolicy, IssuerRules, KeyError, KeySource, TokenType, Verifier};

use super::{
    AuthSettings, IssuerSettings, KeySetSettings, KeySetSource, TokenSettings, VerificationKeys,
};

impl AuthSettings {
    /// The verifier that these settings describe; nothing is fetched yet.
    ///
    /// # Errors
    /// Keys that cannot be used.
    pub fn verifier(&self) -> Result<Verifier, KeyError> {
        let Self::Tokens(tokens) = self else {
            return Ok(Verifier::anonymous());
        };
        let issuers = tokens.issuers.iter();
        Verifier::new(issuers.flat_map(|issuer| rules(tokens, issuer)).collect())
    }
}

/// One rule for each kind of key.
fn rules(tokens: &TokenSettings, issuer: &IssuerSettings) -> Vec<IssuerRules> {
    let rules = |keys, algorithms| IssuerRules {
        leeway: issuer.leeway,
        algorithms,
        refuse_nonce: tokens.refuse_nonce,
        token_type: if tokens.access_tokens_only {
            TokenType::AccessTokenOnly
        } else {
            TokenType::Any
        },
        ..IssuerRules::new(&issuer.issuer, &issuer.audiences, keys)
    };
    let secret = |secret: &SecretString| {
        let keys = KeySource::SharedSecret(secret.clone());
        rules(keys, vec![Algorithm::HS256])
    };
    let key_set = |set: &KeySetSettings| rules(key_source(set), set.algorithms.clone());
    match &issuer.keys {
        VerificationKeys::Secret(shared) => vec![secret(shared)],
        VerificationKeys::KeySet(set) => vec![key_set(set)],
        VerificationKeys::Both(shared, set) => vec![secret(shared), key_set(set)],
    }
}

fn key_source(set: &KeySetSettings) -> KeySource {
    match &set.source {
        KeySetSource::Url(url) => KeySource::JwksUrl {
            url: url.clone(),
            cache: CachePolicy::default(),
        },
        KeySetSource::File(path) => KeySource::JwksFile(path.clone()),
        KeySetSource::Discovered => KeySource::Discovered {
            cache: CachePolicy::default(),
        },
    }
}
