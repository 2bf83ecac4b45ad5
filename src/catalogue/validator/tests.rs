//! Nothing about a schema is decided at a call: what cannot be compiled is refused at load, what is loaded can be compiled,
//! and whoever calls first gets the same answer as everybody.

use std::sync::Barrier;

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Tool};

/// A catalogue with one tool that takes these parameters; JSON is YAML.
fn with_parameters(parameters: &Value) -> Result<Catalogue, String> {
    let tool = json!({
        "description": "About.", "request": "POST /a", "effect": "write", "parameters": parameters,
    });
    let text = json!({ "version": 1, "tools": { "probe": tool } }).to_string();
    Catalogue::parse("tools.yaml", text.as_bytes()).map_err(|problems| problems.to_string())
}

fn probe(catalogue: &Catalogue) -> &Tool {
    catalogue.find("probe").unwrap()
}

#[test]
fn a_definition_that_is_no_schema_is_refused_at_load_with_its_place() {
    let catalogue = |definition: &str| {
        let text = format!(
            "version: 1\ntools:\n  probe:\n    description: About.\n    request: POST /a\n    effect: write\n    parameters:\n      a: {definition}\n"
        );
        Catalogue::parse("tools.yaml", text.as_bytes())
    };
    assert!(catalogue("{ type: string, min: 1 }").is_ok());
    for (definition, column) in [
        ("{ type: strong }", 18),
        ("{ type: string, min: -1 }", 31),
        ("{ type: string, max: 1.5 }", 31),
        ("{ type: integer, min: 0.5 }", 32),
        ("{ type: number, min: text }", 31),
        ("{ type: number, max: .inf }", 31),
        ("{ type: boolean, max: 1 }", 32),
        ("{ type: array }", 18),
        ("{ type: array, items: { type: string, min: -1 } }", 53),
        ("{ type: string, enum: [] }", 18),
        ("{ type: string, enum: [1] }", 33),
        ("{ type: string, enum: [b, b] }", 36),
        ("{ type: string, format: regex }", 34),
        ("{ type: string, min: 2, default: b }", 43),
        ("{ type: string, format: uuid, default: b }", 49),
        (
            "{ type: array, items: { type: string }, max: 1, default: [b, c] }",
            67,
        ),
        (
            "{ type: object, properties: { $ref: { type: string } } }",
            40,
        ),
        ("{ type: object, properties: { b: { type: strong } } }", 51),
    ] {
        let problems = catalogue(definition).expect_err(definition).to_string();
        let place = format!("tools.yaml:8:{column}: ");
        assert!(problems.contains(&place), "{definition}\n{problems}");
    }
}

#[test]
fn many_who_call_first_at_once_agree() {
    let catalogue = with_parameters(&json!({
        "id": { "type": "string", "format": "uuid", "required": true },
        "count": { "type": "integer", "min": 1, "max": 3 },
    }))
    .unwrap();
    let answer = |tool: &Tool, arguments: &Value| {
        let plan = tool.plan(arguments.as_object().unwrap().clone());
        plan.map(|plan| plan.body)
            .map_err(|errors| errors.to_string())
    };
    let good = json!({ "id": "0b8f6c1e-7a52-4f0c-9d6a-2f1f3c5e7a90", "count": 3 });
    let bad = json!({ "id": "none", "count": 4 });
    let (threads, start) = (16, Barrier::new(16));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |at: usize| {
            let (tool, start, good, bad) = (probe(&catalogue), &start, &good, &bad);
            scope.spawn(move || {
                start.wait();
                answer(tool, [good, bad][at % 2])
            })
        };
        let asking: Vec<_> = (0..threads).map(ask).collect();
        asking.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (at, found) in answers.iter().enumerate() {
        assert_eq!(found.is_ok(), at % 2 == 0, "{found:?}");
        assert_eq!(found, &answers[at % 2]);
    }
    let refusal = answers[1].as_ref().unwrap_err();
    assert!(
        refusal.contains("`id`") && refusal.contains("`count`"),
        "{refusal}"
    );
}

#[test]
fn the_deepest_schema_compiles_where_calls_run() {
    let nested = |levels| {
        let inner = json!({ "type": "string" });
        (0..levels).fold(inner, |items, _| json!({ "type": "array", "items": items }))
    };
    let deepest = (1..64).rev().find_map(|levels| {
        let a = nested(levels);
        with_parameters(&json!({ "a": a })).ok()
    });
    let catalogue = deepest.unwrap();
    // A worker of the runtime has as much stack as any other thread.
    std::thread::scope(|scope| {
        let call = scope.spawn(|| probe(&catalogue).plan(serde_json::Map::new()).is_ok());
        assert!(call.join().unwrap());
    });
}

/// Anything that somebody may write for a bound, a choice or a default.
fn written() -> impl Strategy<Value = Value> {
    select(vec![
        json!(0),
        json!(1),
        json!(-1),
        json!(2.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("text"),
        json!("äö"),
        json!(true),
        json!(null),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "$ref": "#/nowhere" }),
    ])
}

fn definition() -> impl Strategy<Value = Value> {
    let kind = select(vec![
        "string", "integer", "number", "boolean", "array", "object", "null",
    ]);
    let format = select(vec!["uuid", "date", "date-time", "email", "uri", "regex"]);
    let leaf = (
        kind,
        prop::option::weighted(0.2, format),
        prop::collection::vec(
            (
                select(vec!["min", "max", "default", "required", "description"]),
                written(),
            ),
            0..4,
        ),
        prop::option::weighted(0.2, prop::collection::vec(written(), 0..3)),
    );
    let leaf = leaf.prop_map(|(kind, format, more, choices)| {
        let mut definition = json!({ "type": kind });
        for (key, value) in more {
            definition[key] = value;
        }
        if let Some(format) = format {
            definition["format"] = json!(format);
        }
        if let Some(choices) = choices {
            definition["enum"] = json!(choices);
        }
        definition
    });
    leaf.prop_recursive(4, 12, 3, |inner| {
        let names = select(vec![
            "a",
            "type",
            "properties",
            "required",
            "$ref",
            "$id",
            "default",
        ]);
        let named = prop::collection::vec((names, inner.clone()), 0..3);
        let list = inner.prop_map(|items| json!({ "type": "array", "items": items }));
        let object = (named, any::<bool>()).prop_map(|(named, additional)| {
            let properties: serde_json::Map<_, _> = named
                .into_iter()
                .map(|(name, definition)| (name.to_owned(), definition))
                .collect();
            json!({ "type": "object", "properties": properties, "additional": additional })
        });
        prop_oneof![list, object]
    })
}

proptest! {
    #[test]
    fn what_is_loaded_can_be_compiled(one in definition(), other in definition()) {
        for parameters in [json!({ "type": one, "other": other }), json!({ "required": one })] {
            if let Ok(catalogue) = with_parameters(&parameters) {
                prop_assert!(probe(&catalogue).validator.get().is_some(), "{parameters}");
            }
        }
    }
}
