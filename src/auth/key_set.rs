//! JSON Web Keys (RFC 7517) → keys that may verify signatures, each bound to its algorithms. Entries are read one by
//! one. A symmetric key in a set is never used: whoever can read the set could sign with it.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Algorithm, AuthError};

/// Most entries of a set that are looked at.
const MOST_KEYS: usize = 64;
/// Longest `kid` of a key.
pub(super) const LONGEST_KEY_ID: usize = 256;

/// A verification key and the algorithms that it may be used with.
#[derive(Debug)]
pub(super) struct Key {
    decoding: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl Key {
    /// An HMAC key; HS256 only.
    pub(super) fn shared_secret(secret: &[u8]) -> Self {
        Self {
            decoding: DecodingKey::from_secret(secret),
            algorithms: vec![Algorithm::HS256],
        }
    }

    /// A public key, bound to those of `pinned` that fit its type, its curve and its `alg`.
    pub(super) fn public(jwk: &Jwk, pinned: &[Algorithm]) -> Result<Self, Unusable> {
        let fitting: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms(),
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err(Unusable::Bad(
                    "a symmetric key does not belong in a key set",
                ));
            }
            _ => return Err(Unusable::NotForUs("its type or curve is not supported")),
        };
        let bound = jwk.common.key_algorithm;
        let fits = |it: &&Algorithm| {
            pinned.contains(it) && bound.is_none_or(|bound| bound == (**it).into())
        };
        let algorithms: Vec<_> = fitting.iter().filter(fits).copied().collect();
        if algorithms.is_empty() {
            return Err(Unusable::NotForUs(
                "its algorithm is not among the accepted ones",
            ));
        }
        let decoding = DecodingKey::from_jwk(jwk)
            .map_err(|_| Unusable::Bad("its numbers are not base64url"))?;
        if !has_sound_size(jwk, &decoding) {
            return Err(Unusable::Bad("its size is wrong (RSA: 2048 to 8192 bits)"));
        }
        Ok(Self {
            decoding,
            algorithms,
        })
    }

    /// Whether the key made `signature` over `signed`, with `algorithm` only if the key is bound to it.
    pub(super) fn verify(
        &self,
        signed: &str,
        signature: &str,
        algorithm: Algorithm,
    ) -> Result<(), AuthError> {
        if !self.algorithms.contains(&algorithm) {
            return Err(AuthError::AlgorithmRefused);
        }
        match crypto::verify(signature, signed.as_bytes(), &self.decoding, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AuthError::BadSignature),
        }
    }
}

