//! A connection of the revisions before 2026-07-28: `initialize`, a connection id, answers as events.

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

/// A response of events, as they come.
pub(crate) struct Stream {
    response: reqwest::Response,
    /// What has come and was not read yet.
    text: String,
}

impl Connection {
    pub(super) async fn open(person: &Person) -> Self {
        let mut message = initialize();
        message["params"]["clientInfo"]["name"] = json!(person.client_name);
        let answer = person.posts(&message).await;
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
        let stream = person.streams("GET", "").await;
        assert_eq!(stream.status(), 200);
        stream
    }
}

impl Stream {
    pub(super) fn of(response: reqwest::Response) -> Self {
        Self {
            response,
            text: String::new(),
        }
    }

    /// Waits for the end of the stream; what came before it.
    pub(crate) async fn ends(mut self) -> String {
        while self.grows().await {}
        self.text
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Waits for the next event: its lines, without the empty one.
    pub(crate) async fn event(&mut self) -> String {
        let event = self.next().await;
        event.unwrap_or_else(|| panic!("the stream ended: {}", self.text))
    }

    /// The same; nothing at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = format!("{event}\n");
                self.text = rest.to_owned();
                return Some(event);
            }
            if !self.grows().await {
                return None;
            }
        }
    }

    /// The next message; nothing at the end of the stream. Comments and events without data are passed over.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.next().await?;
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            let data = data.map(str::trim).filter(|data| !data.is_empty());
            if let Some(data) = data {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Waits for more; whether there is.
    async fn grows(&mut self) -> bool {
        let Ok(Some(chunk)) = in_time(self.response.chunk()).await else {
            return false;
        };
        self.text.push_str(&String::from_utf8_lossy(&chunk));
        true
    }
}

/// The same person on a new connection of this revision.
pub(crate) async fn opened_with(person: &Person, version: &str) -> Person {
    let mut hello = initialize();
    hello["params"]["protocolVersion"] = json!(version);
    let answer = person.posts(&hello).await;
    person
        .with("mcp-session-id", answer.header("mcp-session-id"))
        .with("mcp-protocol-version", version)
}

pub(crate) fn initialize() -> Value {
    let params = json!({
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": { "name": "it", "version": "1" },
    });
    request(1, "initialize", params)
}

pub(crate) fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}
