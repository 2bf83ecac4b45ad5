//! The JSON Schema of `tools.yaml` for editors: what `raw` derives, without the traces of Rust in it. Part of the tests, which
//! hold `tools.schema.json` to it. It is a help while typing; what is right and wrong is decided by `read` and `check`.

use serde_json::{Map, Value, json};

use super::{SCHEMA, raw::RawCatalogue};

#[test]
fn the_file_beside_tools_yaml_is_what_the_source_says() {
    assert!(
        SCHEMA == printed(),
        "tools.schema.json is old: cargo test write_the_schema -- --ignored"
    );
}

#[test]
#[ignore = "writes tools.schema.json, after a change of what a catalogue may hold"]
fn write_the_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tools.schema.json");
    std::fs::write(path, printed()).expect("a file of ours");
}

fn printed() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> Value {
    let mut schema = schemars::schema_for!(RawCatalogue).to_value();
    tidy(&mut schema);
    // An operation may change one key only, so the struct both share cannot say this.
    if let Some(tool) = schema
        .pointer_mut("/$defs/Tool")
        .and_then(Value::as_object_mut)
    {
        tool.insert("required".to_owned(), json!(["request", "effect"]));
    }
    schema
}

/// Removes, at every depth, what an editor would show or warn of: formats of Rust's numbers, and the null that every
/// optional value may be (nobody writes it, and `title:` with nothing after it deserves its underline).
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            if is_number(entries) {
                entries.shift_remove("format");
            }
            if let Some(Value::Array(types)) = entries.get_mut("type") {
                types.retain(|word| word != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    entries.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = entries.get_mut("anyOf") {
                choices.retain(|choice| *choice != json!({ "type": "null" }));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    entries.shift_remove("anyOf");
                    entries.extend(one);
                }
            }
            entries.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Whether this is the schema of a number (and not a map of properties that has one called `type`).
fn is_number(entries: &Map<String, Value>) -> bool {
    let numeric = |word: &Value| word == "integer" || word == "number";
    match entries.get("type") {
        Some(Value::Array(words)) => words.iter().any(numeric),
        Some(word) => numeric(word),
        None => false,
    }
}
