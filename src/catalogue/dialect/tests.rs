//! Each change on schemas that need it, the built-in rules, and who is known by which name.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::Catalogue;

fn changed(change: &Change, schema: Value) -> Value {
    let mut tool = Map::from_iter([("inputSchema".to_owned(), schema)]);
    change.apply(&mut tool);
    tool["inputSchema"].clone()
}

fn catalogue(server: &str, tools: &str) -> Catalogue {
    let text = format!("version: 1\nserver: {{ name: {server} }}\ntools:\n{tools}");
    let catalogue = Catalogue::parse("tools.yaml", text.as_bytes());
    catalogue.unwrap_or_else(|problems| panic!("{problems}"))
}

fn tool(name: &str) -> String {
    format!("  {name}: {{ description: About., request: GET /a, effect: read }}\n")
}

fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let number = |text: &str, length, range: std::ops::RangeInclusive<u32>| {
        text.len() == length && text.parse().is_ok_and(|it| range.contains(&it))
    };
    matches!(parts.as_slice(), [year, month, day]
        if number(year, 4, 2025..=2100) && number(month, 2, 1..=12) && number(day, 2, 1..=31))
}

#[test]
fn every_built_in_rule_says_when_it_was_seen_and_where_or_why_we_are_careful() {
    let mut problems = Vec::new();
    let dialects = dialects(BUILT_IN, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(dialects.len(), built_in().len());
    assert!(dialects.len() > 9);
    let mut names = HashSet::new();
    for dialect in dialects.iter().skip(1) {
        assert!(names.insert(&dialect.name), "{} twice", dialect.name);
        assert!(!dialect.clients.is_empty() && !dialect.rules.is_empty());
        let known = dialect.known.iter();
        for evidence in known.chain(dialect.rules.iter().map(|rule| &rule.evidence)) {
            assert!(is_date(&evidence.date), "{}: {evidence:?}", dialect.name);
            match &evidence.ground {
                Ground::Source(address) => assert!(address.starts_with("https://"), "{address}"),
                Ground::Precaution(reason) => assert!(reason.len() > 10, "{reason}"),
            }
        }
        let sorted = dialect
            .rules
            .is_sorted_by(|one, other| one.change < other.change);
        assert!(sorted, "{}", dialect.name);
    }
}

#[test]
fn a_rule_without_a_date_or_a_source_is_a_problem() {
    let text = |rule: &str| {
        format!(
            "a:\n  title: A\n  clients: [a]\n  known: {{ date: 2026-01-01, source: \"https://a.test\" }}\n  rules:\n    plain: {{ {rule} }}\n"
        )
    };
    for (rule, sound) in [
        ("date: 2026-01-01, source: \"https://a.test\"", true),
        ("date: 2026-01-01, precaution: it may be so", true),
        ("date: 2026-01-01", false),
        ("source: \"https://a.test\"", false),
        (
            "date: 2026-01-01, source: \"https://a.test\", most: 3",
            false,
        ),
    ] {
        let mut problems = Vec::new();
        dialects(&text(rule), &mut problems);
        assert_eq!(problems.is_empty(), sound, "{rule}: {problems:?}");
    }
}

#[test]
fn a_client_is_known_by_its_name_or_else_by_its_user_agent() {
    for (info, agent, dialect) in [
        (Some(("Visual Studio Code", "1.120.0")), None, "vscode"),
        (Some(("Visual Studio Code - Insiders", "1")), None, "vscode"),
        (Some(("visual-studio-code", "1")), None, "vscode"),
        (
            Some(("claude-ai (via mcp-remote 0.1.18)", "0.1.0")),
            None,
            "claude-desktop",
        ),
        (Some(("claude-code", "2.1.84")), None, "claude-code"),
        (Some(("cursor-vscode", "1.0.0")), None, "cursor"),
        (Some(("cursory", "1.0.0")), None, "default"),
        (Some(("gemini-cli-mcp-client", "0.0.1")), None, "gemini-cli"),
        (Some(("codex-mcp-client", "0.20.0")), None, "codex-0.20"),
        (Some(("codex-mcp-client", "0.21.0-alpha.1")), None, "codex"),
        (
            Some(("codex-mcp-client", "0.146.0-alpha.9.2")),
            None,
            "codex",
        ),
        (Some(("codex-mcp-client", "today")), None, "codex"),
        (
            Some(("@n8n/n8n-nodes-langchain.mcpClientTool", "1")),
            None,
            "n8n",
        ),
        (
            Some(("mcp", "0.1.0")),
            Some("claude-code/2.1.84 (cli)"),
            "claude-code",
        ),
        (None, Some("Cursor/1.7.46"), "cursor"),
        (None, Some("Mozilla/5.0 (X11) Cursor/1.7.46"), "default"),
        (None, None, "default"),
        (Some(("", "")), Some(""), "default"),
    ] {
        assert_eq!(of_client(info, agent).name, dialect, "{info:?} {agent:?}");
    }
}

#[test]
fn references_are_replaced_by_what_they_mean() {
    let schema = json!({
        "type": "object",
        "properties": {
            "$ref": { "type": "string" },
            "one": { "$ref": "#/$defs/uid", "description": "of the note" },
            "many": { "type": "array", "items": { "$ref": "#/$defs/pair" } },
        },
        "$defs": {
            "uid": { "type": "string", "format": "uuid", "description": "any" },
            "pair": { "type": "object", "properties": { "of": { "$ref": "#/$defs/uid" } } },
        },
    });
    let uid = json!({ "type": "string", "format": "uuid", "description": "any" });
    assert_eq!(
        changed(&Change::InlineRefs, schema),
        json!({
            "type": "object",
            "properties": {
                "$ref": { "type": "string" },
                "one": { "type": "string", "format": "uuid", "description": "of the note" },
                "many": { "type": "array", "items": { "type": "object", "properties": { "of": uid } } },
            },
        })
    );
}

#[test]
fn what_refers_to_itself_or_elsewhere_or_grows_without_end_is_refused() {
    let cycle =
        json!({ "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" });
    assert_eq!(
        inlined(&cycle).unwrap_err(),
        Unfit::Cycle("#/$defs/a".to_owned())
    );
    let own = json!({ "type": "object", "properties": { "me": { "$ref": "#" } } });
    assert_eq!(inlined(&own).unwrap_err(), Unfit::Cycle("#".to_owned()));
    for reference in ["#/$defs/none", "https://a.test/schema.json", "note"] {
        let schema = json!({ "properties": { "a": { "$ref": reference } } });
        assert!(
            matches!(inlined(&schema), Err(Unfit::Unknown(_))),
            "{reference}"
        );
    }
    let mut laughs = Map::from_iter([("l0".to_owned(), json!({ "type": "string" }))]);
    for level in 1..12 {
        let inner = json!({ "$ref": format!("#/$defs/l{}", level - 1) });
        laughs.insert(
            format!("l{level}"),
            json!({ "prefixItems": vec![inner; 10] }),
        );
    }
    let laughs = json!({ "$defs": laughs, "$ref": "#/$defs/l11" });
    assert_eq!(inlined(&laughs).unwrap_err(), Unfit::TooLarge);
}

#[test]
fn combinators_at_the_top_become_one_object_that_demands_what_all_demand() {
    let note = json!({
        "type": "object",
        "properties": { "kind": { "const": "note" }, "uid": { "type": "string" }, "title": { "type": "string" } },
        "required": ["kind", "uid"],
    });
    let task = json!({
        "type": "object",
        "properties": { "kind": { "const": "task" }, "uid": { "type": "string" }, "done": { "type": "boolean" } },
        "required": ["uid", "done"],
    });
    let flat = json!({
        "properties": {
            "kind": { "enum": ["note", "task"] },
            "uid": { "type": "string" },
            "title": { "type": "string" },
            "done": { "type": "boolean" },
        },
        "required": ["uid"],
        "type": "object",
    });
    for word in ["oneOf", "anyOf"] {
        let schema = json!({ word: [note, task] });
        assert_eq!(changed(&Change::PlainRoot, schema), flat, "{word}");
    }
    let both = changed(
        &Change::PlainRoot,
        json!({ "allOf": [note, { "required": ["title"] }] }),
    );
    assert_eq!(both["required"], json!(["kind", "uid", "title"]));
    let inside = json!({ "type": "object", "properties": { "a": { "anyOf": [note, task] } } });
    assert_eq!(changed(&Change::PlainRoot, inside.clone()), inside);
    let plain = changed(&Change::Plain, inside);
    assert_eq!(plain["properties"]["a"]["required"], json!(["uid"]));
}

#[test]
fn a_value_or_null_is_a_value() {
    let schema = json!({ "type": "object", "properties": {
        "a": { "anyOf": [{ "type": "string", "minLength": 2 }, { "type": "null" }] },
        "b": { "type": ["integer", "null"], "enum": [1, 2, null] },
        "type": { "type": ["string", "number"] },
    } });
    let plain = changed(&Change::SingleTypes, changed(&Change::Plain, schema));
    assert_eq!(
        plain["properties"],
        json!({
            "a": { "type": "string", "minLength": 2 },
            "b": { "type": "integer", "enum": [1, 2] },
            "type": {},
        })
    );
    let typed = changed(&Change::Typed, plain);
    assert_eq!(typed["properties"]["type"], json!({ "type": "string" }));
}

/// A schema before and after a change, one a line.
const KEYWORDS: &str = r#"
no_const | {"const":3} | {"enum":[3]}
inclusive_bounds | {"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":9} | {"type":"integer","minimum":1,"maximum":8}
inclusive_bounds | {"type":"number","exclusiveMinimum":0} | {"type":"number","minimum":0}
string_enums | {"enum":[1,2],"description":"Level"} | {"description":"Level (one of 1, 2)"}
string_enums | {"enum":["a"]} | {"enum":["a"]}
formats | {"format":"uuid"} | {"description":"format: uuid"}
formats | {"format":"date-time"} | {"format":"date-time"}
array_items | {"type":"array"} | {"type":"array","items":{}}
array_items | {"type":["array","null"],"items":true} | {"type":["array","null"],"items":{}}
typed | {"enum":[1,2]} | {"enum":[1,2],"type":"integer"}
typed | {"type":"array"} | {"type":"array","items":{"type":"string"}}
integers_as_numbers | {"type":"integer"} | {"type":"number"}
integers_as_numbers | {"type":["integer","number","null"]} | {"type":["number","null"]}
draft_07 | {"$schema":"a","unevaluatedProperties":false} | {}
without | {"type":"string","default":"a"} | {"type":"string"}
"#;

#[test]
fn single_keywords_are_changed_wherever_they_are() {
    let changes = [
        Change::NoConst,
        Change::InclusiveBounds,
        Change::StringEnums,
        Change::Formats(vec!["date-time".to_owned()]),
        Change::ArrayItems,
        Change::Typed,
        Change::IntegersAsNumbers,
        Change::Draft07,
        Change::Without(vec!["default".to_owned()]),
    ];
    for line in KEYWORDS.trim().lines() {
        let columns: Vec<_> = line.split(" | ").collect();
        let change = changes
            .iter()
            .find(|change| change.key() == columns[0])
            .unwrap();
        let inside = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            json!({ "properties": { "format": { "type": "array", "items": value } }, "type": "object" })
        };
        assert_eq!(
            changed(change, inside(columns[1])),
            inside(columns[2]),
            "{line}"
        );
    }
}

