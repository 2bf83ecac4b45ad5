//! A JSON value as text that is passed on as it is. In: bytes from outside, or a value of ours. Out: text that is one JSON
//! value, at most 127 levels deep, without white space around its signs; a clone is the same bytes. The one thing not to
//! break: nobody makes one of unchecked bytes, because it is put into answers without another look.

mod check;
mod cursor;
mod escape;
mod marks;

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

pub(crate) use cursor::Cursor;

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
        let checked = check::check(&bytes).ok_or_else(|| NotJson::of(&bytes))?;
        let text = bytes.slice(checked.range);
        Ok(Self(if checked.has_space {
            cursor::compact(&text).into()
        } else {
            text
        }))
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
        deepest(&self.0) < DEEPEST
    }

    /// A way through it.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.0)
    }

    /// Its first bytes, which whoever asks for them answers for: they are a text of their own.
    pub(crate) fn beginning(&self, length: usize) -> Self {
        Self(self.0.slice(..length.min(self.0.len())))
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same; no copy.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The value; numbers lose what no number type of ours holds.
    #[must_use]
    pub fn value(&self) -> Value {
        // Text that was checked once is JSON; `null` is what a bug of ours would look like.
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    /// The value with those members of it that are wanted, and perhaps others: whoever looks at these sees the same as in
    /// [`Self::value`], for less.
    #[must_use]
    pub fn members(&self, are_wanted: impl Fn(&str) -> bool) -> Value {
        self.plain_members(are_wanted)
            .unwrap_or_else(|| self.value())
    }

    /// Of an object in which there is nothing that could make it unreadable as a whole, such as half of a character.
    fn plain_members(&self, are_wanted: impl Fn(&str) -> bool) -> Option<Value> {
        let mut cursor = self.cursor();
        cursor.takes(b'{').then_some(())?;
        let mut members = serde_json::Map::new();
        while let Some(name) = cursor.name() {
            let value = cursor.value();
            let is_plain = match value {
                [b'"', ..] => !value.contains(&b'\\'),
                [b'{' | b'[', ..] => false,
                // No number of so many digits is too large.
                [b'-' | b'0'..=b'9', ..] => {
                    value.len() < 300 && !value.contains(&b'e') && !value.contains(&b'E')
                }
                _ => true,
            };
            let name = name.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            (is_plain && !name.contains(&b'\\')).then_some(())?;
            let name = std::str::from_utf8(name).ok()?;
            if are_wanted(name) {
                members.insert(name.to_owned(), serde_json::from_slice(value).ok()?);
            }
        }
        Some(Value::Object(members))
    }

    /// How long the text is as the inside of a JSON string.
    #[must_use]
    pub fn escaped_length(&self) -> usize {
        escape::length(&self.0)
    }

    /// Appends the text as the inside of a JSON string: no text of ours has anything to escape but quotes and backslashes.
    pub fn escape_into(&self, out: &mut Vec<u8>) {
        escape::write(&self.0, out);
    }
}

impl NotJson {
    /// What is wrong with bytes that are no JSON text. Slow, and asked where something is wrong only.
    #[cold]
    fn of(bytes: &[u8]) -> Self {
        match serde_json::from_slice::<&RawValue>(bytes) {
            Err(_) if std::str::from_utf8(bytes).is_err() => Self::NotUtf8,
            Err(error) if error.is_eof() && deepest(bytes) <= DEEPEST => Self::CutShort,
            _ => Self::Other,
        }
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonText(redacted)")
    }
}

/// How many objects and arrays are in each other. Of text that is no JSON it means nothing.
fn deepest(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut is_in_string, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_string => is_escaped = true,
            b'"' => is_in_string = !is_in_string,
            _ if is_in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
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

    fn escaped(text: &JsonText) -> String {
        let mut escaped = b"before\"".to_vec();
        text.escape_into(&mut escaped);
        assert_eq!(escaped.len(), 7 + text.escaped_length());
        let escaped = String::from_utf8(escaped).unwrap() + "\"";
        escaped.strip_prefix("before").unwrap().to_owned()
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

    /// What `read` was before it had its own way: `serde_json`'s check of text that is passed on, and byte by byte.
    fn read_by_serde(bytes: &[u8]) -> Result<Vec<u8>, NotJson> {
        let value = serde_json::from_slice::<&RawValue>(bytes).map_err(|_| NotJson::of(bytes))?;
        let text = value.get().as_bytes();
        if deepest(text) > DEEPEST {
            return Err(NotJson::Other);
        }
        let (mut is_in_string, mut is_escaped) = (false, false);
        let is_kept = |byte: &&u8| {
            let is_kept = is_in_string || !b" \n\r\t".contains(byte);
            is_in_string ^= **byte == b'"' && !is_escaped;
            is_escaped = is_in_string && **byte == b'\\' && !is_escaped;
            is_kept
        };
        Ok(text.iter().filter(is_kept).copied().collect())
    }

    fn is_read_as_by_serde(bytes: &[u8]) {
        let ours = JsonText::read(Bytes::copy_from_slice(bytes));
        let ours = ours.map(|text| text.as_bytes().to_vec());
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(ours, read_by_serde(bytes), "{shown}");
    }

    /// JSON in many lengths and forms, most of it longer than a block.
    fn any_document() -> impl Strategy<Value = Vec<u8>> {
        let escape = prop_oneof![
            Just("\\u00e9"),
            Just("\\uD83D\\uDE00"),
            Just("\\uDead"),
            Just("\\\""),
            Just("\\\\"),
            Just("\\/\\b\\f\\n\\r\\t"),
        ];
        let string = prop::collection::vec(
            prop_oneof![
                4 => "[a-z {}\\[\\],:]{0,20}",
                1 => "[a-z]{50,90}",
                2 => escape.prop_map(str::to_owned),
                1 => "(\\\\\\\\){1,70}",
                1 => "\\PC{0,9}".prop_map(|text| text.replace(['"', '\\'], "")),
            ],
            0..8,
        );
        let string = string.prop_map(|parts| format!("\"{}\"", parts.concat()));
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
            string.clone(),
        ];
        let document = leaf.prop_recursive(5, 40, 6, move |inner| {
            let space = "[ \n\r\t]{0,2}";
            let item =
                (space, inner.clone()).prop_map(|(space, item)| format!("{space}{item}{space}"));
            let member = (string.clone(), space, inner)
                .prop_map(|(name, space, value)| format!("{name}{space}:{space}{value}"));
            prop_oneof![
                prop::collection::vec(item, 0..6)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(member, 0..6)
                    .prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        });
        document.prop_map(String::into_bytes)
    }

    fn any_name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["id", "", "epoch", "\\u0069d", "\\ud800", "\u{e9}"])
            .prop_map(str::to_owned)
    }

    fn any_plain_value() -> impl Strategy<Value = String> {
        let more = [
            "null",
            "true",
            "{}",
            "[]",
            "[\"\\udead\"]",
            "{\"id\":1e999}",
            "\"\\udead\"",
            "\"a\\nb\"",
            "1e999",
            "1E2",
            "-0",
            "12345678901234567890123",
            "1.50",
        ];
        prop_oneof![
            prop::sample::select(more.map(str::to_owned).to_vec()),
            Just("9".repeat(400)),
            "[a-z\u{e9}]{0,4}".prop_map(|text| format!("\"{text}\"")),
            "-?[1-9][0-9]{0,5}(\\.[0-9]{1,3})?",
        ]
    }

    /// Places and bytes, most of them such as mean something in JSON.
    fn any_changes() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
        let byte = prop_oneof![
            4 => prop::sample::select(b"\"\\{}[]:,0e-. \nu\x00\x1f\x7f\x80\xe9\xff".to_vec()),
            1 => any::<u8>(),
        ];
        prop::collection::vec((any::<usize>(), 0_u8..3, byte), 1..4)
    }

    fn changed(mut bytes: Vec<u8>, changes: Vec<(usize, u8, u8)>) -> Vec<u8> {
        for (at, how, byte) in changes {
            let at = at % (bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                _ if at == bytes.len() => bytes.truncate(at / 2),
                1 => drop(bytes.remove(at)),
                _ => bytes[at] = byte,
            }
        }
        bytes
    }

    #[test]
    fn what_stands_at_the_end_of_a_block_is_read_as_by_serde() {
        let pieces = [
            "\\\"",
            "\\\\",
            "\\\\\\\"",
            "\\u12aF",
            "\\u12",
            "\\x",
            "\\",
            "\"",
            "\n",
            "\u{1f}",
            "\u{e9}",
            "\u{1f600}",
            "\", \"",
        ];
        for before in (50..70).chain(115..135) {
            for piece in pieces {
                for after in [0, 1, 3, 70] {
                    let text = format!("\"{}{piece}{}\"", "a".repeat(before), "b".repeat(after));
                    is_read_as_by_serde(text.as_bytes());
                    is_read_as_by_serde(format!("[{text} ,{text}]").as_bytes());
                    is_read_as_by_serde(&text.as_bytes()[..text.len() - 1]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn pretty_or_not_a_value_is_the_text_that_serde_writes(value in any_value()) {
            let compact = serde_json::to_string(&value).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(read(&compact), Ok(compact.clone()));
            prop_assert_eq!(read(&pretty), Ok(compact.clone()));
            prop_assert_eq!(escaped(&JsonText::of(&value)), serde_json::to_string(&compact).unwrap());
        }

        #[test]
        fn any_bytes_are_read_without_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            is_read_as_by_serde(&bytes);
            // Where the reader of values takes it, so do we.
            if serde_json::from_slice::<Value>(&bytes).is_ok() {
                prop_assert!(JsonText::read(Bytes::from(bytes)).is_ok());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

        #[test]
        fn whole_or_damaged_a_document_is_read_as_by_serde(document in any_document(), changes in prop::collection::vec(any_changes(), 4)) {
            prop_assert!(JsonText::read(document.clone().into()).is_ok());
            is_read_as_by_serde(&document);
            for changes in changes {
                is_read_as_by_serde(&changed(document.clone(), changes));
            }
        }

        #[test]
        fn members_are_those_of_the_value(members in prop::collection::vec((any_name(), any_plain_value()), 0..5), wanted in any_name()) {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let text = JsonText::read(format!("{{{}}}", members.join(",")).into()).unwrap();
            // As a pointer looks, into a name that needs no escape.
            let looked_at = |value: Value| value.get(&wanted).cloned();
            prop_assert_eq!(looked_at(text.members(|name| name == wanted)), looked_at(text.value()));
        }

        #[test]
        fn of_any_length_a_text_is_escaped_as_by_serde(text in "([a-z]{0,400}[\"\\\\é]{0,5}){0,12}") {
            let text = JsonText::of(&text);
            let whole = std::str::from_utf8(text.as_bytes()).unwrap();
            prop_assert_eq!(escaped(&text), serde_json::to_string(whole).unwrap());
        }
    }
}
