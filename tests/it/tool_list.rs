//! What a client learns before it calls anything: the forty tools, the same on both wires, and that there are only tools.

use serde_json::{Value, json};
use toolbridge::catalogue::tokens;

use crate::harness::{
    Answer, FakeBackend, Person, Sidecar,
    legacy::{LEGACY, initialize, request},
    person::{BOTH_TYPES, MODERN},
    shipped,
};

/// The list as the catalogue has it.
fn expected() -> Value {
    shipped().tools().iter().map(tokens::listed).collect()
}

/// Methods of capabilities we do not have.
const ABSENT: [&str; 8] = [
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "resources/subscribe",
    "completion/complete",
    "logging/setLevel",
];

/// Parameters that each of these methods could be decoded with.
fn params(method: &str) -> Value {
    match method {
        "prompts/get" => json!({ "name": "a" }),
        "resources/read" | "resources/subscribe" => json!({ "uri": "a:b" }),
        "completion/complete" => json!({
            "ref": { "type": "ref/prompt", "name": "a" },
            "argument": { "name": "b", "value": "c" },
        }),
        "logging/setLevel" => json!({ "level": "info" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn the_list_is_the_catalogues_on_both_wires_every_time() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    for _ in 0..2 {
        let modern = alice.asks("tools/list", json!({})).await.result();
        assert_eq!(modern["tools"], expected());
        let legacy = connection.asks("tools/list", json!({})).await.result();
        assert_eq!(legacy["tools"], expected());
    }
    assert_eq!(expected().as_array().unwrap().len(), 40);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn two_lists_are_the_same_bytes() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let first = sidecar.alice().asks("tools/list", json!({})).await;
    let second = sidecar.bob().asks("tools/list", json!({})).await;
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("content-type"), "application/json");
}

#[tokio::test]
async fn caching_hints_are_for_the_revision_that_knows_them() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    for method in ["tools/list", "server/discover"] {
        let modern = alice.asks(method, json!({})).await.result();
        assert_eq!(modern["resultType"], "complete");
        assert_eq!(modern["ttlMs"], 60_000);
        assert_eq!(modern["cacheScope"], "public");
    }
    let connection = alice.connects().await;
    let legacy = connection.asks("tools/list", json!({})).await.result();
    for hint in ["resultType", "ttlMs", "cacheScope", "nextCursor"] {
        assert!(legacy.get(hint).is_none(), "{hint}");
    }
}

#[tokio::test]
async fn the_capabilities_are_tools_of_whose_list_changes_are_told() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let legacy = alice.connects().await.opened;
    let modern = alice.asks("server/discover", json!({})).await.result();
    for description in [&legacy, &modern] {
        assert_eq!(
            description["capabilities"],
            json!({ "tools": { "listChanged": true } })
        );
        let instructions = description["instructions"].as_str().unwrap();
        assert!(instructions.contains("one workspace"), "{instructions}");
    }
    assert_eq!(legacy["protocolVersion"], "2025-11-25");
    assert_eq!(legacy["serverInfo"]["name"], "toolbridge");
    let versions = modern["supportedVersions"].as_array().unwrap();
    for version in ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        assert!(versions.contains(&json!(version)), "{versions:?}");
    }
}

#[tokio::test]
async fn what_is_not_offered_is_not_found_on_either_wire() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    for method in ABSENT {
        let code = |answer: Answer| (method, answer.error_code());
        let named = match method {
            "prompts/get" => alice.with("mcp-name", "a"),
            "resources/read" | "resources/subscribe" => alice.with("mcp-name", "a:b"),
            _ => alice.clone(),
        };
        assert_eq!(
            code(named.asks(method, params(method)).await),
            (method, -32601)
        );
        assert_eq!(
            code(connection.asks(method, params(method)).await),
            (method, -32601)
        );
    }
}

#[tokio::test]
async fn a_cursor_that_nobody_gave_out_is_an_invalid_parameter() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    let params = json!({ "cursor": "abc" });
    let modern = alice.asks("tools/list", params.clone()).await;
    assert_eq!(modern.error_code(), -32602);
    let legacy = connection.asks("tools/list", params).await;
    assert_eq!(legacy.error_code(), -32602);
    assert!(legacy.body.contains("again without"), "{legacy:?}");
}

#[tokio::test]
async fn an_empty_cursor_is_the_beginning() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    let params = json!({ "cursor": "" });
    let modern = alice.asks("tools/list", params.clone()).await.result();
    assert_eq!(modern["tools"], expected());
    let legacy = connection.asks("tools/list", params).await.result();
    assert_eq!(legacy["tools"], expected());
}

#[tokio::test]
async fn an_unknown_tool_is_an_invalid_parameter_on_both_wires() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let params = json!({ "name": "get_nota", "arguments": {} });
    let modern = alice.with("mcp-name", "get_nota");
    let modern = modern.asks("tools/call", params.clone()).await;
    assert_eq!(modern.error_code(), -32602);
    let legacy = alice.connects().await.asks("tools/call", params).await;
    assert_eq!(legacy.error_code(), -32602);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_json_rpc_error_on_both_wires() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let deep = "[".repeat(10_000);
    let no_json = ["", "garbage", "{\"jsonrpc\":", "\u{0}", &deep];
    let no_message = [
        "[]",
        "{}",
        "null",
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
    ];
    let old = sidecar
        .alice()
        .with("content-type", "application/json")
        .with("accept", BOTH_TYPES);
    for person in [&old.with("mcp-protocol-version", MODERN), &old] {
        let bodies = no_json.map(|body| (body, -32700));
        for (body, code) in bodies
            .into_iter()
            .chain(no_message.map(|body| (body, -32600)))
        {
            let answer = person.sends("POST", "/mcp", body).await;
            assert_eq!((answer.status, answer.error_code()), (400, code), "{body}");
        }
    }
}

