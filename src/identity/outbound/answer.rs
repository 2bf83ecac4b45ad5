//! What a token endpoint answers (RFC 8693 §2.2, RFC 6749 §5.2): status and bytes → a token with its end, or why there is
//! none. Nothing of a foreign body gets into an error but a code of lower-case letters: an endpoint may repeat a token.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use super::{OutboundError, cache::Issued};
use crate::auth::{BearerToken, Caller};

/// A token is handed out until this long before its end, or the tenth of its life, whichever is shorter: a call takes
/// time, and clocks differ.
const LONGEST_MARGIN: u64 = 60;
/// A token of unknown life is remembered for so many seconds: the backend refuses it if it ends before.
const UNKNOWN_LIFE: u64 = 60;
const LONGEST_WAIT: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
}

/// The token in a 200 for `caller`, asked for at the Unix time `now`.
pub(super) fn token(body: &[u8], caller: &Caller, now: Duration) -> Result<Issued, OutboundError> {
    let unusable = OutboundError::Unusable;
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| unusable("it is no token answer in JSON"))?;
    let kind = answer.token_type.as_deref().unwrap_or("Bearer");
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(unusable("its token is no bearer token"));
    }
    let text = answer
        .access_token
        .ok_or(unusable("it has no access_token"))?;
    let token = BearerToken::issued(&text).ok_or(unusable(
        "its token is empty, too long, or has odd characters",
    ))?;
    if caller.token() == Some(&token) {
        return Err(unusable("it is the caller's own token again"));
    }
    let now = now.as_secs();
    let said = seconds(&answer.expires_in).map(|lifetime| now.saturating_add(lifetime));
    let ends = [said, end_inside(&text)].into_iter().flatten().min();
    let until = match ends {
        Some(end) => end - (end.saturating_sub(now) / 10).min(LONGEST_MARGIN),
        None => now.saturating_add(UNKNOWN_LIFE),
    };
    let until = until.min(caller.expires_at());
    Ok(Issued { token, until })
}

/// A number, or a number in a text as some endpoints write it.
fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `exp` of a token that is a JWT. It was not verified, which is the backend's part: a wrong one makes us ask earlier or
/// be refused.
fn end_inside(token: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let whole = Duration::try_from_secs_f64(claims.exp).ok()?;
    Some(whole.as_secs())
}

/// Why an answer other than a 200 brings no token.
pub(super) fn refusal(status: u16, headers: &HeaderMap, body: &[u8]) -> OutboundError {
    match status {
        100..=399 => OutboundError::Unusable(match status {
            300..=399 => "it is a redirect, which is never followed",
            _ => "it is neither a token nor a refusal",
        }),
        408 | 429 | 500.. => OutboundError::Unavailable {
            why: format!("it answered {status}"),
            status: Some(status),
            retry_after: wait(headers),
        },
        _ => match code(body) {
            Some(code) if matches!(&*code, "invalid_client" | "unauthorized_client") => {
                OutboundError::ClientRefused { status }
            }
            code => OutboundError::Refused { status, code },
        },
    }
}

fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    let is_code = (1..=40).contains(&error.len())
        && error
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_code.then_some(error)
}

