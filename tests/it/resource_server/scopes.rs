//! Scopes, checked before MCP.

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{Answer, Issuer, METADATA, MODERN, Setup, Sidecar, modern};

const CATALOGUE: &str = r#"
version: 1
scopes: { read: ["notes:read"], write: ["notes:read", "notes:write"] }
entities:
  note:
    path: /v1/notes
    description: A note.
    operations: [list, get, create]
    fields:
      title: { type: string, required: true, description: Title }
tools:
  audit:
    description: Who did what.
    request: GET /v1/audit
    effect: read
    session: false
    scopes: ["audit:read", "offline_access"]
aliases: { write_note: create_note }
"#;

struct Scene {
    issuer: Issuer,
    sidecar: Sidecar,
    _catalogue: NamedTempFile,
}

impl Scene {
    async fn set() -> Self {
        Self::with(|setup| setup).await
    }

    async fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let catalogue = NamedTempFile::new().unwrap();
        std::fs::write(catalogue.path(), CATALOGUE).unwrap();
        let issuer = Issuer::start().await;
        let setup =
            Setup::trusting(&issuer).set("catalogue.file", catalogue.path().to_str().unwrap());
        Self {
            sidecar: change(setup).start().await,
            issuer,
            _catalogue: catalogue,
        }
    }

    fn token(&self, scopes: &str) -> String {
        self.issuer.token(json!({}), json!({ "scope": scopes }))
    }

    async fn calls(&self, scopes: &str, tool: &str) -> Answer {
        let params = call(tool)["params"].clone();
        let token = self.token(scopes);
        self.sidecar.asks(&token, "tools/call", params).await
    }

    /// A message of the revisions before 2026-07-28.
    async fn sends(&self, scopes: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token(scopes));
        let own = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let headers = [headers, &own].concat();
        self.sidecar.sends("POST", "/mcp", &headers, body).await
    }
}

/// 403 with exactly these scopes.
#[track_caller]
fn lacks(answer: &Answer, scopes: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    let challenge = format!(
        r#"Bearer error="insufficient_scope", error_description="the token lacks a scope: needed {scopes}", scope="{scopes}", resource_metadata="{METADATA}""#
    );
    assert_eq!(answer.header("www-authenticate"), challenge);
    assert_eq!(answer.json()["error"], "insufficient_scope");
}

/// MCP ran the call, and met a backend that is not there.
#[track_caller]
fn ran(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("BACKEND_UNAVAILABLE"), "{answer:?}");
}

fn call(tool: &str) -> Value {
    let arguments = if tool.ends_with("_note") {
        json!({ "title": "t" })
    } else {
        json!({})
    };
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

#[tokio::test]
async fn a_call_without_its_scopes_is_refused_with_all_of_them() {
    let scene = Scene::set().await;
    lacks(
        &scene.calls("", "create_note").await,
        "notes:read notes:write",
    );
    lacks(
        &scene.calls("notes:write", "create_note").await,
        "notes:read notes:write",
    );
    lacks(
        &scene.calls("notes:read", "audit").await,
        "notes:read audit:read offline_access",
    );
    lacks(&scene.calls("notes", "list_notes").await, "notes:read");
    ran(&scene.calls("notes:read", "list_notes").await);
    ran(&scene.calls("notes:write x notes:read", "create_note").await);
    let unknown = scene.calls("", "drop_tables").await;
    assert_eq!(unknown.json()["error"]["code"], -32602, "{unknown:?}");
}

#[tokio::test]
async fn an_encoded_tool_name_is_read() {
    let scene = Scene::set().await;
    let headers = [
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?Y3JlYXRlX25vdGU=?="),
    ];
    let params = json!({ "name": "create_note", "arguments": { "title": "t" } });
    let body = modern("tools/call", params).to_string();
    lacks(
        &scene.sends("notes:read", &headers, &body).await,
        "notes:read notes:write",
    );
    ran(&scene.sends("notes:read notes:write", &headers, &body).await);
}

#[tokio::test]
async fn headers_that_lie_about_the_call_do_not_get_it_run() {
    let scene = Scene::set().await;
    let params = json!({ "name": "create_note", "arguments": { "title": "t" } });
    let body = modern("tools/call", params).to_string();
    for (version, method, name) in [
        (MODERN, "tools/call", Some("list_notes")),
        (MODERN, "tools/list", None),
        (MODERN, "tools/call", None),
        (MODERN, "tools/call", Some("=?base64?bGlzdF9ub3Rlcw==?=")),
        ("2999-01-01", "tools/call", Some("list_notes")),
        ("zzz", "tools/call", Some("list_notes")),
    ] {
        let mut headers = vec![("mcp-protocol-version", version), ("mcp-method", method)];
        headers.extend(name.map(|name| ("mcp-name", name)));
        for body in [&body, &call("create_note").to_string()] {
            let answer = scene.sends("notes:read", &headers, body).await;
            let forbidden = answer.body.contains("FORBIDDEN");
            let shown = format!("{version} {method} {name:?}: {answer:?}");
            assert!(answer.status == 400 || forbidden, "{shown}");
        }
    }
}

#[tokio::test]
async fn older_calls_are_refused_by_what_their_body_says() {
    let scene = Scene::set().await;
    let needed = "notes:read notes:write";
    let plain = call("create_note").to_string();
    let escaped = plain.replace("tools/call", r"tools\/c\u0061ll");
    let renamed = plain.replace("create_note", r"create\u005fnote");
    for body in [&plain, &escaped, &renamed, &format!("\n\t{plain} ")] {
        lacks(&scene.sends("notes:read", &[], body).await, needed);
        // The header that names a tool counts for nothing here.
        let lie = [
            ("mcp-name", "list_notes"),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        lacks(&scene.sends("notes:read", &lie, body).await, needed);
    }
}

#[tokio::test]
async fn all_calls_of_a_batch_count() {
    let scene = Scene::set().await;
    let ping = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    let batch = json!([ping, call("list_notes"), call("audit"), call("create_note")]);
    let answer = scene.sends("notes:read", &[], &batch.to_string()).await;
    lacks(&answer, "notes:read audit:read offline_access notes:write");
}

#[tokio::test]
async fn an_older_call_with_its_scopes_runs() {
    let scene = Scene::set().await;
    let scopes = "notes:read notes:write";
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "it", "version": "1" },
    } });
    let opened = scene.sends("", &[], &hello.to_string()).await;
    let connection = [
        ("mcp-session-id", opened.header("mcp-session-id")),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let ready = scene.sends("", &connection, &ready.to_string()).await;
    assert_eq!(ready.status, 202);
    let body = call("create_note").to_string();
    lacks(&scene.sends("notes:read", &connection, &body).await, scopes);
    ran(&scene.sends(scopes, &connection, &body).await);
}

