//! Tokens for the backend that are signed here. In: who calls, for which tenant, when. Out: a token that says exactly
//! that and ends soon, never later than the caller's own. Made for each call and kept nowhere: signing costs less than
//! a millisecond, while a memory of tokens is one more place where two people could be confused.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::OutboundError;
use crate::{
    auth::{BearerToken, Caller, SigningKey},
    identity::tenant::TenantId,
};

/// How `sub` names the person. Subjects are unique for one issuer only (RFC 7519 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectForm {
    /// The caller's `sub`; people of several issuers who share one are the same person to the backend.
    Own,
    /// `issuer|sub` of the caller, `%` and `|` in the issuer percent-encoded, so that no two people are written alike.
    WithIssuer,
}

/// What tokens are signed with and say.
#[derive(Clone, Debug)]
pub struct MintSettings {
    /// Signs them.
    pub key: Arc<SigningKey>,
    /// `iss`, and `act.sub`: this sidecar by its name.
    pub issuer: String,
    /// `aud`: the backend.
    pub audience: String,
    /// `sub`.
    pub subject: SubjectForm,
    /// From `iat` to `exp`, in whole seconds.
    pub lifetime: Duration,
}

/// Signs tokens.
#[derive(Debug)]
pub struct Mint(MintSettings);

/// Everything a token says.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: Cow<'a, str>,
    /// Who it is in any case, for backends that look (RFC 9493 §3.2.3).
    sub_id: IssuedSubject<'a>,
    aud: &'a str,
    /// Not in a token that asks for the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    /// Who acts for the person (RFC 8693 §4.1).
    act: Actor<'a>,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
}

#[derive(Serialize)]
struct IssuedSubject<'a> {
    format: &'static str,
    iss: &'a str,
    sub: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
    sub: &'a str,
}

impl SubjectForm {
    fn of(self, caller: &Caller) -> Cow<'_, str> {
        match self {
            Self::Own => caller.subject().into(),
            Self::WithIssuer => {
                let issuer = caller.issuer().replace('%', "%25").replace('|', "%7C");
                format!("{issuer}|{}", caller.subject()).into()
            }
        }
    }
}

impl Mint {
    /// Nothing is signed yet; the key was tried when it was loaded.
    #[must_use]
    pub fn new(settings: MintSettings) -> Self {
        Self(settings)
    }

    /// The key set that verifies the tokens, to be published; `None` for a shared secret.
    #[must_use]
    pub fn key_set(&self) -> Option<Value> {
        self.0.key.key_set()
    }

    pub(super) fn token_for(
        &self,
        caller: &Caller,
        tenant: Option<&TenantId>,
        now: Duration,
    ) -> Result<BearerToken, OutboundError> {
        let settings = &self.0;
        let now = now.as_secs();
        let ends = now.saturating_add(settings.lifetime.as_secs());
        let claims = Claims {
            iss: &settings.issuer,
            sub: settings.subject.of(caller),
            sub_id: IssuedSubject {
                format: "iss_sub",
                iss: caller.issuer(),
                sub: caller.subject(),
            },
            aud: &settings.audience,
            tenant_id: tenant.map(TenantId::as_str),
            scope: joined(caller.scopes()),
            act: Actor {
                sub: &settings.issuer,
            },
            iat: now,
            nbf: now,
            exp: ends.min(caller.expires_at()),
            jti: Uuid::new_v4().to_string(),
        };
        let token = settings.key.sign(&claims);
        let token = token.map_err(|error| OutboundError::Signing(error.to_string()))?;
        BearerToken::issued(token.expose_secret())
            .ok_or_else(|| OutboundError::Signing("it is too long".to_owned()))
    }
}

