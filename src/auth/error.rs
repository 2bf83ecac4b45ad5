//! Why it is not proven who sent a request. Messages go to the caller as `error_description` and into the log, so no
//! variant holds a token or a secret; text taken from a token is cleaned and cut by [`plain`] when the error is made.

/// Why a request has no [`Caller`](crate::auth::Caller).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No `Authorization` header.
    #[error("no bearer token was sent")]
    Missing,
    /// The `Authorization` header itself is wrong: twice there, another scheme, no token in it.
    #[error("{0}")]
    BadHeader(&'static str),
    /// Longer than any token we accept.
    #[error("the token is longer than 8192 bytes")]
    TooLong,
    /// Not a signed JSON web token that we can read.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` is further away than the issuer's rule allows.
    #[error("the token is valid for longer than is accepted here")]
    LifetimeTooLong,
    /// Made for somebody else.
    #[error("wrong audience: expected {}, got {}", expected.join(" or "), list(got))]
    WrongAudience {
        /// Audiences that are accepted.
        expected: Vec<String>,
        /// `aud` of the token, cleaned and cut.
        got: Vec<String>,
    },
    /// No rule for `iss`.
    #[error("unknown issuer {got}")]
    UnknownIssuer {
        /// `iss` of the token, cleaned and cut.
        got: String,
    },
    /// The issuer has no (longer a) key with this `kid`.
    #[error("unknown signing key")]
    UnknownKey,
    /// Signed with an algorithm that the issuer's rule or the key does not allow, or with none.
    #[error("the signing algorithm is not accepted")]
    AlgorithmRefused,
    /// The signature is not the key's.
    #[error("the signature does not match")]
    BadSignature,
    /// A required claim is absent or empty.
    #[error("the claim {0} is missing")]
    MissingClaim(&'static str),
    /// A claim has the wrong type.
    #[error("the claim {0} has the wrong type")]
    BadClaim(&'static str),
    /// An ID token or another kind of token.
    #[error("this is not an access token")]
    NotAnAccessToken,
    /// The token is good, but does not allow this; checked per tool, outside this module.
    #[error("the token lacks a scope: needed {}", needed.join(" "))]
    InsufficientScope {
        /// All scopes that the request needs.
        needed: Vec<String>,
    },
    /// Nobody can tell whether the token is good: the issuer's keys are out of reach. Never a 401, which would make
    /// clients throw good tokens away.
    #[error("the signing keys of the issuer cannot be fetched at the moment")]
    KeysUnavailable {
        /// Seconds until it is worth trying again.
        retry_after: u64,
    },
}

impl AuthError {
    /// One fixed word for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::BadHeader(_) => "bad_header",
            Self::TooLong => "too_long",
            Self::Malformed(_) => "malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::WrongAudience { .. } => "wrong_audience",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim(_) => "missing_claim",
            Self::BadClaim(_) => "bad_claim",
            Self::NotAnAccessToken => "not_an_access_token",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::KeysUnavailable { .. } => "keys_unavailable",
        }
    }
}

/// What of a foreign text may stand in a header parameter or a log line: printable ASCII without `"` and `\`
/// (RFC 6750 §3), at most `limit` characters.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let harmless = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    text.chars().filter(harmless).take(limit).collect()
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.join(" and ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_text_becomes_harmless(text in any::<String>(), limit in 0_usize..50) {
            let out = plain(&text, limit);
            prop_assert!(out.len() <= limit);
            prop_assert!(out.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'));
        }
    }
}
