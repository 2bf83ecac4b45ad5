//! Signs a token with a shared secret, for `toolbridge dev` and `toolbridge token`. What it makes, the verifier with the
//! same secret accepts.

use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;

use crate::auth::{SigningError, SigningKey};

/// What a new token says.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// `sub`; not empty.
    pub subject: &'a str,
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// `scope`; left out if there are none.
    pub scopes: &'a [String],
    /// `iat`, since 1970.
    pub issued_at: Duration,
    /// `exp` comes this much later, in whole seconds.
    pub lifetime: Duration,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A token without a subject is nobody's.
    #[error("a token needs a subject")]
    NoSubject,
    /// The secret cannot sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// An HS256 token.
///
/// # Errors
/// An empty subject or secret.
pub fn mint(secret: &SecretString, token: NewToken<'_>) -> Result<SecretString, MintError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        sub: &'a str,
        aud: &'a str,
        iat: u64,
        exp: u64,
        #[serde(skip_serializing_if = "String::is_empty")]
        scope: String,
    }
    if token.subject.is_empty() {
        return Err(MintError::NoSubject);
    }
    let key = SigningKey::shared_secret(secret, None)?;
    let claims = Claims {
        iss: token.issuer,
        sub: token.subject,
        aud: token.audience,
        iat: token.issued_at.as_secs(),
        exp: token
            .issued_at
            .as_secs()
            .saturating_add(token.lifetime.as_secs()),
        scope: token.scopes.join(" "),
    };
    Ok(key.sign(&claims)?)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::auth::{
        AuthError, Verifier,
        development::{AUDIENCE, DEVELOPMENT_SECRET, ISSUER, rules},
        fixtures::NOW,
    };

    fn token<'a>(subject: &'a str, scopes: &'a [String]) -> NewToken<'a> {
        NewToken {
            subject,
            issuer: ISSUER,
            audience: AUDIENCE,
            scopes,
            issued_at: NOW,
            lifetime: Duration::from_secs(3600),
        }
    }

    #[test]
    fn a_minted_token_is_accepted_by_the_development_rules() {
        let secret = SecretString::from(DEVELOPMENT_SECRET);
        let scopes = ["notes:read".to_owned(), "tasks:read".to_owned()];
        let minted = mint(&secret, token("dev-user", &scopes)).unwrap();
        let verifier = Verifier::new(vec![rules()]).unwrap();
        let caller = verifier.judge(minted.expose_secret()).unwrap();
        assert_eq!((caller.issuer(), caller.subject()), (ISSUER, "dev-user"));
        assert!(caller.scopes().iter().eq(&scopes));
        assert_eq!(caller.expires_at(), NOW.as_secs() + 3600 + 30);
    }

    #[test]
    fn a_minted_token_is_refused_with_another_secret() {
        let minted = mint(
            &SecretString::from("another secret"),
            token("dev-user", &[]),
        )
        .unwrap();
        let refused = Verifier::new(vec![rules()])
            .unwrap()
            .judge(minted.expose_secret());
        assert_eq!(refused.unwrap_err(), AuthError::BadSignature);
    }

    #[test]
    fn a_token_needs_a_subject_and_a_secret() {
        let secret = SecretString::from(DEVELOPMENT_SECRET);
        assert!(matches!(
            mint(&secret, token("", &[])),
            Err(MintError::NoSubject)
        ));
        assert!(matches!(
            mint(&SecretString::from(""), token("a", &[])),
            Err(MintError::Signing(SigningError::EmptySecret))
        ));
    }

    #[test]
    fn a_minted_token_cannot_be_printed_by_accident() {
        let minted = mint(&SecretString::from(DEVELOPMENT_SECRET), token("a", &[])).unwrap();
        assert!(!format!("{minted:?}").contains("eyJ"));
    }
}
