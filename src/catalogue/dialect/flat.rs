//! `oneOf`, `anyOf` and `allOf` put together to one schema that admits whatever any of them admits, and more: what was
//! one thing or another becomes all that both may hold, demanding what both demand.

use serde_json::{Map, Value, json};

use super::walk;

const COMBINATORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Without combinators at the top, which is an object then.
pub(super) fn root(schema: &mut Value) {
    let Value::Object(node) = schema else {
        return;
    };
    if COMBINATORS.iter().any(|word| node.contains_key(*word)) {
        flatten(node);
        node.insert("type".to_owned(), json!("object"));
    }
}

/// Without combinators in any part.
pub(super) fn everywhere(schema: &mut Value) {
    let had = schema.get("type").cloned();
    walk::each_mut(schema, &mut flatten);
    if let (Value::Object(node), Some(kind)) = (schema, had) {
        node.insert("type".to_owned(), kind);
    }
}

fn flatten(node: &mut Map<String, Value>) {
    for branch in branches(node, "allOf") {
        join(node, branch);
    }
    for word in ["anyOf", "oneOf"] {
        let mut choices = branches(node, word);
        // "Or null" is what leaving an argument out says too.
        if choices.len() > 1 {
            choices.retain(|choice| !is_null(choice));
        }
        match choices.len() {
            0 => {}
            1 => choices.into_iter().for_each(|only| join(node, only)),
            _ => join(node, any(choices)),
        }
    }
}

/// The schemas under a combinator, flat themselves; `true` and `false` say nothing that is kept.
fn branches(node: &mut Map<String, Value>, word: &str) -> Vec<Map<String, Value>> {
    let Some(Value::Array(list)) = node.shift_remove(word) else {
        return Vec::new();
    };
    let objects = list.into_iter().filter_map(|branch| match branch {
        Value::Object(mut branch) => {
            flatten(&mut branch);
            Some(branch)
        }
        Value::Bool(true) => Some(Map::new()),
        _ => None,
    });
    objects.collect()
}

fn is_null(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_some_and(|word| word == "null")
        || schema.get("const").is_some_and(Value::is_null)
}

/// Both are true: what one leaves unsaid the other says.
fn join(node: &mut Map<String, Value>, other: Map<String, Value>) {
    for (word, theirs) in other {
        match (node.get_mut(&word), theirs) {
            (None, theirs) => {
                node.insert(word, theirs);
            }
            (Some(Value::Object(ours)), Value::Object(theirs)) if word == "properties" => {
                for (name, theirs) in theirs {
                    match (ours.get_mut(&name), theirs) {
                        (Some(Value::Object(ours)), Value::Object(theirs)) => join(ours, theirs),
                        (Some(_), _) => {}
                        (None, theirs) => {
                            ours.insert(name, theirs);
                        }
                    }
                }
            }
            (Some(Value::Array(ours)), Value::Array(theirs)) if word == "required" => {
                for name in theirs {
                    if !ours.contains(&name) {
                        ours.push(name);
                    }
                }
            }
            // An object that admits no other keys did not mean those of its other half.
            (Some(ours), theirs) if word == "additionalProperties" && *ours != theirs => {
                node.shift_remove(&word);
            }
            (Some(_), _) => {}
        }
    }
}

/// One of them is true: what they agree on stays, what each may hold may be there.
fn any(choices: Vec<Map<String, Value>>) -> Map<String, Value> {
    let mut choices = choices.into_iter();
    let mut all = choices.next().unwrap_or_default();
    for choice in choices {
        all = either(all, choice);
    }
    all
}

fn either(mut one: Map<String, Value>, mut other: Map<String, Value>) -> Map<String, Value> {
    for schema in [&mut one, &mut other] {
        if let Some(value) = schema.shift_remove("const") {
            schema.insert("enum".to_owned(), json!([value]));
        }
    }
    let mut both = Map::new();
    for (word, ours) in one {
        let theirs = other.shift_remove(&word);
        let kept = match (word.as_str(), ours, theirs) {
            ("properties", Value::Object(ours), Some(Value::Object(theirs))) => {
                Some(Value::Object(either_property(ours, theirs)))
            }
            // The keys of one are keys that the other may have.
            ("properties" | "description" | "title", ours, None) => Some(ours),
            ("required", Value::Array(ours), Some(Value::Array(theirs))) => {
                let shared: Vec<_> = ours.into_iter().filter(|it| theirs.contains(it)).collect();
                (!shared.is_empty()).then(|| Value::Array(shared))
            }
            ("enum", Value::Array(mut ours), Some(Value::Array(theirs))) => {
                ours.extend(theirs);
                ours.dedup();
                Some(Value::Array(ours))
            }
            ("description" | "title", ours, Some(_)) => Some(ours),
            (_, ours, Some(theirs)) if ours == theirs => Some(ours),
            _ => None,
        };
        both.extend(kept.map(|kept| (word, kept)));
    }
    let unsaid = ["properties", "description", "title"];
    let rest = other.into_iter();
    both.extend(rest.filter(|(word, _)| unsaid.contains(&word.as_str()) && !word.is_empty()));
    both
}

fn either_property(mut ours: Map<String, Value>, theirs: Map<String, Value>) -> Map<String, Value> {
    for (name, theirs) in theirs {
        let merged = match (ours.shift_remove(&name), theirs) {
            (None, theirs) => theirs,
            (Some(Value::Object(ours)), Value::Object(theirs)) => {
                Value::Object(either(ours, theirs))
            }
            (Some(ours), theirs) if ours == theirs => ours,
            (Some(_), _) => json!({}),
        };
        ours.insert(name, merged);
    }
    ours
}
