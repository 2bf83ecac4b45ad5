//! Fields that would make a new record somebody else's, or one's own another's: uid and metadata smuggled in free-form
//! objects, and arguments that name an owner.

use serde_json::{Map, Value, json};

use super::{Attempt, Trick, attempt};
use crate::isolation::{
    kit::{Kit, Operation},
    people::{Person, Record, Stage},
};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "fields",
        name,
    }
}

type Pair<'a> = (&'a Person, &'a Person);

/// Everybody with everybody else's uids; names of owners for every tool, by turns.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for pair in stage.pairs() {
        for kit in &stage.kits {
            let records = pair.1.records_of(&kit.entity.name);
            attempts.extend(records.flat_map(|record| smuggled(pair, kit, record)));
        }
    }
    let tools = stage.kits.iter().flat_map(|kit| {
        Operation::ALL
            .into_iter()
            .map(move |operation| (kit, operation))
    });
    for (turn, tool) in tools.enumerate() {
        attempts.extend(
            stage
                .pair(turn)
                .into_iter()
                .flat_map(|pair| owners(pair, tool)),
        );
    }
    attempts
}

/// A foreign uid where free-form fields go.
fn smuggled(pair: Pair<'_>, kit: &Kit<'_>, record: &Record) -> Vec<Attempt> {
    let (attacker, uid) = (pair.0, record.uid());
    let own = attacker.living(&kit.entity.name).map(Record::uid);
    let forms = [
        ("uid in a free-form object", json!({ "uid": uid })),
        (
            "sync in a free-form object",
            json!({ "sync": { "uid": uid, "version": record.version() } }),
        ),
        (
            "uid in a JSON text",
            json!(json!({ "uid": uid }).to_string()),
        ),
    ];
    let mut attempts = Vec::new();
    for (operation, parameter) in [
        (Operation::Create, "additional_fields"),
        (Operation::Update, "additional_fields"),
        (Operation::Patch, "updates"),
    ] {
        // Deleted records add nothing to the other forms.
        for (name, smuggled) in forms.iter().take(if record.is_deleted { 1 } else { 3 }) {
            let mut arguments = attacker.arguments(kit, operation, own.unwrap_or_default());
            arguments.insert(parameter.to_owned(), smuggled.clone());
            attempts.extend(attempt(trick(name), pair, (kit, operation), arguments));
        }
    }
    let mut arguments = attacker.arguments(kit, Operation::Create, "");
    arguments.insert("uid".to_owned(), json!(uid));
    attempts.extend(attempt(
        trick("create with a uid"),
        pair,
        (kit, Operation::Create),
        arguments,
    ));
    attempts
}

/// Arguments that no tool has.
fn owners(pair: Pair<'_>, (kit, operation): (&Kit<'_>, Operation)) -> Vec<Attempt> {
    let (attacker, victim) = pair;
    let Some(own) = attacker.living(&kit.entity.name) else {
        return Vec::new();
    };
    let named: [(&str, &str, Value); 5] = [
        (
            "an argument names the tenant",
            "tenant_id",
            json!(victim.tenant),
        ),
        (
            "an argument names the owner",
            "owner",
            json!(victim.subject),
        ),
        ("an argument names the user", "sub", json!(victim.subject)),
        (
            "an argument is a header",
            "X-TB-Tenant-ID",
            json!(victim.tenant),
        ),
        (
            "an argument is a prototype",
            "__proto__",
            json!({ "owner": victim.subject }),
        ),
    ];
    named
        .into_iter()
        .filter_map(|(name, argument, value)| {
            let mut arguments: Map<String, Value> = attacker.arguments(kit, operation, own.uid());
            arguments.insert(argument.to_owned(), value);
            attempt(trick(name), pair, (kit, operation), arguments)
        })
        .collect()
}
