//! Token → caller: who sent an MCP request, proven by a token that was checked here.
//! In: the request's headers and the time. Out: a [`Caller`], or an [`AuthError`] that [`Challenge`] words as the HTTP
//! answer. The order of the types is the order of the checks: header → `UnverifiedToken` → taken apart → signature →
//! claims → `Caller`; nothing of a token is believed before its signature, but the issuer that selects the rules.
//! The signature of a token is checked once, and its owner is known again by the token's digest (`verified`); that the
//! token is still good, and its key still the issuer's, is looked at each time.

mod bearer;
pub mod caller;
mod challenge;
pub mod development;
mod discovery;
mod error;
mod fetch;
mod jwks;
mod key_set;
mod keys;
mod mint;
mod remote;
mod rules;
mod signing_key;
mod verified;
mod verify;

#[cfg(test)]
mod fixtures;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
/// How a token is signed, by its JOSE name (`"RS256".parse()`).
pub use jsonwebtoken::Algorithm;

pub use caller::{BearerToken, Caller};
pub use challenge::{Challenge, Directions};
pub use discovery::{IssuerMetadata, MetadataError};
pub use error::AuthError;
pub use key_set::{SetError, usable_keys};
pub use keys::{KeyError, KeySource};
pub use mint::{MintError, NewToken, mint};
pub use remote::CachePolicy;
pub use rules::{IssuerRules, TokenType};
pub use signing_key::{SigningError, SigningKey};

use bearer::UnverifiedToken;
use rules::Issuer;
use verified::{Proof, TokenDigest, VerifiedTokens};

/// Whom we believe: built once at start, shared by all requests.
#[derive(Debug)]
pub struct Verifier(Mode);

#[derive(Debug)]
enum Mode {
    Anonymous,
    Tokens {
        issuers: Vec<Issuer>,
        verified: VerifiedTokens,
    },
}

/// The keys of one issuer, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRing<'a> {
    /// Its name.
    pub issuer: &'a str,
    /// How many there are to check tokens with.
    pub keys: usize,
    /// How old they are.
    pub age: KeyAge,
}

/// How old keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAge {
    /// They are not fetched: a secret, or a file.
    Ours,
    /// Nobody has fetched them yet.
    Awaited,
    /// They were fetched so long ago.
    Fetched(Duration),
}

