//! Reading one map of the file: each key is asked for by name, and what nobody asked for is a problem.
//! The keys that are asked for are the keys that exist; there is no second list to keep in step.

use serde_json::Value;

use super::{
    problem::{At, Problem},
    raw::Named,
    yaml::{Node, NodeValue, Placed},
};

/// Reads one value; reports what is wrong with it and gives `None` then.
pub(super) type Read<T> = fn(&Node, &mut Vec<Problem>) -> Option<T>;

/// A map being read.
pub(super) struct Keys<'n> {
    what: &'static str,
    at: At,
    entries: Vec<(&'n Placed<String>, &'n Node, bool)>,
    asked: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// The map `node` is, or a problem; nothing at all (`entities:` with nothing under it) is an empty map.
    pub(super) fn of(
        node: &'n Node,
        what: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let entries = match &node.value {
            NodeValue::Map(entries) => entries.as_slice(),
            NodeValue::Scalar(Value::Null) => &[],
            NodeValue::Scalar(_) | NodeValue::List(_) => {
                problems.push(expected("a map", node).hint(format!("{what} is a map of keys")));
                return None;
            }
        };
        Some(Self {
            what,
            at: node.named,
            entries: entries.iter().map(|(k, v)| (k, v, false)).collect(),
            asked: Vec::new(),
        })
    }

    /// The value of a key that may be absent (or empty).
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: Read<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let node = self.take(key)?;
        match node.value {
            NodeValue::Scalar(Value::Null) => None,
            _ => read(node, problems),
        }
    }

    /// The same where an explicit `null` is a value of its own.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Placed<Value>> {
        self.take(key).map(|node| Placed::new(node.json(), node.at))
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: Read<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let before = problems.len();
        let value = self.optional(key, read, problems);
        if value.is_none() && problems.len() == before {
            problems.push(Problem::error(
                self.at,
                format!("{} has no `{key}`", self.what),
            ));
        }
        value
    }

    /// The entries of a map under `key`, each read the same way, in file order; those with problems are left out.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        read: Read<T>,
        problems: &mut Vec<Problem>,
    ) -> Named<T> {
        let Some(node) = self.take(key) else {
            return Vec::new();
        };
        entries_of(node, read, problems)
    }

    /// The same where at least one entry must be there.
    pub(super) fn required_named<T>(
        &mut self,
        key: &'static str,
        read: Read<T>,
        problems: &mut Vec<Problem>,
    ) -> Named<T> {
        let before = problems.len();
        let entries = self.named(key, read, problems);
        if entries.is_empty() && problems.len() == before {
            problems.push(Problem::error(
                self.at,
                format!("{} has no `{key}`", self.what),
            ));
        }
        entries
    }

    /// Keys that were asked for and mean nothing here.
    pub(super) fn disown(&mut self, keys: &[&str], problems: &mut Vec<Problem>) {
        self.asked.retain(|asked| !keys.contains(asked));
        for (name, _, _) in &self.entries {
            if keys.contains(&name.value.as_str()) {
                let what = format!("`{}` means nothing in {}", name.value, self.what);
                let known = format!("known keys: {}", self.asked.join(", "));
                problems.push(Problem::error(name.at, what).hint(known));
            }
        }
    }

    /// Ends the reading: every key nobody asked for is unknown.
    pub(super) fn finish(self, problems: &mut Vec<Problem>) {
        for (key, _, taken) in &self.entries {
            if !taken {
                let what = format!("unknown key `{}` in {}", key.value, self.what);
                let known = self.asked.iter().copied();
                let mut problem = Problem::error(key.at, what).suggest(&key.value, known);
                if let Some(ours) = our_word(&key.value).filter(|word| self.asked.contains(word)) {
                    problem = problem.hint(format!("here it is called `{ours}`"));
                }
                problems.push(problem.or_hint(format!("known keys: {}", self.asked.join(", "))));
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        let entry = self
            .entries
            .iter_mut()
            .find(|(name, _, _)| name.value == key)?;
        entry.2 = true;
        Some(entry.1)
    }
}

/// Our key for what JSON Schema and its like call otherwise.
fn our_word(theirs: &str) -> Option<&'static str> {
    Some(match theirs {
        "minimum" | "minLength" | "minItems" | "minProperties" => "min",
        "maximum" | "maxLength" | "maxItems" | "maxProperties" => "max",
        "additionalProperties" => "additional",
        "values" | "choices" | "options" => "enum",
        "optional" => "required",
        "summary" => "title",
        "doc" | "help" => "description",
        "method" | "url" | "endpoint" => "request",
        "params" | "arguments" | "inputs" => "parameters",
        "responses" | "returns" => "result",
        _ => return None,
    })
}

