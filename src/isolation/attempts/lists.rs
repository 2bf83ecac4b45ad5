//! Cursors that are somebody else's, or made from the time and uid of somebody else's record. A list may always be
//! answered: with the attacker's own records.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Attempt, Trick, attempt};
use crate::isolation::{
    kit::Operation,
    people::{Record, Stage},
};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "lists",
        name,
    }
}

/// Everybody with everybody else's cursors.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for pair in stage.pairs() {
        for kit in &stage.kits {
            let Some(record) = pair.1.living(&kit.entity.name) else {
                continue;
            };
            for (name, cursor) in cursors(record, &pair.1.subject) {
                let mut arguments = pair.0.arguments(kit, Operation::List, "");
                arguments.extend(cursor.map(|cursor| ("cursor".to_owned(), json!(cursor))));
                if kit.takes(Operation::List, "include_deleted") {
                    arguments.insert("include_deleted".to_owned(), Value::Bool(true));
                }
                let tried = attempt(trick(name), pair, (kit, Operation::List), arguments);
                attempts.extend(tried.map(Attempt::may_answer));
            }
        }
    }
    attempts
}

/// The cursor its owner was given, and cursors made of `milliseconds|uid` in base64url, as the backend's contract has
/// them; a backend with others takes these for damaged ones.
fn cursors(record: &Record, owner: &str) -> Vec<(&'static str, Option<String>)> {
    let ms = milliseconds(record.updated_at());
    let uid = record.uid();
    let cursor = |text: String| Some(URL_SAFE_NO_PAD.encode(text));
    let mut cursors = vec![
        ("deleted records too", None),
        ("a cursor at the record", cursor(format!("{ms}|{uid}"))),
        (
            "a cursor just before the record",
            cursor(format!("{}|{uid}", ms - 1)),
        ),
        (
            "a cursor with the owner in it",
            cursor(format!("{ms}|{uid}|{owner}")),
        ),
        (
            "a cursor that is a condition",
            cursor(format!("0|{uid}' OR '1'='1")),
        ),
        (
            "a cursor that is a query",
            Some(format!("&owner={owner}&includeDeleted=true#")),
        ),
    ];
    if record.cursor.is_some() {
        cursors.push(("the owner's cursor", record.cursor.clone()));
    }
    cursors
}

fn milliseconds(text: &str) -> i128 {
    OffsetDateTime::parse(text, &Rfc3339).map_or(0, |time| time.unix_timestamp_nanos() / 1_000_000)
}
