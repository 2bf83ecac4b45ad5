//! Who is calling, as the original decides it (contract §3.1): HMAC tokens with one secret, RSA tokens by a JWKS,
//! or the debug header. Its gaps are kept because clients of the real backend meet them (no `exp` needed, backend
//! tokens skip issuer and audience); nothing here is a model for checking tokens.

use std::time::Duration;

use http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use super::jwks::Jwks;

/// Which tokens the sandbox accepts.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// Signs and checks HS256, HS384 and HS512 tokens. Empty: none is accepted and none can be issued.
    pub hs256_secret: SecretString,
    /// What `iss` must equal, when set.
    pub issuer: Option<String>,
    /// `aud` must contain one of these; empty accepts every audience.
    pub audiences: Vec<String>,
    /// Where the keys of RS256, RS384 and RS512 tokens are; such tokens need a `kid`.
    pub jwks_url: Option<Url>,
    /// Whether a request without a bearer token may name its subject in `X-Debug-Sub`.
    pub debug_subject_header: bool,
}

impl TokenRules {
    /// HMAC tokens with this secret, of any issuer and audience.
    #[must_use]
    pub fn hs256(secret: &str) -> Self {
        Self {
            hs256_secret: SecretString::from(secret),
            issuer: None,
            audiences: Vec::new(),
            jwks_url: None,
            debug_subject_header: false,
        }
    }
}

/// The issuer of the tokens that the exchange hands out.
const EXCHANGE_ISSUER: &str = "toolbridge-api";

/// Lifetime of an issued token, seconds.
pub(super) const LIFETIME_S: u64 = 3600;

/// Checks and issues tokens.
pub(super) struct Tokens {
    rules: TokenRules,
    jwks: Option<Jwks>,
}

type Claims = Map<String, Value>;

impl Tokens {
    /// Ready to check; the JWKS is fetched when it is first needed.
    pub(super) fn new(rules: TokenRules) -> Result<Self, reqwest::Error> {
        let jwks = rules.jwks_url.clone().map(Jwks::new).transpose()?;
        Ok(Self { rules, jwks })
    }

    /// The subject of a request, `None` for 401.
    pub(super) async fn subject(&self, headers: &HeaderMap, now: Duration) -> Option<String> {
        let subject = match bearer(headers) {
            Some(token) => {
                let claims = self.verified(token, now).await?;
                claims.get("sub")?.as_str()?.to_owned()
            }
            None if self.rules.debug_subject_header => {
                headers.get("x-debug-sub")?.to_str().ok()?.to_owned()
            }
            None => return None,
        };
        (!subject.is_empty()).then_some(subject)
    }

    /// A token for a subject as an identity provider of these rules would issue it.
    pub(super) fn issue_for(&self, subject: &str, now: Duration) -> Option<String> {
        let now = now.as_secs();
        let mut claims = Claims::from_iter([
            ("sub".to_owned(), subject.into()),
            ("iat".to_owned(), now.into()),
            ("exp".to_owned(), (now + LIFETIME_S).into()),
        ]);
        if let Some(issuer) = &self.rules.issuer {
            claims.insert("iss".to_owned(), issuer.clone().into());
        }
        if let Some(audience) = self.rules.audiences.first() {
            claims.insert("aud".to_owned(), audience.clone().into());
        }
        self.sign(&Value::Object(claims))
    }

    /// A backend token (contract §3.2).
    pub(super) fn exchange(&self, subject: &str, audience: &str, now: Duration) -> Option<String> {
        let now = now.as_secs();
        self.sign(&json!({
            "sub": subject,
            "iss": EXCHANGE_ISSUER,
            "aud": audience,
            "exp": now + LIFETIME_S,
            "iat": now,
            "nbf": now,
            "token_type": "backend",
            "exchanged_from": "mcp_oauth",
        }))
    }

    fn sign(&self, claims: &Value) -> Option<String> {
        let secret = self.secret()?;
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).ok()
    }

    fn secret(&self) -> Option<&[u8]> {
        let secret = self.rules.hs256_secret.expose_secret().as_bytes();
        (!secret.is_empty()).then_some(secret)
    }

    async fn verified(&self, token: &str, now: Duration) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let (key, algorithms) = match header.alg {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                (DecodingKey::from_secret(self.secret()?), HMAC)
            }
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => {
                let key = self.jwks.as_ref()?.key(header.kid.as_deref()?, now).await?;
                (key, RSA)
            }
            _ => return None,
        };
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &signature_only(algorithms))
            .ok()?
            .claims;
        let is_accepted =
            is_timely(&claims, now) && (is_backend_token(&claims) || self.is_for_us(&claims));
        is_accepted.then_some(claims)
    }

    fn is_for_us(&self, claims: &Claims) -> bool {
        let issuer = claims.get("iss").and_then(Value::as_str);
        let wanted = self.rules.issuer.as_deref();
        (wanted.is_none() || issuer == wanted)
            && (self.rules.audiences.is_empty() || self.names_our_audience(claims))
    }

    fn names_our_audience(&self, claims: &Claims) -> bool {
        let ours = |value: &Value| {
            value
                .as_str()
                .is_some_and(|audience| self.rules.audiences.iter().any(|ours| ours == audience))
        };
        match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }
}

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [Algorithm; 3] = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];

/// The token of a request; the prefix is matched case-sensitively.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// The library checks the signature only: the sandbox has its own clock and the original's own rules.
fn signature_only(algorithms: [Algorithm; 3]) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = algorithms.to_vec();
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// `exp` and `nbf` without leeway, each only where present; a value that is no number is a bad token.
fn is_timely(claims: &Claims, now: Duration) -> bool {
    let now = now.as_secs_f64();
    let holds = |claim: &str, test: fn(f64, f64) -> bool| {
        claims
            .get(claim)
            .is_none_or(|value| value.as_f64().is_some_and(|time| test(now, time)))
    };
    holds("exp", |now, exp| now < exp) && holds("nbf", |now, nbf| now >= nbf)
}

fn is_backend_token(claims: &Claims) -> bool {
    match claims.get("token_type") {
        Some(kind) => kind == "backend",
        None => claims.get("iss").is_some_and(|iss| iss == EXCHANGE_ISSUER),
    }
}
