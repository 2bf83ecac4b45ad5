//! The tenant and debug headers in spellings that only a hand-written request has. Plain HTTP only: behind TLS the
//! other families' spellings remain.

use super::{Attempt, Rule, Trick, attempt};
use crate::isolation::{kit::Operation, people::Stage};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "spellings",
        name,
    }
}

/// Reads of every entity with every spelling; the pairs take turns.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (place, kit) in stage.kits.iter().enumerate() {
        for (turn, (name, lines)) in SPELLINGS.into_iter().enumerate() {
            let Some((attacker, victim)) = stage.pair(place * (SPELLINGS.len() + 1) + turn) else {
                continue;
            };
            let Some(record) = victim.living(&kit.entity.name) else {
                continue;
            };
            for operation in [Operation::Get, Operation::List] {
                let arguments = attacker.arguments(kit, operation, record.uid());
                let tried = attempt(trick(name), (attacker, victim), (kit, operation), arguments);
                let Some(mut tried) = tried.filter(|_| attacker.door.url.scheme() == "http") else {
                    continue;
                };
                if operation == Operation::List {
                    tried.rule = Rule::OwnOnly;
                }
                tried.message.lines = lines(&attacker.tenant, &victim.tenant, &victim.subject);
                attempts.push(tried);
            }
        }
    }
    attempts
}

/// One's own tenant, the other's, the other's subject.
type Lines = fn(&str, &str, &str) -> Vec<String>;

const SPELLINGS: [(&str, Lines); 7] = [
    ("upper case", |_, tenant, sub| {
        vec![
            format!("X-TB-TENANT-ID: {tenant}"),
            format!("X-DEBUG-SUB: {sub}"),
        ]
    }),
    ("mixed case, twice", |own, tenant, _| {
        vec![
            format!("X-Tb-TeNaNt-Id: {own}"),
            format!("x-tB-tEnAnT-iD: {tenant}"),
        ]
    }),
    ("no space after the colon", |_, tenant, sub| {
        vec![
            format!("X-TB-Tenant-ID:{tenant}"),
            format!("X-Debug-Sub:{sub}"),
        ]
    }),
    ("a space before the colon", |_, tenant, _| {
        vec![format!("X-TB-Tenant-ID : {tenant}")]
    }),
    ("a folded line", |_, tenant, sub| {
        vec![format!(
            "X-Note: a\r\n X-TB-Tenant-ID: {tenant}\r\n\tX-Debug-Sub: {sub}"
        )]
    }),
    ("a bare line feed", |_, tenant, sub| {
        vec![format!(
            "X-Note: a\nX-TB-Tenant-ID: {tenant}\nX-Debug-Sub: {sub}"
        )]
    }),
    ("a bare carriage return", |_, tenant, _| {
        vec![format!("X-Note: a\rX-TB-Tenant-ID: {tenant}")]
    }),
];