impl Verifier {
    /// `auth.mode = "none"`: everybody is the anonymous caller, and tokens are not even looked at.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Mode::Anonymous)
    }

    /// Reads key files and makes the clients for key sets; nothing is fetched yet (see [`Verifier::warm`]).
    ///
    /// The same issuer may appear more than once if its rules pin different algorithms (a shared secret and a key set).
    ///
    /// # Errors
    /// The first rule that cannot work, naming the issuer, or the file and the entry in it.
    pub fn new(rules: Vec<IssuerRules>) -> Result<Self, KeyError> {
        keys::install_crypto();
        Ok(Self(Mode::Tokens {
            issuers: rules::load(rules)?,
            verified: VerifiedTokens::default(),
        }))
    }

    /// Fetches every key set once, so that the first request need not wait. An issuer that is down is no error: its
    /// callers get 503 until its keys are here, and [`Verifier::without_keys`] names it.
    pub async fn warm(&self) {
        futures_util::future::join_all(self.issuers().iter().map(|issuer| issuer.keys.warm()))
            .await;
    }

    /// Whether tokens of every issuer can be checked now.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.without_keys().is_empty()
    }

    /// Issuers whose keys were never fetched or are too old to be used, for `/readyz`.
    #[must_use]
    pub fn without_keys(&self) -> Vec<&str> {
        let missing = self.issuers().iter().filter(|issuer| !issuer.keys.ready());
        missing.map(|issuer| issuer.name.as_str()).collect()
    }

    /// Whom we believe, with how many keys; none where nobody is asked for a token.
    #[must_use]
    pub fn key_rings(&self) -> Vec<KeyRing<'_>> {
        let each = self.issuers().iter();
        each.map(|issuer| KeyRing {
            issuer: issuer.name.as_str(),
            keys: issuer.keys.count(),
            age: issuer.keys.age(),
        })
        .collect()
    }

    /// The metadata of the first issuer whose name is an address that may be asked for it; `None` where there is none.
    #[must_use]
    pub fn issuer_metadata(&self) -> Option<IssuerMetadata> {
        let mut known = self.issuers().iter();
        known.find_map(|issuer| issuer.discovery.as_ref().map(IssuerMetadata::new))
    }

    /// Who sent a request with these headers at `now` (since 1970, UTC). Only the `Authorization` header counts: a token
    /// in the query string is no token (OAuth 2.1 §5.1).
    ///
    /// # Errors
    /// Every way in which it is not proven who sent it.
    pub async fn caller(&self, headers: &HeaderMap, now: Duration) -> Result<Caller, AuthError> {
        let Mode::Tokens { issuers, verified } = &self.0 else {
            return Ok(Caller::anonymous());
        };
        let sent = bearer::sent(headers)?;
        let digest = TokenDigest::of(sent);
        if let Some(proof) = verified.find(&digest)
            && let Some(issuer) = issuers.get(proof.issuer)
        {
            let key = issuer.keys.key(proof.kid.as_deref()).await?;
            if proof.holds(&key, now) {
                // Of a known token the characters were looked at when it became known.
                let token = match sent.well_spelled() {
                    Some(header) => BearerToken::as_sent(header.clone()),
                    None => passed_on(sent.checked()?)?,
                };
                return Ok(Caller::verified(Arc::clone(&proof.owner), token));
            }
            verified.forget(&digest);
        }
        let token = sent.checked()?;
        let unverified = verify::Unverified::parse(token)?;
        let (index, issuer) = unverified.issuer(issuers)?;
        issuer.accepts_type_of(&unverified)?;
        let kid = unverified.key_id().map(str::to_owned);
        let key = issuer.keys.key(kid.as_deref()).await?;
        let claims = unverified.verified(&key)?;
        let owner = Arc::new(issuer.check(claims, now)?);
        let proof = Proof {
            issuer: index,
            kid,
            key,
            owner: Arc::clone(&owner),
        };
        verified.keep(digest, proof);
        Ok(Caller::verified(owner, passed_on(token)?))
    }

    fn issuers(&self) -> &[Issuer] {
        match &self.0 {
            Mode::Anonymous => &[],
            Mode::Tokens { issuers, .. } => issuers,
        }
    }
}

