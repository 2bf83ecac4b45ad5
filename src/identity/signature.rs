//! The signature over tenant and time (contract §4.1): HMAC-SHA256 of `tenant:timestamp`, lower-case hex.
//! In: the secret, once; then a tenant and a timestamp per request. Out: a header value, made anew each time.
//! It proves that the request comes from this sidecar and nothing else: it must never be derived from a client's header.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::tenant::TenantId;

/// Signs tenant headers. Holds the keyed state of the hash, not the secret's text, and shows neither.
pub struct Signer {
    keyed: Hmac<Sha256>,
    key_id: Option<HeaderValue>,
}

/// Why a secret cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is empty; leave it unset to send unsigned tenant headers")]
pub struct InvalidSecret;

impl Signer {
    /// The key is the raw UTF-8 of the secret, also where that looks like base64.
    ///
    /// # Errors
    /// For an empty secret: a backend takes that for "do not check" (contract T29).
    pub fn new(secret: &SecretString) -> Result<Self, InvalidSecret> {
        let key = secret.expose_secret().as_bytes();
        if key.is_empty() {
            return Err(InvalidSecret);
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| InvalidSecret)?;
        let key_id = None;
        Ok(Self { keyed, key_id })
    }

    /// The same, with a name for its secret that is said beside each signature. It changes no signature.
    #[must_use]
    pub fn with_key_id(self, key_id: Option<HeaderValue>) -> Self {
        Self { key_id, ..self }
    }

    /// What `X-TB-Key-ID` says; `None`: that header is not sent.
    #[must_use]
    pub fn key_id(&self) -> Option<&HeaderValue> {
        self.key_id.as_ref()
    }

    /// The signature of `tenant` at `timestamp`, which is the text of the timestamp header exactly as it is sent.
    #[must_use]
    pub fn sign(&self, tenant: &TenantId, timestamp: &HeaderValue) -> HeaderValue {
        let mut mac = self.keyed.clone();
        mac.update(tenant.as_str().as_bytes());
        mac.update(b":");
        mac.update(timestamp.as_bytes());
        let mut digits = [0; 64];
        #[expect(
            clippy::expect_used,
            reason = "32 bytes are 64 hexadecimal digits, and those are always a header value"
        )]
        let mut value = hex::encode_to_slice(mac.finalize().into_bytes(), &mut digits)
            .ok()
            .and_then(|()| HeaderValue::from_bytes(&digits).ok())
            .expect("hex is a header value");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use secrecy::SecretString;

    use super::{InvalidSecret, Signer};

    #[test]
    fn signatures_are_those_the_backend_computes() {
        let known = [
            (
                "s3cr3t",
                "acme",
                "1735689600000",
                "d7c99c106c99286c5f52c729c77ccd8e4f166df811786182b67ecaddbce74437",
            ),
            (
                "test-secret-key",
                "tenant-123",
                "1700000000000",
                "05b7b0da7a0b4764ddea0bfd3b552343117e1785ba05d89e123df5b5b3f609ae",
            ),
            (
                "secret",
                "org_1",
                "1700000000000",
                "763c119ca46180ddb3b36e891f8ce6bb06767422f8f18587c805d6d70340d809",
            ),
        ];
        for (secret, tenant, timestamp, signature) in known {
            let signer = Signer::new(&SecretString::from(secret)).unwrap();
            let tenant = tenant.parse().unwrap();
            let timestamp = HeaderValue::from_static(timestamp);
            assert_eq!(signer.sign(&tenant, &timestamp), signature);
        }
    }

    #[test]
    fn a_key_id_changes_no_signature() {
        let secret = SecretString::from("s3cr3t");
        let plain = Signer::new(&secret).unwrap();
        let id = HeaderValue::from_static("2026-11");
        let named = Signer::new(&secret).unwrap().with_key_id(Some(id.clone()));
        let (tenant, timestamp) = ("acme".parse().unwrap(), HeaderValue::from_static("1"));
        assert_eq!(
            plain.sign(&tenant, &timestamp),
            named.sign(&tenant, &timestamp)
        );
        assert_eq!((plain.key_id(), named.key_id()), (None, Some(&id)));
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let empty = SecretString::from("");
        assert_eq!(Signer::new(&empty).unwrap_err(), InvalidSecret);
    }

    #[test]
    fn debug_shows_no_secret() {
        let signer = Signer::new(&SecretString::from("canary-secret")).unwrap();
        assert_eq!(format!("{signer:?}"), "Signer(redacted)");
    }
}
