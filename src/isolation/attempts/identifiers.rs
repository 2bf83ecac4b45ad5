//! The uid of a foreign record, living or deleted, in every tool that takes one; and foreign records as parents.

use serde_json::{Map, Value, json};

use super::{Attempt, NOBODYS, Trick, attempt};
use crate::isolation::{
    kit::{Kit, Operation, Parent},
    people::{Person, Record, Stage},
    wire::Message,
};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "identifiers",
        name,
    }
}

type Pair<'a> = (&'a Person, &'a Person);

/// Everybody, everything, about everybody else's records.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for pair in stage.pairs() {
        for kit in &stage.kits {
            for operation in Operation::WITH_UID {
                for record in pair.1.records_of(&kit.entity.name) {
                    attempts.extend(by_uid(pair, (kit, operation), record));
                }
            }
            for parent in &kit.parents {
                attempts.extend(under_foreign_parent(pair, kit, parent));
            }
        }
    }
    attempts
}

fn by_uid(pair: Pair<'_>, tool: (&Kit<'_>, Operation), record: &Record) -> Vec<Attempt> {
    let (kit, operation) = tool;
    let uid = record.uid();
    let upper = uid.to_ascii_uppercase();
    let mut forms = vec![];
    if record.is_deleted {
        forms.push(("uid of a deleted record", uid, None));
    } else {
        forms.push(("uid", uid, None));
        forms.push(("uid in upper case", upper.as_str(), None));
    }
    if kit.takes(operation, "include_deleted") {
        let more = ("include_deleted", json!(true));
        forms.push(("uid with include_deleted", uid, Some(more)));
    }
    if kit.takes(operation, "if_match") {
        let more = ("if_match", json!(record.version()));
        forms.push(("uid with the true version in if_match", uid, Some(more)));
    }
    let arguments = |uid: &str, more: &Option<(&str, Value)>| {
        let mut arguments = pair.0.arguments(kit, operation, uid);
        let more = more.iter();
        arguments.extend(more.map(|(name, value)| ((*name).to_owned(), value.clone())));
        arguments
    };
    forms
        .iter()
        .filter_map(|(name, uid, more)| {
            let attempt = attempt(trick(name), pair, tool, arguments(uid, more))?;
            Some(compared(attempt, pair.0, arguments(NOBODYS, more)))
        })
        .collect()
}

fn compared(mut attempt: Attempt, attacker: &Person, nobodys: Map<String, Value>) -> Attempt {
    attempt.nobodys = Some(Message::call(&attacker.door, &attempt.tool, nobodys));
    attempt
}

/// A new record under a foreign parent, and one's own moved there.
fn under_foreign_parent(pair: Pair<'_>, kit: &Kit<'_>, parent: &Parent) -> Vec<Attempt> {
    let (attacker, victim) = pair;
    let Some(own) = attacker.living(&kit.entity.name) else {
        return Vec::new();
    };
    let mut attempts = Vec::new();
    for entity in &parent.entities {
        for foreign in victim.records_of(entity) {
            for operation in [Operation::Create, Operation::Update, Operation::Patch] {
                let arguments = |uid: &str| {
                    let mut fields = Map::new();
                    fields.insert(parent.parameter.clone(), json!(uid));
                    if let Some(sibling) = &parent.sibling {
                        fields.insert(sibling.clone(), json!(entity));
                    }
                    let mut arguments = attacker.arguments(kit, operation, own.uid());
                    if operation == Operation::Patch {
                        arguments.insert("updates".to_owned(), Value::Object(fields));
                    } else {
                        arguments.extend(fields);
                    }
                    arguments
                };
                let name = match operation {
                    Operation::Create => "create under a foreign parent",
                    _ => "move under a foreign parent",
                };
                let tried = attempt(
                    trick(name),
                    pair,
                    (kit, operation),
                    arguments(foreign.uid()),
                );
                attempts.extend(tried.map(|a| compared(a, attacker, arguments(NOBODYS))));
            }
        }
    }
    attempts
}
