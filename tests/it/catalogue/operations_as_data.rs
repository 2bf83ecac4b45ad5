//! Operations changed and added by a catalogue, entities with some of them, free-form tools.

use super::*;

const CHANGED: &str = r#"
version: 1
backend:
  session: { open: POST /v1/sync/sessions, headers: { X-Sync-Session: /id, X-Sync-Epoch: /epoch } }
scopes: { read: [notes.read], write: [notes.write] }
operations:
  list:
    description: Shows {entities}, newest first.
    scopes: [notes.list]
    parameters:
      limit: { type: integer, min: 1, max: 50, default: 10, in: query }
      status: { type: string, in: query }
  duplicate:
    title: Duplicate {entity}
    description: Copies a {entity} and returns the copy.
    request: POST {path}/{uid}/duplicate
    effect: write
    result: item
    annotations: { destructive: false }
    parameters:
      uid: { type: string, format: uuid, required: true }
      title: { type: string, wire: newTitle }
entities:
  meeting_note:
    path: /v1/meeting_notes
    description: A note of a meeting.
    fields: { title: { type: string, required: true } }
    operations: [list, duplicate, create]
  tag:
    path: /v1/tags
    description: A tag.
    operations: [get, list]
tools:
  workspace_info:
    description: Versions, limits and entities of this workspace.
    request: GET /v1/sync/info
    effect: read
    session: false
"#;

fn names(catalogue: &Catalogue) -> Vec<&str> {
    catalogue
        .tools()
        .iter()
        .map(|tool| tool.name.as_str())
        .collect()
}

#[test]
fn an_entity_has_the_operations_it_names_in_its_own_order() {
    assert_eq!(
        names(&loaded(CHANGED)),
        [
            "list_meeting_notes",
            "duplicate_meeting_note",
            "create_meeting_note",
            "get_tag",
            "list_tags",
            "workspace_info"
        ]
    );
}

#[test]
fn what_a_catalogue_says_of_an_operation_replaces_that_and_nothing_else() {
    let catalogue = loaded(CHANGED);
    let list = catalogue.find("list_meeting_notes").unwrap();
    assert_eq!(list.title, "List meeting notes");
    assert_eq!(list.description, "Shows meeting notes, newest first.");
    assert_eq!(list.scopes, ["notes.read", "notes.list"]);
    assert_eq!(list.input_schema["properties"]["limit"]["maximum"], 50);
    let request = plan(
        &catalogue,
        "list_meeting_notes",
        &json!({ "cursor": "x", "status": "open" }),
    );
    assert_eq!(
        request.target,
        "/v1/meeting_notes?limit=10&cursor=x&status=open"
    );
    assert_eq!(catalogue.find("get_tag").unwrap().title, "Get tag");
}

#[test]
fn a_new_operation_is_a_tool_of_every_entity_that_has_it() {
    let catalogue = loaded(CHANGED);
    let tool = catalogue.find("duplicate_meeting_note").unwrap();
    assert_eq!(tool.title, "Duplicate meeting note");
    assert_eq!(tool.effect, Effect::Write);
    assert!(!tool.annotations.destructive && !tool.annotations.read_only);
    assert_eq!(tool.scopes, ["notes.write"]);
    let uid = crate::canonical_calls::NOTE;
    let request = plan(
        &catalogue,
        &tool.name,
        &json!({ "uid": uid, "title": "Copy" }),
    );
    assert_eq!(request.target, format!("/v1/meeting_notes/{uid}/duplicate"));
    assert_eq!(request.body.unwrap(), br#"{"newTitle":"Copy"}"#);
    assert!(request.session.is_some());
}

#[test]
fn a_free_form_tool_can_do_without_a_session() {
    let catalogue = loaded(CHANGED);
    let request = plan(&catalogue, "workspace_info", &json!({}));
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/v1/sync/info")
    );
    assert!(request.session.is_none() && request.body.is_none());
    let refusal = catalogue
        .find("workspace_info")
        .unwrap()
        .plan(json!({ "verbose": true }).as_object().unwrap().clone());
    assert_eq!(
        refusal.unwrap_err().to_string(),
        "`verbose` is not an argument; nothing can be given here"
    );
}

#[test]
fn without_a_session_recipe_no_tool_asks_for_a_session() {
    let catalogue = loaded(
        "version: 1\ntools:\n  info: { description: Info., request: GET /v1/info, effect: read, session: true }\n",
    );
    assert!(catalogue.session().is_none());
    assert!(plan(&catalogue, "info", &json!({})).session.is_none());
}