#[test]
fn a_description_is_cut_at_the_end_of_a_word() {
    let described = |text: &str| {
        let mut tool = Map::from_iter([("description".to_owned(), json!(text))]);
        Change::Descriptions(12).apply(&mut tool);
        tool["description"].as_str().unwrap().to_owned()
    };
    assert_eq!(described("twelve chars"), "twelve chars");
    assert_eq!(described("thirteen char"), "thirteen…");
    assert_eq!(described("ääää ääää ääää"), "ääää ääää…");
    assert_eq!(described("onewordwithoutend"), "onewordwith…");
}

#[test]
fn a_name_that_is_too_long_with_its_servers_is_shortened_and_found_again() {
    let long =
        ["create", "delete"].map(|verb| format!("{verb}_page_with_attachments_and_permissions"));
    let catalogue = catalogue(
        "some-workspace-server",
        &long.each_ref().map(|it| tool(it)).concat(),
    );
    let mut seen = HashSet::new();
    for dialect in built_in() {
        for name in &long {
            let found = catalogue.find(name).unwrap();
            let listed = crate::catalogue::tokens::listed(found);
            let shown = catalogue.shown(dialect, listed.as_object().unwrap());
            let shown = shown.map_or(name.clone(), |it| it["name"].as_str().unwrap().to_owned());
            let names = dialect.rules.iter().find_map(|rule| match &rule.change {
                Change::Names { most, around } => Some((*most, around)),
                _ => None,
            });
            match names {
                Some((most, around)) => {
                    let whole = around
                        .replace("{server}", "some-workspace-server")
                        .replace("{tool}", &shown);
                    assert!(whole.len() <= most, "{}: {whole}", dialect.name);
                }
                None => assert_eq!(&shown, name),
            }
            assert_eq!(&catalogue.find(&shown).unwrap().name, name, "{shown}");
            seen.insert(shown);
        }
    }
    assert!(seen.len() > 4, "{seen:?}");
    assert!(catalogue.find("create_page_with_attachments").is_none());
}

#[test]
fn a_shortened_name_never_takes_that_of_another_tool() {
    let long = "create_page_with_attachments_and_permissions";
    let names = Names::of("some-workspace-server", [long].into_iter());
    let first = names
        .shown(named("claude-code").unwrap().index, long)
        .unwrap();
    let taken = Names::of("some-workspace-server", [long, first].into_iter());
    let second = taken
        .shown(named("claude-code").unwrap().index, long)
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(taken.meant(first), None);
    assert_eq!(taken.meant(second), Some(long));
}

#[test]
fn the_shipped_tools_are_shown_to_claude_and_vscode_as_they_are() {
    let shipped = Catalogue::shipped().unwrap();
    for tool in shipped.tools() {
        let listed = crate::catalogue::tokens::listed(tool);
        for name in ["default", "claude-code", "claude-desktop", "vscode", "n8n"] {
            let shown = shipped.shown(named(name).unwrap(), listed.as_object().unwrap());
            assert_eq!(shown, None, "{name}");
        }
    }
}
