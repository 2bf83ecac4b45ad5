//! Changes of single keywords. Each looks at one schema; [`super::walk`] brings it everywhere. What is taken away admits
//! more than before, never less, but where a client could not have said it anyway: the strict schema checks the call.

use serde_json::{Map, Value, json};

use super::{rule::remark, walk};

/// Keywords that draft 07 does not know and its validators stumble over.
const LATER: [&str; 10] = [
    "$schema",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Leaves out what came after draft 07.
pub(super) fn draft_07(node: &mut Map<String, Value>) {
    node.retain(|word, _| !LATER.contains(&word.as_str()));
}

/// One type, null unsaid; of several others none.
pub(super) fn single_type(node: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = node.get("type") else {
        return;
    };
    let said: Vec<&Value> = types.iter().filter(|word| *word != "null").collect();
    match said.as_slice() {
        [one] => {
            let one = (*one).clone();
            node.insert("type".to_owned(), one);
        }
        [] => {}
        _ => {
            node.shift_remove("type");
        }
    }
    if let Some(Value::Array(choices)) = node.get_mut("enum")
        && choices.iter().any(|choice| !choice.is_null())
    {
        choices.retain(|choice| !choice.is_null());
    }
}

/// `integer` is `number`, in lists of types too.
pub(super) fn integer_as_number(node: &mut Map<String, Value>) {
    match node.get_mut("type") {
        Some(Value::String(word)) if word == "integer" => *word = "number".to_owned(),
        Some(Value::Array(words)) => {
            for word in words.iter_mut().filter(|word| *word == "integer") {
                *word = json!("number");
            }
            let mut seen = Vec::new();
            words.retain(|word| {
                let is_new = !seen.contains(word);
                seen.push(word.clone());
                is_new
            });
        }
        _ => {}
    }
}

/// A constant as a choice of one.
pub(super) fn no_const(node: &mut Map<String, Value>) {
    if let Some(value) = node.shift_remove("const") {
        node.insert("enum".to_owned(), json!([value]));
    }
}

/// Bounds that are reached: those of integers one step in, those of other numbers where they are.
pub(super) fn inclusive_bounds(node: &mut Map<String, Value>) {
    let is_integer = node.get("type").is_some_and(|word| word == "integer");
    for (exclusive, inclusive, step) in [
        ("exclusiveMinimum", "minimum", 1),
        ("exclusiveMaximum", "maximum", -1),
    ] {
        let Some(bound) = node.shift_remove(exclusive) else {
            continue;
        };
        // Draft 04 had a flag here; then the bound itself stands beside it.
        if !bound.is_number() || node.contains_key(inclusive) {
            continue;
        }
        let whole = bound.as_i64().filter(|_| is_integer);
        let bound = whole
            .and_then(|whole| whole.checked_add(step))
            .map_or(bound, Value::from);
        node.insert(inclusive.to_owned(), bound);
    }
}

/// Choices that are not all texts go into the description.
pub(super) fn string_enum(node: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = node.get("enum") else {
        return;
    };
    if choices.iter().all(Value::is_string) {
        return;
    }
    let words: Vec<_> = choices.iter().map(ToString::to_string).collect();
    node.shift_remove("enum");
    remark(node, &format!("one of {}", words.join(", ")));
}

/// A format that is not one of these goes into the description.
pub(super) fn formats(node: &mut Map<String, Value>, kept: &[String]) {
    let Some(Value::String(format)) = node.get("format") else {
        return;
    };
    if kept.contains(format) {
        return;
    }
    let format = format.clone();
    node.shift_remove("format");
    remark(node, &format!("format: {format}"));
}

/// An array that does not say what it holds holds anything.
pub(super) fn array_items(node: &mut Map<String, Value>) {
    let is_array = match node.get("type") {
        Some(Value::String(word)) => word == "array",
        Some(Value::Array(words)) => words.iter().any(|word| word == "array"),
        _ => false,
    };
    let says = node.get("items").is_some_and(|items| !items.is_boolean());
    if is_array && !says {
        node.insert("items".to_owned(), json!({}));
    }
}

/// Every value has a type: that of its choices, or a text. A text that holds JSON is read as what is wanted, so nothing is
/// lost by it.
pub(super) fn typed(schema: &mut Value) {
    walk::each_mut(schema, &mut |node| {
        for (keyword, value) in node.iter_mut() {
            match (keyword.as_str(), value) {
                ("properties", Value::Object(named)) => named.values_mut().for_each(with_type),
                ("items", items @ (Value::Object(_) | Value::Bool(true))) => with_type(items),
                _ => {}
            }
        }
        let is_array = node.get("type").is_some_and(|word| word == "array");
        if is_array && !node.contains_key("items") {
            node.insert("items".to_owned(), json!({ "type": "string" }));
        }
    });
    if let Value::Object(node) = schema
        && !node.contains_key("type")
    {
        node.insert("type".to_owned(), json!("object"));
    }
}

fn with_type(value: &mut Value) {
    if *value == Value::Bool(true) {
        *value = json!({});
    }
    let Value::Object(node) = value else {
        return;
    };
    if node.contains_key("type") || node.contains_key("$ref") {
        return;
    }
    let word = if node.contains_key("properties") {
        "object"
    } else if node.contains_key("items") {
        "array"
    } else {
        of_choices(node.get("enum"))
    };
    node.insert("type".to_owned(), json!(word));
}

fn of_choices(choices: Option<&Value>) -> &'static str {
    let choices = choices.and_then(Value::as_array);
    let all = |is: fn(&Value) -> bool| {
        choices.is_some_and(|choices| !choices.is_empty() && choices.iter().all(is))
    };
    if all(|value| value.is_i64() || value.is_u64()) {
        "integer"
    } else if all(Value::is_number) {
        "number"
    } else if all(Value::is_boolean) {
        "boolean"
    } else {
        "string"
    }
}