#[tokio::test]
async fn a_request_that_nobody_can_decode_is_answered_under_its_id() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let call = |arguments: &str, meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"mine","method":"tools/call","params":{{"name":"list_notes","arguments":{arguments}{meta}}}}}"#
        )
    };
    let bodies = [
        call(&format!(r#"{{"q":{deep}}}"#), ""),
        call("{}", r#","_meta":{},"_meta":{}"#),
        call(r#"{"q":"\ud800"}"#, ""),
    ];
    let alice = sidecar.alice();
    let person = alice
        .with("content-type", "application/json")
        .with("accept", BOTH_TYPES)
        .with("mcp-method", "tools/call")
        .with("mcp-name", "list_notes")
        .with("mcp-protocol-version", MODERN);
    let connection = alice.connects().await;
    let connected = connection
        .person
        .with("content-type", "application/json")
        .with("accept", BOTH_TYPES);
    for body in bodies {
        let modern = person.sends("POST", "/mcp", &body).await;
        assert_eq!(
            (modern.status, modern.error_code()),
            (400, -32602),
            "{body}"
        );
        assert_eq!(modern.json()["id"], "mine");
        let legacy = connected.sends("POST", "/mcp", &body).await;
        assert_eq!(legacy.error_code(), -32602, "{body}");
        assert_eq!(legacy.json()["id"], "mine");
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_handshake_that_cannot_be_read_is_not_asked_for_a_connection() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let person = sidecar
        .alice()
        .without("mcp-protocol-version")
        .with("content-type", "application/json")
        .with("accept", BOTH_TYPES);
    for params in ["", r#","params":{}"#, r#","params":{"capabilities":{}}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize"{params}}}"#);
        let answer = person.sends("POST", "/mcp", &body).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (200, -32602),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_method_of_the_newest_revision_without_its_header_is_told_so() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let person = sidecar
        .alice()
        .without("mcp-protocol-version")
        .with("content-type", "application/json")
        .with("accept", BOTH_TYPES);
    for method in ["server/discover", "subscriptions/listen"] {
        for params in ["", r#","params":{}"#] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#);
            let answer = person.sends("POST", "/mcp", &body).await;
            assert_eq!(
                (answer.status, answer.error_code()),
                (400, -32020),
                "{body}"
            );
        }
    }
    let batch = person
        .with("mcp-protocol-version", MODERN)
        .sends(
            "POST",
            "/mcp",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        )
        .await;
    assert_eq!((batch.status, batch.error_code()), (400, -32600));
    assert!(batch.body.contains("no batches"), "{batch:?}");
}

#[tokio::test]
async fn a_body_that_is_not_called_json_or_is_too_large_is_refused_by_its_status() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice().with("accept", BOTH_TYPES);
    let text = alice.with("content-type", "text/plain");
    assert_eq!(text.sends("POST", "/mcp", "{}").await.status, 415);
    let large = json!({ "name": "get_note", "arguments": { "uid": "x".repeat(5 << 20) } });
    let answer = sidecar.alice().with("mcp-name", "get_note");
    assert_eq!(answer.asks("tools/call", large).await.status, 413);
}

#[tokio::test]
async fn there_is_no_handshake_in_the_revision_without_connections() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let answer = alice.asks("initialize", json!({})).await;
    assert_eq!((answer.status, answer.error_code()), (404, -32601));
    let versions = alice.posts(&initialize()).await;
    assert_eq!(versions.result()["protocolVersion"], LEGACY);
}

#[tokio::test]
async fn a_connection_that_was_closed_is_unknown() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = sidecar.alice().connects().await;
    connection.asks("ping", json!({})).await.result();
    let closed = connection.person.sends("DELETE", "/mcp", "").await;
    assert!(closed.status < 300, "{closed:?}");
    assert_eq!(connection.asks("ping", json!({})).await.status, 404);
}

/// What is unusual goes another way inside; a client must not be able to tell.
#[tokio::test]
async fn the_prepared_list_is_what_rmcp_would_have_said() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    for agent in [
        None,
        Some("vscode/1.100"),
        Some("gemini-cli/0.2"),
        Some("claude-code/2.0"),
    ] {
        let using = |person: &Person| {
            agent.map_or_else(|| person.clone(), |it| person.with("user-agent", it))
        };
        for params in [json!({}), json!({ "cursor": "" })] {
            let mut unusual = params.clone();
            unusual["unusual"] = json!(1);
            let modern = using(&alice);
            let plain = modern.asks("tools/list", params.clone()).await;
            let other = modern.asks("tools/list", unusual.clone()).await;
            assert_eq!((plain.status, &plain.body), (other.status, &other.body));
            assert_eq!(plain.header("content-type"), other.header("content-type"));
            let legacy = using(&connection.person);
            let plain = legacy.posts(&request(3, "tools/list", params)).await;
            let other = legacy.posts(&request(3, "tools/list", unusual)).await;
            assert_eq!((plain.status, &plain.body), (other.status, &other.body));
        }
    }
    let bad = json!({ "cursor": "made up" });
    assert_eq!(
        alice.asks("tools/list", bad.clone()).await.error_code(),
        -32602
    );
    assert_eq!(
        connection.asks("tools/list", bad).await.error_code(),
        -32602
    );
}
