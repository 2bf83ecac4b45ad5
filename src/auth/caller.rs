//! Who sent an MCP request. A `Caller` exists only after `verify` accepted its token (or where `auth.mode = "none"`
//! says that nobody is asked); its fields cannot be changed, and its token cannot be printed.

use std::{collections::BTreeSet, fmt};

use http::HeaderValue;

/// A token that the backend may be given: the caller's own, verified, or one that was issued in exchange for it. In the
/// form in which it is sent, `Bearer …`, marked sensitive.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(HeaderValue);

/// Longest token of somebody else's making that is passed on, in bytes: what we read from callers, too.
const LONGEST: usize = 8192;

impl BearerToken {
    /// A token that was issued for the backend (`identity::outbound`): the characters of RFC 6750 §2.1, 8 KiB at most.
    pub(crate) fn issued(token: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~+/=-".contains(&b);
        let is_sound = (1..=LONGEST).contains(&token.len()) && token.bytes().all(allowed);
        is_sound.then(|| Self::new(token))?
    }

    /// The token itself, to be exchanged or digested; never to be shown.
    pub(crate) fn expose(&self) -> &str {
        let value = self.0.to_str().unwrap_or_default();
        value.strip_prefix("Bearer ").unwrap_or(value)
    }

    /// Only the verifier makes one, from the bytes it checked.
    pub(super) fn new(token: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The value of an `Authorization` header, `Bearer ` spelled as the backend wants it (contract §1.1).
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

/// A verified person or program: issuer and subject name it, everywhere and only together.
#[derive(Clone, Debug)]
pub struct Caller {
    issuer: String,
    subject: String,
    scopes: BTreeSet<String>,
    expires_at: u64,
    token: Option<BearerToken>,
}

/// What a verified token says; the verifier's way to make a [`Caller`].
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) scopes: BTreeSet<String>,
    /// Unix seconds.
    pub(super) expires_at: u64,
}

impl Caller {
    /// The owner of a token that passed every check.
    pub(super) fn verified(claims: Claims, token: BearerToken) -> Self {
        Self {
            issuer: claims.issuer,
            subject: claims.subject,
            scopes: claims.scopes,
            expires_at: claims.expires_at,
            token: Some(token),
        }
    }

    /// Everybody, where `auth.mode = "none"`: no name, no token, so nothing is forwarded in anybody's name.
    pub(super) fn anonymous() -> Self {
        Self {
            issuer: String::new(),
            subject: "anonymous".to_owned(),
            scopes: BTreeSet::new(),
            expires_at: u64::MAX,
            token: None,
        }
    }

    /// A caller as a verified token would make it; without a token, one that sends none.
    #[doc(hidden)]
    #[cfg(test)]
    pub(crate) fn for_tests(issuer: &str, subject: &str, token: Option<&str>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            scopes: BTreeSet::new(),
            expires_at: u64::MAX,
            token: token.and_then(BearerToken::new),
        }
    }

    /// The same caller with a token that is good until this Unix second and grants these scopes.
    #[cfg(test)]
    pub(crate) fn granted_until(self, expires_at: u64, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Self {
            expires_at,
            scopes,
            ..self
        }
    }

    /// `iss` of the token; empty for the anonymous caller.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub` of the token.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Granted scopes (`scope` or `scp`).
    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.scopes
    }

    /// Unix seconds after which the token is no longer good: `exp` and the leeway with which it was checked, so that a
    /// token accepted now is not expired a moment later.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// The verified token, to be sent on; `None` for the anonymous caller.
    #[must_use]
    pub fn token(&self) -> Option<&BearerToken> {
        self.token.as_ref()
    }

    /// Whether both are the same person: issuer and subject.
    #[must_use]
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}
