//! The backend's "no": a status and whatever else it said. In: status, headers and the first bytes of a body that may
//! be JSON, text, HTML, empty or cut (contract §1.3). Out: a few fields, each bounded and fit to be shown.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, header::CONTENT_TYPE, header::RETRY_AFTER};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::sanitize;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const LONGEST_WAIT: u64 = 24 * 60 * 60;

/// An answer other than a success. It prints its status only: the words are the backend's, not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    /// The backend's own words, in one line: at most 500 characters, without control characters and addresses.
    pub message: Option<String>,
    /// The id under which the backend logged it, where it names one.
    pub correlation_id: Option<String>,
    /// Seconds to wait, at most a day.
    pub retry_after: Option<u64>,
    /// When the record was deleted, in the backend's form (410).
    pub deleted_at: Option<String>,
    /// Which version was expected and which one is current (412).
    pub versions: Option<Versions>,
}

/// The two sides of a version conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The one the caller wanted to change.
    pub expected: u64,
    /// The one the backend holds.
    pub actual: u64,
}

impl Rejection {
    /// Takes from an answer what is of use; `now` is the Unix time, for a `Retry-After` that is a date.
    pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8], now: Duration) -> Self {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let json = json.as_ref();
        let message = match json {
            Some(json) => message_in(json),
            None => plain_text(headers, body),
        };
        let message = message.and_then(sanitize::message);
        let text = |name| json?.get(name)?.as_str();
        let header = |name: &HeaderName| headers.get(name)?.to_str().ok();
        Self {
            status,
            correlation_id: text("correlation_id")
                .and_then(sanitize::token)
                .or_else(|| header(&CORRELATION_ID).and_then(sanitize::token)),
            retry_after: header(&RETRY_AFTER).and_then(|value| wait(value, now)),
            deleted_at: text("deletedAt").and_then(sanitize::token),
            versions: message
                .as_deref()
                .filter(|_| status == 412)
                .and_then(versions),
            message,
        }
    }

    /// Whether this refuses the session rather than the call. A 409 may also be a conflict of the data: there the
    /// body decides (contract §2.3).
    pub(super) fn says_stale(&self, stale: &[u16]) -> bool {
        let is_epoch = self.message.as_deref() == Some("epoch_mismatch");
        stale.contains(&self.status) && (self.status != 409 || is_epoch)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        match self.retry_after {
            Some(seconds) => write!(f, ", retry after {seconds} s"),
            None => Ok(()),
        }
    }
}

/// `{"error": "…"}`, as this backend says it, and the two other common spellings.
fn message_in(json: &Value) -> Option<&str> {
    ["/error", "/error/message", "/message", "/detail"]
        .iter()
        .find_map(|pointer| json.pointer(pointer)?.as_str())
}

/// Text that says it is text: a page of HTML or half a JSON document is nothing to read.
fn plain_text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_text = kind
        .get(.."text/plain".len())
        .is_some_and(|kind| kind.eq_ignore_ascii_case("text/plain"));
    let text = std::str::from_utf8(body).ok()?;
    (is_text && !text.trim_start().starts_with(['<', '{'])).then_some(text)
}

/// Seconds, or an HTTP date (RFC 9110 §10.2.3); anything else is no advice.
fn wait(value: &str, now: Duration) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT));
    }
    let date = OffsetDateTime::parse(value, &Rfc2822).ok()?;
    let date = u64::try_from(date.unix_timestamp()).ok()?;
    let wait = Duration::from_secs(date).saturating_sub(now);
    let whole_seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Some(whole_seconds.min(LONGEST_WAIT))
}

/// `version mismatch: expected 3, actual 5` (contract §5.5).
fn versions(message: &str) -> Option<Versions> {
    let number = |name: &str| -> Option<u64> {
        let (_, rest) = message.rsplit_once(name)?;
        let digits = rest
            .trim_start()
            .split(|c: char| !c.is_ascii_digit())
            .next()?;
        digits.parse().ok()
    };
    Some(Versions {
        expected: number("expected ")?,
        actual: number("actual ")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{Rejection, Versions, wait};

    fn read(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Rejection {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        Rejection::read(status, &headers, body.as_bytes(), Duration::ZERO)
    }

    const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

    #[test]
    fn a_json_error_gives_message_and_correlation_id() {
        let body = r#"{"error":"note not found","correlation_id":"c-1"}"#;
        let rejection = read(404, &[("x-correlation-id", "other")], body);
        assert_eq!(rejection.message.as_deref(), Some("note not found"));
        assert_eq!(rejection.correlation_id.as_deref(), Some("c-1"));
    }

    #[test]
    fn a_text_error_gives_its_line() {
        let rejection = read(401, &[TEXT, ("x-correlation-id", "c-2")], "unauthorized\n");
        assert_eq!(rejection.message.as_deref(), Some("unauthorized"));
        assert_eq!(rejection.correlation_id.as_deref(), Some("c-2"));
    }

    #[test]
    fn a_tombstone_says_when() {
        let body = r#"{"error":"note deleted","deletedAt":"2025-11-20T10:00:00.5Z"}"#;
        let rejection = read(410, &[], body);
        assert_eq!(
            rejection.deleted_at.as_deref(),
            Some("2025-11-20T10:00:00.5Z")
        );
        assert_eq!(rejection.correlation_id, None);
    }

    #[test]
    fn a_conflict_names_both_versions() {
        let body = r#"{"error":"version mismatch: version mismatch: expected 3, actual 5"}"#;
        let (expected, actual) = (3, 5);
        assert_eq!(
            read(412, &[], body).versions,
            Some(Versions { expected, actual })
        );
        assert_eq!(read(400, &[], body).versions, None);
        assert_eq!(read(412, &[], r#"{"error":"no"}"#).versions, None);
    }

    #[test]
    fn only_a_409_that_says_so_is_about_the_session() {
        let stale = |status, body: &str| read(status, &[], body).says_stale(&[428, 409]);
        assert!(stale(428, ""));
        assert!(stale(
            409,
            r#"{"error":"epoch_mismatch","epoch":2,"correlation_id":""}"#
        ));
        assert!(!stale(409, r#"{"error":"already exists"}"#));
        assert!(!stale(403, r#"{"error":"epoch_mismatch"}"#));
    }

    #[test]
    fn garbage_leaves_the_status_alone() {
        let html = ("content-type", "text/html");
        for (kind, body) in [
            (html, "<html><body>Bad gateway at 10.0.0.1</body></html>"),
            (TEXT, "<html>"),
            (TEXT, r#"{"error":"cut"#),
            (TEXT, ""),
            (html, ""),
        ] {
            let rejection = read(502, &[kind], body);
            assert_eq!((rejection.status, rejection.message), (502, None), "{body}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        let now = Duration::from_millis(784_111_767_500); // Sun, 06 Nov 1994 08:49:27.5 GMT
        let cases = [
            ("1", Some(1)),
            (" 30 ", Some(30)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Fri, 06 Nov 2099 08:49:37 GMT", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in cases {
            assert_eq!(wait(value, now), seconds, "{value}");
        }
    }

    #[test]
    fn a_rejection_prints_none_of_the_backends_words() {
        let rejection = read(429, &[("retry-after", "7")], r#"{"error":"canary"}"#);
        assert_eq!(rejection.to_string(), "status 429, retry after 7 s");
    }
}
