//! The keys we sign tokens with. In: a shared secret, or a private key in PEM. Out: signed tokens, and for a private key
//! the key set that verifies them. A key is tried when it is loaded, so that it cannot fail on a call; a shared secret has
//! no key set, because whoever could read it could sign.

use std::fmt;

use jsonwebtoken::{
    EncodingKey, Header, crypto,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use crate::auth::{
    Algorithm,
    key_set::{Key, LONGEST_KEY_ID, Unusable},
    keys::install_crypto,
};

/// A key with the algorithm and the `kid` it signs with.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    header: Header,
    public: Option<Jwk>,
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// An empty secret signs nothing.
    #[error("the signing secret is empty")]
    EmptySecret,
    /// A key set is only searched for key ids of a bounded length.
    #[error("the key id is empty or longer than {LONGEST_KEY_ID} bytes")]
    KeyId,
    /// The text is no private key of the algorithm.
    #[error("{0}")]
    BadKey(&'static str),
    /// The crypto back end refused.
    #[error("the token could not be signed: {0}")]
    Refused(#[from] jsonwebtoken::errors::Error),
}

impl SigningKey {
    /// HS256 with a secret that the verifier has too; without `key_id` the tokens name no key.
    ///
    /// # Errors
    /// An empty secret or key id.
    pub fn shared_secret(
        secret: &SecretString,
        key_id: Option<&str>,
    ) -> Result<Self, SigningError> {
        install_crypto();
        if secret.expose_secret().is_empty() {
            return Err(SigningError::EmptySecret);
        }
        Ok(Self {
            encoding: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            header: header(Algorithm::HS256, key_id.map(checked).transpose()?),
            public: None,
        })
    }

    /// A private key in PEM (PKCS#8; for RSA also PKCS#1) for RS256, ES256 or `EdDSA`. Without `key_id` the key is named
    /// by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// A text that is no such key, or one with which no token can be signed that anybody accepts.
    pub fn private_key(
        algorithm: Algorithm,
        pem: &SecretString,
        key_id: Option<&str>,
    ) -> Result<Self, SigningError> {
        install_crypto();
        let pem = pem.expose_secret().as_bytes();
        let encoding = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => return Err(SigningError::BadKey("only RS256, ES256 and EdDSA can sign")),
        };
        let not_ours = |_| SigningError::BadKey("not a private key of this algorithm in PEM");
        let encoding = encoding.map_err(not_ours)?;
        let mut public = Jwk::from_encoding_key(&encoding, algorithm).map_err(not_ours)?;
        let kid = match key_id {
            Some(kid) => checked(kid)?,
            None => public.thumbprint(ThumbprintHash::SHA256)?,
        };
        try_out(&encoding, &public, algorithm)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            encoding,
            header: header(algorithm, Some(kid)),
            public: Some(public),
        })
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// When the crypto back end refuses.
    pub fn sign(&self, claims: &impl Serialize) -> Result<SecretString, SigningError> {
        let token = jsonwebtoken::encode(&self.header, claims, &self.encoding)?;
        Ok(SecretString::from(token))
    }

    /// The key set that verifies the tokens (RFC 7517); `None` for a shared secret.
    #[must_use]
    pub fn key_set(&self) -> Option<Value> {
        let public = self.public.as_ref()?;
        Some(json!({ "keys": [public] }))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.header.alg)
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

fn header(algorithm: Algorithm, kid: Option<String>) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = kid;
    header
}

fn checked(kid: &str) -> Result<String, SigningError> {
    if kid.is_empty() || kid.len() > LONGEST_KEY_ID {
        return Err(SigningError::KeyId);
    }
    Ok(kid.to_owned())
}

