//! The name that a client gives a write, so that it can ask again without doing it twice, whatever became of the answer:
//! `Idempotency-Key` of HTTP (draft-ietf-httpapi-idempotency-key-header), or `_meta` of the request. In: a request. Out:
//! the name, which means something for its person alone.

use http::HeaderMap;
use rmcp::ErrorData;
use serde_json::Value;

/// The key in `_meta`.
pub(super) const META: &str = "dev.toolbridge/idempotency_key";

/// The header of HTTP.
const HEADER: &str = "idempotency-key";

const LONGEST: usize = 255;

/// What the request says, in its headers or under [`META`]; the one in `_meta` before the header, which a proxy may have added.
///
/// # Errors
/// It is no text of 1 to 255 printable ASCII characters.
pub(super) fn of(
    headers: Option<&HeaderMap>,
    said: Option<&Value>,
) -> Result<Option<String>, ErrorData> {
    if let Some(name) = said {
        return name
            .as_str()
            .filter(|name| is_name(name))
            .map(|name| Some(name.to_owned()))
            .ok_or_else(|| refused(&format!("_meta[\"{META}\"]")));
    }
    let Some(header) = headers.and_then(|headers| headers.get(HEADER)) else {
        return Ok(None);
    };
    let name = header.to_str().ok().filter(|name| is_name(name));
    name.map(|name| Some(name.to_owned()))
        .ok_or_else(|| refused("the header Idempotency-Key"))
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn refused(place: &str) -> ErrorData {
    let message = format!("{place} must be a text of 1 to {LONGEST} printable ASCII characters");
    ErrorData::invalid_params(message, None::<Value>)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_is_short_and_printable() {
        assert!(is_name("a") && is_name("\"8e03978e-40d5-43dd-bc93-6894a57f9324\""));
        assert!(is_name(&"x".repeat(255)) && !is_name(&"x".repeat(256)));
        for odd in ["", "a\nb", "a\0", "ä", "\u{7f}"] {
            assert!(!is_name(odd), "{odd:?}");
        }
    }
}
