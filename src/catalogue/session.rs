//! How a backend's session is opened and closed, as the catalogue declares it: which request opens it, which parts of
//! the answer become headers of the call, which request ends it. Plain data; `backend` acts on it.
//! What the backend answered is foreign: it is percent-encoded as one path segment before it enters a target.

use std::{fmt, str::FromStr, sync::Arc};

use http::{HeaderName, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// The session a backend demands for its calls (contract §2.1).
#[derive(Clone, Debug)]
pub struct SessionRecipe {
    /// Method of the opening request, usually `POST`.
    pub method: Method,
    /// Path and query of the opening request, already encoded, starting with `/`.
    pub target: String,
    /// The statuses that mean that a session stands.
    pub success: Arc<[u16]>,
    /// Headers of the call, each with the place of its value in the opening answer.
    pub headers: Vec<(HeaderName, JsonPointer)>,
    /// The request that ends the session after the call; `None` leaves it to expire.
    pub close: Option<SessionClose>,
    /// The statuses that may mean that the session is stale; a 409 means it only when its body says so.
    pub stale: Arc<[u16]>,
}

impl SessionRecipe {
    /// Whether anything is taken from this member of the opening answer.
    #[must_use]
    pub fn reads(&self, member: &str) -> bool {
        let close = self.close.iter().flat_map(|close| close.target.pointers());
        let headers = self.headers.iter().map(|(_, pointer)| pointer);
        headers
            .chain(close)
            .any(|pointer| pointer.begins_at(member))
    }
}

/// The request that ends a session.
#[derive(Clone, Debug)]
pub struct SessionClose {
    /// Its method, usually `DELETE`.
    pub method: Method,
    /// Its target, filled from the opening answer.
    pub target: CloseTarget,
}

/// A JSON Pointer (RFC 6901) to a text or a number: `/id`, `/session/epoch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(String);

/// Why a text is no JSON Pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a JSON Pointer is a `/` before each name, like `/id`; `~` is written `~0`, `/` in a name `~1`"
)]
pub struct InvalidPointer;

