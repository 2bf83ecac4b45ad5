//! The same shapes made by serde, as they were before: what the quick way is compared with.

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
