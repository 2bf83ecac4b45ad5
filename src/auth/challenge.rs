//! Auth error → HTTP answer: status, `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1), `Retry-After`, JSON body.
//! Nothing but printable ASCII without quotes gets into a header parameter, whatever settings or tokens contain.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::auth::error::{AuthError, plain};

/// Longest `error_description`: two audiences expected and two got, each an address.
const LONGEST: usize = 500;

/// Where a caller learns how to get a token that is good here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directions<'a> {
    /// The absolute URL of the RFC 9728 document, if one is served.
    pub resource_metadata: Option<&'a str>,
    /// Scopes worth asking for, for a caller who has to get a token first; the same at every request, so that no
    /// client swings between two sets.
    pub scopes: &'a [String],
}

/// The answer to a request without a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// 400, 401, 403 or 503.
    pub status: StatusCode,
    /// `WWW-Authenticate`; absent where another token would not help (503).
    pub www_authenticate: Option<HeaderValue>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// `{ "error", "error_description" }`, the same words as in the header.
    pub body: Value,
}

impl Challenge {
    /// The answer for `error`.
    #[must_use]
    pub fn of(error: &AuthError, directions: Directions<'_>) -> Self {
        let (status, code) = verdict(error);
        let description = plain(&error.to_string(), LONGEST);
        let challenged = status != StatusCode::SERVICE_UNAVAILABLE;
        Self {
            status,
            www_authenticate: challenged
                .then(|| header(error, code, &description, directions))
                .flatten(),
            retry_after: match error {
                AuthError::KeysUnavailable { retry_after } => Some(*retry_after),
                _ => None,
            },
            body: json!({ "error": code.unwrap_or("unauthorized"), "error_description": description }),
        }
    }
}

/// Status and `error` code; no code where no credentials were sent (RFC 6750 §3.1).
fn verdict(error: &AuthError) -> (StatusCode, Option<&'static str>) {
    match error {
        AuthError::Missing => (StatusCode::UNAUTHORIZED, None),
        AuthError::BadHeader(_) | AuthError::TooLong => {
            (StatusCode::BAD_REQUEST, Some("invalid_request"))
        }
        AuthError::Malformed(_)
        | AuthError::Expired
        | AuthError::NotYetValid
        | AuthError::LifetimeTooLong
        | AuthError::WrongAudience { .. }
        | AuthError::UnknownIssuer { .. }
        | AuthError::UnknownKey
        | AuthError::AlgorithmRefused
        | AuthError::BadSignature
        | AuthError::MissingClaim(_)
        | AuthError::BadClaim(_)
        | AuthError::NotAnAccessToken => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
        AuthError::InsufficientScope { .. } => (StatusCode::FORBIDDEN, Some("insufficient_scope")),
        AuthError::KeysUnavailable { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some("temporarily_unavailable"),
        ),
    }
}

