//! Every schema inside a schema, so that nobody mistakes a property called `type` for the keyword.

use serde_json::{Map, Value};

/// Keywords that hold one schema.
const ONE: [&str; 12] = [
    "items",
    "additionalProperties",
    "additionalItems",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

/// Keywords that hold a list of schemas.
const LIST: [&str; 5] = ["anyOf", "oneOf", "allOf", "prefixItems", "items"];

/// Keywords that hold schemas by name.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// What a keyword holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// One schema.
    One,
    /// A list of schemas.
    List,
    /// Schemas by name.
    Named,
    /// Something else.
    Other,
}

/// What this keyword with this value holds.
pub(super) fn holds(keyword: &str, value: &Value) -> Holds {
    match value {
        Value::Object(_) if NAMED.contains(&keyword) => Holds::Named,
        Value::Object(_) | Value::Bool(_) if ONE.contains(&keyword) => Holds::One,
        Value::Array(_) if LIST.contains(&keyword) => Holds::List,
        _ => Holds::Other,
    }
}

/// Visits every schema that is an object, the inner ones first.
pub(super) fn each_mut(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(node) = schema else {
        return;
    };
    for (keyword, value) in node.iter_mut() {
        match (holds(keyword, value), value) {
            (Holds::One, value) => each_mut(value, visit),
            (Holds::List, Value::Array(list)) => {
                list.iter_mut().for_each(|inner| each_mut(inner, visit));
            }
            (Holds::Named, Value::Object(named)) => {
                named.values_mut().for_each(|inner| each_mut(inner, visit));
            }
            _ => {}
        }
    }
    visit(node);
}

/// The same to look only.
pub(super) fn each(schema: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    let Value::Object(node) = schema else {
        return;
    };
    for (keyword, value) in node {
        match (holds(keyword, value), value) {
            (Holds::One, value) => each(value, visit),
            (Holds::List, Value::Array(list)) => list.iter().for_each(|inner| each(inner, visit)),
            (Holds::Named, Value::Object(named)) => {
                named.values().for_each(|inner| each(inner, visit));
            }
            _ => {}
        }
    }
    visit(node);
}