fn joined(scopes: &BTreeSet<String>) -> String {
    let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
    scopes.join(" ")
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use http::{HeaderMap, header::AUTHORIZATION};
    use secrecy::SecretString;

    use super::*;
    use crate::auth::{Algorithm, IssuerRules, KeySource, Verifier};

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const ISSUER: &str = "toolbridge-mcp";
    const AUDIENCE: &str = "notes-backend";

    fn minting(key: SigningKey) -> Mint {
        Mint::new(MintSettings {
            key: Arc::new(key),
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            subject: SubjectForm::Own,
            lifetime: Duration::from_secs(60),
        })
    }

    fn with_secret() -> Mint {
        let secret = SecretString::from("a secret that the backend has as well, long");
        minting(SigningKey::shared_secret(&secret, Some("k1")).unwrap())
    }

    fn alice() -> Caller {
        Caller::for_tests("https://issuer.test", "alice", Some("own.jwt.token"))
            .granted_until(NOW.as_secs() + 3600, &["notes:read", "notes:write"])
    }

    fn minted(mint: &Mint, caller: &Caller, now: Duration) -> BearerToken {
        mint.token_for(caller, Some(&"acme".parse().unwrap()), now)
            .unwrap()
    }

    fn part(token: &BearerToken, index: usize) -> Value {
        let part = token.expose().split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_minted_token_has_exactly_these_claims() {
        let token = minted(&with_secret(), &alice(), NOW);
        let mut claims = part(&token, 1);
        let jti = claims["jti"].take();
        assert!(jti.as_str().unwrap().parse::<Uuid>().is_ok());
        insta::assert_snapshot!(part(&token, 0), @r#"{"typ":"JWT","alg":"HS256","kid":"k1"}"#);
        insta::assert_snapshot!(claims, @r#"{"iss":"toolbridge-mcp","sub":"alice","sub_id":{"format":"iss_sub","iss":"https://issuer.test","sub":"alice"},"aud":"notes-backend","tenant_id":"acme","scope":"notes:read notes:write","act":{"sub":"toolbridge-mcp"},"iat":1800000000,"nbf":1800000000,"exp":1800000060,"jti":null}"#);
    }

    #[test]
    fn a_caller_without_scopes_gets_a_token_without_the_claim() {
        let caller = alice().granted_until(u64::MAX, &[]);
        let token = minted(&with_secret(), &caller, NOW);
        assert_eq!(part(&token, 1).get("scope"), None);
    }

    #[test]
    fn a_minted_token_never_outlives_the_callers_own() {
        let caller = alice().granted_until(NOW.as_secs() + 7, &[]);
        let token = minted(&with_secret(), &caller, NOW);
        assert_eq!(part(&token, 1)["exp"], NOW.as_secs() + 7);
    }

    #[test]
    fn each_call_gets_a_token_of_its_own() {
        let mint = with_secret();
        let first = minted(&mint, &alice(), NOW);
        assert_ne!(
            part(&first, 1)["jti"],
            part(&minted(&mint, &alice(), NOW), 1)["jti"]
        );
    }

    #[tokio::test]
    async fn a_minted_token_is_accepted_by_a_verifier_that_has_the_served_key_set() {
        for (algorithm, pem) in [
            (
                Algorithm::RS256,
                include_str!("../../../tests/keys/rsa.pem"),
            ),
            (
                Algorithm::ES256,
                include_str!("../../../tests/keys/p256.pem"),
            ),
            (
                Algorithm::EdDSA,
                include_str!("../../../tests/keys/ed25519.pem"),
            ),
        ] {
            let key = SigningKey::private_key(algorithm, &SecretString::from(pem), None);
            let mint = minting(key.unwrap());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), mint.key_set().unwrap().to_string()).unwrap();
            let keys = KeySource::JwksFile(file.path().to_owned());
            let rules = IssuerRules::new(ISSUER, [AUDIENCE], keys);
            let verifier = Verifier::new(vec![rules]).unwrap();
            let token = minted(&mint, &alice(), NOW);
            let headers = HeaderMap::from_iter([(AUTHORIZATION, token.authorization())]);
            let caller = verifier.caller(&headers, NOW).await.unwrap();
            assert_eq!(caller.subject(), "alice");
            assert_eq!(caller.scopes(), alice().scopes());
            let late = NOW + Duration::from_secs(91);
            assert!(verifier.caller(&headers, late).await.is_err());
        }
    }

    #[test]
    fn the_same_subject_at_two_issuers_is_two_people_to_the_backend() {
        let mut mint = with_secret();
        let claims = |mint: &Mint, issuer, subject| {
            let caller = Caller::for_tests(issuer, subject, Some("own.jwt.token"));
            let caller = caller.granted_until(u64::MAX, &[]);
            part(&minted(mint, &caller, NOW), 1)
        };
        let people = [
            ("https://a.test", "alice"),
            ("https://b.test", "alice"),
            // Joined carelessly, these would be one another's.
            ("i", "a|b"),
            ("i|a", "b"),
            ("i%7Ca", "b"),
        ];
        let all = people.map(|(issuer, subject)| claims(&mint, issuer, subject));
        for ((issuer, subject), claims) in people.iter().zip(&all) {
            let person = serde_json::json!({ "format": "iss_sub", "iss": issuer, "sub": subject });
            assert_eq!(claims["sub_id"], person);
            assert_eq!(claims["sub"], *subject);
        }
        mint.0.subject = SubjectForm::WithIssuer;
        let subject = |(issuer, subject)| claims(&mint, issuer, subject)["sub"].to_string();
        let subjects: BTreeSet<_> = people.map(subject).into();
        assert_eq!(subjects.len(), people.len(), "{subjects:?}");
        assert!(
            subjects.contains("\"https://a.test|alice\""),
            "{subjects:?}"
        );
    }

    #[test]
    fn a_shared_secret_is_never_published() {
        assert_eq!(with_secret().key_set(), None);
    }
}