fn header(
    error: &AuthError,
    code: Option<&str>,
    description: &str,
    directions: Directions<'_>,
) -> Option<HeaderValue> {
    let mut parameters = Vec::new();
    if let Some(code) = code {
        parameters.push(format!(r#"error="{code}""#));
        parameters.push(format!(r#"error_description="{description}""#));
    }
    let scopes = match error {
        AuthError::InsufficientScope { needed } => needed,
        _ => directions.scopes,
    };
    if !scopes.is_empty() {
        let scopes = plain(&scopes.join(" "), usize::MAX);
        parameters.push(format!(r#"scope="{scopes}""#));
    }
    if let Some(url) = directions.resource_metadata {
        parameters.push(format!(r#"resource_metadata="{}""#, plain(url, usize::MAX)));
    }
    if parameters.is_empty() {
        // The scheme must not stand alone (RFC 6750 §3).
        parameters.push(r#"realm="toolbridge""#.to_owned());
    }
    HeaderValue::from_str(&format!("Bearer {}", parameters.join(", "))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: Option<&str> =
        Some("https://t1.example.com/.well-known/oauth-protected-resource/mcp");

    #[track_caller]
    fn shown(error: &AuthError, metadata: Option<&str>) -> String {
        let directions = Directions {
            resource_metadata: metadata,
            scopes: &[],
        };
        let challenge = Challenge::of(error, directions);
        let header = challenge
            .www_authenticate
            .as_ref()
            .map_or("-", |value| value.to_str().unwrap());
        format!(
            "{} {header} {:?} {}",
            challenge.status.as_u16(),
            challenge.retry_after,
            challenge.body
        )
    }

    #[test]
    fn a_request_without_credentials_is_told_where_to_get_some_and_of_no_error() {
        insta::assert_snapshot!(shown(&AuthError::Missing, METADATA), @r#"401 Bearer resource_metadata="https://t1.example.com/.well-known/oauth-protected-resource/mcp" None {"error":"unauthorized","error_description":"no bearer token was sent"}"#);
        insta::assert_snapshot!(shown(&AuthError::Missing, None), @r#"401 Bearer realm="toolbridge" None {"error":"unauthorized","error_description":"no bearer token was sent"}"#);
    }

    #[test]
    fn a_bad_token_is_answered_with_401_and_what_is_wrong_with_it() {
        insta::assert_snapshot!(shown(&AuthError::Expired, METADATA), @r#"401 Bearer error="invalid_token", error_description="the token has expired", resource_metadata="https://t1.example.com/.well-known/oauth-protected-resource/mcp" None {"error":"invalid_token","error_description":"the token has expired"}"#);
        let wrong = AuthError::WrongAudience {
            expected: vec!["https://t1.example.com/mcp".to_owned()],
            got: vec!["https://t2.example.com/mcp".to_owned()],
        };
        insta::assert_snapshot!(shown(&wrong, None), @r#"401 Bearer error="invalid_token", error_description="wrong audience: expected https://t1.example.com/mcp, got https://t2.example.com/mcp" None {"error":"invalid_token","error_description":"wrong audience: expected https://t1.example.com/mcp, got https://t2.example.com/mcp"}"#);
    }

    #[test]
    fn a_broken_header_is_answered_with_400() {
        insta::assert_snapshot!(shown(&AuthError::BadHeader("more than one Authorization header"), None), @r#"400 Bearer error="invalid_request", error_description="more than one Authorization header" None {"error":"invalid_request","error_description":"more than one Authorization header"}"#);
        assert_eq!(
            Challenge::of(&AuthError::TooLong, Directions::default()).status,
            StatusCode::BAD_REQUEST
        );
    }

    #[test]
    fn a_missing_scope_is_answered_with_403_and_all_scopes_that_are_needed() {
        let error = AuthError::InsufficientScope {
            needed: vec!["notes:read".to_owned(), "notes:write".to_owned()],
        };
        insta::assert_snapshot!(shown(&error, METADATA), @r#"403 Bearer error="insufficient_scope", error_description="the token lacks a scope: needed notes:read notes:write", scope="notes:read notes:write", resource_metadata="https://t1.example.com/.well-known/oauth-protected-resource/mcp" None {"error":"insufficient_scope","error_description":"the token lacks a scope: needed notes:read notes:write"}"#);
    }

    #[test]
    fn a_caller_without_a_token_is_told_which_scopes_to_ask_for() {
        let directions = Directions {
            resource_metadata: None,
            scopes: &["notes:read".to_owned(), "notes:write".to_owned()],
        };
        let challenge = Challenge::of(&AuthError::Missing, directions);
        let header = challenge.www_authenticate.unwrap();
        assert_eq!(header, r#"Bearer scope="notes:read notes:write""#);
    }

    #[test]
    fn unreachable_keys_are_answered_with_503_and_no_challenge() {
        insta::assert_snapshot!(shown(&AuthError::KeysUnavailable { retry_after: 7 }, METADATA), @r#"503 - Some(7) {"error":"temporarily_unavailable","error_description":"the signing keys of the issuer cannot be fetched at the moment"}"#);
    }

    #[test]
    fn nothing_breaks_out_of_a_quoted_parameter() {
        let error = AuthError::WrongAudience {
            expected: vec![
                "a\", error=\"none".to_owned(),
                "b\r\nSet-Cookie: x\\".to_owned(),
            ],
            got: vec!["Zürich\u{7f}".repeat(100)],
        };
        let directions = Directions {
            resource_metadata: Some("https://h/\"\r\nx: y"),
            scopes: &["a\", b=\"".to_owned(), "c\r\nd: e".to_owned()],
        };
        let challenge = Challenge::of(&error, directions);
        let header = challenge.www_authenticate.unwrap();
        let text = header.to_str().unwrap();
        assert_eq!(text.matches('"').count(), 8, "{text}");
        assert!(!text.contains(['\r', '\n', '\\']), "{text}");
        assert_eq!(
            challenge.body["error_description"].as_str().map(str::len),
            Some(LONGEST)
        );
    }
}