/// Signs something and checks it as a reader of the key set would.
fn try_out(key: &EncodingKey, public: &Jwk, algorithm: Algorithm) -> Result<(), SigningError> {
    let verifying = Key::public(public, &[algorithm]).map_err(|unusable| match unusable {
        Unusable::NotForUs(why) | Unusable::Bad(why) => SigningError::BadKey(why),
    })?;
    let message = "toolbridge";
    let signature = crypto::sign(message.as_bytes(), key, algorithm)?;
    verifying
        .verify(message, &signature, algorithm)
        .map_err(|_| SigningError::BadKey("its two halves do not fit together"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{
        AuthError,
        fixtures::{ED25519, P256, RSA, SECRET, claims, key_file, knowing},
    };

    fn pem(file: &str) -> SecretString {
        SecretString::from(std::fs::read_to_string(key_file(file)).unwrap())
    }

    #[test]
    fn what_each_kind_of_key_signs_its_key_set_verifies() {
        for (algorithm, file) in [
            (Algorithm::RS256, "rsa.pem"),
            (Algorithm::ES256, "p256.pem"),
            (Algorithm::EdDSA, "ed25519.pem"),
        ] {
            for key_id in [None, Some("2026-11")] {
                let key = SigningKey::private_key(algorithm, &pem(file), key_id).unwrap();
                let set = key.key_set().unwrap();
                let entry = set["keys"][0].clone();
                assert_eq!(entry["use"], "sig");
                assert_eq!(entry["alg"], format!("{algorithm:?}"));
                assert!(key_id.is_none_or(|kid| entry["kid"] == kid));
                let token = key.sign(&claims(json!({}))).unwrap();
                let verifier = knowing(&[entry]).unwrap();
                let caller = verifier.judge(token.expose_secret()).unwrap();
                assert_eq!(caller.subject(), "alice");
            }
        }
    }

    #[test]
    fn a_key_set_shows_the_public_half_and_nothing_else() {
        for (algorithm, file, public) in [
            (Algorithm::RS256, "rsa.pem", vec!["e", "n"]),
            (Algorithm::ES256, "p256.pem", vec!["crv", "x", "y"]),
            (Algorithm::EdDSA, "ed25519.pem", vec!["crv", "x"]),
        ] {
            let key = SigningKey::private_key(algorithm, &pem(file), None).unwrap();
            let set = key.key_set().unwrap();
            let mut names: Vec<_> = set["keys"][0].as_object().unwrap().keys().collect();
            names.sort();
            let mut expected = [public, vec!["alg", "kid", "kty", "use"]].concat();
            expected.sort_unstable();
            assert_eq!(names, expected, "{file}");
        }
    }

    #[test]
    fn a_shared_secret_has_no_key_set() {
        let key = SigningKey::shared_secret(&SecretString::from(SECRET), Some("k1")).unwrap();
        assert_eq!(key.key_set(), None);
        let token = key.sign(&claims(json!({}))).unwrap();
        let verifier = knowing(&[RSA.jwk()]).unwrap();
        let refused = verifier.judge(token.expose_secret()).unwrap_err();
        assert_eq!(refused, AuthError::AlgorithmRefused);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_when_it_is_loaded() {
        for (algorithm, file) in [
            (Algorithm::RS256, "p256.pem"),
            (Algorithm::RS256, "rsa.public.pem"),
            (Algorithm::RS256, "rsa-weak.public.pem"),
            (Algorithm::ES256, "rsa.pem"),
            (Algorithm::ES256, "p384.pem"),
            (Algorithm::EdDSA, "p256.pem"),
            (Algorithm::EdDSA, "README.md"),
            (Algorithm::HS256, "rsa.pem"),
        ] {
            let refused = SigningKey::private_key(algorithm, &pem(file), None);
            assert!(refused.is_err(), "{algorithm:?} {file}");
        }
    }

    #[test]
    fn a_key_id_is_some_text_and_not_a_long_one() {
        for kid in ["", &"k".repeat(257)] {
            let refused = SigningKey::private_key(Algorithm::ES256, &pem("p256.pem"), Some(kid));
            assert!(matches!(refused, Err(SigningError::KeyId)));
        }
    }

    #[test]
    fn no_key_can_be_printed() {
        for (algorithm, file, key) in [
            (Algorithm::RS256, "rsa.pem", RSA),
            (Algorithm::ES256, "p256.pem", P256),
            (Algorithm::EdDSA, "ed25519.pem", ED25519),
        ] {
            let text = pem(file);
            let signing = SigningKey::private_key(algorithm, &text, Some(key.kid)).unwrap();
            let shown = format!("{signing:?}");
            for line in text.expose_secret().lines().filter(|line| line.len() > 40) {
                assert!(!shown.contains(line), "{shown}");
            }
            assert!(shown.len() < 100, "{shown}");
        }
        let secret = SigningKey::shared_secret(&SecretString::from(SECRET), None).unwrap();
        let bytes = format!("{:?}", SECRET.as_bytes());
        let shown = format!("{secret:?}");
        assert!(!shown.contains(SECRET) && !shown.contains(&bytes));
    }
}
