//! In whose name a call is made. In: a verified caller. Out: a tenant it may act for, or why there is none; every doubt
//! and every error is a refusal, and nothing falls back to a fixed tenant. Here is the id, checked once: safe as a header
//! value and unambiguous in the signed message `tenant:timestamp`. The rest: `source` (the configured way), `decide` (the
//! rules), `members` (cached look-ups), `workos` and `backend` (who is asked), `choices` (what people chose).

pub mod members;
pub mod organization;
pub mod source;

mod backend;
mod choices;
mod decide;
#[cfg(test)]
mod fixtures;
mod kept;
#[cfg(test)]
mod tests;
mod workos;

use std::{fmt, str::FromStr};

use http::HeaderValue;

pub use members::{CannotAsk, Members};
pub use organization::Organization;
pub use source::{Right, TenantSource, Workspace};

/// The organization in whose name a call is made: 1 to 64 of `A-Z a-z 0-9 _ - .` (no `:`: the signature joins with it).
///
/// ```
/// use toolbridge::identity::TenantId;
/// assert_eq!("org_01H".parse::<TenantId>().unwrap().as_str(), "org_01H");
/// assert!("acme:1".parse::<TenantId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantId(HeaderValue);

/// Why a text is no tenant id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a tenant id is 1 to 64 letters, digits, `_`, `-` or `.`")]
pub struct InvalidTenantId;

impl TenantId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the header value that is sent.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenantId;

    fn from_str(text: &str) -> Result<Self, InvalidTenantId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(InvalidTenantId);
        }
        HeaderValue::from_str(text)
            .map(Self)
            .map_err(|_| InvalidTenantId)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.as_str())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
