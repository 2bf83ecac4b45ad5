//! Request headers → the one bearer token in them. Never looks at the query string. The characters are checked here so
//! that whatever handles the token later cannot meet a quote, a line break or a space in it; only whether it is a token
//! that is known already may be asked before that.

use std::fmt;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::auth::AuthError;

/// Longest token that is looked at: decoding costs time in proportion to the length, before any check.
const LONGEST: usize = 8192;

/// What the client sent as its token; not even its characters were looked at.
#[derive(Clone, Copy)]
pub(super) struct SentToken<'a> {
    header: &'a HeaderValue,
    token: &'a [u8],
}

impl<'a> SentToken<'a> {
    pub(super) fn as_bytes(&self) -> &'a [u8] {
        self.token
    }

    /// The header it came in, where that is spelled as the backend wants it.
    pub(super) fn well_spelled(&self) -> Option<&'a HeaderValue> {
        let spelled = self.header.as_bytes().strip_prefix(b"Bearer ");
        (spelled == Some(self.token)).then_some(self.header)
    }

    /// # Errors
    /// [`AuthError::Malformed`].
    pub(super) fn checked(self) -> Result<UnverifiedToken<'a>, AuthError> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._~+/=-".contains(b);
        match std::str::from_utf8(self.token) {
            Ok(text) if self.token.iter().all(allowed) => Ok(UnverifiedToken(text)),
            _ => Err(AuthError::Malformed("odd characters")),
        }
    }
}

impl fmt::Debug for SentToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentToken(redacted)")
    }
}

/// A token with nothing odd in it; nothing of it is proven.
#[derive(Clone, Copy)]
pub(super) struct UnverifiedToken<'a>(&'a str);

impl<'a> UnverifiedToken<'a> {
    pub(super) fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedToken(redacted)")
    }
}

/// The token of exactly one `Authorization: Bearer …` header (RFC 6750 §2.1).
///
/// # Errors
/// [`AuthError::Missing`], [`AuthError::BadHeader`], [`AuthError::TooLong`].
pub(super) fn sent(headers: &HeaderMap) -> Result<SentToken<'_>, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::BadHeader("more than one Authorization header"));
    }
    let bytes = header.as_bytes();
    let (scheme, rest) = bytes
        .split_at_checked("bearer".len())
        .unwrap_or((bytes, &[]));
    if !scheme.eq_ignore_ascii_case(b"bearer") || !matches!(rest.first(), None | Some(b' ')) {
        return Err(AuthError::BadHeader(
            "the Authorization scheme must be Bearer",
        ));
    }
    let token = rest.trim_ascii();
    if token.is_empty() {
        return Err(AuthError::BadHeader("no token after Bearer"));
    }
    if token.len() > LONGEST {
        return Err(AuthError::TooLong);
    }
    Ok(SentToken { header, token })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<String, AuthError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        let token = sent(&headers).and_then(SentToken::checked);
        token.map(|token| token.as_str().to_owned())
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case() {
        for header in [
            "Bearer a.b.c",
            "bearer a.b.c",
            "BEARER a.b.c",
            "Bearer   a.b.c ",
        ] {
            assert_eq!(
                read(&[header.as_bytes()]).as_deref(),
                Ok("a.b.c"),
                "{header}"
            );
        }
    }

    #[test]
    fn a_request_without_the_header_has_no_token() {
        assert_eq!(read(&[]), Err(AuthError::Missing));
    }

    #[test]
    fn two_headers_are_refused_even_if_they_are_equal() {
        let refused = read(&[b"Bearer a", b"Bearer a"]);
        assert_eq!(
            refused,
            Err(AuthError::BadHeader("more than one Authorization header"))
        );
    }

    #[test]
    fn a_broken_scheme_is_a_bad_header() {
        for header in [
            "",
            "Basic YTpi",
            "Bearer",
            "Bearer ",
            "Bearera.b.c",
            "Bearer\ta",
            "a.b.c",
            "Bear",
        ] {
            assert!(
                matches!(read(&[header.as_bytes()]), Err(AuthError::BadHeader(_))),
                "{header:?}"
            );
        }
    }

    #[test]
    fn odd_characters_make_a_malformed_token() {
        for header in [
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer a\tb",
            "Bearer ä",
            "Bearer a\\b",
        ] {
            let refused = read(&[header.as_bytes()]);
            assert_eq!(
                refused,
                Err(AuthError::Malformed("odd characters")),
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_token_of_8192_bytes_is_read_and_one_more_is_too_long() {
        let longest = format!("Bearer {}", "a".repeat(8192));
        assert_eq!(
            read(&[longest.as_bytes()]).map(|token| token.len()),
            Ok(8192)
        );
        let too_long = format!("Bearer {}", "a".repeat(8193));
        assert_eq!(read(&[too_long.as_bytes()]), Err(AuthError::TooLong));
        let flood = format!("Bearer {}", "a".repeat(64 * 1024));
        assert_eq!(read(&[flood.as_bytes()]), Err(AuthError::TooLong));
    }

    #[test]
    fn a_token_cannot_be_printed() {
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            HeaderValue::from_static("Bearer canary.canary.canary"),
        );
        let sent = sent(&headers).unwrap();
        let shown = format!("{sent:?} {:?}", sent.checked().unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_header_bytes_are_read_without_a_crash(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..64),
                "[Bb]earer[ ]{0,2}[ -~]{0,40}".prop_map(String::into_bytes),
            ],
        ) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                if let Ok(token) = sent(&headers).and_then(SentToken::checked) {
                    prop_assert!(!token.as_str().is_empty() && !token.as_str().contains([' ', '"', '\\']));
                }
            }
        }
    }
}
