//! Whatever is sent: no tool breaks, and what is planned stays inside the tool's own place at the backend.

use super::*;

/// Values of every kind, with the words that matter among the texts.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(NOTE.to_owned()),
        Just("{\"uid\": \"x\", \"a\": [1]}".to_owned()),
        Just("[\"a\"]".to_owned()),
        Just("..".to_owned()),
        Just("pin".to_owned()),
        Just("note".to_owned()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (1..1000_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "uid",
        "sync",
        "title",
        "content",
        "tags",
        "limit",
        "cursor",
        "include_deleted",
        "if_match",
        "updates",
        "additional_fields",
        "action",
        "metadata",
        "parent_type",
        "parentType",
        "parent_uid",
        "parentUid",
        "chat_uid",
        "chatUid",
        "due_date",
        "dueDate",
        "archived",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

/// A tool with its canonical arguments, some of them replaced.
fn call() -> impl Strategy<Value = (&'static str, Map<String, Value>)> {
    let changes = prop::collection::vec((name(), value()), 0..4);
    (
        prop::sample::select(canonical_calls()),
        changes,
        any::<bool>(),
    )
        .prop_map(|((tool, arguments), changes, keep)| {
            let mut arguments = match arguments {
                Value::Object(arguments) if keep => arguments,
                _ => Map::new(),
            };
            arguments.extend(changes);
            (tool, arguments)
        })
}

fn path_of(tool: &str) -> &'static str {
    let entity = tool.split_once('_').unwrap().1;
    match entity.trim_end_matches('s') {
        "note" => "/v1/notes",
        "task" => "/v1/tasks",
        "comment" => "/v1/comments",
        "chat" => "/v1/chats",
        "chat_message" => "/v1/chat_messages",
        other => panic!("{other}"),
    }
}

fn segments_of(tool: &str) -> usize {
    match tool.split_once('_').unwrap().0 {
        "list" | "create" => 3,
        "archive" | "process" => 5,
        _ => 4,
    }
}

fn check(tool: &str, plan: &Plan) {
    let (path, query) = plan.target.split_once('?').unwrap_or((&plan.target, ""));
    assert_eq!(path.split('/').count(), segments_of(tool), "{path}");
    assert!(
        path == path_of(tool) || path.starts_with(&format!("{}/", path_of(tool))),
        "{path}"
    );
    assert!(
        plan.target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#'),
        "{}",
        plan.target
    );
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').unwrap().0;
        assert!(
            ["limit", "cursor", "includeDeleted"].contains(&name),
            "{query}"
        );
    }
    for (name, value) in &plan.headers {
        assert_eq!(name, "if-match");
        assert!(value.as_bytes().iter().all(u8::is_ascii_digit), "{value:?}");
    }
    if let Some(body) = &plan.body {
        let body: Map<String, Value> = serde_json::from_slice(body).unwrap();
        assert!(
            !body.contains_key("uid") && !body.contains_key("sync"),
            "{body:?}"
        );
    }
}

proptest! {
    #[test]
    fn never_break_a_tool_and_never_leave_their_place((tool, arguments) in call()) {
        thread_local!(static SHIPPED: Catalogue = shipped());
        SHIPPED.with(|catalogue| {
            if let Ok(plan) = catalogue.find(tool).unwrap().plan(arguments) {
                check(tool, &plan);
            }
        });
    }
}
