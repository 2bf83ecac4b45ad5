//! The client of rmcp, in both eras: the full life of a note, and the calls that must be refused. It is the client half
//! of what `toolbridge call` is made of, so that no feature is compiled for this test alone.

use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult, ErrorCode, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use toolbridge::outgoing::{self, Timeouts};

use crate::harness::{self, Sidecar};

/// A connected client.
struct Client(RunningService<RoleClient, ()>);

#[tokio::test]
async fn rmcps_client_lives_a_note_over_a_legacy_connection() {
    let mode = ClientLifecycleMode::Initialize;
    a_note_lives(mode, &ProtocolVersion::V_2025_11_25).await;
}

#[tokio::test]
async fn rmcps_client_lives_a_note_without_connections() {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let mode = ClientLifecycleMode::Discover { preferred_versions };
    a_note_lives(mode, &ProtocolVersion::V_2026_07_28).await;
}

#[tokio::test]
async fn rmcps_client_finds_the_newest_revision_by_itself() {
    let mode = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    a_note_lives(mode, &ProtocolVersion::V_2026_07_28).await;
}

async fn a_note_lives(mode: ClientLifecycleMode, revision: &ProtocolVersion) {
    let sandbox = harness::sandbox().await;
    let sidecar = Sidecar::before(&sandbox).await;
    let client = Client::of(&sidecar, "alice", mode).await;
    let server = client.0.peer_info().unwrap();
    assert_eq!(server.protocol_version, *revision);
    assert_eq!(client.0.list_all_tools().await.unwrap().len(), 40);

    let new = json!({ "title": "A note", "content": "Günther's *first* line", "tags": ["a", "b"] });
    let note = client.good("create_note", new).await;
    assert_eq!(note["version"], 1);
    let uid = note["uid"].as_str().unwrap();
    let same = || json!({ "uid": uid });
    let read = client.good("get_note", same()).await;
    assert_eq!(read["payload"]["content"], "Günther's *first* line");
    let page = client.good("list_notes", json!({ "limit": 1000 })).await;
    assert_eq!(page["items"][0]["uid"], uid);
    let change = json!({ "uid": uid, "title": "A note", "content": "second", "if_match": 1 });
    let changed = client.good("update_note", change.clone()).await;
    assert_eq!(changed["version"], 2);
    let refused = client.refused("update_note", change).await;
    assert_eq!(refused["code"], "VERSION_CONFLICT");
    let updates = json!({ "uid": uid, "updates": { "content": "fourth" } });
    let patched = client.good("patch_note", updates).await;
    assert_eq!(patched["payload"]["title"], "A note");
    let pin = json!({ "uid": uid, "action": "pin" });
    let pinned = client.good("process_note", pin).await;
    assert_eq!(pinned["payload"]["pinned"], true);
    let archived = client.good("archive_note", same()).await;
    assert_eq!(archived["payload"]["status"], "archived");
    let deleted = client.good("delete_note", same()).await;
    assert!(deleted["deletedAt"].is_string());
    let gone = client.refused("get_note", same()).await;
    assert_eq!(gone["code"], "GONE");
    let odd = json!({ "uid": "../sync/state" });
    assert_eq!(client.refused("get_note", odd).await["field"], "uid");
    client.has_no("no_such_tool").await;
    client.0.cancel().await.unwrap();
    sidecar.stops().await;
}

impl Client {
    async fn of(sidecar: &Sidecar, subject: &str, mode: ClientLifecycleMode) -> Self {
        let wait = std::time::Duration::from_secs(60);
        let http = outgoing::client(Timeouts {
            connect: wait,
            request: wait,
        });
        let url = format!("{}/mcp", sidecar.url);
        let config = StreamableHttpClientTransportConfig::with_uri(url)
            .auth_header(harness::token_for(subject));
        let transport = StreamableHttpClientTransport::with_client(http.unwrap(), config);
        Self(().serve_with_lifecycle(transport, mode).await.unwrap())
    }

    async fn calls(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().unwrap().clone();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        harness::in_time(self.0.call_tool(call)).await.unwrap()
    }

    async fn good(&self, tool: &'static str, arguments: Value) -> Value {
        let result = self.calls(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{result:?}");
        result.structured_content.unwrap()
    }

    async fn refused(&self, tool: &'static str, arguments: Value) -> Value {
        let result = self.calls(tool, arguments).await;
        assert_eq!(result.is_error, Some(true), "{result:?}");
        result.structured_content.unwrap()["error"].clone()
    }

    async fn has_no(&self, tool: &'static str) {
        let refused = self.0.call_tool(CallToolRequestParams::new(tool)).await;
        let Err(ServiceError::McpError(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
        assert!(error.message.contains(tool));
    }
}
