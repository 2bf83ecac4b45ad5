//! What a model is told when its arguments are wrong, what is repaired, and what reaches the backend: absent, empty and
//! null stay three things, and nothing that a model writes leaves its place in the request.

mod any_arguments;
mod free_form_tools;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolbridge::catalogue::{ArgumentErrors, Catalogue, Plan, Tool};

use crate::canonical_calls::{CHAT, NOTE, canonical_calls};

fn catalogue(text: &str) -> Catalogue {
    match Catalogue::parse("tools.yaml", text.as_bytes()) {
        Ok(catalogue) => catalogue,
        Err(problems) => panic!("{problems}"),
    }
}

fn shipped() -> Catalogue {
    Catalogue::shipped().unwrap()
}

fn planned(tool: &Tool, arguments: &Value) -> Result<Plan, ArgumentErrors> {
    tool.plan(arguments.as_object().unwrap().clone())
}

/// Every refusal of a call, one a line: field, message, allowed values.
#[track_caller]
fn refused_by(catalogue: &Catalogue, tool: &str, arguments: &Value) -> String {
    let errors = match planned(catalogue.find(tool).unwrap(), arguments) {
        Ok(plan) => panic!("{tool} {arguments} became {plan:?}"),
        Err(errors) => errors,
    };
    let lines = std::iter::once(&errors.first)
        .chain(&errors.others)
        .map(|error| {
            let allowed = match error.allowed.as_slice() {
                [] => String::new(),
                allowed => format!(" {}", Value::from(allowed.to_vec())),
            };
            format!("{}: {}{allowed}", error.field, error.message)
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn refused(tool: &str, arguments: Value) -> String {
    refused_by(&shipped(), tool, &arguments)
}

/// Request line, headers and body of a call that is accepted.
#[track_caller]
fn sent_by(catalogue: &Catalogue, tool: &str, arguments: &Value) -> String {
    let plan = match planned(catalogue.find(tool).unwrap(), arguments) {
        Ok(plan) => plan,
        Err(errors) => panic!("{tool} {arguments}: {errors}"),
    };
    let mut text = format!("{} {}", plan.method, plan.target);
    for (name, value) in &plan.headers {
        text.push_str(&format!(" [{name}: {}]", value.to_str().unwrap()));
    }
    if let Some(body) = plan.body {
        text.push_str(&format!(" {}", String::from_utf8(body).unwrap()));
    }
    text.replace(NOTE, "<uid>")
}

#[track_caller]
fn sent(tool: &str, arguments: Value) -> String {
    sent_by(&shipped(), tool, &arguments)
}

mod names {
    use super::*;

    #[test]
    fn an_unknown_argument_is_refused_with_the_nearest_name() {
        assert_snapshot!(refused("create_note", json!({ "titel": "a", "title": "b", "content": "c" })), @"titel: `titel` is not an argument; did you mean `title`?");
        assert_snapshot!(refused("create_task", json!({ "title": "a", "dueDate": "2026-01-01" })), @"dueDate: `dueDate` is not an argument; did you mean `due_date`?");
        assert_snapshot!(refused("list_notes", json!({ "filter": "x" })), @"filter: `filter` is not an argument; known: limit, cursor, include_deleted");
        assert_snapshot!(refused("list_notes", json!({ "offset": 1, "page": 2 })), @r"
        offset: `offset` is not an argument; known: limit, cursor, include_deleted
        page: `page` is not an argument; known: limit, cursor, include_deleted
        ");
    }

    #[test]
    fn every_missing_argument_is_named() {
        assert_snapshot!(refused("create_comment", json!({ "content": "a" })), @r"
        parent_type: `parent_type` is missing; create_comment needs it
        parent_uid: `parent_uid` is missing; create_comment needs it
        ");
        assert_snapshot!(refused("update_chat_message", json!({ "uid": NOTE, "content": "a" })), @"chat_uid: `chat_uid` is missing; update_chat_message needs it");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE })), @"updates: `updates` is missing; patch_note needs it");
    }

    #[test]
    fn a_name_of_a_megabyte_is_refused_in_short() {
        let refusal = refused("list_notes", json!({ "x".repeat(1 << 20): 1 }));
        assert!(refusal.len() < 300, "{refusal:.400}");
    }

    #[test]
    fn at_most_eight_refusals_are_told_at_once() {
        let many: Map<String, Value> = (0..1000).map(|n| (format!("x{n}"), json!(1))).collect();
        assert_eq!(
            refused("list_notes", Value::Object(many)).lines().count(),
            8
        );
    }
}

mod types {
    use super::*;

    #[test]
    fn a_wrong_type_is_refused_with_what_it_should_be() {
        assert_snapshot!(refused("create_note", json!({ "title": 5, "content": ["a"], "tags": [1, "b", null] })), @r"
        title: `title` must be a string, not 5
        content: `content` must be a string, not a list of 1
        tags[0]: `tags[0]` must be a string, not 1
        tags[2]: `tags[2]` must be a string, not null
        ");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": [] })), @"updates: `updates` must be an object, not a list of 0");
        assert_snapshot!(refused("get_note", json!({ "uid": NOTE, "include_deleted": 1 })), @"include_deleted: `include_deleted` must be a boolean, not 1");
        assert_snapshot!(refused("patch_task", json!({ "uid": NOTE, "updates": { "tags": "a,b", "priority": "urgent" } })), @r#"
        updates.tags: `updates.tags` must be an array; the text given is not JSON (expected value at line 1 column 1)
        updates.priority: `updates.priority` must be one of "low", "medium", "high", not the text "urgent" ["low","medium","high"]
        "#);
    }

    #[test]
    fn json_in_a_string_is_accepted_where_json_is_expected() {
        assert_snapshot!(sent("create_note", json!({
            "title": "[1]", "content": "{\"a\":1}", "tags": "[\"a\", \"b\"]", "additional_fields": "{\"pinned\": true}"
        })), @r#"POST /v1/notes {"title":"[1]","content":"{\"a\":1}","tags":["a","b"],"pinned":true}"#);
        assert_snapshot!(sent("patch_task", json!({ "uid": NOTE, "updates": "{\"tags\": \"[\\\"a\\\"]\", \"dueDate\": \"x\"}" })), @r#"PATCH /v1/tasks/<uid> {"tags":["a"],"dueDate":"x"}"#);
        assert_snapshot!(sent("process_note", json!({ "uid": NOTE, "action": "pin", "metadata": "{}" })), @r#"POST /v1/notes/<uid>/process {"action":"pin","metadata":{}}"#);
    }

    #[test]
    fn json_in_a_string_must_be_of_the_expected_type() {
        assert_snapshot!(refused("create_note", json!({ "title": "a", "content": "b", "tags": "5" })), @r#"tags: `tags` must be an array, not the text "5""#);
        assert_snapshot!(refused("create_note", json!({ "title": "a", "content": "b", "tags": "{\"k\":1}" })), @r#"tags: `tags` must be an array, not the text "{\"k\":1}""#);
        assert_snapshot!(refused("create_note", json!({ "title": "a", "content": "b", "tags": "[1]" })), @"tags[0]: `tags[0]` must be a string, not 1");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": "[]" })), @r#"updates: `updates` must be an object, not the text "[]""#);
        assert_snapshot!(refused("create_note", json!({ "title": "a", "content": "b", "additional_fields": "[1]" })), @r#"additional_fields: `additional_fields` must be an object, not the text "[1]""#);
    }

    #[test]
    fn text_that_is_no_json_is_refused_with_the_reason() {
        assert_snapshot!(refused("create_note", json!({ "title": "a", "content": "b", "tags": "a, b" })), @"tags: `tags` must be an array; the text given is not JSON (expected value at line 1 column 1)");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": "{title: 1}" })), @"updates: `updates` must be an object; the text given is not JSON (key must be a string at line 1 column 2)");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": "" })), @"updates: `updates` must be an object; the text given is not JSON (EOF while parsing a value at line 1 column 0)");
        let deep = "[".repeat(100_000);
        assert_snapshot!(refused("create_note", json!({ "title": "a", "content": "b", "tags": deep })), @"tags: `tags` must be an array; the text given is not JSON (recursion limit exceeded at line 1 column 128)");
    }

    #[test]
    fn numbers_and_flags_are_repaired() {
        assert_snapshot!(sent("list_notes", json!({ "limit": "2" })), @"GET /v1/notes?limit=2");
        assert_snapshot!(sent("list_notes", json!({ "limit": 2.0 })), @"GET /v1/notes?limit=2");
        assert_snapshot!(sent("list_notes", json!({ "limit": "2.0", "include_deleted": "true" })), @"GET /v1/notes?limit=2&includeDeleted=true");
        assert_snapshot!(sent("create_chat", json!({ "title": "a", "archived": "false" })), @r#"POST /v1/chats {"title":"a","archived":false}"#);
        assert_snapshot!(sent("patch_note", json!({ "uid": NOTE, "updates": { "a": 1 }, "if_match": "7" })), @r#"PATCH /v1/notes/<uid> [if-match: 7] {"a":1}"#);
    }

    #[test]
    fn what_is_no_integer_never_becomes_one() {
        for limit in [
            json!(1e300),
            json!(2.5),
            json!("abc"),
            json!("1e300"),
            json!(true),
            json!("true"),
            json!([2]),
        ] {
            let refusal = refused("list_notes", json!({ "limit": limit }));
            assert!(
                refusal.starts_with("limit: `limit` must be an integer"),
                "{refusal}"
            );
        }
        for version in [
            json!(1e18),
            json!("\"5\""),
            json!("W/5"),
            json!("*"),
            json!(0),
            json!(-1),
            json!(1.5),
        ] {
            let arguments = json!({ "uid": NOTE, "updates": { "a": 1 }, "if_match": version });
            let refusal = refused("patch_note", arguments);
            assert!(
                refusal.starts_with("if_match: `if_match` must be"),
                "{refusal}"
            );
        }
        assert_snapshot!(refused("list_notes", json!({ "limit": 2.5 })), @"limit: `limit` must be an integer, not 2.5");
        assert_snapshot!(refused("list_notes", json!({ "limit": "abc" })), @r#"limit: `limit` must be an integer, not the text "abc""#);
    }

    #[test]
    fn values_outside_their_list_or_bounds_are_refused_with_those_that_are_inside() {
        assert_snapshot!(refused("process_task", json!({ "uid": NOTE, "action": "finish" })), @r#"action: `action` must be one of "start", "complete", "reopen", not the text "finish" ["start","complete","reopen"]"#);
        assert_snapshot!(refused("create_comment", json!({ "content": "a", "parent_type": "chat", "parent_uid": NOTE })), @r#"parent_type: `parent_type` must be one of "note", "task", not the text "chat" ["note","task"]"#);
        assert_snapshot!(refused("create_task", json!({ "title": "a", "status": "todo" })), @r#"status: `status` must be one of "open", "in_progress", "completed", "archived", not the text "todo" ["open","in_progress","completed","archived"]"#);
        assert_snapshot!(refused("list_notes", json!({ "limit": 0 })), @"limit: `limit` must be 1 or more, not 0");
        assert_snapshot!(refused("list_notes", json!({ "limit": 1001 })), @"limit: `limit` must be 1000 or less, not 1001");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": {} })), @"updates: `updates` must be an object with at least 1 key, not an empty object");
    }
}

mod uids {
    use super::*;

    #[test]
    fn nothing_but_a_uuid_becomes_part_of_a_path() {
        let smuggled = format!("{NOTE}?includeDeleted=true");
        let long = "a".repeat(300);
        for uid in [
            "",
            ".",
            "..",
            "../sync/state",
            "%2e%2e",
            "a/b",
            "a?x",
            "a#f",
            "a\\..\\b",
            "\0",
            &long,
            &smuggled,
            "3f2504e04f8941d39a0c0305e82c3301",
            "urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}",
            " 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "3f2504e0-4f89-41d3-9a0c-0305e82c3301\n",
            "3f2504e0-4f89-41d3-9a0c-0305e82c330g",
            "３f2504e0-4f89-41d3-9a0c-0305e82c3301",
        ] {
            for tool in ["get_note", "delete_note", "archive_note"] {
                let refusal = refused(tool, json!({ "uid": uid }));
                assert!(
                    refusal.starts_with("uid: `uid` must be a UUID"),
                    "{uid:?}: {refusal}"
                );
            }
        }
        assert_snapshot!(refused("get_note", json!({ "uid": smuggled })), @r#"uid: `uid` must be a UUID such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301, not the text "11111111-1111-4111-8111-111111111111?includeDeleted=true""#);
        assert_snapshot!(refused("get_note", json!({ "uid": 5 })), @"uid: `uid` must be a string, not 5");
    }

    #[test]
    fn an_upper_case_uuid_is_accepted_as_it_stands() {
        assert_snapshot!(sent("get_note", json!({ "uid": "3F2504E0-4F89-41D3-9A0C-0305E82C3301" })), @"GET /v1/notes/3F2504E0-4F89-41D3-9A0C-0305E82C3301");
    }

    #[test]
    fn a_parent_must_be_a_uuid_too() {
        assert_snapshot!(refused("create_chat_message", json!({ "chat_uid": "general", "content": "a" })), @r#"chat_uid: `chat_uid` must be a UUID such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301, not the text "general""#);
    }
}

mod reserved_keys {
    use super::*;

    #[test]
    fn additional_fields_carry_neither_reserved_keys_nor_named_fields() {
        let note =
            |extra: Value| json!({ "title": "a", "content": "b", "additional_fields": extra });
        assert_snapshot!(refused("create_note", note(json!({ "uid": NOTE }))), @"additional_fields.uid: `additional_fields.uid` is reserved: only the backend sets it");
        assert_snapshot!(refused("create_note", note(json!({ "sync": { "isDeleted": true } }))), @"additional_fields.sync: `additional_fields.sync` is reserved: only the backend sets it");
        assert_snapshot!(refused("create_note", note(json!({ "title": "other", "tags": [] }))), @r"
        additional_fields.title: `additional_fields.title` has an argument of its own: use `title`
        additional_fields.tags: `additional_fields.tags` has an argument of its own: use `tags`
        ");
        assert_snapshot!(refused("create_note", note(json!("{\"uid\": \"x\"}"))), @"additional_fields.uid: `additional_fields.uid` is reserved: only the backend sets it");
        let task = |extra: Value| json!({ "title": "a", "additional_fields": extra });
        assert_snapshot!(refused("create_task", task(json!({ "dueDate": "x", "due_date": "y" }))), @r"
        additional_fields.dueDate: `additional_fields.dueDate` has an argument of its own: use `due_date`
        additional_fields.due_date: `additional_fields.due_date` has an argument of its own: use `due_date`
        ");
        let comment = json!({
            "uid": NOTE, "content": "a", "parent_type": "note", "parent_uid": NOTE, "additional_fields": { "parentUid": CHAT }
        });
        assert_snapshot!(refused("update_comment", comment), @"additional_fields.parentUid: `additional_fields.parentUid` has an argument of its own: use `parent_uid`");
    }

    #[test]
    fn updates_carry_no_reserved_keys() {
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": { "uid": CHAT, "sync": {} } })), @r"
        updates.uid: `updates.uid` is reserved: only the backend sets it
        updates.sync: `updates.sync` is reserved: only the backend sets it
        ");
    }

    #[test]
    fn updates_may_use_the_names_of_the_backend_but_not_both() {
        assert_snapshot!(sent("patch_task", json!({ "uid": NOTE, "updates": { "dueDate": "2026-01-01" } })), @r#"PATCH /v1/tasks/<uid> {"dueDate":"2026-01-01"}"#);
        assert_snapshot!(sent("patch_task", json!({ "uid": NOTE, "updates": { "due_date": "2026-01-01" } })), @r#"PATCH /v1/tasks/<uid> {"dueDate":"2026-01-01"}"#);
        assert_snapshot!(refused("patch_task", json!({ "uid": NOTE, "updates": { "due_date": "a", "dueDate": "b" } })), @"updates.dueDate: `updates.dueDate` and `updates.due_date` are the same field: give one");
        assert_snapshot!(refused("patch_comment", json!({ "uid": NOTE, "updates": { "parentUid": "nobody" } })), @r#"updates.parent_uid: `updates.parent_uid` must be a UUID such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301, not the text "nobody""#);
    }
}

mod absent_empty_and_null {
    use super::*;

    #[test]
    fn what_is_absent_is_not_sent_and_what_is_empty_or_null_is() {
        assert_snapshot!(sent("create_task", json!({ "title": "" })), @r#"POST /v1/tasks {"title":""}"#);
        assert_snapshot!(sent("create_task", json!({ "title": "a", "description": "", "tags": [] })), @r#"POST /v1/tasks {"title":"a","description":"","tags":[]}"#);
        assert_snapshot!(sent("create_task", json!({ "title": "a", "description": null, "tags": null, "status": null })), @r#"POST /v1/tasks {"title":"a","description":null,"status":null,"tags":null}"#);
    }

    #[test]
    fn a_null_is_no_value_for_what_is_required() {
        assert_snapshot!(refused("create_note", json!({ "title": null, "content": "a" })), @"title: `title` must be a string, not null");
        assert_snapshot!(refused("get_note", json!({ "uid": null })), @"uid: `uid` must be a string, not null");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": null })), @"updates: `updates` must be an object, not null");
    }

    #[test]
    fn a_null_in_a_query_or_header_is_absent() {
        assert_snapshot!(sent("list_notes", json!({ "limit": null, "cursor": null, "include_deleted": null })), @"GET /v1/notes?limit=100");
        assert_snapshot!(sent("patch_note", json!({ "uid": NOTE, "updates": { "a": 1 }, "if_match": null })), @r#"PATCH /v1/notes/<uid> {"a":1}"#);
        assert_snapshot!(sent("process_note", json!({ "uid": NOTE, "action": "pin", "metadata": null })), @r#"POST /v1/notes/<uid>/process {"action":"pin"}"#);
        assert_snapshot!(sent("create_note", json!({ "title": "a", "content": "b", "additional_fields": null })), @r#"POST /v1/notes {"title":"a","content":"b"}"#);
    }

    #[test]
    fn a_null_inside_updates_is_stored_unless_a_record_must_have_the_field() {
        assert_snapshot!(sent("patch_task", json!({ "uid": NOTE, "updates": { "due_date": null, "priority": null, "x": null } })), @r#"PATCH /v1/tasks/<uid> {"dueDate":null,"priority":null,"x":null}"#);
        assert_snapshot!(refused("patch_comment", json!({ "uid": NOTE, "updates": { "parent_uid": null, "parent_type": null } })), @r"
        updates.parent_uid: `updates.parent_uid` must be a string, not null
        updates.parent_type: `updates.parent_type` must be a string, not null
        ");
        assert_snapshot!(refused("patch_note", json!({ "uid": NOTE, "updates": { "title": null } })), @"updates.title: `updates.title` must be a string, not null");
    }

    #[test]
    fn defaults_are_filled_in() {
        assert_snapshot!(sent("list_notes", json!({})), @"GET /v1/notes?limit=100");
        assert_snapshot!(sent("create_chat", json!({ "title": "a" })), @r#"POST /v1/chats {"title":"a","archived":false}"#);
        assert_snapshot!(sent("create_chat", json!({ "title": "a", "archived": null })), @r#"POST /v1/chats {"title":"a","archived":null}"#);
    }

    #[test]
    fn a_value_stays_one_parameter_whatever_is_in_it() {
        assert_snapshot!(sent("list_notes", json!({ "cursor": "a&limit=9999#" })), @"GET /v1/notes?limit=100&cursor=a%26limit%3D9999%23");
        assert_snapshot!(sent("list_notes", json!({ "cursor": "MTcz_-9" })), @"GET /v1/notes?limit=100&cursor=MTcz_-9");
        assert_snapshot!(sent("list_notes", json!({ "cursor": "a=b+c d\r\nX: y\u{e9}" })), @"GET /v1/notes?limit=100&cursor=a%3Db%2Bc%20d%0D%0AX%3A%20y%C3%A9");
        assert_snapshot!(sent("list_notes", json!({ "cursor": "" })), @"GET /v1/notes?limit=100");
    }
}