/// Why an entry of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// A sound key for another purpose.
    NotForUs(&'static str),
    /// Not a key that anybody should publish.
    Bad(&'static str),
}

/// The usable keys of a set, by `kid`.
#[derive(Debug)]
pub(super) struct KeySet(HashMap<String, Arc<Key>>);

/// The `kid`s of the keys in a published set that can check signatures; for whoever looks into somebody's key set.
///
/// # Errors
/// When it is no key set, or none of its keys can be used.
pub fn usable_keys(document: &[u8]) -> Result<Vec<String>, SetError> {
    let every = [
        AlgorithmFamily::Rsa.algorithms(),
        AlgorithmFamily::Ec.algorithms(),
        AlgorithmFamily::Ed.algorithms(),
    ];
    let set = KeySet::lenient(document, &every.concat())?;
    let mut names: Vec<_> = set.0.into_keys().collect();
    names.sort();
    Ok(names)
}

/// Why a document gives no keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Not `{ "keys": […] }`.
    #[error("not a JSON Web Key Set")]
    NotASet,
    /// Nothing in it can be used.
    #[error("no usable key in the set")]
    Empty,
    /// Only from [`KeySet::strict`].
    #[error("{entry}: {why}")]
    Entry {
        /// `keys[1] (kid "a")`
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl KeySet {
    /// The keys of a fetched document: bad entries are passed over, so that one of them does not lock everybody out.
    pub(super) fn lenient(document: &[u8], pinned: &[Algorithm]) -> Result<Self, SetError> {
        let mut keys = HashMap::new();
        for entry in &entries(document)? {
            if let Ok((kid, key)) = usable(entry, pinned) {
                keys.entry(kid).or_insert_with(|| Arc::new(key));
            }
        }
        Self::filled(keys)
    }

    /// The keys of a file that somebody wrote for us: a bad entry is their mistake, and named.
    pub(super) fn strict(document: &[u8], pinned: &[Algorithm]) -> Result<Self, SetError> {
        let mut keys = HashMap::new();
        for (index, entry) in entries(document)?.iter().enumerate() {
            let wrong = |why| SetError::Entry {
                entry: named(index, entry),
                why,
            };
            match usable(entry, pinned) {
                Ok((kid, key)) => {
                    if keys.insert(kid, Arc::new(key)).is_some() {
                        return Err(wrong("another entry has the same kid"));
                    }
                }
                Err(Unusable::NotForUs(_)) => {}
                Err(Unusable::Bad(why)) => return Err(wrong(why)),
            }
        }
        Self::filled(keys)
    }

    pub(super) fn get(&self, kid: &str) -> Option<&Arc<Key>> {
        self.0.get(kid)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn filled(keys: HashMap<String, Arc<Key>>) -> Result<Self, SetError> {
        if keys.is_empty() {
            return Err(SetError::Empty);
        }
        Ok(Self(keys))
    }
}

fn entries(document: &[u8]) -> Result<Vec<Value>, SetError> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let document: Document = serde_json::from_slice(document).map_err(|_| SetError::NotASet)?;
    Ok(document.keys.into_iter().take(MOST_KEYS).collect())
}

fn usable(entry: &Value, pinned: &[Algorithm]) -> Result<(String, Key), Unusable> {
    if entry.get("d").is_some() {
        return Err(Unusable::Bad("it is a private key"));
    }
    let jwk = Jwk::deserialize(entry).map_err(|_| Unusable::Bad("it is not a JSON Web Key"))?;
    if jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|it| *it != PublicKeyUse::Signature)
    {
        return Err(Unusable::NotForUs("it is not for signatures"));
    }
    if jwk
        .common
        .key_operations
        .as_ref()
        .is_some_and(|it| !it.contains(&KeyOperations::Verify))
    {
        return Err(Unusable::NotForUs("it is not for verifying"));
    }
    let key = Key::public(&jwk, pinned)?;
    match jwk.common.key_id {
        Some(kid) if !kid.is_empty() && kid.len() <= LONGEST_KEY_ID => Ok((kid, key)),
        _ => Err(Unusable::Bad("it needs a kid of 1 to 256 bytes")),
    }
}

fn named(index: usize, entry: &Value) -> String {
    match entry.get("kid") {
        Some(kid) => format!("keys[{index}] (kid {kid})"),
        None => format!("keys[{index}]"),
    }
}

/// RSA 2048 to 8192 bits (what the verifier takes); points and Ed25519 keys as long as their curve demands.
fn has_sound_size(jwk: &Jwk, key: &DecodingKey) -> bool {
    let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).unwrap_or_default();
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let unused = modulus
                .get(zeros)
                .map_or(0, |byte| byte.leading_zeros() as usize);
            (2048..=8192).contains(&((modulus.len() - zeros) * 8).saturating_sub(unused))
        }
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => length == 65,
        AlgorithmParameters::EllipticCurve(_) => length == 97,
        _ => length == 32,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::fixtures::{ED25519, P256, P384, RSA, RSA_OTHER, TestKey, key_set, weak_jwk};

    const PINNED: &[Algorithm] = &[
        Algorithm::RS256,
        Algorithm::RS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    fn with(key: &TestKey, changes: Value) -> Value {
        let mut jwk = key.jwk();
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    fn without(key: &TestKey, name: &str) -> Value {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    }

    fn lenient(entries: &[Value]) -> Result<Vec<String>, SetError> {
        let set = KeySet::lenient(key_set(entries).as_bytes(), PINNED)?;
        let mut names: Vec<_> = set.0.into_keys().collect();
        names.sort();
        Ok(names)
    }

    #[track_caller]
    fn strict(entries: &[Value]) -> String {
        match KeySet::strict(key_set(entries).as_bytes(), PINNED) {
            Ok(set) => format!("{} keys", set.0.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_bad_entry_spoils_nothing() {
        let bad = [
            with(&RSA_OTHER, json!({ "kid": 5 })),
            with(&RSA_OTHER, json!({ "use": ["sig"] })),
            json!(null),
            json!("key"),
            json!({ "kty": "EC", "crv": "P-256", "x": "!", "y": "!", "kid": "x" }),
            json!({ "kty": "quantum", "kid": "q" }),
            weak_jwk(),
        ];
        for bad in bad {
            assert_eq!(
                lenient(&[bad.clone(), RSA.jwk()]).unwrap(),
                ["rsa"],
                "{bad}"
            );
        }
    }

    #[test]
    fn a_symmetric_key_is_never_used() {
        let oct = json!({ "kty": "oct", "kid": "oct", "k": "c2VjcmV0", "alg": "HS256" });
        assert_eq!(lenient(&[oct.clone(), RSA.jwk()]).unwrap(), ["rsa"]);
        assert_eq!(lenient(std::slice::from_ref(&oct)), Err(SetError::Empty));
        insta::assert_snapshot!(strict(&[RSA.jwk(), oct]), @r#"keys[1] (kid "oct"): a symmetric key does not belong in a key set"#);
    }

    #[test]
    fn a_key_without_use_and_alg_is_used() {
        assert_eq!(
            lenient(&[RSA.jwk(), P256.jwk(), P384.jwk(), ED25519.jwk()]).unwrap(),
            ["ed", "p256", "p384", "rsa"]
        );
    }

    #[test]
    fn a_key_is_bound_to_the_pinned_algorithms_that_fit_it() {
        let bound = |jwk: Value| {
            Key::public(&Jwk::deserialize(jwk).unwrap(), PINNED).map(|key| key.algorithms)
        };
        assert_eq!(
            bound(RSA.jwk()),
            Ok(vec![Algorithm::RS256, Algorithm::RS512])
        );
        assert_eq!(
            bound(with(&RSA, json!({ "alg": "RS512" }))),
            Ok(vec![Algorithm::RS512])
        );
        assert_eq!(bound(P256.jwk()), Ok(vec![Algorithm::ES256]));
        for wrong in [
            with(&RSA, json!({ "alg": "PS256" })),
            with(&RSA, json!({ "alg": "HS256" })),
            with(&RSA, json!({ "alg": "ES256" })),
            with(&RSA, json!({ "alg": "RSA-OAEP" })),
            with(&P256, json!({ "alg": "ES384" })),
            with(&P256, json!({ "crv": "P-521" })),
        ] {
            assert!(matches!(bound(wrong), Err(Unusable::NotForUs(_))));
        }
    }

    #[test]
    fn keys_for_other_purposes_are_passed_over() {
        let others = [
            with(&RSA, json!({ "use": "enc" })),
            with(&RSA, json!({ "use": "other" })),
            with(&RSA, json!({ "key_ops": ["encrypt"] })),
            with(&RSA, json!({ "key_ops": [] })),
        ];
        for other in others {
            assert_eq!(
                lenient(&[other.clone(), P256.jwk()]).unwrap(),
                ["p256"],
                "{other}"
            );
            assert_eq!(strict(&[other.clone(), P256.jwk()]), "1 keys", "{other}");
        }
        let fine = with(&RSA, json!({ "use": "sig", "key_ops": ["verify"] }));
        assert_eq!(lenient(&[fine]).unwrap(), ["rsa"]);
    }

    #[test]
    fn only_64_entries_are_looked_at() {
        let many: Vec<_> = (0..70)
            .map(|n| with(&ED25519, json!({ "kid": format!("k{n:02}") })))
            .collect();
        let names = lenient(&many).unwrap();
        assert_eq!(
            (names.len(), names.last().map(String::as_str)),
            (64, Some("k63"))
        );
    }

    #[test]
    fn of_two_keys_with_one_kid_the_first_is_used() {
        let set = [RSA.jwk(), with(&RSA_OTHER, json!({ "kid": "rsa" }))];
        let set = KeySet::lenient(key_set(&set).as_bytes(), PINNED).unwrap();
        let token = RSA.token(json!({}), &json!({}));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(
            set.get("rsa")
                .unwrap()
                .verify(signed, signature, Algorithm::RS256),
            Ok(())
        );
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        for document in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":5}"#] {
            assert_eq!(
                KeySet::lenient(document.as_bytes(), PINNED).unwrap_err(),
                SetError::NotASet,
                "{document}"
            );
        }
        let deep = format!(r#"{{"keys":[{}]}}"#, "[".repeat(10_000));
        assert_eq!(
            KeySet::lenient(deep.as_bytes(), PINNED).unwrap_err(),
            SetError::NotASet
        );
        assert_eq!(lenient(&[]), Err(SetError::Empty));
    }

    #[test]
    fn a_bad_entry_of_a_file_is_named() {
        insta::assert_snapshot!(strict(&[RSA.jwk(), with(&P256, json!({ "kid": 5 }))]), @"keys[1] (kid 5): it is not a JSON Web Key");
        insta::assert_snapshot!(strict(&[without(&RSA, "kid")]), @"keys[0]: it needs a kid of 1 to 256 bytes");
        insta::assert_snapshot!(strict(&[RSA.jwk(), RSA.jwk()]), @r#"keys[1] (kid "rsa"): another entry has the same kid"#);
        insta::assert_snapshot!(strict(&[weak_jwk()]), @r#"keys[0] (kid "weak"): its size is wrong (RSA: 2048 to 8192 bits)"#);
        insta::assert_snapshot!(strict(&[with(&RSA, json!({ "d": "AQAB" }))]), @r#"keys[0] (kid "rsa"): it is a private key"#);
        insta::assert_snapshot!(strict(&[with(&P256, json!({ "x": "AQAB" }))]), @r#"keys[0] (kid "p256"): its size is wrong (RSA: 2048 to 8192 bits)"#);
        insta::assert_snapshot!(strict(&[with(&RSA, json!({ "n": "*" }))]), @r#"keys[0] (kid "rsa"): its numbers are not base64url"#);
        insta::assert_snapshot!(strict(&[with(&RSA, json!({ "use": "enc" }))]), @"no usable key in the set");
    }
}
