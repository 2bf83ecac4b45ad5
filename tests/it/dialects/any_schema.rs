//! Whatever is declared and whatever is sent: what a client's schema admits is planned, or answered in a way a model can
//! repair. And whatever schema goes in, what comes out is what the client was promised.

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::Map;
use toolbridge::catalogue::dialect::{Change, Dialect};

use super::*;

/// A definition as it stands in `tools.yaml`, with values that may fit it.
#[derive(Clone, Debug)]
struct Declared {
    yaml: String,
    values: Vec<Value>,
}

/// Types with what belongs to them, and values that may fit.
const LEAVES: [(&str, &str); 10] = [
    ("type: string", r#"["a", "", "null"]"#),
    (
        "type: string, format: uuid",
        r#"["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "no uuid"]"#,
    ),
    (
        "type: string, format: date-time",
        r#"["2026-01-31T12:00:00Z", "soon"]"#,
    ),
    ("type: string, min: 2, max: 3", r#"["ab", "abcd"]"#),
    ("type: string, enum: [a, b]", r#"["a", "c"]"#),
    ("type: integer", r#"[1, 1.0, 1.5, "1", 1e300]"#),
    ("type: integer, min: 1, max: 3", "[1, 4, 2.5]"),
    ("type: integer, enum: [1, 2]", r#"[1, 3, "2", "x"]"#),
    ("type: number, min: 0", r#"[0.5, -1, "0.5"]"#),
    ("type: boolean", r#"[true, "true", "yes"]"#),
];

fn declared() -> impl Strategy<Value = Declared> {
    let leaf = prop::sample::select(LEAVES.to_vec()).prop_map(|(yaml, values)| Declared {
        yaml: format!("{{ {yaml} }}"),
        values: serde_json::from_str(values).unwrap(),
    });
    leaf.prop_recursive(2, 12, 3, |inner| {
        let array = inner.clone().prop_map(|items| Declared {
            yaml: format!("{{ type: array, items: {} }}", items.yaml),
            values: vec![
                json!([]),
                json!(items.values),
                json!(json!(items.values).to_string()),
                json!("["),
            ],
        });
        let inner = (prop::collection::vec(inner, 1..3), any::<bool>());
        let object = inner.prop_map(|(inner, open)| object(&inner, open));
        prop_oneof![array, object]
    })
}

fn object(inner: &[Declared], open: bool) -> Declared {
    let mut yaml = format!("{{ type: object, additional: {open}, properties: {{ ");
    let mut value = Map::new();
    for (index, property) in inner.iter().enumerate() {
        write!(yaml, "k{index}: {}, ", property.yaml).unwrap();
        value.insert(format!("k{index}"), property.values[0].clone());
    }
    yaml.push_str("} }");
    let mut more = value.clone();
    more.insert("other".to_owned(), json!(1));
    Declared {
        yaml,
        values: vec![json!({}), json!(value), json!(more), json!({ "k0": null })],
    }
}

/// A tool, and arguments of which some fit.
fn call() -> impl Strategy<Value = (String, Map<String, Value>)> {
    let foreign = prop::sample::select(vec![
        json!(null),
        json!([]),
        json!({}),
        json!("x"),
        json!(7),
    ]);
    let argument = (
        declared(),
        any::<bool>(),
        any::<prop::sample::Index>(),
        foreign,
        0..12_u8,
    );
    prop::collection::vec(argument, 1..5).prop_map(|parameters| {
        let mut text = "version: 1\ntools:\n  act:\n    description: Acts.\n    request: POST /a\n    effect: write\n    parameters:\n".to_owned();
        let mut arguments = Map::new();
        for (index, (declared, required, at, foreign, luck)) in parameters.iter().enumerate() {
            let yaml = declared.yaml.trim_end_matches('}').trim_end().trim_end_matches(',');
            writeln!(text, "      p{index}: {yaml}, required: {required} }}").unwrap();
            let value = match luck {
                0 => Some(foreign),
                1 | 2 => None,
                _ => declared.values.get(at.index(declared.values.len())),
            };
            arguments.extend(value.map(|value| (format!("p{index}"), value.clone())));
        }
        (text, arguments)
    })
}

/// Schemas as others write them, with all that clients choke on.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        json!({ "type": "string" }),
        json!({ "type": ["string", "null"], "enum": ["a", null] }),
        json!({ "type": "string", "format": "uri", "description": "d" }),
        json!({ "const": 3 }),
        json!({ "enum": [1, "a"] }),
        json!({ "type": "integer", "exclusiveMinimum": 0 }),
        json!({ "type": "array" }),
        json!({ "type": "array", "items": true }),
        json!({ "type": "array", "prefixItems": [{ "type": "string" }] }),
        json!({ "$ref": "#/$defs/shared" }),
        json!({ "type": "string", "default": { "anyOf": [] } }),
        json!(true),
        json!({}),
    ]);
    let node = leaf.prop_recursive(4, 40, 4, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (some.clone(), prop::sample::select(vec!["anyOf", "oneOf", "allOf"]))
                .prop_map(|(schemas, word)| json!({ word: schemas })),
            some.clone().prop_map(|schemas| {
                let named: Map<_, _> = (0..).zip(schemas).map(|(at, it)| (["type", "items", "anyOf"][at % 3].to_owned(), it)).collect();
                json!({ "type": "object", "properties": named, "required": ["type"], "additionalProperties": false })
            }),
            inner.prop_map(|items| json!({ "type": "array", "items": items })),
            some.prop_map(|schemas| json!({ "type": "object", "properties": { "a": schemas[0] }, "anyOf": schemas })),
        ]
    });
    node.prop_map(|node| {
        let mut root = match node {
            Value::Object(node) => node,
            _ => Map::new(),
        };
        root.insert(
            "$defs".to_owned(),
            json!({ "shared": { "type": ["integer", "null"] } }),
        );
        Value::Object(root)
    })
}

/// Every schema inside a schema that is an object.
fn nodes<'s>(schema: &'s Value, found: &mut Vec<&'s Map<String, Value>>) {
    let Some(node) = schema.as_object() else {
        return;
    };
    found.push(node);
    for (word, value) in node {
        match (word.as_str(), value) {
            ("properties" | "$defs" | "patternProperties", Value::Object(named)) => {
                named.values().for_each(|inner| nodes(inner, found));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(list)) => {
                list.iter().for_each(|inner| nodes(inner, found));
            }
            ("items" | "additionalProperties" | "not", inner) => nodes(inner, found),
            _ => {}
        }
    }
}

/// Whether a tool keeps what the rule promised.
fn keeps(change: &Change, tool: &Map<String, Value>) -> bool {
    let mut all = Vec::new();
    nodes(&tool["inputSchema"], &mut all);
    let combinators = ["anyOf", "oneOf", "allOf"];
    let none = |words: &[&str]| {
        !all.iter()
            .any(|node| words.iter().any(|word| node.contains_key(*word)))
    };
    let is_array = |node: &&&Map<String, Value>| node.get("type") == Some(&json!("array"));
    match change {
        Change::InlineRefs => none(&["$ref", "$defs"]),
        Change::Draft07 => none(&["$schema", "unevaluatedProperties"]),
        Change::PlainRoot => {
            let root = tool["inputSchema"].as_object().unwrap();
            !combinators.iter().any(|word| root.contains_key(*word))
        }
        Change::Plain => none(&combinators),
        Change::SingleTypes => !all
            .iter()
            .any(|node| node.get("type").is_some_and(Value::is_array)),
        Change::IntegersAsNumbers => !all
            .iter()
            .any(|node| node.get("type") == Some(&json!("integer"))),
        Change::NoConst => none(&["const"]),
        Change::InclusiveBounds => none(&["exclusiveMinimum", "exclusiveMaximum"]),
        Change::StringEnums => all.iter().all(|node| {
            let choices = node.get("enum").and_then(Value::as_array);
            choices.is_none_or(|choices| choices.iter().all(Value::is_string))
        }),
        Change::Formats(kept) => all.iter().all(|node| {
            let format = node.get("format").and_then(Value::as_str);
            format.is_none_or(|format| kept.iter().any(|it| it == format))
        }),
        Change::ArrayItems => all
            .iter()
            .filter(is_array)
            .all(|node| node.contains_key("items")),
        Change::Typed => all.iter().all(|node| {
            let named = node.get("properties").and_then(Value::as_object);
            named.is_none_or(|named| named.values().all(|it| it.get("type").is_some()))
        }),
        Change::Without(words) => none(&words.iter().map(String::as_str).collect::<Vec<_>>()),
        Change::Descriptions(most) => {
            tool["description"].as_str().unwrap().chars().count() <= *most
        }
        Change::NoOutputSchema => !tool.contains_key("outputSchema"),
        Change::Names { .. } => true,
    }
}

fn is_valid(schema: &Value, value: &Value) -> bool {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema);
    validator
        .unwrap_or_else(|error| panic!("{schema}: {error}"))
        .is_valid(value)
}