/// Every entry of a map of freely named things.
pub(super) fn entries_of<T>(node: &Node, read: Read<T>, problems: &mut Vec<Problem>) -> Named<T> {
    match &node.value {
        NodeValue::Map(entries) => entries
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), read(value, problems)?)))
            .collect(),
        NodeValue::Scalar(Value::Null) => Vec::new(),
        NodeValue::Scalar(_) | NodeValue::List(_) => {
            problems.push(expected("a map", node));
            Vec::new()
        }
    }
}

/// A text.
pub(super) fn text(node: &Node, problems: &mut Vec<Problem>) -> Option<Placed<String>> {
    match &node.value {
        NodeValue::Scalar(Value::String(text)) => Some(Placed::new(text.clone(), node.at)),
        NodeValue::Scalar(_) => {
            problems.push(expected("a text", node).hint("put it in quotes"));
            None
        }
        NodeValue::List(_) | NodeValue::Map(_) => {
            problems.push(expected("a text", node));
            None
        }
    }
}

/// `true` or `false`.
pub(super) fn flag(node: &Node, problems: &mut Vec<Problem>) -> Option<Placed<bool>> {
    match &node.value {
        NodeValue::Scalar(Value::Bool(value)) => Some(Placed::new(*value, node.at)),
        _ => {
            problems.push(expected("`true` or `false`", node));
            None
        }
    }
}

/// A whole number that is not negative.
pub(super) fn whole(node: &Node, problems: &mut Vec<Problem>) -> Option<Placed<u64>> {
    match &node.value {
        NodeValue::Scalar(Value::Number(number)) if number.is_u64() => {
            Some(Placed::new(number.as_u64()?, node.at))
        }
        _ => {
            problems.push(expected("a whole number", node));
            None
        }
    }
}

/// Any number.
pub(super) fn number(node: &Node, problems: &mut Vec<Problem>) -> Option<Placed<Value>> {
    match &node.value {
        NodeValue::Scalar(value @ Value::Number(_)) => Some(Placed::new(value.clone(), node.at)),
        _ => {
            problems.push(expected("a number", node));
            None
        }
    }
}

/// An HTTP status.
fn status(node: &Node, problems: &mut Vec<Problem>) -> Option<Placed<u16>> {
    let number = whole(node, problems)?;
    match u16::try_from(number.value) {
        Ok(status @ 100..=599) => Some(Placed::new(status, number.at)),
        _ => {
            problems.push(Problem::error(
                node.at,
                format!("{} is no HTTP status", number.value),
            ));
            None
        }
    }
}

/// A list of HTTP statuses.
pub(super) fn statuses(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Placed<u16>>> {
    list(node, status, problems)
}

/// A list of HTTP statuses, one at least.
pub(super) fn some_statuses(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Placed<u16>>> {
    if matches!(&node.value, NodeValue::List(items) if items.is_empty()) {
        problems.push(Problem::error(node.at, "an empty list of statuses"));
        return None;
    }
    statuses(node, problems)
}

/// A list of texts.
pub(super) fn texts(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Placed<String>>> {
    list(node, text, problems)
}

/// A list of values of any kind.
pub(super) fn values(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Placed<Value>>> {
    list(
        node,
        |item, _| Some(Placed::new(item.json(), item.at)),
        problems,
    )
}

fn list<T>(node: &Node, read: Read<T>, problems: &mut Vec<Problem>) -> Option<Vec<T>> {
    let NodeValue::List(items) = &node.value else {
        problems.push(expected("a list", node));
        return None;
    };
    Some(
        items
            .iter()
            .filter_map(|item| read(item, problems))
            .collect(),
    )
}

/// "expected a text, found a list".
pub(super) fn expected(what: &str, node: &Node) -> Problem {
    Problem::error(node.at, format!("expected {what}, found {}", node.kind()))
}
