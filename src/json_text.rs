//! A JSON value as text that is passed on as it is. In: bytes from outside, or a value of ours. Out: text that is one JSON
//! value, at most 127 levels deep, without white space around its signs; a clone is the same bytes. The one thing not to
//! break: nobody makes one of unchecked bytes, because it is put into answers without another look.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// What our own reader of values takes, and what many clients take.
const DEEPEST: usize = 127;

/// One JSON value, written. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Bytes);

/// Why bytes are no JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// They are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// They end in the middle of a value.
    #[error("it ends in the middle of a value")]
    CutShort,
    /// They are something else, or too deep.
    #[error("it is no JSON, or nested deeper than {DEEPEST} levels")]
    Other,
}

impl JsonText {
    /// Checks what came from outside. Nothing of it is changed but white space: numbers keep all their digits.
    ///
    /// # Errors
    /// [`NotJson`].
    pub fn read(bytes: Bytes) -> Result<Self, NotJson> {
        let checked = serde_json::from_slice::<&RawValue>(&bytes);
        let text = match checked {
            Ok(value) => value.get().as_bytes(),
            Err(_) if std::str::from_utf8(&bytes).is_err() => return Err(NotJson::NotUtf8),
            Err(error) if error.is_eof() && Signs::of(&bytes).deepest <= DEEPEST => {
                return Err(NotJson::CutShort);
            }
            Err(_) => return Err(NotJson::Other),
        };
        let signs = Signs::of(text);
        if signs.deepest > DEEPEST {
            return Err(NotJson::Other);
        }
        if !signs.has_space {
            return Ok(Self(bytes.slice_ref(text)));
        }
        let mut compact = Vec::with_capacity(text.len());
        let mut place = Place::Outside;
        for byte in text {
            if place != Place::Outside || !is_space(*byte) {
                compact.push(*byte);
            }
            place = place.after(*byte);
        }
        Ok(Self(compact.into()))
    }

    /// A value of ours. One that cannot be written is a bug of ours, and becomes `null`.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        let written = serde_json::to_vec(value).unwrap_or_else(|error| {
            tracing::error!(%error, "a value could not be written: this is a bug of toolbridge");
            b"null".to_vec()
        });
        Self(written.into())
    }

    /// Pieces of other JSON texts with signs between them; whoever puts them together answers for the whole.
    pub(crate) fn put_together(written: Vec<u8>) -> Self {
        Self(written.into())
    }

    /// Whether an object or array around it is not too deep.
    #[must_use]
    pub fn fits_in_another(&self) -> bool {
        Signs::of(&self.0).deepest < DEEPEST
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value; numbers lose what no number type of ours holds.
    #[must_use]
    pub fn value(&self) -> Value {
        // Text that was checked once is JSON; `null` is what a bug of ours would look like.
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    /// About how long the text is as the inside of a JSON string: enough room for nearly all of it.
    #[must_use]
    pub fn escaped_length(&self) -> usize {
        self.0.len() + self.0.len() / 4
    }

    /// Writes the text as the inside of a JSON string: no text of ours has anything to escape but quotes and backslashes.
    pub fn escape_into(&self, out: &mut Vec<u8>) {
        // Quotes are a few bytes apart in most JSON, so a search made for long ways would be the slower one.
        for piece in self.0.split_inclusive(|byte| is_escaped(*byte)) {
            match piece.split_last() {
                Some((last, before)) if is_escaped(*last) => {
                    out.extend_from_slice(before);
                    out.extend_from_slice(&[b'\\', *last]);
                }
                _ => out.extend_from_slice(piece),
            }
        }
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonText(redacted)")
    }
}

/// What stands outside of strings. Of text that is no JSON it means nothing.
struct Signs {
    deepest: usize,
    has_space: bool,
}

impl Signs {
    fn of(text: &[u8]) -> Self {
        let (mut depth, mut deepest, mut has_space) = (0_usize, 0, false);
        let mut place = Place::Outside;
        for byte in text {
            if place == Place::Outside {
                match byte {
                    b'{' | b'[' => {
                        depth += 1;
                        deepest = deepest.max(depth);
                    }
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => has_space |= is_space(*byte),
                }
            }
            place = place.after(*byte);
        }
        Self { deepest, has_space }
    }
}

/// Where in JSON a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    InString,
    /// In a string, behind a backslash.
    Escaped,
}

impl Place {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escaped, _) => Self::InString,
            (Self::InString, b'"') => Self::Outside,
            (Self::InString, b'\\') => Self::Escaped,
            (place, _) => place,
        }
    }
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<String, NotJson> {
        let read = JsonText::read(Bytes::copy_from_slice(text.as_bytes()))?;
        Ok(String::from_utf8(read.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn what_is_compact_is_passed_on_without_a_copy() {
        let bytes = Bytes::from_static(b" {\"a\":[1.50,1e2,12345678901234567890123]} \n");
        let text = JsonText::read(bytes.clone()).unwrap();
        assert_eq!(text.as_bytes(), bytes.trim_ascii());
        assert_eq!(text.as_bytes().as_ptr(), bytes[1..].as_ptr());
    }

    #[test]
    fn white_space_goes_but_not_out_of_strings() {
        let text = "{ \"a b\" :\t\"\\\" , \\\\\" ,\r\n \"c\": [ 1 , {} ] }";
        assert_eq!(
            read(text).as_deref(),
            Ok("{\"a b\":\"\\\" , \\\\\",\"c\":[1,{}]}")
        );
    }

    #[test]
    fn what_is_no_json_says_what_it_is() {
        assert_eq!(read("{\"a\":"), Err(NotJson::CutShort));
        assert_eq!(read("\"abc"), Err(NotJson::CutShort));
        for other in ["<html>", "{} {}", "nulx", "\u{feff}{}", "{\"a\":01}"] {
            assert_eq!(read(other), Err(NotJson::Other), "{other}");
        }
        let bytes = Bytes::from_static(b"\"\xff\"");
        assert_eq!(JsonText::read(bytes), Err(NotJson::NotUtf8));
        assert_eq!(read(&"[".repeat(10_000)), Err(NotJson::Other));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&deep(127)).is_ok());
        assert_eq!(read(&deep(128)), Err(NotJson::Other));
        // In a string it is no depth.
        assert!(read(&format!("\"{}\"", "[".repeat(1_000))).is_ok());
    }

    #[test]
    fn debug_shows_no_text() {
        let shown = format!("{:?}", JsonText::of(&json!({ "canary": "canary" })));
        assert_eq!(shown, "JsonText(redacted)");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[\\\\\" \n\t]*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((".{0,8}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn pretty_or_not_a_value_is_the_text_that_serde_writes(value in any_value()) {
            let compact = serde_json::to_string(&value).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(read(&compact), Ok(compact.clone()));
            prop_assert_eq!(read(&pretty), Ok(compact.clone()));
            let mut escaped = b"\"".to_vec();
            JsonText::of(&value).escape_into(&mut escaped);
            escaped.push(b'"');
            prop_assert_eq!(escaped, serde_json::to_vec(&compact).unwrap());
        }

        #[test]
        fn any_bytes_are_read_without_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let ours = JsonText::read(Bytes::from(bytes.clone()));
            // Where the reader of values takes it, so do we.
            if serde_json::from_slice::<Value>(&bytes).is_ok() {
                prop_assert!(ours.is_ok());
            }
        }
    }
}
