//! The signature of the tenant headers: lower-case hexadecimal HMAC-SHA256 of `tenant:timestamp` (backend contract §4.1).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::SIGNING_SECRET;

/// Backends refuse signatures that are older or newer than this.
pub const FRESH_MS: u64 = 300_000;

/// Signs and checks.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// With the bench's secret.
    ///
    /// # Errors
    /// Never in practice: HMAC takes keys of every length.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Hmac::new_from_slice(SIGNING_SECRET.as_bytes())?))
    }

    /// The signature of one request.
    #[must_use]
    pub fn sign(&self, tenant: &str, timestamp: &str) -> String {
        hex::encode(self.mac(tenant, timestamp).finalize().into_bytes())
    }

    /// Whether a request's signature is right and fresh; compares in constant time.
    #[must_use]
    pub fn admits(&self, tenant: &str, timestamp: &str, signature: &str, now_ms: u64) -> bool {
        let is_fresh = timestamp
            .parse::<u64>()
            .is_ok_and(|stamp| now_ms.abs_diff(stamp) <= FRESH_MS);
        let mut bytes = [0; 32];
        is_fresh
            && hex::decode_to_slice(signature, &mut bytes).is_ok()
            && self.mac(tenant, timestamp).verify_slice(&bytes).is_ok()
    }

    fn mac(&self, tenant: &str, timestamp: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(tenant.as_bytes());
        mac.update(b":");
        mac.update(timestamp.as_bytes());
        mac
    }
}
