//! JSON-RPC over HTTP by hand, as both lifecycles want it (MCP 2025-11-25 and 2026-07-28, transports): requests with
//! their headers, and answers that come as JSON or as the first matching event of a stream.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::visit::{Answer, Visit, cause};

/// The last revision with a handshake.
pub(super) const LEGACY: &str = "2025-11-25";
/// The revision without one.
pub(super) const MODERN: &str = "2026-07-28";

/// Largest answer to one message: a long tool list.
const LARGEST: usize = 8 << 20;

/// The opening message of a handshake.
pub(super) fn initialize(id: u32) -> Value {
    json!({
        "jsonrpc": "2.0", "id": id, "method": "initialize",
        "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": { "name": "toolbridge-doctor", "version": env!("CARGO_PKG_VERSION") },
        },
    })
}

/// A message without a token.
pub(super) fn message(http: &reqwest::Client, url: Url, message: &Value) -> RequestBuilder {
    http.post(url)
        .header(ACCEPT, "application/json, text/event-stream")
        .header(CONTENT_TYPE, "application/json")
        .body(message.to_string())
}

/// Adds the token.
pub(super) fn authorized(request: RequestBuilder, token: Option<&SecretString>) -> RequestBuilder {
    let value = token.and_then(|token| {
        let text = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    });
    match value {
        Some(value) => request.header(AUTHORIZATION, value),
        None => request,
    }
}

/// What a message brought.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// The JSON-RPC answer, where there is one.
    pub(super) message: Option<Value>,
}

impl Reply {
    pub(super) fn result(&self) -> Option<&Value> {
        self.message.as_ref()?.get("result")
    }
}

impl Visit {
    /// Sends a message of the legacy lifecycle, with token and connection id.
    pub(super) async fn legacy(&mut self, message: &Value) -> Result<Reply, String> {
        let mut request = self.with_token(message)?;
        if message
            .get("method")
            .is_some_and(|method| method != "initialize")
        {
            request = request.header("mcp-protocol-version", LEGACY);
        }
        if let Some(id) = &self.facts.connection {
            request = request.header("mcp-session-id", id);
        }
        self.exchange(request, message).await
    }

    /// Sends a message of the modern lifecycle.
    pub(super) async fn modern(&mut self, message: &Value) -> Result<Reply, String> {
        let method = message.get("method").and_then(Value::as_str).unwrap_or("");
        let request = self
            .with_token(message)?
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        self.exchange(request, message).await
    }

    fn with_token(&self, content: &Value) -> Result<RequestBuilder, String> {
        let url = self.facts.url.clone().ok_or("there is no URL")?;
        let request = message(&self.http, url, content);
        Ok(authorized(request, self.token.as_ref()))
    }

    async fn exchange(&mut self, request: RequestBuilder, sent: &Value) -> Result<Reply, String> {
        let mut response = request.send().await.map_err(cause)?;
        self.note_clock("the server", response.headers());
        let kind = response.headers().get(CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            let answer = Answer::read(response, LARGEST).await?;
            let message = answer.json();
            return Ok(Reply { answer, message });
        }
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let mut message = None;
        // A stream may stay open behind the answer: nothing is read past it.
        while message.is_none() && body.len() <= LARGEST {
            let Some(chunk) = response.chunk().await.map_err(cause)? else {
                break;
            };
            body.extend_from_slice(&chunk);
            // Looking at all of it costs; an event ends with a line.
            if chunk.contains(&b'\n') {
                message = event(&body, sent.get("id"));
            }
        }
        let answer = Answer {
            status,
            headers,
            body,
        };
        Ok(Reply { answer, message })
    }
}

/// The first whole event that answers the request with this id.
fn event(body: &[u8], id: Option<&Value>) -> Option<Value> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let (whole, _) = text.rsplit_once("\n\n")?;
    whole.split("\n\n").find_map(|event| {
        let data: Vec<_> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.strip_prefix(' ').unwrap_or(data))
            .collect();
        let message: Value = serde_json::from_str(&data.join("\n")).ok()?;
        (message.get("id") == id).then_some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_behind_other_events_once_it_is_whole() {
        let id = json!(3);
        let stream = ": hello\n\nid: 0\ndata:\n\ndata: {\"method\":\"ping\"}\n\ndata: {\"id\":3,\r\ndata: \"result\":{}}\n\n";
        for end in 0..stream.len() {
            assert_eq!(event(&stream.as_bytes()[..end], Some(&id)), None, "{end}");
        }
        assert_eq!(
            event(stream.as_bytes(), Some(&id)),
            Some(json!({ "id": 3, "result": {} }))
        );
    }
}
