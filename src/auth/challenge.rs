//! Auth error → HTTP answer: status, `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1), `Retry-After`, JSON body.
//! Nothing but printable ASCII without quotes gets into a header parameter, whatever settings or tokens contain.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::auth::error::{AuthError, plain};

/// Longest `error_description`.
const LONGEST: usize = 200;

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
    /// The answer for `error`; `resource_metadata` is the absolute URL of the RFC 9728 document, if one is served.
    #[must_use]
    pub fn of(error: &AuthError, resource_metadata: Option<&str>) -> Self {
        let (status, code) = verdict(error);
        let description = plain(&error.to_string(), LONGEST);
        let challenged = status != StatusCode::SERVICE_UNAVAILABLE;
        Self {
            status,
            www_authenticate: challenged
                .then(|| header(error, code, &description, resource_metadata))
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
    resource_metadata: Option<&str>,
) -> Option<HeaderValue> {
    let mut parameters = Vec::new();
    if let Some(code) = code {
        parameters.push(format!(r#"error="{code}""#));
        parameters.push(format!(r#"error_description="{description}""#));
    }
    if let AuthError::InsufficientScope { needed } = error {
        parameters.push(format!(
            r#"scope="{}""#,
            plain(&needed.join(" "), usize::MAX)
        ));
    }
    if let Some(url) = resource_metadata {
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
        let challenge = Challenge::of(error, metadata);
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
            Challenge::of(&AuthError::TooLong, None).status,
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
        let challenge = Challenge::of(&error, Some("https://h/\"\r\nx: y"));
        let header = challenge.www_authenticate.unwrap();
        let text = header.to_str().unwrap();
        assert_eq!(text.matches('"').count(), 6, "{text}");
        assert!(!text.contains(['\r', '\n', '\\']), "{text}");
        assert_eq!(
            challenge.body["error_description"].as_str().map(str::len),
            Some(LONGEST)
        );
    }
}
