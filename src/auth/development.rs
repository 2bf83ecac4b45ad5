//! The fixed values of `toolbridge dev`: a secret that everybody knows, and rules that believe it. `serve` asks
//! [`is_development_secret`] and refuses to start with one; that question must stay the only way in.

use secrecy::SecretString;

use crate::auth::{IssuerRules, KeySource};

/// The HS256 secret of `toolbridge dev`. Public, therefore worthless.
pub const DEVELOPMENT_SECRET: &str =
    "insecure-development-secret-of-toolbridge-never-use-in-production";
/// `iss` of development tokens.
pub const ISSUER: &str = "toolbridge-dev";
/// `aud` of development tokens.
pub const AUDIENCE: &str = "toolbridge-dev";

/// The built-in secret of the backend that toolbridge stands beside (contract §1.2): as public as ours.
const BACKEND_DEFAULT: &str = "dev-secret-change-in-production";

/// Whether `secret` is one that the world can read in a source text.
#[must_use]
pub fn is_development_secret(secret: &str) -> bool {
    [DEVELOPMENT_SECRET, BACKEND_DEFAULT].contains(&secret.trim())
}

/// Rules that accept the tokens of `toolbridge token`.
#[must_use]
pub fn rules() -> IssuerRules {
    let secret = SecretString::from(DEVELOPMENT_SECRET);
    IssuerRules::new(ISSUER, [AUDIENCE], KeySource::SharedSecret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_secrets_are_known_as_such_however_they_are_padded() {
        assert!(DEVELOPMENT_SECRET.len() >= 32 && DEVELOPMENT_SECRET.contains("insecure"));
        assert!(is_development_secret(DEVELOPMENT_SECRET));
        assert!(is_development_secret(&format!(" {DEVELOPMENT_SECRET}\n")));
        assert!(is_development_secret("dev-secret-change-in-production"));
        assert!(!is_development_secret(
            "another secret of more than 32 characters"
        ));
    }
}