#[tokio::test]
async fn a_body_is_never_read_beyond_the_limit() {
    let scene = Scene::with(|setup| setup.set("server.max_request_bytes", "1 KiB")).await;
    let mut message = call("list_notes");
    message["params"]["arguments"]["pad"] = json!("x".repeat(2000));
    let answer = scene.sends("notes:read", &[], &message.to_string()).await;
    assert_eq!(answer.status, 413);
    // The same without saying how long it is.
    let authority = scene.sidecar.url.trim_start_matches("http://");
    let token = scene.token("notes:read");
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
}

#[tokio::test]
async fn callers_see_the_tools_they_may_call_and_nobody_may_share_that_list() {
    let scene = Scene::set().await;
    let list = |scopes| {
        let scene = &scene;
        async move {
            let listed = scene.sidecar.lists(&scene.token(scopes)).await.json();
            assert_eq!(listed["result"]["cacheScope"], "private");
            let tools = listed["result"]["tools"].as_array().unwrap().clone();
            let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
            tools.iter().map(name).collect::<Vec<_>>()
        }
    };
    assert!(list("").await.is_empty());
    assert_eq!(list("notes:read").await, ["list_notes", "get_note"]);
    assert!(
        list("notes:read notes:write")
            .await
            .contains(&"create_note".to_owned())
    );
    assert!(
        list("notes:read audit:read offline_access")
            .await
            .contains(&"audit".to_owned())
    );
}

#[tokio::test]
async fn the_description_and_the_first_challenge_name_the_scopes_to_ask_for() {
    let scene = Scene::set().await;
    let document = scene
        .sidecar
        .gets("/.well-known/oauth-protected-resource")
        .await;
    let scopes = ["notes:read", "notes:write", "audit:read"];
    assert_eq!(document.json()["scopes_supported"], json!(scopes));
    let refused = scene.sidecar.gets("/mcp").await;
    let scopes = scopes.join(" ");
    let challenge = format!(r#"Bearer scope="{scopes}", resource_metadata="{METADATA}""#);
    assert_eq!(refused.header("www-authenticate"), challenge);
}

#[tokio::test]
async fn a_former_name_needs_the_scopes_of_the_tool_it_stands_for() {
    let scene = Scene::set().await;
    lacks(
        &scene.calls("notes:read", "write_note").await,
        "notes:read notes:write",
    );
    ran(&scene.calls("notes:read notes:write", "write_note").await);
    let body = call("write_note").to_string();
    lacks(
        &scene.sends("notes:read", &[], &body).await,
        "notes:read notes:write",
    );
}
