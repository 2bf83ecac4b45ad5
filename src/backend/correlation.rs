//! The id that joins our log, the backend's log and what the person sees of one call. Made here, never taken from a
//! client: a backend echoes and logs it unchecked (contract §6.2).

use std::fmt;

use http::HeaderValue;
use uuid::Uuid;

/// A random id of one call, a UUID version 4 in its usual text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CorrelationId(Uuid);

impl CorrelationId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The value of the `X-Correlation-ID` header.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let mut text = Uuid::encode_buffer();
        #[expect(
            clippy::expect_used,
            reason = "hexadecimal digits and hyphens are always a header value"
        )]
        HeaderValue::from_str(self.0.hyphenated().encode_lower(&mut text))
            .expect("a UUID is a header value")
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::CorrelationId;

    #[test]
    fn the_header_is_the_text_and_no_two_are_alike() {
        let id = CorrelationId::random();
        assert_eq!(id.header(), id.to_string().as_str());
        assert_eq!(id.to_string().len(), 36);
        assert_ne!(id, CorrelationId::random());
    }
}
