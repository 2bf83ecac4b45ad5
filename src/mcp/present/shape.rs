//! The backend's answer in the shape that its tool declares. In: JSON text. Out: JSON text, its parts passed on as they
//! were written. Records have always the same five keys, as the original shows them (contract §7.5): absent ones are null,
//! others are dropped, and of a key that comes twice the last counts. What is in that shape already is not copied.

use std::borrow::Cow;

use crate::json_text::{Cursor, JsonText};

/// What a record may need beside what the backend sent: five keys that were not there.
const ROOM: usize = 80;

/// A record, or `None` where this is none.
pub(super) fn item(text: &JsonText) -> Option<JsonText> {
    let record = Record::read(&mut text.cursor())?;
    let mut shaped = Shaped::from(text);
    record.write_into(&mut shaped)?;
    Some(shaped.finish())
}

/// A page of records, or `None` where this is none.
pub(super) fn list(text: &JsonText) -> Option<JsonText> {
    let mut cursor = text.cursor();
    let mut shaped = Shaped::from(text);
    let mut is_page = None;
    let mut next_cursor = NULL;
    cursor.takes(b'{').then_some(())?;
    while let Some(name) = cursor.name() {
        match &*plain(name)? {
            b"\"items\"" => {
                shaped = Shaped::from(text);
                is_page = Some(records(&mut cursor, &mut shaped)?);
            }
            b"\"nextCursor\"" => next_cursor = cursor.value(),
            _ => drop(cursor.value()),
        }
    }
    is_page??;
    shaped.put(b",\"nextCursor\":");
    shaped.put(next_cursor);
    shaped.put(b"}");
    Some(shaped.finish())
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

/// Writes the beginning of a page and its records. `None` where this is no array of objects; `Some(None)` where one of
/// them is no record, which does not matter where other records follow under the same name.
fn records(cursor: &mut Cursor<'_>, shaped: &mut Shaped<'_>) -> Option<Option<()>> {
    cursor.takes(b'[').then_some(())?;
    shaped.put(b"{\"items\":[");
    let (mut is_page, mut is_first) = (Some(()), true);
    while !cursor.takes(b']') {
        if !is_first {
            cursor.takes(b',');
            shaped.put(b",");
        }
        is_first = false;
        let written = Record::read(cursor)?.write_into(shaped);
        is_page = is_page.and(written);
    }
    shaped.put(b"]");
    Some(is_page)
}

const NULL: &[u8] = b"null";

/// A name as it is compared, in its quotes; `None` where it is no text because half of a character is missing.
fn plain(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !name.contains(&b'\\') {
        return Some(name.into());
    }
    let name: String = serde_json::from_slice(name).ok()?;
    Some(format!("\"{name}\"").into_bytes().into())
}

/// The keys of a record, borrowed from the backend's answer.
#[derive(Default)]
struct Record<'a> {
    uid: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    updated_at: Option<&'a [u8]>,
    deleted_at: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let mut record = Self::default();
        cursor.takes(b'{').then_some(())?;
        while let Some(name) = cursor.name() {
            let name = plain(name)?;
            let value = Some(cursor.value());
            match &*name {
                b"\"uid\"" => record.uid = value,
                b"\"version\"" => record.version = value,
                b"\"updatedAt\"" => record.updated_at = value,
                b"\"deletedAt\"" => record.deleted_at = value,
                b"\"payload\"" => record.payload = value,
                _ => {}
            }
        }
        Some(record)
    }

    fn write_into(&self, shaped: &mut Shaped<'_>) -> Option<()> {
        let is_text = self.uid?.starts_with(b"\"");
        let is_number = matches!(self.version?, [b'-' | b'0'..=b'9', ..]);
        (is_text && is_number).then_some(())?;
        for (name, value) in [
            ("{\"uid\":", self.uid),
            (",\"version\":", self.version),
            (",\"updatedAt\":", self.updated_at),
            (",\"deletedAt\":", self.deleted_at),
            (",\"payload\":", self.payload),
        ] {
            shaped.put(name.as_bytes());
            shaped.put(value.unwrap_or(NULL));
        }
        shaped.put(b"}");
        Some(())
    }
}

/// What is written: a beginning of the backend's text, as long as it is the same; else a copy.
struct Shaped<'a> {
    text: &'a JsonText,
    same: usize,
    written: Vec<u8>,
}

impl<'a> From<&'a JsonText> for Shaped<'a> {
    fn from(text: &'a JsonText) -> Self {
        Self {
            text,
            same: 0,
            written: Vec::new(),
        }
    }
}

impl Shaped<'_> {
    fn put(&mut self, piece: &[u8]) {
        if self.written.is_empty() {
            let text = self.text.as_bytes();
            let (before, rest) = text.split_at_checked(self.same).unwrap_or_default();
            if rest.starts_with(piece) {
                self.same += piece.len();
                return;
            }
            // A few bytes for each record beside, so that a long page is not moved.
            self.written = Vec::with_capacity(text.len() + text.len() / 16 + ROOM);
            self.written.extend_from_slice(before);
        }
        self.written.extend_from_slice(piece);
    }

    fn finish(self) -> JsonText {
        if self.written.is_empty() {
            self.text.beginning(self.same)
        } else {
            JsonText::put_together(self.written)
        }
    }
}

#[cfg(test)]
mod tests;
