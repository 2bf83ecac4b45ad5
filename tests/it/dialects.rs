//! What clients are shown instead of the catalogue, each its own way; and that it stays the same tools: every name leads to
//! its tool, every call is checked against the catalogue, and who a client says it is opens nothing.

mod any_schema;
mod argument_headers;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use toolbridge::catalogue::{Catalogue, dialect, tokens};

use crate::harness::{FakeBackend, Setup, Sidecar, shipped};

const GEMINI: &str = "gemini-cli-mcp-client";
const LONG: &str = "list_notes_of_the_whole_workspace_with_their_attachments";

/// A tool whose name is too long for most clients, with a scope, and one that is not.
const TOOLS: &str = r#"
version: 1
server: { name: workspace }
backend:
  session:
    open: POST /v1/sync/sessions
    headers: { X-Sync-Session: /id, X-Sync-Epoch: /epoch }
tools:
  list_notes_of_the_whole_workspace_with_their_attachments:
    description: Lists notes.
    request: GET /v1/notes
    effect: read
    result: list
    parameters:
      level: { type: integer, enum: [1, 2], in: query }
  look:
    description: Looks.
    request: GET /v1/tasks
    effect: read
"#;

/// A catalogue in a file, for as long as it is held.
pub(crate) fn file(catalogue: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), catalogue).unwrap();
    file
}

/// A sidecar with this catalogue before this backend.
pub(crate) async fn serving(catalogue: &str, backend: &FakeBackend) -> Sidecar {
    let file = file(catalogue);
    let setup = Setup::before(backend).set("catalogue.file", file.path().to_str().unwrap());
    setup.start().await
}

/// What a client of this dialect is shown of a catalogue.
fn shown(catalogue: &Catalogue, dialect: &str) -> Value {
    let dialect = dialect::named(dialect).unwrap();
    let listed = catalogue.tools().iter().map(tokens::listed);
    let shown = listed.map(|tool| {
        let other = catalogue.shown(dialect, tool.as_object().unwrap());
        other.map_or(tool, Value::Object)
    });
    shown.collect()
}

#[tokio::test]
async fn each_client_is_sent_its_list_on_both_wires() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    for (client, dialect) in [
        ("it", "default"),
        ("Visual Studio Code", "vscode"),
        (GEMINI, "gemini-cli"),
        ("cursor-vscode", "cursor"),
        ("codex-mcp-client", "codex"),
    ] {
        let person = sidecar.alice().using(client);
        let modern = person.asks("tools/list", json!({})).await.result();
        let expected = shown(&shipped(), dialect);
        // The version of these clients is 1, which is after 0.21.
        assert_eq!(modern["tools"], expected, "{client}");
        let connection = person.connects().await;
        let legacy = connection.asks("tools/list", json!({})).await.result();
        assert_eq!(legacy["tools"], expected, "{client}");
        let scope = if expected == shown(&shipped(), "default") {
            "public"
        } else {
            "private"
        };
        assert_eq!(modern["cacheScope"], scope, "{client}");
    }
}

#[tokio::test]
async fn a_client_that_tells_its_name_in_the_user_agent_alone_is_known() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let person = sidecar
        .alice()
        .with("user-agent", "gemini-cli/0.32.0 (linux)");
    let list = person.asks("tools/list", json!({})).await.result();
    assert_eq!(list["tools"], shown(&shipped(), "gemini-cli"));
}

#[tokio::test]
async fn a_shortened_name_is_called_by_whoever_knows_it_and_checked_like_the_long_one() {
    let backend = FakeBackend::start();
    let sidecar = serving(TOOLS, &backend).await;
    for client in [GEMINI, "claude-code", "cursor-vscode"] {
        let person = sidecar.alice().using(client);
        let list = person.asks("tools/list", json!({})).await.result();
        let name = list["tools"][0]["name"].as_str().unwrap().to_owned();
        assert!(
            name.len() < LONG.len() && name.starts_with("list_notes"),
            "{name}"
        );
        assert_eq!(list["tools"][1]["name"], "look");
        person.calls(&name, json!({ "level": 2 })).await.good();
        let error = person.calls(&name, json!({ "level": 3 })).await.failed();
        assert_eq!(
            (&error["code"], &error["field"]),
            (&json!("VALIDATION_ERROR"), &json!("level"))
        );
        // A client that learnt the name elsewhere, and one that learnt the long one.
        let connection = sidecar.bob().connects().await;
        connection.calls(&name, json!({})).await.good();
        person.calls(LONG, json!({})).await.good();
    }
    let plain = sidecar.alice().asks("tools/list", json!({})).await.result();
    assert_eq!(plain["tools"][0]["name"], LONG);
    let invented = sidecar.alice().with("mcp-name", "list_notes_of_00000000");
    let params = json!({ "name": "list_notes_of_00000000", "arguments": {} });
    assert_eq!(
        invented.asks("tools/call", params).await.error_code(),
        -32602
    );
}

#[tokio::test]
async fn a_tool_that_needs_a_scope_needs_it_under_every_name_and_whatever_the_client_is_called() {
    let backend = FakeBackend::start();
    let catalogue = TOOLS.replace(
        "    result: list\n",
        "    result: list\n    scopes: [notes]\n",
    );
    let sidecar = serving(&catalogue, &backend).await;
    let file = Catalogue::parse("tools.yaml", catalogue.as_bytes()).unwrap();
    for client in ["it", GEMINI, "claude-code", "Visual Studio Code"] {
        let person = sidecar.alice().using(client);
        let list = person.asks("tools/list", json!({})).await.result();
        let names: Vec<_> = list["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["name"])
            .collect();
        assert_eq!(names, ["look"], "{client}");
        assert_eq!(list["cacheScope"], "private");
        for name in [
            shown(&file, "gemini-cli")[0]["name"].as_str().unwrap(),
            LONG,
        ] {
            let params = json!({ "name": name, "arguments": {} });
            let answer = person
                .with("mcp-name", name)
                .asks("tools/call", params.clone())
                .await;
            assert_eq!(answer.status, 403, "{client} {name}");
            let legacy = person.connects().await.asks("tools/call", params).await;
            assert_eq!(legacy.status, 403, "{client} {name}");
        }
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_long_list_comes_in_pages_on_both_wires() {
    let mut catalogue = "version: 1\ntools:\n".to_owned();
    for index in 0..450 {
        catalogue.push_str(&format!(
            "  tool_{index:03}: {{ description: About., request: GET /a, effect: read }}\n"
        ));
    }
    let sidecar = serving(&catalogue, &FakeBackend::start()).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    let (mut modern, mut legacy) = (Vec::new(), Vec::new());
    let mut params = [json!({}), json!({})];
    for length in [200, 200, 50] {
        let answers = [
            alice.asks("tools/list", params[0].clone()).await.result(),
            connection
                .asks("tools/list", params[1].clone())
                .await
                .result(),
        ];
        for (names, answer) in [&mut modern, &mut legacy].into_iter().zip(&answers) {
            let tools = answer["tools"].as_array().unwrap();
            assert_eq!(tools.len(), length);
            names.extend(tools.iter().map(|tool| tool["name"].clone()));
        }
        assert_eq!(answers[0]["ttlMs"], 60_000);
        params = answers.map(|answer| json!({ "cursor": answer["nextCursor"] }));
    }
    assert_eq!(
        params,
        [json!({ "cursor": null }), json!({ "cursor": null })]
    );
    let names: Vec<_> = (0..450)
        .map(|index| json!(format!("tool_{index:03}")))
        .collect();
    assert_eq!((modern, legacy), (names.clone(), names));
}
