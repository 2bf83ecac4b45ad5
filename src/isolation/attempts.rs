//! What is tried. In: a stage. Out: attempts, each with the request, who sends it, whose record it is after, and what
//! may come of it. One family a file; adding a trick is adding a line there.

mod fields;
mod headers;
mod identifiers;
mod lists;
mod paths;
mod spellings;
mod tokens;

use serde_json::{Map, Value};

use super::{
    kit::{Kit, Operation},
    people::{Person, Stage},
    wire::Message,
};

/// A way to get at what is somebody else's. The name is stable: reports are compared by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trick {
    pub(super) family: &'static str,
    pub(super) name: &'static str,
}

/// What may come of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It has to be refused.
    Refuse,
    /// It may be answered, with the attacker's own records only.
    OwnOnly,
}

/// One attempt.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) trick: Trick,
    /// The tool, or what of MCP is asked instead.
    pub(super) tool: String,
    pub(super) attacker: usize,
    pub(super) victim: usize,
    pub(super) message: Message,
    pub(super) rule: Rule,
    /// The same about a record that nobody has: the answer has to be the same.
    pub(super) nobodys: Option<Message>,
}

/// Makes the attempts of one family.
type Family = fn(&Stage<'_>) -> Vec<Attempt>;

/// The families in the order they are tried.
pub(super) const FAMILIES: [(&str, Family); 7] = [
    ("identifiers", identifiers::attempts),
    ("fields", fields::attempts),
    ("lists", lists::attempts),
    ("headers", headers::attempts),
    ("spellings", spellings::attempts),
    ("paths", paths::attempts),
    ("tokens", tokens::attempts),
];

/// A uid that no record has.
const NOBODYS: &str = "7d444840-9dc0-41d1-b245-5ffdce74fad2";

/// A tool call that has to be refused, unless [`Attempt::may_answer`] says otherwise.
fn attempt(
    trick: Trick,
    (attacker, victim): (&Person, &Person),
    (kit, operation): (&Kit<'_>, Operation),
    arguments: Map<String, Value>,
) -> Option<Attempt> {
    let tool = kit.tool(operation)?.name.clone();
    Some(Attempt {
        trick,
        message: Message::call(&attacker.door, &tool, arguments),
        tool,
        attacker: attacker.index,
        victim: victim.index,
        rule: Rule::Refuse,
        nobodys: None,
    })
}

impl Attempt {
    fn may_answer(mut self) -> Self {
        self.rule = Rule::OwnOnly;
        self
    }
}