fn others() -> impl Iterator<Item = &'static Dialect> {
    dialect::built_in().iter().skip(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_client_may_send_is_planned_or_answered_by_the_name_of_a_field((text, arguments) in call()) {
        let catalogue = Catalogue::parse("tools.yaml", text.as_bytes());
        let catalogue = catalogue.unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        let tool = catalogue.find("act").unwrap();
        let strict = Value::Object((*tool.input_schema).clone());
        let given = Value::Object(arguments.clone());
        let planned = tool.plan(arguments);
        for dialect in dialect::built_in() {
            let schema = shown(&catalogue, &dialect.name)[0]["inputSchema"].clone();
            if !is_valid(&schema, &given) {
                continue;
            }
            match &planned {
                Ok(_) => {}
                Err(errors) => {
                    prop_assert!(!errors.first.field.is_empty(), "{errors}");
                    prop_assert!(errors.first.message.contains(&errors.first.field), "{errors}");
                    // The strict schema, or what it says of whole numbers beyond what can be written down.
                    let whole = errors.to_string().contains("an integer");
                    prop_assert!(whole || !is_valid(&strict, &given) || errors.to_string().contains("not JSON"), "{errors} {given}");
                }
            }
        }
    }

    #[test]
    fn whatever_schema_goes_in_what_comes_out_is_what_the_client_was_promised(schema in schema()) {
        let tool = json!({ "name": "act", "description": "word ".repeat(900), "inputSchema": schema, "outputSchema": schema });
        let tool = tool.as_object().unwrap();
        for dialect in others() {
            let shown = dialect.shown("act", tool).unwrap_or_else(|| tool.clone());
            for rule in &dialect.rules {
                prop_assert!(keeps(&rule.change, &shown), "{}: {} in {}", dialect.name, rule.change, shown["inputSchema"]);
            }
            prop_assert!(jsonschema::validator_for(&shown["inputSchema"]).is_ok(), "{}", shown["inputSchema"]);
            prop_assert_eq!(&shown["name"], "act");
        }
    }
}

#[test]
fn the_shipped_catalogue_keeps_every_promise() {
    let shipped = shipped();
    for dialect in others() {
        for tool in shown(&shipped, &dialect.name).as_array().unwrap() {
            for rule in &dialect.rules {
                assert!(
                    keeps(&rule.change, tool.as_object().unwrap()),
                    "{}: {}",
                    dialect.name,
                    rule.change
                );
            }
        }
    }
}
