//! What the stub answers, made once: bodies of 0.5 KB, 10 KB and 1 MB. Each ends with a marker that the driver looks
//! for, so that an answer that was cut or replaced is not counted.

use serde_json::{Value, json};

use crate::NOTE;

/// Stands at the end of every note that an answer ends with.
pub const MARKER: &str = "the-end-of-the-answer";

/// `limit` of the list of 10 KB.
pub const SHORT_LIST: usize = 10;

/// `limit` of the list of 1 MB, the largest page a backend gives.
pub const LONG_LIST: usize = 1000;

/// One note of half a kilobyte, also the answer to a creation.
#[must_use]
pub fn note() -> String {
    item(NOTE, 300, true).to_string()
}

/// A page of `length` notes of one kilobyte each.
#[must_use]
pub fn page(length: usize) -> String {
    let items: Vec<Value> = (1..=length)
        .map(|number| {
            let uid = format!("0b8f6c1e-7a52-4f0c-9d6a-{number:012x}");
            item(&uid, 810, number == length)
        })
        .collect();
    json!({ "items": items, "nextCursor": "MTc2MzM5MjgwMDAwMDpvbmU" }).to_string()
}

/// A note whose text has what texts have: quotation marks, line ends, letters beyond ASCII.
fn item(uid: &str, text: usize, last: bool) -> Value {
    const PHRASE: &str = "Milk, \"bread\" and käse for the week.\nThen home again; ";
    let mut content: String = PHRASE.chars().cycle().take(text).collect();
    if last {
        content.push_str(MARKER);
    }
    json!({
        "uid": uid,
        "version": 3,
        "updatedAt": "2026-01-17T12:00:00.123Z",
        "payload": {
            "content": content,
            "tags": ["home", "week"],
            "title": "Shopping",
        },
    })
}
