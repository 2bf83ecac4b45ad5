//! JSON as the original reads and writes it: what a body may contain, how numbers and keys come out again
//! (contract §1.3, §5.3). The text made here is stored as it is and sent as it is.

use std::fmt::Write as _;

use serde::Deserialize as _;
use serde_json::{Map, Value};

/// What a request body turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Document {
    /// A JSON object.
    Object(Map<String, Value>),
    /// The literal `null`, which the original lets through its decoder.
    Null,
    /// Empty, malformed, or another type.
    Invalid,
}

/// The first JSON value of a body; what follows it is ignored, bytes that are no text become U+FFFD.
pub(super) fn read(body: &[u8]) -> Document {
    let text = String::from_utf8_lossy(body);
    let text = without_lone_surrogates(&text);
    let mut reader = serde_json::Deserializer::from_str(&text);
    match Value::deserialize(&mut reader) {
        Ok(Value::Object(object)) => Document::Object(object),
        Ok(Value::Null) => Document::Null,
        _ => Document::Invalid,
    }
}

/// A NUL character in a key or a string: the original's database refuses the document.
pub(super) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(object) => object
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The object with its keys in byte order at every depth.
pub(super) fn object(object: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(&mut out, object);
    out
}

/// A quoted string, with `<`, `>` and `&` escaped.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number_text(number.as_f64().unwrap_or_default())),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => write_object(out, object),
    }
}

fn write_object(out: &mut String, object: &Map<String, Value>) {
    let mut entries: Vec<_> = object.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| key.as_str());
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

/// Every number is a float64 to the original; whole ones print without a fraction, very large and very small ones
/// with an exponent.
fn number_text(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        if text.contains("e-") {
            text
        } else {
            text.replace('e', "e+")
        }
    } else {
        number.to_string()
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Replaces `\ud800`-like escapes that have no partner; other text is left alone.
fn without_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let taken = match surrogate(escape) {
            None => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
            Some(0xD800..=0xDBFF) if is_low(escape.get(6..)) => 12,
            Some(_) => {
                out.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
        };
        let (kept, after) = escape.split_at(taken);
        out.push_str(kept);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The code unit of an escape at the start of the text, if it is half of a surrogate pair.
fn surrogate(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    let unit = u32::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

fn is_low(text: Option<&str>) -> bool {
    text.and_then(surrogate).is_some_and(|unit| unit >= 0xDC00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn comes_out(body: &str, expected: &str) {
        let Document::Object(document) = read(body.as_bytes()) else {
            panic!("not an object: {body}");
        };
        assert_eq!(object(&document), expected);
    }

    #[test]
    fn keys_are_sorted_and_numbers_are_floats() {
        comes_out(
            r#"{"b":{"z":1.0,"a":2},"a":[1e3]}"#,
            r#"{"a":[1000],"b":{"a":2,"z":1}}"#,
        );
        comes_out(r#"{"n":9007199254740993}"#, r#"{"n":9007199254740992}"#);
        comes_out(r#"{"n":1e21,"m":0.0000001}"#, r#"{"m":1e-7,"n":1e+21}"#);
    }

    #[test]
    fn the_last_duplicate_wins_and_what_follows_the_value_is_ignored() {
        comes_out(r#"{"a":1,"a":2} trailing"#, r#"{"a":2}"#);
    }

    #[test]
    fn angle_brackets_and_ampersands_are_escaped() {
        comes_out(r#"{"a":"<b>&"}"#, r#"{"a":"\u003cb\u003e\u0026"}"#);
    }

    #[test]
    fn broken_text_becomes_the_replacement_character() {
        comes_out(
            r#"{"a":"\ud800x","b":"\ud83d\ude00","c":"\\ud800"}"#,
            "{\"a\":\"\u{fffd}x\",\"b\":\"😀\",\"c\":\"\\\\ud800\"}",
        );
        assert_eq!(
            read(b"{\"a\":\"\xff\"}"),
            read("{\"a\":\"\u{fffd}\"}".as_bytes())
        );
    }

    #[test]
    fn anything_but_an_object_or_null_is_invalid() {
        for body in ["", "[]", "5", "\"x\"", "{", "nul", "{\"a\":1e999}"] {
            assert_eq!(read(body.as_bytes()), Document::Invalid, "{body}");
        }
        assert_eq!(read(b"null"), Document::Null);
    }
}
