//! The backend's answer in the shape that its tool declares. In: JSON text. Out: JSON text, its parts passed on as they
//! were written. Records have always the same five keys, as the original shows them (contract §7.5): absent ones are null,
//! others are dropped, and of a key that comes twice the last counts.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::json_text::JsonText;

/// What a record may need beside what the backend sent: five keys that were not there.
const ROOM: usize = 80;

/// A record, or `None` where this is none.
pub(super) fn item(text: &JsonText) -> Option<JsonText> {
    let record: Record<'_> = serde_json::from_slice(text.as_bytes()).ok()?;
    let mut written = Vec::with_capacity(text.as_bytes().len() + ROOM);
    record.write_into(&mut written)?;
    Some(JsonText::put_together(written))
}

/// A page of records, or `None` where this is none.
pub(super) fn list(text: &JsonText) -> Option<JsonText> {
    let page: Page<'_> = serde_json::from_slice(text.as_bytes()).ok()?;
    let items = page.items?;
    let mut written = Vec::with_capacity(text.as_bytes().len() + ROOM);
    written.extend_from_slice(b"{\"items\":[");
    for (index, record) in items.iter().enumerate() {
        if index > 0 {
            written.push(b',');
        }
        record.write_into(&mut written)?;
    }
    written.extend_from_slice(b"],\"nextCursor\":");
    write(&mut written, page.next_cursor);
    written.push(b'}');
    Some(JsonText::put_together(written))
}

/// Anything: an object as it is, and all else as the only member of one. `None` where that would be too deep to be read.
pub(super) fn any(text: JsonText) -> Option<JsonText> {
    if text.as_bytes().starts_with(b"{") {
        return Some(text);
    }
    text.fits_in_another().then_some(())?;
    let parts: [&[u8]; 3] = [b"{\"result\":", text.as_bytes(), b"}"];
    Some(JsonText::put_together(parts.concat()))
}

fn write(out: &mut Vec<u8>, value: Option<&RawValue>) {
    out.extend_from_slice(value.unwrap_or(RawValue::NULL).get().as_bytes());
}

/// The keys of a record, borrowed from the backend's answer.
#[derive(Default)]
struct Record<'a> {
    uid: Option<&'a RawValue>,
    version: Option<&'a RawValue>,
    updated_at: Option<&'a RawValue>,
    deleted_at: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum RecordKey {
    Uid,
    Version,
    UpdatedAt,
    DeletedAt,
    Payload,
    #[serde(other)]
    Other,
}

impl Record<'_> {
    fn write_into(&self, out: &mut Vec<u8>) -> Option<()> {
        let is_text = self.uid?.get().starts_with('"');
        let is_number = self
            .version?
            .get()
            .starts_with(|it: char| it == '-' || it.is_ascii_digit());
        (is_text && is_number).then_some(())?;
        for (name, value) in [
            ("{\"uid\":", self.uid),
            (",\"version\":", self.version),
            (",\"updatedAt\":", self.updated_at),
            (",\"deletedAt\":", self.deleted_at),
            (",\"payload\":", self.payload),
        ] {
            out.extend_from_slice(name.as_bytes());
            write(out, value);
        }
        out.push(b'}');
        Some(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Record<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Record<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
                let mut record = Record::default();
                while let Some(key) = map.next_key()? {
                    let place = match key {
                        RecordKey::Uid => &mut record.uid,
                        RecordKey::Version => &mut record.version,
                        RecordKey::UpdatedAt => &mut record.updated_at,
                        RecordKey::DeletedAt => &mut record.deleted_at,
                        RecordKey::Payload => &mut record.payload,
                        RecordKey::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = Some(map.next_value()?);
                }
                Ok(record)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The keys of a page.
#[derive(Default)]
struct Page<'a> {
    items: Option<Vec<Record<'a>>>,
    next_cursor: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum PageKey {
    Items,
    NextCursor,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Page<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Page<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a page of records")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<'de>, A::Error> {
                let mut page = Page::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        PageKey::Items => page.items = Some(map.next_value()?),
                        PageKey::NextCursor => page.next_cursor = Some(map.next_value()?),
                        PageKey::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(page)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn shaped(shape: fn(&JsonText) -> Option<JsonText>, text: &str) -> Option<String> {
        let text = JsonText::read(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let shaped = shape(&text)?;
        // What was put together is JSON text that needs no further look.
        let again = JsonText::read(Bytes::copy_from_slice(shaped.as_bytes()));
        assert_eq!(again.as_ref(), Ok(&shaped));
        Some(String::from_utf8(shaped.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_record_has_its_five_keys_as_they_were_written() {
        let text = r#"{"payload":{"n":1.50,"big":12345678901234567890123},"more":[1],"version":3,"uid":"a\u0062"}"#;
        let expected = r#"{"uid":"a\u0062","version":3,"updatedAt":null,"deletedAt":null,"payload":{"n":1.50,"big":12345678901234567890123}}"#;
        assert_eq!(shaped(item, text).as_deref(), Some(expected));
        let twice = r#"{"uid":"a","uid":"b","version":1,"payload":1,"payload":{}}"#;
        let last = r#"{"uid":"b","version":1,"updatedAt":null,"deletedAt":null,"payload":{}}"#;
        assert_eq!(shaped(item, twice).as_deref(), Some(last));
    }

    #[test]
    fn what_has_no_uid_or_version_is_no_record() {
        for text in [
            "[]",
            "{}",
            "null",
            r#"{"uid":"a"}"#,
            r#"{"version":1}"#,
            r#"{"uid":7,"version":1}"#,
            r#"{"uid":"a","version":"1"}"#,
            r#"{"uid":"a","version":null}"#,
        ] {
            assert_eq!(shaped(item, text), None, "{text}");
        }
    }

    #[test]
    fn a_page_has_records_and_a_cursor() {
        let text = r#"{"total":2,"nextCursor":"c","items":[{"uid":"a","version":1},{"version":2,"uid":"b","payload":{}}]}"#;
        let expected = r#"{"items":[{"uid":"a","version":1,"updatedAt":null,"deletedAt":null,"payload":null},{"uid":"b","version":2,"updatedAt":null,"deletedAt":null,"payload":{}}],"nextCursor":"c"}"#;
        assert_eq!(shaped(list, text).as_deref(), Some(expected));
        let empty = r#"{"items":[],"nextCursor":null}"#;
        assert_eq!(shaped(list, r#"{"items":[]}"#).as_deref(), Some(empty));
        for text in [
            "[]",
            "{}",
            r#"{"items":{}}"#,
            r#"{"items":[1]}"#,
            r#"{"items":[{}]}"#,
        ] {
            assert_eq!(shaped(list, text), None, "{text}");
        }
    }

    #[test]
    fn anything_is_an_object_or_becomes_one() {
        let any = |text: &JsonText| any(text.clone());
        assert_eq!(shaped(any, r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(shaped(any, "[1]").as_deref(), Some(r#"{"result":[1]}"#));
        assert_eq!(shaped(any, "null").as_deref(), Some(r#"{"result":null}"#));
    }

    #[test]
    fn what_would_be_too_deep_in_an_object_is_not_put_into_one() {
        let any = |text: &JsonText| any(text.clone());
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let deepest = shaped(any, &deep(126)).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
        assert_eq!(shaped(any, &deep(127)), None);
        assert!(shaped(any, &format!("{{\"a\":{}}}", deep(126))).is_some());
    }
}
