//! The two requests of a call as the driver makes them itself: the session opened, then the one request, both signed.

use anyhow::{Context, Result};
use bench_parts::{TENANT, now_ms, signature::Signer};
use serde_json::Value;

use super::{
    calls::Tool,
    endpoint::Endpoint,
    wire::{Answer, Wire},
};

/// The driver's own two requests.
pub struct Direct {
    signer: Signer,
    opening: String,
    request: String,
    body: String,
    bytes: Vec<u8>,
}

impl Direct {
    /// For this tool.
    pub fn new(endpoint: &Endpoint, tool: Tool) -> Result<Self> {
        let (method, target, body) = tool.request();
        let Endpoint { host, token, .. } = endpoint;
        let common = format!(
            "host: {host}\r\nauthorization: Bearer {token}\r\naccept: application/json\r\nx-tb-tenant-id: {TENANT}\r\n"
        );
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let framing = match body.len() {
            0 => String::new(),
            length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        Ok(Self {
            signer: Signer::new()?,
            opening: format!("POST /v1/sync/sessions HTTP/1.1\r\n{common}content-length: 0\r\n"),
            request: format!("{method} {target} HTTP/1.1\r\n{common}{framing}"),
            body,
            bytes: Vec::new(),
        })
    }

    /// Makes both; the answer to the second.
    pub async fn exchange<'w>(&mut self, wire: &'w mut Wire) -> Result<Answer<'w>> {
        self.sign(&self.opening.clone(), "");
        let answer = wire.exchange(&self.bytes).await?;
        let session: Value = serde_json::from_slice(answer.body)?;
        let id = session.get("id").and_then(Value::as_str).context("id")?;
        let epoch = session
            .get("epoch")
            .and_then(Value::as_i64)
            .context("epoch")?;
        let session = format!("x-sync-session: {id}\r\nx-sync-epoch: {epoch}\r\n");
        self.sign(&self.request.clone(), &session);
        self.bytes.extend_from_slice(self.body.as_bytes());
        wire.exchange(&self.bytes).await
    }

    /// A head, signed for this moment.
    fn sign(&mut self, head: &str, session: &str) {
        let timestamp = now_ms().to_string();
        let signature = self.signer.sign(TENANT, &timestamp);
        self.bytes.clear();
        for part in [
            head,
            session,
            "x-tb-timestamp: ",
            &timestamp,
            "\r\nx-tb-signature: ",
            &signature,
            "\r\n\r\n",
        ] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }
}
