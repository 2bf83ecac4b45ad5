//! Who sent an MCP request. A `Caller` exists only after `verify` accepted its token (or where `auth.mode = "none"`
//! says that nobody is asked); its fields cannot be changed, and its token cannot be printed.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

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
        HeaderValue::from_str(&format!("Bearer {token}"))
            .ok()
            .map(Self::as_sent)
    }

    /// Of a header that holds such a token and is spelled as the backend wants it. Shares the memory of what it came in.
    pub(super) fn as_sent(mut header: HeaderValue) -> Self {
        header.set_sensitive(true);
        Self(header)
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
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    person: Arc<Person>,
    token: Option<BearerToken>,
}

/// What a verified token says; the verifier's way to make a [`Caller`].
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) scopes: BTreeSet<String>,
    /// The later of `nbf` and `iat`, less the leeway.
    pub(super) begins: Duration,
    /// Unix seconds.
    pub(super) expires_at: u64,
    pub(super) organization: Option<String>,
}

impl Caller {
    /// The owner of a token that passed every check.
    pub(super) fn verified(person: Arc<Person>, token: BearerToken) -> Self {
        Self {
            person,
            token: Some(token),
        }
    }

    /// Everybody, where `auth.mode = "none"`: no name, no token, so nothing is forwarded in anybody's name.
    pub(super) fn anonymous() -> Self {
        Self::of(Self::named(String::new(), "anonymous".to_owned()), None)
    }

    /// A caller as a verified token would make it; without a token, one that sends none.
    #[doc(hidden)]
    #[cfg(test)]
    pub(crate) fn for_tests(issuer: &str, subject: &str, token: Option<&str>) -> Self {
        let person = Self::named(issuer.to_owned(), subject.to_owned());
        Self::of(person, token.and_then(BearerToken::new))
    }

    /// The same caller with a token that is good until this Unix second and grants these scopes.
    #[cfg(test)]
    pub(crate) fn granted_until(self, expires_at: u64, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let person = Person {
            expires_at,
            scopes,
            ..(*self.person).clone()
        };
        Self::of(person, self.token)
    }

    /// The same caller with a token issued for this organization.
    #[cfg(test)]
    pub(crate) fn in_organization(self, id: &str) -> Self {
        let person = Person {
            organization: Some(id.to_owned()),
            ..(*self.person).clone()
        };
        Self::of(person, self.token)
    }

    /// Somebody of whom nothing is known but the names.
    fn named(issuer: String, subject: String) -> Person {
        Person {
            issuer,
            subject,
            scopes: BTreeSet::new(),
            begins: Duration::ZERO,
            expires_at: u64::MAX,
            organization: None,
        }
    }

    fn of(person: Person, token: Option<BearerToken>) -> Self {
        Self {
            person: Arc::new(person),
            token,
        }
    }

    /// `iss` of the token; empty for the anonymous caller.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.person.issuer
    }

    /// `sub` of the token.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.person.subject
    }

    /// Granted scopes (`scope` or `scp`).
    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.person.scopes
    }

    /// Unix seconds after which the token is no longer good: `exp` and the leeway with which it was checked, so that a
    /// token accepted now is not expired a moment later.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.person.expires_at
    }

    /// `org_id` of the token: the organization that it was issued for (auth page §5).
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        self.person.organization.as_deref()
    }

    /// A claim of the verified token that is named by configuration: a string that is there exactly once, else nothing.
    #[must_use]
    pub fn text_claim(&self, name: &str) -> Option<String> {
        let value = self.token.as_ref()?.0.to_str().ok()?;
        let payload = value.strip_prefix("Bearer ")?.split('.').nth(1)?;
        let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let mut claims = serde_json::Deserializer::from_slice(&json);
        Named(name).deserialize(&mut claims).ok()?
    }

    /// The verified token, to be sent on; `None` for the anonymous caller.
    #[must_use]
    pub fn token(&self) -> Option<&BearerToken> {
        self.token.as_ref()
    }

    /// Whether both are the same person: issuer and subject.
    #[must_use]
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.issuer() == other.issuer() && self.subject() == other.subject()
    }
}

/// Reads one claim by its name; twice is an error, because two readers could then see two values.
struct Named<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, claims: D) -> Result<Self::Value, D::Error> {
        claims.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut claims: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        while let Some(name) = claims.next_key::<String>()? {
            if name != self.0 {
                claims.next_value::<IgnoredAny>()?;
            } else if found.replace(claims.next_value::<Value>()?).is_some() {
                return Err(M::Error::custom("a claim that is there twice"));
            }
        }
        Ok(match found {
            Some(Value::String(text)) => Some(text),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claiming(json: &str) -> Caller {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(json));
        Caller::for_tests("https://issuer.test", "alice", Some(&token))
    }

    #[test]
    fn a_named_claim_is_a_string_that_is_there_once() {
        let claim = |json| claiming(json).text_claim("team");
        assert_eq!(
            claim(r#"{"a":{"team":"x"},"team":"acme"}"#).as_deref(),
            Some("acme")
        );
        for wrong in [
            "{}",
            r#"{"Team":"acme"}"#,
            r#"{"team":["acme"]}"#,
            r#"{"team":7}"#,
            r#"{"team":null}"#,
            r#"{"team":"other","team":"acme"}"#,
            r#"{"team":"acme""#,
            "[]",
        ] {
            assert_eq!(claim(wrong), None, "{wrong}");
        }
        let nobody = Caller::anonymous();
        assert_eq!(
            (nobody.text_claim("team"), nobody.organization()),
            (None, None)
        );
    }
}
