//! The tenant gate in its three generations (contract §4). It only decides whether a request may pass: records are
//! never separated by tenant, exactly as in the original.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::Sha256;

use super::reply::Reply;

/// How requests prove their tenant.
#[derive(Clone, Debug)]
pub enum Tenants {
    /// Not at all: tenant headers are ignored.
    Off,
    /// Signed headers on everything behind authentication, sessions included (contract §4.1).
    Signed {
        /// Its UTF-8 bytes are the key.
        secret: SecretString,
        /// Accepted as well, while the secret is being replaced.
        next: Option<SecretString>,
    },
    /// A plain `X-TB-Tenant-ID` that the user must be a member of, and `GET /v1/auth/tenant` (contract §4.2).
    Organizations(Organizations),
}

/// Who is a member of what, in place of `WorkOS`.
#[derive(Clone, Debug)]
pub struct Organizations {
    /// The tenant of everybody who is in no organization.
    pub default_tenant: String,
    /// Its name.
    pub default_name: String,
    /// Organizations per subject.
    pub members: BTreeMap<String, Vec<Organization>>,
    /// `false`: as without an API key, so only the default tenant passes and resolution answers 503.
    pub configured: bool,
}

impl Default for Organizations {
    /// The original's default tenant, configured, nobody in any organization.
    fn default() -> Self {
        Self {
            default_tenant: "tenant_thinkpen_b2c".to_owned(),
            default_name: "ThinkPen".to_owned(),
            members: BTreeMap::new(),
            configured: true,
        }
    }
}

/// One organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// `org_…`, what `X-TB-Tenant-ID` carries.
    pub id: String,
    /// For people.
    pub name: String,
}

/// Signed timestamps may be this far from the sandbox's clock, either way.
const WINDOW_MS: u64 = 300_000;

impl Tenants {
    /// Whether the tenant headers of a request let this subject pass. `is_auth` is the group of endpoints behind
    /// authentication only (sessions, exchange, tenant resolution).
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        subject: &str,
        is_auth: bool,
        now_ms: i64,
    ) -> Result<(), Reply> {
        match self {
            Self::Off => Ok(()),
            Self::Signed { secret, next } => {
                let refused = || Reply::text(401, "Unauthorized: invalid tenant headers");
                is_signed(headers, [Some(secret), next.as_ref()], now_ms)
                    .then_some(())
                    .ok_or_else(refused)
            }
            Self::Organizations(_) if is_auth => Ok(()),
            Self::Organizations(organizations) => organizations.admit(headers, subject),
        }
    }
}

impl Organizations {
    fn admit(&self, headers: &HeaderMap, subject: &str) -> Result<(), Reply> {
        let tenant = text(headers, "x-tb-tenant-id").unwrap_or_default();
        if tenant.is_empty() {
            return Err(Reply::text(401, "Unauthorized: missing tenant header"));
        }
        let mine = self.of(subject);
        let is_default = tenant == self.default_tenant;
        let allowed = if self.configured {
            mine.iter().any(|organization| organization.id == tenant)
                || (is_default && mine.is_empty())
        } else {
            is_default
        };
        allowed
            .then_some(())
            .ok_or_else(|| Reply::text(403, "Unauthorized: not authorized for requested tenant"))
    }

    /// `GET /v1/auth/tenant`.
    pub(super) fn resolve(&self, subject: &str) -> Reply {
        if !self.configured {
            return Reply::error(503, "WorkOS tenant resolution not configured");
        }
        let mut answer = match self.of(subject) {
            [] => {
                json!({ "tenant_id": self.default_tenant, "organization_name": self.default_name })
            }
            [one] => json!({ "tenant_id": one.id, "organization_name": one.name }),
            several => {
                let list: Vec<_> = several
                    .iter()
                    .map(|one| json!({ "id": one.id, "name": one.name }))
                    .collect();
                json!({ "tenant_id": "", "organizations": list })
            }
        };
        if let Some(answer) = answer.as_object_mut() {
            answer.retain(|key, value| key != "organization_name" || value != "");
            let must_choose = answer.contains_key("organizations");
            answer.insert("requires_selection".to_owned(), must_choose.into());
        }
        Reply::json(200, answer.to_string())
    }

    fn of(&self, subject: &str) -> &[Organization] {
        self.members.get(subject).map_or(&[], Vec::as_slice)
    }
}

/// Contract §4.1: all three headers, a timestamp within the window, the exact lower-case signature of one of the secrets.
fn is_signed(headers: &HeaderMap, secrets: [Option<&SecretString>; 2], now_ms: i64) -> bool {
    let value = |name| text(headers, name).filter(|value| !value.is_empty());
    let (Some(tenant), Some(timestamp), Some(signature)) = (
        value("x-tb-tenant-id"),
        value("x-tb-timestamp"),
        value("x-tb-signature"),
    ) else {
        return false;
    };
    let in_window = timestamp
        .parse::<i64>()
        .is_ok_and(|ms| ms.abs_diff(now_ms) <= WINDOW_MS);
    let message = format!("{tenant}:{timestamp}");
    // Each secret is tried, whatever the others said: the time taken does not tell which one is in use.
    let is_right = |is_right, secret| is_right | is_signature(secret, &message, signature);
    in_window && secrets.into_iter().flatten().fold(false, is_right)
}

/// Compared in constant time; upper-case digits are refused.
fn is_signature(secret: &SecretString, message: &str, signature: &str) -> bool {
    if signature.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return false;
    }
    let Ok(signature) = hex::decode(signature) else {
        return false;
    };
    Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).is_ok_and(|mut mac| {
        mac.update(message.as_bytes());
        mac.verify_slice(&signature).is_ok()
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_signatures_are_accepted_in_lower_case_only() {
        for (secret, message, signature) in [
            (
                "s3cr3t",
                "acme:1735689600000",
                "d7c99c106c99286c5f52c729c77ccd8e4f166df811786182b67ecaddbce74437",
            ),
            (
                "test-secret-key",
                "tenant-123:1700000000000",
                "05b7b0da7a0b4764ddea0bfd3b552343117e1785ba05d89e123df5b5b3f609ae",
            ),
        ] {
            let secret = SecretString::from(secret);
            assert!(is_signature(&secret, message, signature));
            assert!(!is_signature(&secret, message, &signature.to_uppercase()));
            assert!(!is_signature(&secret, "acme:1", signature));
            assert!(!is_signature(
                &SecretString::from("other"),
                message,
                signature
            ));
        }
    }
}
