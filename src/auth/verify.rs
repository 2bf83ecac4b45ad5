//! A token taken apart, and its signature. In: an `UnverifiedToken`. Out: `SignedClaims`, which only
//! [`Unverified::verified`] makes. Of an unverified token one may ask no more than what selects its rule and key; a URL
//! or key that its header carries (`jku`, `jwk`, `x5u`) is never looked at.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::auth::{
    Algorithm, AuthError, bearer::UnverifiedToken, error::plain, key_set::Key, rules::Issuer,
};

/// Header and claims, read but not proven.
pub(super) struct Unverified<'a> {
    /// `header.payload`, the bytes that are signed.
    signed: &'a str,
    signature: &'a str,
    header: Header,
    algorithm: Algorithm,
    claims: TokenClaims,
}

/// The claims of a token whose signature was right.
pub(super) struct SignedClaims(pub(super) TokenClaims);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// The claims that are looked at; a struct, so that one that is there twice is an error.
#[derive(Deserialize)]
pub(super) struct TokenClaims {
    pub(super) iss: Option<Claim<String>>,
    pub(super) sub: Option<Claim<String>>,
    pub(super) aud: Option<Claim<OneOrMany>>,
    pub(super) exp: Option<Claim<NumericDate>>,
    pub(super) nbf: Option<Claim<NumericDate>>,
    pub(super) iat: Option<Claim<NumericDate>>,
    /// Marks an ID token.
    #[serde(default, deserialize_with = "present")]
    pub(super) nonce: bool,
    pub(super) scope: Option<Claim<OneOrMany>>,
    pub(super) scp: Option<Claim<OneOrMany>>,
    /// `WorkOS`: the organization that the token was issued for.
    pub(super) org_id: Option<Claim<String>>,
}

/// A claim that is there, of the right type or not, so that a wrong one can be named.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Claim<T> {
    Right(T),
    Wrong(IgnoredAny),
}

impl<T> Claim<T> {
    pub(super) fn right(self, name: &'static str) -> Result<T, AuthError> {
        match self {
            Self::Right(value) => Ok(value),
            Self::Wrong(_) => Err(AuthError::BadClaim(name)),
        }
    }
}

/// The value of a claim that must be there.
pub(super) fn required<T>(claim: Option<Claim<T>>, name: &'static str) -> Result<T, AuthError> {
    claim.ok_or(AuthError::MissingClaim(name))?.right(name)
}

/// A string or an array of strings.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn all(self) -> Vec<String> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }

    /// Its words: scopes come as one string with spaces or as an array.
    pub(super) fn words(self) -> Vec<String> {
        let all = self.all();
        all.iter()
            .flat_map(|text| text.split_ascii_whitespace())
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// Seconds since 1970, whole or not (RFC 7519 §2).
#[derive(Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct NumericDate(pub(super) Duration);

impl TryFrom<f64> for NumericDate {
    type Error = std::time::TryFromFloatSecsError;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        Duration::try_from_secs_f64(seconds).map(Self)
    }
}

impl<'a> Unverified<'a> {
    /// Takes the token apart: three parts, base64url, JSON objects, an algorithm we know, no `crit`.
    pub(super) fn parse(token: UnverifiedToken<'a>) -> Result<Self, AuthError> {
        let (signed, signature) = token
            .as_str()
            .rsplit_once('.')
            .ok_or(AuthError::Malformed("not three parts"))?;
        let (header, payload) = signed
            .split_once('.')
            .ok_or(AuthError::Malformed("not three parts"))?;
        let header: Header = decoded(header).ok_or(AuthError::Malformed("unreadable header"))?;
        if header.crit {
            // An extension that must be understood; we understand none (RFC 7515 §4.1.11).
            return Err(AuthError::Malformed("critical header"));
        }
        let algorithm = header
            .alg
            .parse()
            .map_err(|_| AuthError::AlgorithmRefused)?;
        let claims = decoded(payload).ok_or(AuthError::Malformed("unreadable claims"))?;
        Ok(Self {
            signed,
            signature,
            header,
            algorithm,
            claims,
        })
    }