/// The token as the backend gets it.
fn passed_on(token: UnverifiedToken<'_>) -> Result<BearerToken, AuthError> {
    BearerToken::new(token.as_str()).ok_or(AuthError::Malformed("odd characters"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http::{HeaderValue, header::AUTHORIZATION};
    use secrecy::SecretString;
    use serde_json::json;

    use super::{
        fixtures::{
            AUDIENCE, ISSUER, NOW, RSA, SECRET, claims, hmac_token, key_file, knowing,
            public_key_rules, shared_secret_rules, sharing_a_secret, unsigned,
        },
        *,
    };

    #[test]
    fn a_token_goes_on_as_the_backend_wants_it_known_or_not_however_its_header_was_spelled() {
        let token = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            json!({}),
            &claims(json!({})),
        );
        let spelled = [
            format!("bearer   {token} "),
            format!("Bearer {token}"),
            format!("BEARER {token}"),
        ];
        for first in &spelled {
            let verifier = sharing_a_secret();
            for header in [first].into_iter().chain(&spelled) {
                let header = HeaderValue::try_from(header).unwrap();
                let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
                let caller = verifier.caller(&headers, NOW).now_or_never();
                let sent = caller.unwrap().unwrap().token().unwrap().authorization();
                assert_eq!(sent, format!("Bearer {token}"));
                assert!(sent.is_sensitive());
            }
        }
    }

    #[test]
    fn a_good_token_names_its_caller() {
        let token = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            json!({}),
            &claims(json!({})),
        );
        let caller = sharing_a_secret().judge(&token).unwrap();
        assert_eq!((caller.issuer(), caller.subject()), (ISSUER, "alice"));
        let scopes: Vec<_> = caller.scopes().iter().map(String::as_str).collect();
        assert_eq!(scopes, ["notes:read", "notes:write"]);
        assert_eq!(caller.expires_at(), NOW.as_secs() + 630);
        assert_eq!(
            caller.token().unwrap().authorization(),
            format!("Bearer {token}")
        );
    }

    /// What `verifier` says of the token at this time.
    fn at(verifier: &Verifier, token: &str, now: Duration) -> Result<Caller, AuthError> {
        let headers = super::fixtures::bearer(token);
        let asked = verifier.caller(&headers, now);
        futures_util::FutureExt::now_or_never(asked).expect("nothing to wait for")
    }

    #[test]
    fn a_token_that_is_known_ends_when_it_ends_and_begins_when_it_begins() {
        let verifier = knowing(&[RSA.jwk()]).unwrap();
        let begun = json!({ "nbf": NOW.as_secs(), "exp": NOW.as_secs() + 100 });
        let token = RSA.token(json!({}), &claims(begun));
        let leeway = Duration::from_secs(30);
        assert!(at(&verifier, &token, NOW).is_ok());
        assert!(at(&verifier, &token, NOW + Duration::from_secs(129)).is_ok());
        for _ in 0..2 {
            let late = at(&verifier, &token, NOW + Duration::from_secs(130));
            assert_eq!(late.unwrap_err(), AuthError::Expired);
        }
        assert!(at(&verifier, &token, NOW).is_ok());
        // The clock was set back.
        let early = at(&verifier, &token, NOW - leeway - Duration::from_secs(1));
        assert_eq!(early.unwrap_err(), AuthError::NotYetValid);
    }

    #[test]
    fn what_is_known_of_a_token_says_nothing_of_one_that_differs_by_a_letter() {
        let verifier = knowing(&[RSA.jwk()]).unwrap();
        let token = RSA.token(json!({}), &claims(json!({})));
        let caller = at(&verifier, &token, NOW).unwrap();
        assert_eq!(
            at(&verifier, &token, NOW).unwrap().subject(),
            caller.subject()
        );
        let mut forged = token.clone();
        let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
        forged.push(last);
        // The last letter of a signature may hold bits that do not count.
        if let Ok(same) = at(&verifier, &forged, NOW) {
            assert_eq!(same.subject(), caller.subject());
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let other = unsigned(&json!({}), &claims(json!({ "sub": "mallory" })));
        let payload = other.split_once('.').unwrap().1;
        let forged = format!("{header}.{payload}.{signature}");
        for _ in 0..2 {
            let refused = at(&verifier, &forged, NOW);
            assert_eq!(refused.unwrap_err(), AuthError::BadSignature);
        }
    }

    #[test]
    fn no_token_is_kept_of_those_that_are_known() {
        let verifier = knowing(&[RSA.jwk()]).unwrap();
        let token = RSA.token(json!({}), &claims(json!({})));
        at(&verifier, &token, NOW).unwrap();
        let shown = format!("{verifier:?}");
        assert!(shown.contains("VerifiedTokens(1)"), "{shown}");
        assert!(!shown.contains(&token));
    }

    #[test]
    fn a_request_may_be_judged_on_any_thread() {
        fn movable(_: impl Send) {}
        movable(sharing_a_secret().caller(&HeaderMap::new(), NOW));
    }

    #[test]
    fn where_nobody_is_asked_everybody_is_anonymous_and_no_token_is_kept() {
        let caller = Verifier::anonymous().judge("whatever").unwrap();
        assert_eq!(caller.subject(), "anonymous");
        assert!(caller.token().is_none());
        assert!(Verifier::anonymous().ready());
    }

    #[test]
    fn each_issuer_is_believed_with_its_own_keys_only() {
        let other = IssuerRules {
            issuer: "https://other.example".to_owned(),
            keys: KeySource::SharedSecret(SecretString::from(
                "the secret of the other issuer, long enough",
            )),
            ..shared_secret_rules()
        };
        let verifier = Verifier::new(vec![shared_secret_rules(), other]).unwrap();
        let foreign = claims(json!({ "iss": "https://other.example" }));
        let mixed = hmac_token(SECRET.as_bytes(), Algorithm::HS256, json!({}), &foreign);
        assert_eq!(verifier.judge(&mixed).unwrap_err(), AuthError::BadSignature);
        let secret = b"the secret of the other issuer, long enough";
        let right = hmac_token(secret, Algorithm::HS256, json!({}), &foreign);
        assert_eq!(
            verifier.judge(&right).unwrap().issuer(),
            "https://other.example"
        );
    }

    #[test]
    fn one_issuer_may_have_a_secret_and_a_public_key() {
        let public = IssuerRules::new(
            ISSUER,
            [AUDIENCE],
            KeySource::PublicKeyFile(key_file("rsa.public.pem")),
        );
        let verifier = Verifier::new(vec![shared_secret_rules(), public]).unwrap();
        let symmetric = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            json!({}),
            &claims(json!({})),
        );
        verifier.judge(&symmetric).unwrap();
        verifier
            .judge(&RSA.token(json!({}), &claims(json!({}))))
            .unwrap();
        let confused = hmac_token(
            include_bytes!("../tests/keys/rsa.public.pem"),
            Algorithm::HS256,
            json!({}),
            &claims(json!({})),
        );
        assert_eq!(
            verifier.judge(&confused).unwrap_err(),
            AuthError::BadSignature
        );
    }

    #[test]
    fn a_token_for_another_sidecar_is_refused_with_both_audiences_named() {
        let audience = json!({ "aud": "https://t2.example.com/mcp" });
        let token = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            json!({}),
            &claims(audience),
        );
        let error = sharing_a_secret().judge(&token).unwrap_err();
        insta::assert_snapshot!(error, @"wrong audience: expected https://t1.example.com/mcp, got https://t2.example.com/mcp");
        assert_eq!(error.reason(), "wrong_audience");
    }

    #[test]
    fn no_part_of_a_refused_token_gets_into_an_error() {
        let verifier = sharing_a_secret();
        for changes in [
            json!({}),
            json!({ "exp": 1 }),
            json!({ "aud": "x" }),
            json!({ "iss": "x" }),
            json!({ "sub": 5 }),
        ] {
            let token = hmac_token(
                b"a wrong secret",
                Algorithm::HS256,
                json!({}),
                &claims(changes),
            );
            let error = verifier.judge(&token).unwrap_err();
            let shown = format!(
                "{error} {error:?} {:?}",
                Challenge::of(&error, Directions::default())
            );
            for part in token.as_bytes().windows(12) {
                assert!(
                    !shown.contains(std::str::from_utf8(part).unwrap()),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn no_secret_can_be_printed() {
        let rules = shared_secret_rules();
        let token = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            json!({}),
            &claims(json!({})),
        );
        let verifier = sharing_a_secret();
        let caller = verifier.judge(&token).unwrap();
        let url = KeySource::JwksUrl {
            url: "https://user:canary@h/jwks?key=canary".parse().unwrap(),
            cache: CachePolicy::default(),
        };
        let fetching = Verifier::new(vec![public_key_rules(KeySource::JwksUrl {
            url: "https://h/jwks?key=canary".parse().unwrap(),
            cache: CachePolicy::default(),
        })]);
        let shown = format!(
            "{rules:?} {:?} {verifier:?} {fetching:?} {caller:?} {:?} {url:?}",
            rules.keys,
            caller.token()
        );
        for secret in [
            SECRET,
            &SECRET[..12],
            &token[..20],
            "canary",
            &format!("{:?}", SECRET.as_bytes()),
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_and_claims_are_judged_without_a_crash(
            header in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
            payload in "[ -~]{0,60}",
            signature in "[A-Za-z0-9_-]{0,60}",
        ) {
            use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
            let verifier = sharing_a_secret();
            let good = unsigned(&json!({ "alg": "HS256" }), &claims(json!({})));
            let (good_header, good_payload) = good.split_once('.').unwrap();
            let (header, payload) = (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
            for (header, payload) in [(&*header, &*payload), (good_header, &payload), (&header, good_payload), (good_header, good_payload)] {
                let token = [header, payload, &signature].join(".");
                proptest::prop_assert!(verifier.judge(&token).is_err());
            }
        }
    }
}
