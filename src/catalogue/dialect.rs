//! What clients are shown instead of the strict catalogue, because they choke on it: one dialect a client, its rules as
//! data (`dialects.yaml`) with a date and a source each. In: a tool as `tools/list` shows it, and who asks. Out: the tool
//! as that client is sent it. What is called is checked against the strict schema, whatever was shown; and who a client
//! says it is decides nothing but that.

mod flat;
mod keywords;
mod names;
mod read;
mod references;
mod rule;
mod walk;

#[cfg(test)]
mod tests;

use std::{cmp::Ordering, sync::LazyLock};

use serde_json::{Map, Value};

use super::{problem::Problem, yaml};

pub(super) use names::Names;
pub use references::Unfit;
pub(super) use references::inlined;
pub use rule::{Change, Evidence, Ground, Rule};

/// The built-in dialects, as `dialects.yaml` holds them.
pub const BUILT_IN: &str = include_str!("dialects.yaml");

/// The annotation that makes clients repeat an argument in a header (protocol page A.7).
pub const HEADER_ANNOTATION: &str = "x-mcp-header";

/// What one client is shown.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// `vscode`; `default` is that of everybody who is not known.
    pub name: String,
    /// The client's name for people.
    pub title: String,
    /// Beginnings of the names that the client gives itself.
    pub clients: Vec<String>,
    /// Only versions before this one.
    pub before: Option<String>,
    /// Why the client is known by these names; `None` for the default.
    pub known: Option<Evidence>,
    /// What is changed for it, in the order in which it is.
    pub rules: Vec<Rule>,
    /// Its place in [`built_in`].
    pub index: usize,
}

/// Every dialect; the default one is the first.
#[must_use]
pub fn built_in() -> &'static [Dialect] {
    static DIALECTS: LazyLock<Vec<Dialect>> = LazyLock::new(|| dialects(BUILT_IN, &mut Vec::new()));
    &DIALECTS
}

/// The dialect of clients that are not known: the catalogue as it is.
#[must_use]
pub fn default() -> &'static Dialect {
    static DEFAULT: LazyLock<Dialect> = LazyLock::new(Dialect::default);
    built_in().first().unwrap_or(&DEFAULT)
}

/// The dialect of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Dialect> {
    built_in().iter().find(|dialect| dialect.name == name)
}

/// The dialect of a client that calls itself so; what it does not say in the handshake its `User-Agent` may.
#[must_use]
pub fn of_client(info: Option<(&str, &str)>, user_agent: Option<&str>) -> &'static Dialect {
    let speaks = |(name, version): (&str, &str)| {
        let mut dialects = built_in().iter();
        dialects.find(|dialect| dialect.is_of(name, version))
    };
    info.and_then(speaks)
        .or_else(|| speaks(product(user_agent?)))
        .unwrap_or_else(default)
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            title: "every other client".to_owned(),
            clients: Vec::new(),
            before: None,
            known: None,
            rules: Vec::new(),
            index: 0,
        }
    }
}

impl Dialect {
    fn is_of(&self, name: &str, version: &str) -> bool {
        self.clients.iter().any(|known| begins(name, known))
            && self
                .before
                .as_ref()
                .is_none_or(|end| older(version, end).unwrap_or(false))
    }

    /// The tool (an entry of `tools/list`) as this client is sent it under `name`; `None` where that is what it was.
    #[must_use]
    pub fn shown(&self, name: &str, listed: &Map<String, Value>) -> Option<Map<String, Value>> {
        let renamed = listed.get("name").and_then(Value::as_str) != Some(name);
        if self.rules.is_empty() && !renamed {
            return None;
        }
        let mut shown = listed.clone();
        if renamed {
            shown.insert("name".to_owned(), Value::from(name));
        }
        for rule in &self.rules {
            rule.change.apply(&mut shown);
        }
        (shown != *listed).then_some(shown)
    }
}

/// The same tool for revisions that know no headers of arguments; `None` where it has none.
#[must_use]
pub fn without_header_annotations(listed: &Map<String, Value>) -> Option<Map<String, Value>> {
    let schema = listed.get("inputSchema")?;
    let mut annotated = false;
    walk::each(schema, &mut |node| {
        annotated |= node.contains_key(HEADER_ANNOTATION);
    });
    annotated.then_some(())?;
    let mut plain = listed.clone();
    walk::each_mut(plain.get_mut("inputSchema")?, &mut |node| {
        node.shift_remove(HEADER_ANNOTATION);
    });
    Some(plain)
}

/// Whether a name begins so and the word ends there: `cursor-vscode` begins with `cursor`, `cursory` does not.
fn begins(name: &str, with: &str) -> bool {
    let Some((start, rest)) = name.split_at_checked(with.len()) else {
        return false;
    };
    let word_ends = |c: char| !c.is_ascii_lowercase();
    start.eq_ignore_ascii_case(with) && rest.chars().next().is_none_or(word_ends)
}

/// Name and version of the first product of a `User-Agent`.
fn product(user_agent: &str) -> (&str, &str) {
    let first = user_agent.split_ascii_whitespace().next();
    let first = first.unwrap_or_default();
    first.split_once('/').unwrap_or((first, ""))
}

/// Whether a version is below another, number by number; `None` where it is no version.
fn older(version: &str, than: &str) -> Option<bool> {
    let numbers = |text: &str| {
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
        numbers.ok()
    };
    Some(numbers(version)?.cmp(&numbers(than)?) == Ordering::Less)
}

/// The default dialect and those of a text.
fn dialects(text: &str, problems: &mut Vec<Problem>) -> Vec<Dialect> {
    let mut dialects = vec![Dialect::default()];
    match yaml::parse(text) {
        Ok(node) => dialects.extend(read::dialects(&node, problems)),
        Err(problem) => problems.push(problem),
    }
    for (index, dialect) in dialects.iter_mut().enumerate() {
        dialect.index = index;
    }
    dialects
}
