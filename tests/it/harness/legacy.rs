//! A connection of the revisions before 2026-07-28: `initialize`, a connection id, answers as events.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    in_time,
    person::{Answer, Begun, Ended, Person},
};

/// What these connections negotiate.
pub(crate) const LEGACY: &str = "2025-11-25";

pub(crate) struct Connection {
    /// The person, with the connection's headers.
    pub(crate) person: Person,
    /// What `initialize` answered.
    pub(crate) opened: Value,
    pub(crate) id: String,
}

/// The stream of messages that answer no request.
pub(crate) struct Stream(reqwest::Response);

impl Connection {
    pub(super) async fn open(person: &Person) -> Self {
        let answer = person.posts(&initialize()).await;
        let id = answer.header("mcp-session-id").to_owned();
        assert!(!id.is_empty(), "{answer:?}");
        let connection = Self {
            person: person
                .with("mcp-session-id", &id)
                .with("mcp-protocol-version", LEGACY),
            opened: answer.result(),
            id,
        };
        let ready = connection.notifies("notifications/initialized", json!({}));
        assert_eq!(ready.await.status, 202);
        connection
    }

    pub(crate) async fn asks(&self, method: &str, params: Value) -> Answer {
        self.person.posts(&request(2, method, params)).await
    }

    pub(crate) async fn notifies(&self, method: &str, params: Value) -> Answer {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.person.posts(&message).await
    }

    pub(crate) async fn calls(&self, tool: &str, arguments: Value) -> Ended {
        let params = json!({ "name": tool, "arguments": arguments });
        Ended::of(&self.asks("tools/call", params).await.result())
    }

    /// A call under this id, on a TCP connection of its own.
    pub(crate) async fn begins(&self, id: u64, tool: &str, arguments: Value) -> Begun {
        let params = json!({ "name": tool, "arguments": arguments });
        self.person.writes(&request(id, "tools/call", params)).await
    }

    pub(crate) async fn listens(&self) -> Stream {
        let person = self.person.with("accept", "text/event-stream");
        let response = person.opens(Method::GET).await;
        assert_eq!(response.status(), 200);
        Stream(response)
    }
}

impl Stream {
    /// Waits for the end of the stream; what came before it.
    pub(crate) async fn ends(mut self) -> String {
        let mut text = String::new();
        while let Ok(Some(chunk)) = in_time(self.0.chunk()).await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    }
}

pub(crate) fn initialize() -> Value {
    let params = json!({
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": { "name": "it", "version": "1" },
    });
    request(1, "initialize", params)
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}
