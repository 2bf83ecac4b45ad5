//! Reading records: one, a page, and the forms in which they travel (contract §5.1). The payload is stored as the
//! text that is sent; nothing is parsed to be read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{json, stamp, store::Owner};

/// One stored record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) uid: String,
    pub(super) version: i64,
    pub(super) updated_at_ms: i64,
    pub(super) deleted_at_ms: Option<i64>,
    /// JSON text, keys sorted.
    pub(super) payload: String,
}

/// Which page of a collection is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: i64,
    /// Exclusive start: (`updated_at_ms`, uid).
    pub(super) after: Option<(i64, Uuid)>,
    pub(super) include_deleted: bool,
}

impl Page {
    /// Reads the query of a list request as leniently as the original: nothing in it is an error, the first value
    /// of a repeated name wins, an undecodable cursor starts over.
    pub(super) fn of(query: &str) -> Self {
        let limit = first(query, "limit").and_then(|text| text.parse::<i64>().ok());
        Self {
            limit: match limit {
                Some(limit) if limit > 0 => limit.min(1000),
                _ => 500,
            },
            after: first(query, "cursor").and_then(|text| read_cursor(&text)),
            include_deleted: include_deleted(query),
        }
    }
}

/// Whether a query asks for tombstones: exactly `true`.
pub(super) fn include_deleted(query: &str) -> bool {
    first(query, "includeDeleted").is_some_and(|value| value == "true")
}

impl Record {
    /// The item of contract §5.1 as JSON.
    pub(super) fn item(&self) -> String {
        let mut item = format!(
            r#"{{"uid":{},"version":{},"updatedAt":"{}""#,
            json::string(&self.uid),
            self.version,
            stamp::from_millis(self.updated_at_ms)
        );
        if let Some(deleted) = self.deleted_at_ms {
            item.push_str(r#","deletedAt":""#);
            item.push_str(&stamp::from_millis(deleted));
            item.push('"');
        }
        item.push_str(r#","payload":"#);
        item.push_str(&self.payload);
        item.push('}');
        item
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            uid: row.get(0)?,
            version: row.get(1)?,
            updated_at_ms: row.get(2)?,
            deleted_at_ms: row.get(3)?,
            payload: row.get(4)?,
        })
    }
}

/// The list of contract §5.1 as JSON: `nextCursor` whenever the page is not empty, even on the last one.
pub(super) fn list(records: &[Record]) -> String {
    let items: Vec<String> = records.iter().map(Record::item).collect();
    let mut list = format!(r#"{{"items":[{}]"#, items.join(","));
    if let Some(last) = records.last() {
        list.push_str(r#","nextCursor":""#);
        list.push_str(&cursor(last.updated_at_ms, &last.uid));
        list.push('"');
    }
    list.push('}');
    list
}

/// One record of this user, living or deleted.
pub(super) fn find(
    connection: &Connection,
    owner: Owner,
    entity: &str,
    uid: Uuid,
) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare(
            "SELECT uid, version, updated_at_ms, deleted_at_ms, payload FROM record
             WHERE owner = ?1 AND entity = ?2 AND uid = ?3",
        )?
        .query_row(
            params![owner.row, entity, uid.to_string()],
            Record::from_row,
        )
        .optional()
}

/// A record of anybody with this uid: what a backend without isolation would answer (a fault).
pub(super) fn find_of_anybody(
    connection: &Connection,
    entity: &str,
    uid: Uuid,
) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare(
            "SELECT uid, version, updated_at_ms, deleted_at_ms, payload FROM record
             WHERE entity = ?1 AND uid = ?2 LIMIT 1",
        )?
        .query_row(params![entity, uid.to_string()], Record::from_row)
        .optional()
}

/// One page, least recently changed first.
pub(super) fn page(
    connection: &Connection,
    owner: Owner,
    entity: &str,
    page: &Page,
) -> rusqlite::Result<Vec<Record>> {
    let (after_ms, after_uid) = match page.after {
        Some((ms, uid)) => (ms, uid.to_string()),
        None => (i64::MIN, String::new()),
    };
    connection
        .prepare(
            "SELECT uid, version, updated_at_ms, deleted_at_ms, payload FROM record
             WHERE owner = ?1 AND entity = ?2 AND (updated_at_ms, uid) > (?3, ?4)
               AND (?5 OR deleted_at_ms IS NULL)
             ORDER BY updated_at_ms, uid LIMIT ?6",
        )?
        .query_map(
            params![
                owner.row,
                entity,
                after_ms,
                after_uid,
                page.include_deleted,
                page.limit
            ],
            Record::from_row,
        )?
        .collect()
}

fn cursor(updated_at_ms: i64, uid: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{updated_at_ms}|{uid}"))
}

fn read_cursor(text: &str) -> Option<(i64, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (ms, uid) = text.split_once('|')?;
    Some((ms.parse().ok()?, Uuid::try_parse(uid).ok()?))
}

fn first(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    const CURSOR: &str = "MTczNTY4OTYwMDAwMHwzZjI1MDRlMC00Zjg5LTQxZDMtOWEwYy0wMzA1ZTgyYzMzMDE";

    #[test]
    fn the_cursor_is_the_known_one() {
        assert_eq!(cursor(1_735_689_600_000, UID), CURSOR);
        let read = Some((1_735_689_600_000, Uuid::try_parse(UID).unwrap()));
        assert_eq!(Page::of(&format!("cursor={CURSOR}")).after, read);
        assert_eq!(Page::of(&format!("cursor={CURSOR}%3D")).after, None);
    }

    #[test]
    fn a_list_query_is_read_leniently() {
        for (query, limit) in [
            ("", 500),
            ("limit=7", 7),
            ("limit=1001", 1000),
            ("limit=0", 500),
            ("limit=-3", 500),
            ("limit=ten", 500),
            ("limit=2&limit=9", 2),
        ] {
            assert_eq!(Page::of(query).limit, limit, "{query}");
        }
        for (query, expected) in [("true", true), ("TRUE", false), ("1", false)] {
            let page = Page::of(&format!("includeDeleted={query}"));
            assert_eq!(page.include_deleted, expected, "{query}");
        }
    }
}
