//! Somebody with a token and a client of their own, who speaks the 2026-07-28 revision in plain JSON over connections
//! that are kept.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use toolbridge::{
    auth::{NewToken, mint},
    clock,
    outgoing::{self, Timeouts},
};

use super::walk::Caller;

pub(super) const SECRET: &str = "jwt-secret-of-the-soak-0123456789-0123456789";
pub(super) const TENANT_SECRET: &str = "tenant-secret-of-the-soak-0123456789-0123456789";
pub(super) const ISSUER: &str = "issuer-of-the-soak";
pub(super) const AUDIENCE: &str = "audience-of-the-soak";

const VERSION: &str = "2026-07-28";

/// Longer than a call may take: whoever waits so long got an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// As long as a soak may take.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Person {
    client: reqwest::Client,
    url: String,
    token: String,
    calls: AtomicUsize,
}

impl Person {
    pub(super) fn number(number: usize, url: &str) -> Self {
        let token = NewToken {
            subject: &format!("person-{number:02}"),
            issuer: ISSUER,
            audience: AUDIENCE,
            scopes: &[],
            issued_at: clock::unix_now(),
            lifetime: LIFETIME,
        };
        let token = mint(&SecretString::from(SECRET), token).unwrap();
        let client = outgoing::client(Timeouts {
            connect: PATIENCE,
            request: PATIENCE,
        });
        Self {
            client: client.unwrap(),
            url: url.to_owned(),
            token: token.expose_secret().to_owned(),
            calls: AtomicUsize::new(0),
        }
    }

    /// The calls since somebody asked last.
    pub(super) fn calls(&self) -> usize {
        self.calls.swap(0, Relaxed)
    }
}

impl Caller for Person {
    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, String> {
        self.calls.fetch_add(1, Relaxed);
        let message = json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": tool,
                "arguments": arguments,
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": VERSION,
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": { "name": "soak", "version": "1" },
                },
            },
        });
        let request = self.client.post(&self.url).bearer_auth(&self.token);
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .body(message.to_string());
        let response = request
            .send()
            .await
            .map_err(|error| format!("{tool}: {error:?}"))?;
        let status = response.status();
        let body = response
            .text()
            .await
            .map_err(|error| format!("{tool}: {error:?}"))?;
        // One message, bare or as the only event of a stream.
        let message = body.lines().find_map(|line| {
            let line = line.strip_prefix("data:").unwrap_or(line);
            serde_json::from_str::<Value>(line.trim()).ok()
        });
        let message = message.unwrap_or_default();
        let result = &message["result"];
        let good = status.is_success() && result["isError"] != true;
        match &result["structuredContent"] {
            it @ Value::Object(_) if good => Ok(it.clone()),
            _ => Err(format!("{tool}: {status}: {body}")),
        }
    }
}