    /// The rule for `iss` that pins the token's algorithm, and its place among all.
    pub(super) fn issuer<'i>(
        &self,
        issuers: &'i [Issuer],
    ) -> Result<(usize, &'i Issuer), AuthError> {
        let name = match &self.claims.iss {
            Some(Claim::Right(name)) => name,
            Some(Claim::Wrong(_)) => return Err(AuthError::BadClaim("iss")),
            None => return Err(AuthError::MissingClaim("iss")),
        };
        let mut rules = issuers
            .iter()
            .enumerate()
            .filter(|(_, issuer)| issuer.name == *name)
            .peekable();
        if rules.peek().is_none() {
            return Err(AuthError::UnknownIssuer {
                got: plain(name, 100),
            });
        }
        rules
            .find(|(_, issuer)| issuer.pins(self.algorithm))
            .ok_or(AuthError::AlgorithmRefused)
    }

    /// `kid`.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// `typ`.
    pub(super) fn token_type(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The claims, if `key` signed them with one of the algorithms that the key is bound to.
    pub(super) fn verified(self, key: &Key) -> Result<SignedClaims, AuthError> {
        key.verify(self.signed, self.signature, self.algorithm)?;
        Ok(SignedClaims(self.claims))
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified(redacted)")
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

/// `true` for any value: the name alone counts.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::AlgorithmFamily;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{
        Verifier,
        fixtures::{
            ED25519, P256, P384, RSA, RSA_OTHER, SECRET, claims, hmac_token, knowing,
            sharing_a_secret, unsigned,
        },
    };

    fn published() -> Verifier {
        knowing(&[RSA.jwk(), P256.jwk(), P384.jwk(), ED25519.jwk()]).unwrap()
    }

    #[track_caller]
    fn with_header(header: Value) -> Result<(), AuthError> {
        published()
            .judge(&RSA.token(header, &claims(json!({}))))
            .map(drop)
    }

    #[test]
    fn every_pinned_algorithm_verifies() {
        let rsa = AlgorithmFamily::Rsa.algorithms();
        for algorithm in rsa {
            let token = RSA.with(*algorithm).token(json!({}), &claims(json!({})));
            assert_eq!(published().judge(&token).map(drop), Ok(()), "{algorithm:?}");
        }
        for key in [P256, P384, ED25519] {
            let token = key.token(json!({}), &claims(json!({})));
            assert_eq!(published().judge(&token).map(drop), Ok(()), "{}", key.kid);
        }
    }

    #[test]
    fn a_signature_by_another_key_is_refused() {
        let token = RSA_OTHER.token(json!({ "kid": "rsa" }), &claims(json!({})));
        assert_eq!(
            published().judge(&token).unwrap_err(),
            AuthError::BadSignature
        );
    }

    #[test]
    fn claims_changed_after_signing_are_refused() {
        let token = RSA.token(json!({}), &claims(json!({})));
        let signature = token.rsplit_once('.').unwrap().1;
        let header = json!({ "alg": "RS256", "kid": "rsa", "typ": "JWT" });
        let forged = unsigned(&header, &claims(json!({ "sub": "mallory" })));
        let refused = published().judge(&format!("{forged}.{signature}"));
        assert_eq!(refused.unwrap_err(), AuthError::BadSignature);
    }

    #[test]
    fn a_token_that_names_no_algorithm_or_none_is_refused() {
        for alg in ["none", "None", "NONE", "HS257", ""] {
            let header = unsigned(&json!({ "alg": alg, "kid": "rsa" }), &claims(json!({})));
            let refused = published().judge(&format!("{header}."));
            assert_eq!(refused.unwrap_err(), AuthError::AlgorithmRefused, "{alg}");
        }
        assert_eq!(
            with_header(json!({ "alg": null })),
            Err(AuthError::Malformed("unreadable header"))
        );
    }

    #[test]
    fn a_token_signed_with_the_public_key_as_secret_is_refused() {
        let pem = include_bytes!("../../tests/keys/rsa.public.pem");
        for algorithm in AlgorithmFamily::Hmac.algorithms() {
            let token = hmac_token(pem, *algorithm, json!({ "kid": "rsa" }), &claims(json!({})));
            assert_eq!(
                published().judge(&token).unwrap_err(),
                AuthError::AlgorithmRefused
            );
            // The header lies about the algorithm: the key decides.
            let token = hmac_token(
                pem,
                *algorithm,
                json!({ "kid": "rsa", "alg": "RS256" }),
                &claims(json!({})),
            );
            assert_eq!(
                published().judge(&token).unwrap_err(),
                AuthError::BadSignature
            );
        }
    }

    #[test]
    fn a_shared_secret_verifies_nothing_but_hs256() {
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = hmac_token(SECRET.as_bytes(), algorithm, json!({}), &claims(json!({})));
            assert_eq!(
                sharing_a_secret().judge(&token).unwrap_err(),
                AuthError::AlgorithmRefused
            );
        }
        let token = RSA.token(json!({}), &claims(json!({})));
        assert_eq!(
            sharing_a_secret().judge(&token).unwrap_err(),
            AuthError::AlgorithmRefused
        );
        let token = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            json!({ "kid": "any" }),
            &claims(json!({})),
        );
        assert_eq!(sharing_a_secret().judge(&token).map(drop), Ok(()));
    }

    #[test]
    fn a_key_is_not_used_with_an_algorithm_of_another_kind_of_key() {
        let token = RSA.token(json!({ "kid": "p256" }), &claims(json!({})));
        assert_eq!(
            published().judge(&token).unwrap_err(),
            AuthError::AlgorithmRefused
        );
    }

    #[test]
    fn a_key_of_the_set_must_be_named() {
        assert_eq!(
            with_header(json!({ "kid": null })),
            Err(AuthError::Malformed("no key id (kid)"))
        );
        assert_eq!(
            with_header(json!({ "kid": "" })),
            Err(AuthError::UnknownKey)
        );
        assert_eq!(
            with_header(json!({ "kid": "gone" })),
            Err(AuthError::UnknownKey)
        );
        assert_eq!(
            with_header(json!({ "kid": "../rsa" })),
            Err(AuthError::UnknownKey)
        );
        assert_eq!(
            with_header(json!({ "kid": 5 })),
            Err(AuthError::Malformed("unreadable header"))
        );
    }

    #[test]
    fn extensions_that_must_be_understood_are_refused() {
        for crit in [json!(["b64"]), json!([]), json!("exp"), json!(false)] {
            assert_eq!(
                with_header(json!({ "crit": crit, "b64": false })),
                Err(AuthError::Malformed("critical header"))
            );
        }
    }

    #[test]
    fn keys_and_addresses_in_the_header_change_nothing() {
        let lure = json!({ "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/", "jwk": RSA_OTHER.jwk() });
        assert_eq!(with_header(lure.clone()), Ok(()));
        let mut lure = lure;
        lure["kid"] = json!("rsa");
        let token = RSA_OTHER.token(lure, &claims(json!({})));
        assert_eq!(
            published().judge(&token).unwrap_err(),
            AuthError::BadSignature
        );
    }

    #[test]
    fn what_is_no_signed_token_is_malformed() {
        let good = RSA.token(json!({}), &claims(json!({})));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let deep = URL_SAFE_NO_PAD.encode("[".repeat(3000));
        let two_organizations = r#"{"iss":"https://issuer.example","org_id":"a","org_id":"b"}"#;
        let two_organizations = URL_SAFE_NO_PAD.encode(two_organizations);
        let twice = URL_SAFE_NO_PAD.encode(r#"{"iss":"a","iss":"https://issuer.example"}"#);
        for token in [
            "a".to_owned(),
            "a.b".to_owned(),
            "..".to_owned(),
            "....".to_owned(),
            format!("{good}.{signature}"),
            format!("{header}=.{payload}.{signature}"),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{header}.{deep}.{signature}"),
            format!("{deep}.{payload}.{signature}"),
            format!("{header}.{twice}.{signature}"),
            format!("{header}.{two_organizations}.{signature}"),
        ] {
            let refused = published().judge(&token);
            assert!(
                matches!(refused, Err(AuthError::Malformed(_))),
                "{token}: {refused:?}"
            );
        }
        let padded = published().judge(&format!("{good}="));
        assert_eq!(padded.unwrap_err(), AuthError::BadSignature);
    }
}