impl JsonPointer {
    /// The text or number at this place; nothing for a missing, empty or different value.
    ///
    /// ```
    /// use toolbridge::catalogue::session::JsonPointer;
    /// let pointer: JsonPointer = "/epoch".parse().unwrap();
    /// assert_eq!(pointer.text_in(&serde_json::json!({ "epoch": 3 })).as_deref(), Some("3"));
    /// assert_eq!(pointer.text_in(&serde_json::json!({ "epoch": null })), None);
    /// ```
    #[must_use]
    pub fn text_in(&self, answer: &Value) -> Option<String> {
        match answer.pointer(&self.0)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn begins_at(&self, member: &str) -> bool {
        let first = self.0.split('/').nth(1).unwrap_or_default();
        if first.contains('~') {
            return first.replace("~1", "/").replace("~0", "~") == member;
        }
        first == member
    }
}

impl FromStr for JsonPointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        let escapes_end = text
            .split('~')
            .skip(1)
            .all(|rest| rest.starts_with(['0', '1']));
        if !text.starts_with('/') || !escapes_end {
            return Err(InvalidPointer);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A target with places for values of the opening answer: `/v1/sync/sessions/{/id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseTarget(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(JsonPointer),
}

/// Why a text is no closing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCloseTarget {
    /// It does not begin with a slash.
    #[error("a target starts with `/`")]
    NotAbsolute,
    /// A brace without its partner.
    #[error("each `{{` needs its `}}`, and the other way round")]
    Braces,
    /// A character that a request line cannot carry: the request would fail on every call.
    #[error("`{0}` must not stand in a target")]
    Character(char),
    /// What stands between the braces is no pointer.
    #[error(transparent)]
    Pointer(#[from] InvalidPointer),
}

impl CloseTarget {
    /// The target for one session; nothing when the answer lacks a value or holds one that would change the path.
    #[must_use]
    pub fn fill(&self, answer: &Value) -> Option<String> {
        let mut target = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => target.push_str(text),
                Part::Value(pointer) => target.push_str(&segment(&pointer.text_in(answer)?)?),
            }
        }
        Some(target)
    }

    fn pointers(&self) -> impl Iterator<Item = &JsonPointer> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Value(pointer) => Some(pointer),
        })
    }
}

impl FromStr for CloseTarget {
    type Err = InvalidCloseTarget;

    fn from_str(text: &str) -> Result<Self, InvalidCloseTarget> {
        if !text.starts_with('/') {
            return Err(InvalidCloseTarget::NotAbsolute);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (pointer, tail) = tail.split_once('}').ok_or(InvalidCloseTarget::Braces)?;
            parts.push(literal_part(literal)?);
            parts.push(Part::Value(pointer.parse()?));
            rest = tail;
        }
        parts.push(literal_part(rest)?);
        Ok(Self(parts))
    }
}

fn literal_part(text: &str) -> Result<Part, InvalidCloseTarget> {
    if text.contains(['{', '}']) {
        return Err(InvalidCloseTarget::Braces);
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "/?-._~!$&'()*+,;=:@".contains(*c);
    if let Some(c) = text.chars().find(|c| !allowed(c)) {
        return Err(InvalidCloseTarget::Character(c));
    }
    Ok(Part::Literal(text.to_owned()))
}

/// Everything but the unreserved characters of RFC 3986 is encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn segment(value: &str) -> Option<String> {
    // Dot segments stay dot segments however they are encoded, and they climb.
    (!matches!(value, "." | "..")).then(|| utf8_percent_encode(value, SEGMENT).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CloseTarget, InvalidCloseTarget, InvalidPointer, JsonPointer};

    #[test]
    fn a_pointer_finds_texts_and_numbers_only() {
        let answer =
            json!({ "id": "s1", "n": { "epoch": 7 }, "a/b": "c", "no": true, "empty": "" });
        let text = |pointer: &str| pointer.parse::<JsonPointer>().unwrap().text_in(&answer);
        assert_eq!(text("/id").as_deref(), Some("s1"));
        assert_eq!(text("/n/epoch").as_deref(), Some("7"));
        assert_eq!(text("/a~1b").as_deref(), Some("c"));
        for missing in ["/no", "/n", "/empty", "/id/deeper", "/"] {
            assert_eq!(text(missing), None, "{missing}");
        }
    }

    #[test]
    fn a_pointer_begins_at_the_member_it_finds_something_in() {
        let answer = json!({ "id": "s1", "n": { "id": 7 }, "a/b": "c", "~1": "d", "": "e" });
        for pointer in ["/id", "/n/id", "/a~1b", "/~01", "/", "/none"] {
            let pointer: JsonPointer = pointer.parse().unwrap();
            for (name, value) in answer.as_object().unwrap() {
                let is_found = pointer.text_in(&json!({ name: value })).is_some();
                assert_eq!(pointer.begins_at(name), is_found, "{pointer} {name}");
            }
        }
        let target: CloseTarget = "/v1/{/id}/{/n/id}".parse().unwrap();
        assert_eq!(target.pointers().count(), 2);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["", "id", "#/id", "/a~2", "/a~"] {
            assert_eq!(text.parse::<JsonPointer>(), Err(InvalidPointer), "{text}");
        }
    }

    #[test]
    fn a_target_takes_the_value_as_one_segment() {
        let target: CloseTarget = "/v1/sync/sessions/{/id}".parse().unwrap();
        let fill = |id: &str| target.fill(&json!({ "id": id }));
        assert_eq!(fill("abc-1").as_deref(), Some("/v1/sync/sessions/abc-1"));
        assert_eq!(
            fill("../../wipe?x#y").as_deref(),
            Some("/v1/sync/sessions/..%2F..%2Fwipe%3Fx%23y")
        );
        assert_eq!(fill(".."), None);
        assert_eq!(target.fill(&json!({})), None);
    }

    #[test]
    fn a_target_without_its_braces_is_refused() {
        let parse = |text: &str| text.parse::<CloseTarget>().unwrap_err();
        assert_eq!(parse("v1/{/id}"), InvalidCloseTarget::NotAbsolute);
        assert_eq!(parse("/v1/{/id"), InvalidCloseTarget::Braces);
        assert_eq!(parse("/v1/}/{/id}"), InvalidCloseTarget::Braces);
        assert_eq!(
            parse("/v1/{id}"),
            InvalidCloseTarget::Pointer(InvalidPointer)
        );
        assert_eq!(parse("/v1 x/{/id}"), InvalidCloseTarget::Character(' '));
        assert_eq!(parse("/v1/{/id}#y"), InvalidCloseTarget::Character('#'));
    }
}
