//! uids that are more than a uid: paths, queries, line breaks, other spellings. Every tool with every form; the pairs
//! take turns.

use serde_json::{Value, json};

use super::{Attempt, Trick, attempt};
use crate::isolation::{
    kit::{Kit, Operation},
    people::{Person, Stage},
};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "paths",
        name,
    }
}

/// Every tool that takes a uid.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let tools = stage.kits.iter().flat_map(|kit| {
        Operation::WITH_UID
            .into_iter()
            .map(move |operation| (kit, operation))
    });
    let mut attempts = Vec::new();
    for (place, tool) in tools.enumerate() {
        let count = FORMS.len();
        for (turn, (name, form)) in FORMS.into_iter().enumerate() {
            let Some(pair) = stage.pair(place * count + turn) else {
                continue;
            };
            attempts.extend(with_uid(trick(name), pair, tool, form));
        }
    }
    attempts
}

/// How a uid is dressed: own uid, foreign uid, collection path, subject of the owner.
type Form = fn(&str, &str, &str, &str) -> Value;

const FORMS: [(&str, Form); 18] = [
    ("up and down again", |_, uid, path, _| {
        json!(format!("../../{}/{uid}", path.trim_start_matches('/')))
    }),
    ("over one's own record", |own, uid, _, _| {
        json!(format!("{own}/../{uid}"))
    }),
    ("encoded dots", |own, uid, _, _| {
        json!(format!("{own}/%2e%2e/{uid}"))
    }),
    ("encoded slash", |own, uid, _, _| {
        json!(format!("{own}%2f..%2f{uid}"))
    }),
    ("encoded twice", |own, uid, _, _| {
        json!(format!("{own}%252f..%252f{uid}"))
    }),
    ("backslashes", |own, uid, _, _| {
        json!(format!("{own}\\..\\{uid}"))
    }),
    ("a query", |_, uid, _, _| {
        json!(format!("{uid}?includeDeleted=true"))
    }),
    ("a fragment", |_, uid, _, _| json!(format!("{uid}#"))),
    ("another operation", |_, uid, _, _| {
        json!(format!("{uid}/archive"))
    }),
    ("white space", |_, uid, _, _| json!(format!(" {uid}\t"))),
    ("NUL", |_, uid, _, _| json!(format!("{uid}\0"))),
    ("a header after a line break", |_, uid, _, sub| {
        json!(format!("{uid}\r\nX-Debug-Sub: {sub}"))
    }),
    ("in braces", |_, uid, _, _| json!(format!("{{{uid}}}"))),
    ("as a URN", |_, uid, _, _| json!(format!("urn:uuid:{uid}"))),
    ("without hyphens", |_, uid, _, _| {
        json!(uid.replace('-', ""))
    }),
    ("in a list", |own, uid, _, _| json!([own, uid])),
    ("in an object", |_, uid, _, _| json!({ "uid": uid })),
    ("as JSON in a text", |_, uid, _, _| {
        json!(format!("\"{uid}\""))
    }),
];

fn with_uid(
    trick: Trick,
    pair: (&Person, &Person),
    (kit, operation): (&Kit<'_>, Operation),
    form: Form,
) -> Option<Attempt> {
    let entity = &kit.entity.name;
    let (own, foreign) = (pair.0.living(entity)?.uid(), pair.1.living(entity)?.uid());
    let uid = form(own, foreign, &kit.entity.path, &pair.1.subject);
    let mut arguments = pair.0.arguments(kit, operation, own);
    arguments.insert("uid".to_owned(), uid);
    attempt(trick, pair, (kit, operation), arguments)
}
