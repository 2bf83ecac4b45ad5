//! Caller → the token the backend gets: the caller's own, one issued in exchange for it, or one signed here. In: a
//! verified caller, the tenant it acts for and the time. Out: a token, or nothing for a caller who has none. But for
//! [`Outbound::Forward`], the caller's own token never gets into a request to the backend but the original's exchange.

mod answer;
mod cache;
pub mod exchange;
pub mod mint;

use std::time::Duration;

use serde_json::Value;

use crate::auth::{BearerToken, Caller};

pub use exchange::{ClientAuth, Exchange, ExchangeForm, ExchangeSettings};
pub use mint::{Mint, MintSettings, SubjectForm};

use super::tenant::TenantId;

/// Which token the backend gets.
#[derive(Debug)]
pub enum Outbound {
    /// The caller's own, byte for byte: sidecar and backend are one protected resource.
    Forward,
    /// One that a token endpoint issues in exchange for the caller's (RFC 8693).
    Exchange(Exchange),
    /// A short-lived one that is signed here.
    Mint(Mint),
}

/// Why there is no token for the backend. The texts are for the operator's log: they hold no token, no secret, no
/// address and no words of the endpoint but an error code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The caller's token ran out after it was verified: whoever calls has to sign in again.
    #[error("the caller's token has expired meanwhile")]
    CallerExpired,
    /// The token endpoint did not answer, or said that it cannot now: trying again may help.
    #[error("the token endpoint is not available: {why}")]
    Unavailable {
        /// The cause, without the URL.
        why: String,
        /// What it answered, if it did.
        status: Option<u16>,
        /// Seconds to wait, if it said so; at most a day.
        retry_after: Option<u64>,
    },
    /// The token endpoint does not exchange this token: who operates it and who operates this process have to compare
    /// audience, resource, scope and trust.
    #[error("the token endpoint refused the exchange (status {status}, {})", code.as_deref().unwrap_or("no error code"))]
    Refused {
        /// What it answered.
        status: u16,
        /// The OAuth error code, if there was one.
        code: Option<String>,
    },
    /// The token endpoint does not know us: `identity.exchange.client_id` or its secret is wrong.
    #[error("the token endpoint does not accept our client id and secret (status {status})")]
    ClientRefused {
        /// What it answered.
        status: u16,
    },
    /// The token endpoint answered with something that is no token: its URL or its form is wrong.
    #[error("the token endpoint's answer cannot be used: {0}")]
    Unusable(&'static str),
    /// The token could not be signed: a bug of ours, because the key was tried at start.
    #[error("no token could be signed: {0}")]
    Signing(String),
    /// The exchange ended without a result: a bug of ours, or the end of the process.
    #[error("the exchange was abandoned")]
    Abandoned,
}

impl Outbound {
    /// The token for requests in the name of `caller` and `tenant` at the Unix time `now`; `None` for the anonymous
    /// caller, in whose name no token is exchanged or signed. Without a tenant it is good for asking which one it is.
    ///
    /// # Errors
    /// [`OutboundError`]; never when the caller's own token is forwarded.
    pub async fn token_for(
        &self,
        caller: &Caller,
        tenant: Option<&TenantId>,
        now: Duration,
    ) -> Result<Option<BearerToken>, OutboundError> {
        let Some(own) = caller.token() else {
            return Ok(None);
        };
        let expired = caller.expires_at() <= now.as_secs();
        let token = match self {
            Self::Forward => own.clone(),
            Self::Exchange(_) | Self::Mint(_) if expired => {
                return Err(OutboundError::CallerExpired);
            }
            Self::Exchange(exchange) => exchange.token_for(caller, own, tenant, now).await?,
            Self::Mint(mint) => mint.token_for(caller, tenant, now)?,
        };
        Ok(Some(token))
    }

    /// The key set that verifies the tokens that are signed here, to be published; `None` where nothing is signed with
    /// a private key.
    #[must_use]
    pub fn key_set(&self) -> Option<Value> {
        match self {
            Self::Forward | Self::Exchange(_) => None,
            Self::Mint(mint) => mint.key_set(),
        }
    }

    /// Drops what is remembered of `refused`, a token that the backend did not accept. Whether another one may do
    /// better: a forwarded token stays the same, and a signed one was made for this very call.
    pub fn forget(
        &self,
        caller: &Caller,
        tenant: Option<&TenantId>,
        refused: &BearerToken,
    ) -> bool {
        match (self, caller.token()) {
            (Self::Exchange(exchange), Some(own)) => {
                exchange.forget(own, tenant, refused);
                true
            }
            (Self::Exchange(_) | Self::Forward | Self::Mint(_), _) => false,
        }
    }
}
