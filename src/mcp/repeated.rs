//! Integers that clients repeat in headers (`Mcp-Param-*`) are compared as numbers: `42.0` in the one and `42` in the
//! other are equal (protocol page A.7), and rmcp compares texts. In: a modern request. Out: the same, each header that
//! equals its integer written as the body has it; whatever differs is left as it is, for rmcp to refuse.

use http::{HeaderMap, HeaderName, HeaderValue};
use rmcp::ServerHandler;
use serde::Deserialize;
use serde_json::{Map, Number, Value, value::RawValue};

use crate::catalogue::dialect::HEADER_ANNOTATION;

const FAMILY: &str = "mcp-param-";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: String,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

/// Writes the headers that equal an integer of the body as the body does.
pub(super) fn write_alike(handler: &impl ServerHandler, headers: &mut HeaderMap, body: &[u8]) {
    if !headers.keys().any(|name| name.as_str().starts_with(FAMILY)) {
        return;
    }
    let Ok(Message { params }) = serde_json::from_slice(body) else {
        return;
    };
    let Some(tool) = handler.get_tool(&params.name) else {
        return;
    };
    let Ok(arguments) = serde_json::from_str(params.arguments.get()) else {
        return;
    };
    let mut integers = Vec::new();
    find(&tool.input_schema, &arguments, &mut integers);
    for (header, number) in integers {
        let written = number.to_string();
        let (Ok(name), Ok(value)) = (
            HeaderName::try_from(format!("{FAMILY}{header}")),
            HeaderValue::try_from(&written),
        ) else {
            continue;
        };
        let repeated = sole(headers, &name).and_then(whole);
        if repeated.is_some() && repeated == whole(&written) {
            headers.insert(name, value);
        }
    }
}

/// The integers that are repeated, each with the end of its header's name.
fn find<'a>(
    schema: &'a Map<String, Value>,
    arguments: &'a Map<String, Value>,
    found: &mut Vec<(&'a str, &'a Number)>,
) {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return;
    };
    for (name, property) in properties {
        let (Some(property), Some(argument)) = (property.as_object(), arguments.get(name)) else {
            continue;
        };
        match argument {
            // A number is an integer where a header repeats it: the catalogue sees to that.
            Value::Number(number) => {
                let header = property.get(HEADER_ANNOTATION).and_then(Value::as_str);
                found.extend(header.map(|header| (header, number)));
            }
            Value::Object(inner) => find(property, inner, found),
            _ => {}
        }
    }
}

/// Two of them are for rmcp to refuse.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(())?;
    value.to_str().ok().map(str::trim)
}

/// A whole number's digits, exactly; `None` where the text is no such number, or one with an exponent.
fn whole(written: &str) -> Option<&str> {
    let (digits, fraction) = written.split_once('.').unwrap_or((written, "0"));
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let is_number = unsigned == "0"
        || !unsigned.is_empty()
            && !unsigned.starts_with('0')
            && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    (is_number && is_whole).then_some(if unsigned == "0" { unsigned } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_compared_digit_by_digit() {
        for (written, digits) in [
            ("42", Some("42")),
            ("42.0", Some("42")),
            ("-7.000", Some("-7")),
            ("-0.0", Some("0")),
            ("9007199254740993.0", Some("9007199254740993")),
            ("42.5", None),
            ("42.", None),
            (".0", None),
            ("042", None),
            ("+42", None),
            ("4e1", None),
            ("42.0.0", None),
            ("-", None),
            ("", None),
            ("0x2a", None),
            ("٤٢", None),
        ] {
            assert_eq!(whole(written), digits, "{written}");
        }
    }
}