fn wait(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(seconds.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn alice() -> Caller {
        Caller::for_tests("https://issuer.test", "alice", Some("own.jwt.token"))
    }

    fn read(answer: &Value) -> Result<Issued, OutboundError> {
        let now = Duration::from_secs(NOW);
        token(answer.to_string().as_bytes(), &alice(), now)
    }

    fn jwt(claims: &Value) -> String {
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("eyJhbGciOiJub25lIn0.{payload}.c2ln")
    }

    /// Seconds for which the token is handed out.
    fn life(answer: &Value) -> u64 {
        read(answer).unwrap().until - NOW
    }

    #[test]
    fn a_token_is_used_until_a_minute_or_a_tenth_before_its_end() {
        for (expires_in, used) in [
            (json!(3600), 3540),
            (json!("3600"), 3540),
            (json!(600), 540),
            (json!(100), 90),
            (json!(9), 9),
            (json!(0), 0),
        ] {
            let answer = json!({ "access_token": "t", "expires_in": expires_in });
            assert_eq!(life(&answer), used, "{expires_in}");
        }
    }

    #[test]
    fn the_earlier_of_the_two_ends_counts() {
        let inside = jwt(&json!({ "exp": NOW + 1000 }));
        let answer = |expires_in| json!({ "access_token": inside, "expires_in": expires_in });
        assert_eq!(life(&answer(3600)), 940);
        assert_eq!(life(&answer(100)), 90);
    }

    #[test]
    fn without_expires_in_the_tokens_own_end_counts_and_without_both_a_minute() {
        let inside = jwt(&json!({ "exp": NOW + 1000 }));
        assert_eq!(life(&json!({ "access_token": inside })), 940);
        for unknown in [
            "opaque",
            &jwt(&json!({})),
            &jwt(&json!({ "exp": "x" })),
            "a.b.c",
        ] {
            assert_eq!(life(&json!({ "access_token": unknown })), 60, "{unknown}");
        }
        for odd in [json!(-1), json!(null), json!([3600]), json!("soon")] {
            assert_eq!(life(&json!({ "access_token": "t", "expires_in": odd })), 60);
        }
    }

    #[test]
    fn a_token_is_never_used_longer_than_the_one_it_was_exchanged_for() {
        let caller = alice().granted_until(NOW + 5, &[]);
        let answer = json!({ "access_token": "t", "expires_in": 3600 }).to_string();
        let issued = token(answer.as_bytes(), &caller, Duration::from_secs(NOW));
        assert_eq!(issued.unwrap().until, NOW + 5);
    }

    #[test]
    fn a_token_that_has_ended_already_is_not_remembered() {
        let ended = jwt(&json!({ "exp": NOW - 1000 }));
        let issued = read(&json!({ "access_token": ended })).unwrap();
        assert!(issued.until <= NOW);
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        for body in [
            "<html>canary</html>",
            "",
            "null",
            "[]",
            "{}",
            r#"{"access_token":5}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"canary\r\nx: y"}"#,
            r#"{"access_token":"canary canary"}"#,
            r#"{"access_token":"canary","token_type":"N_A"}"#,
            r#"{"access_token":"canary","token_type":"mac"}"#,
            r#"{"access_token":"a","access_token":"canary"}"#,
            r#"{"access_token":"own.jwt.token"}"#,
            &format!(r#"{{"access_token":"{}"}}"#, "c".repeat(8193)),
            &"[".repeat(10_000),
        ] {
            let refused = token(body.as_bytes(), &alice(), Duration::from_secs(NOW)).unwrap_err();
            assert!(matches!(refused, OutboundError::Unusable(_)), "{body}");
            let shown = format!("{refused} {refused:?}");
            assert!(
                !shown.contains("canary") && !shown.contains("own.jwt"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_and_nothing_else_of_its_body() {
        let refused = |body: &str| refusal(400, &HeaderMap::new(), body.as_bytes()).to_string();
        let said = refused(r#"{"error":"invalid_target","error_description":"canary"}"#);
        insta::assert_snapshot!(said, @"the token endpoint refused the exchange (status 400, invalid_target)");
        for body in [
            r#"{"error":"eyJhbGciOi.canary.sig"}"#,
            r#"{"error":{"message":"canary"}}"#,
            "canary",
            "",
        ] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(refused(body), @"the token endpoint refused the exchange (status 400, no error code)");
            }
        }
    }

    #[test]
    fn a_refused_client_is_told_from_a_refused_token() {
        let body = br#"{"error":"invalid_client"}"#;
        let refused = refusal(401, &HeaderMap::new(), body);
        assert_eq!(refused, OutboundError::ClientRefused { status: 401 });
    }

    #[test]
    fn an_endpoint_in_trouble_is_not_available_and_may_say_for_how_long() {
        let mut headers = HeaderMap::new();
        for (value, wait) in [
            ("7", Some(7)),
            ("999999", Some(86_400)),
            ("soon", None),
            ("-1", None),
        ] {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            for status in [429, 500, 503] {
                let OutboundError::Unavailable {
                    status: told,
                    retry_after,
                    ..
                } = refusal(status, &headers, b"<html>")
                else {
                    panic!("{status}")
                };
                assert_eq!((told, retry_after), (Some(status), wait));
            }
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_crash(
            status in 100u16..1000,
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                r#"\{"access_token":"[a-z.]{0,9}","expires_in":[0-9e.-]{1,20}\}"#.prop_map(String::into_bytes),
            ],
        ) {
            let _ = refusal(status, &HeaderMap::new(), &body);
            let _ = token(&body, &alice(), Duration::from_secs(NOW));
        }
    }
}
