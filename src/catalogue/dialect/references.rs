//! `$ref` replaced by what it means, so that a client needs not look it up. Only what is in the same schema can be meant;
//! nothing is fetched. What refers to itself, or grows beyond bounds, has no such form, and that is a problem at load.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::walk::{Holds, each, holds};

/// How deep schemas may lie in each other.
const DEEPEST: usize = 64;
/// How many schemas one may come to.
const MOST: usize = 10_000;

/// Why a schema has no form without references.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It holds itself.
    #[error("`{0}` refers to itself; say how deep it may go")]
    Cycle(String),
    /// It means something that is not there.
    #[error("`{0}` is not in the schema; only `#/…` can be referred to")]
    Unknown(String),
    /// It is too large without references.
    #[error("it is too deep or too large without references")]
    TooLarge,
}

/// The schema without references and definitions.
///
/// # Errors
/// [`Unfit`]: which reference cannot be replaced.
pub(in crate::catalogue) fn inlined(schema: &Value) -> Result<Cow<'_, Value>, Unfit> {
    let mut refers = false;
    each(schema, &mut |node| {
        refers |= node
            .keys()
            .any(|word| matches!(word.as_str(), "$ref" | "$defs" | "definitions"));
    });
    if !refers {
        return Ok(Cow::Borrowed(schema));
    }
    let mut inliner = Inliner {
        root: schema,
        under_way: Vec::new(),
        schemas: 0,
        depth: 0,
    };
    inliner.schema(schema).map(Cow::Owned)
}

struct Inliner<'s> {
    root: &'s Value,
    /// The references that are being replaced, each inside the one before.
    under_way: Vec<String>,
    schemas: usize,
    depth: usize,
}

impl Inliner<'_> {
    fn schema(&mut self, schema: &Value) -> Result<Value, Unfit> {
        let Value::Object(node) = schema else {
            return Ok(schema.clone());
        };
        self.schemas += 1;
        self.depth += 1;
        if self.schemas > MOST || self.depth > DEEPEST {
            return Err(Unfit::TooLarge);
        }
        let mut whole = match node.get("$ref") {
            Some(Value::String(reference)) => self.meant(reference)?,
            Some(other) => return Err(Unfit::Unknown(other.to_string())),
            None => Map::new(),
        };
        for (keyword, value) in node {
            if !matches!(keyword.as_str(), "$ref" | "$defs" | "definitions") {
                // What stands beside a reference is said of this place, so it counts more.
                whole.insert(keyword.clone(), self.keyword(keyword, value)?);
            }
        }
        self.depth -= 1;
        Ok(Value::Object(whole))
    }

    fn keyword(&mut self, keyword: &str, value: &Value) -> Result<Value, Unfit> {
        Ok(match (holds(keyword, value), value) {
            (Holds::One, value) => self.schema(value)?,
            (Holds::List, Value::Array(list)) => {
                let list: Result<_, _> = list.iter().map(|inner| self.schema(inner)).collect();
                Value::Array(list?)
            }
            (Holds::Named, Value::Object(named)) => {
                let mut whole = Map::new();
                for (name, inner) in named {
                    whole.insert(name.clone(), self.schema(inner)?);
                }
                Value::Object(whole)
            }
            _ => value.clone(),
        })
    }

    /// What a reference means, whole.
    fn meant(&mut self, reference: &str) -> Result<Map<String, Value>, Unfit> {
        if self.under_way.iter().any(|open| open == reference) {
            return Err(Unfit::Cycle(shortened(reference)));
        }
        let unknown = || Unfit::Unknown(shortened(reference));
        let pointer = reference.strip_prefix('#').ok_or_else(unknown)?;
        let meant = self.root.pointer(pointer).ok_or_else(unknown)?;
        self.under_way.push(reference.to_owned());
        let meant = self.schema(meant)?;
        self.under_way.pop();
        match meant {
            Value::Object(meant) => Ok(meant),
            Value::Bool(true) => Ok(Map::new()),
            _ => Err(unknown()),
        }
    }
}

/// As much of a reference as a message needs.
fn shortened(reference: &str) -> String {
    reference.chars().take(64).collect()
}
