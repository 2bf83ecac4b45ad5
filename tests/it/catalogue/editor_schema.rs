//! `tools.schema.json`: as strict as the reader about keys, and fit for an editor.

use super::*;

/// Every key there is, each at a place where it means something.
const MAXIMAL: &str = include_str!("../../fixtures/maximal.yaml");

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn refusals(catalogue: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let errors = validator.iter_errors(catalogue);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn it_admits_the_shipped_the_built_in_and_the_maximal_catalogue() {
    let none: [&str; 0] = [];
    assert_eq!(refusals(&yaml(toolbridge::catalogue::SHIPPED)), none);
    assert_eq!(
        refusals(&json!({ "version": 1, "operations": yaml(operations::BUILT_IN) })),
        none
    );
    assert_eq!(refusals(&yaml(MAXIMAL)), none);
}

#[test]
fn the_maximal_catalogue_uses_every_key_and_loads_without_a_problem() {
    assert_eq!(loaded(MAXIMAL).lints().to_string(), "");
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for definition in definitions.chain([&schema]) {
        for key in definition["properties"]
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
        {
            assert!(MAXIMAL.contains(&format!("{key}:")), "{key} is not used");
        }
    }
}

#[test]
fn it_refuses_an_unknown_key_wherever_the_reader_does() {
    let maximal = yaml(MAXIMAL);
    for place in [
        "",
        "/server",
        "/backend",
        "/backend/session",
        "/scopes",
        "/operations/duplicate",
        "/operations/duplicate/annotations",
        "/operations/duplicate/parameters/uid",
        "/entities/note",
        "/entities/note/fields/title",
        "/entities/note/fields/tags/items",
        "/entities/note/fields/place/properties/city",
        "/entities/note/actions/pin",
        "/entities/note/archive",
        "/tools/search",
        "/tools/search/parameters/text",
    ] {
        let mut catalogue = maximal.clone();
        let target = catalogue
            .pointer_mut(place)
            .unwrap_or_else(|| panic!("{place} is missing"));
        target
            .as_object_mut()
            .unwrap()
            .insert("colour".to_owned(), json!(1));
        assert!(
            !refusals(&catalogue).is_empty(),
            "an unknown key at {place}"
        );
        // JSON is YAML: the reader sees the same tree.
        let report = report(&catalogue.to_string());
        assert!(report.contains("unknown key `colour`"), "{place}: {report}");
    }
}

#[test]
fn it_refuses_wrong_words_another_version_and_a_tool_without_a_request() {
    for catalogue in [
        json!({ "version": 2 }),
        json!({}),
        json!({ "version": 1, "entities": { "a": {} } }),
        json!({ "version": 1, "entities": { "a": { "path": "/a", "fields": { "b": { "type": "text" } } } } }),
        json!({ "version": 1, "entities": { "a": { "path": "/a", "fields": { "b": {} } } } }),
        json!({ "version": 1, "tools": { "a": { "request": "GET /a" } } }),
        json!({ "version": 1, "tools": { "a": { "request": "GET /a", "effect": "reed" } } }),
        json!({ "version": 1, "backend": { "stale": [1000] } }),
    ] {
        assert!(!refusals(&catalogue).is_empty(), "{catalogue}");
    }
}

#[test]
fn every_key_has_a_description_and_nothing_of_rust_shows() {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    for (name, definition) in definitions
        .iter()
        .chain([(&"catalogue".to_owned(), &schema)])
    {
        assert!(!name.starts_with("Raw"), "{name}");
        assert!(
            definition["description"].is_string(),
            "{name} has no description"
        );
        for (key, value) in definition["properties"].as_object().into_iter().flatten() {
            assert!(
                value["description"].is_string(),
                "{name}.{key} has no description"
            );
            assert!(
                !value["format"].is_string(),
                "{name}.{key} has a format of Rust"
            );
        }
    }
    assert_eq!(schema["properties"]["version"]["const"], 1);
    assert_eq!(definitions["Effect"]["enum"], json!(["read", "write"]));
}
