//! The bytes of MCP requests, of both kinds, made once and sent as often as needed.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{calls::Tool, endpoint::Endpoint, wire::Wire};

/// The revision without connections.
const MODERN: &str = "2026-07-28";

/// The one with them.
const LEGACY: &str = "2025-11-25";

/// A call of revision 2026-07-28.
pub fn modern(endpoint: &Endpoint, tool: Tool) -> Vec<u8> {
    let (method, params, name) = match tool {
        Tool::ToolsList => ("tools/list", json!({}), String::new()),
        _ => (
            "tools/call",
            json!({ "name": tool.name(), "arguments": tool.arguments() }),
            format!("mcp-name: {}\r\n", tool.name()),
        ),
    };
    of_modern(endpoint, method, params, &name)
}

/// Asks to hear of changes for as long as the connection lives.
pub fn listen(endpoint: &Endpoint) -> Vec<u8> {
    let params = json!({ "notifications": { "toolsListChanged": true } });
    of_modern(endpoint, "subscriptions/listen", params, "")
}

fn of_modern(endpoint: &Endpoint, method: &str, mut params: Value, name: &str) -> Vec<u8> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let headers = format!("mcp-protocol-version: {MODERN}\r\nmcp-method: {method}\r\n{name}");
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(endpoint, &headers, &message)
}

/// An MCP connection of the older kind, opened.
pub struct Opened {
    /// What every request on it has to carry.
    headers: String,
}

impl Opened {
    /// Opens one with revision 2025-11-25, or whichever the server offers instead.
    pub async fn on(wire: &mut Wire, endpoint: &Endpoint) -> Result<Self> {
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": { "name": "bench", "version": "0" },
        } });
        let answer = wire.exchange(&post(endpoint, "", &initialize)).await?;
        let text = String::from_utf8_lossy(answer.body);
        let agreed = text
            .split_once("\"protocolVersion\":")
            .map(|(_, rest)| rest);
        let agreed = agreed.and_then(|rest| rest.split('"').nth(1));
        let agreed = agreed.with_context(|| format!("initialize: {} {text}", answer.status))?;
        let mut headers = format!("mcp-protocol-version: {agreed}\r\n");
        // A server may do without an id.
        if let Some(id) = answer.connection_id {
            headers.push_str(&format!("mcp-session-id: {id}\r\n"));
        }
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let answer = wire
            .exchange(&post(endpoint, &headers, &initialized))
            .await?;
        if !(200..300).contains(&answer.status) {
            bail!("notifications/initialized: status {}", answer.status);
        }
        Ok(Self { headers })
    }

    /// A call on it.
    pub fn call(&self, endpoint: &Endpoint, tool: Tool) -> Vec<u8> {
        let (method, params) = match tool {
            Tool::ToolsList => ("tools/list", json!({})),
            _ => (
                "tools/call",
                json!({ "name": tool.name(), "arguments": tool.arguments() }),
            ),
        };
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        post(endpoint, &self.headers, &message)
    }

    /// Its stream for what the server says unasked.
    pub fn stream(&self, endpoint: &Endpoint) -> Vec<u8> {
        let Endpoint { host, path, .. } = endpoint;
        let authorization = endpoint.authorization();
        let headers = &self.headers;
        format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}accept: text/event-stream\r\n{headers}\r\n"
        )
        .into_bytes()
    }
}

fn post(endpoint: &Endpoint, headers: &str, message: &Value) -> Vec<u8> {
    let Endpoint { host, path, .. } = endpoint;
    let authorization = endpoint.authorization();
    let body = message.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}content-type: application/json\r\naccept: application/json, text/event-stream\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
