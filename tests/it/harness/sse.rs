//! A connection of revision 2024-11-05: one stream that everything is answered on, messages sent beside it.

use std::collections::VecDeque;

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use super::{
    in_time,
    person::{Answer, Ended, Person},
};

/// What these connections ask for.
pub(crate) const OLDEST: &str = "2024-11-05";

pub(crate) struct SseConnection {
    /// Who sends; a test may put somebody else here.
    pub(crate) person: Person,
    /// Where messages are sent, as the stream said.
    pub(crate) endpoint: String,
    pub(crate) headers: HeaderMap,
    stream: reqwest::Response,
    rest: String,
    /// Events that came before the one that was waited for.
    unheard: VecDeque<Value>,
}

impl SseConnection {
    /// Opens the stream; nothing is sent yet.
    pub(super) async fn open(person: &Person) -> Self {
        let stream = person.opens_at(Method::GET, "/sse").await;
        assert_eq!(stream.status(), 200);
        let mut connection = Self {
            person: person.clone(),
            endpoint: String::new(),
            headers: stream.headers().clone(),
            stream,
            rest: String::new(),
            unheard: VecDeque::new(),
        };
        let (name, endpoint) = connection.event().await.unwrap();
        assert_eq!(name, "endpoint");
        connection.endpoint = endpoint;
        connection
    }

    /// The handshake, in this revision; what the server is.
    pub(crate) async fn initializes(&mut self, version: &str, capabilities: Value) -> Value {
        let params = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": { "name": "it", "version": "1" },
        });
        let opened = self.asks(1, "initialize", params).await;
        self.notifies("notifications/initialized", json!({})).await;
        opened["result"].clone()
    }

    /// One message, and what the POST was answered.
    pub(crate) async fn posts(&self, message: &Value) -> Answer {
        self.person
            .with("content-type", "application/json")
            .sends("POST", &self.endpoint, &message.to_string())
            .await
    }

    /// A request that is taken; its answer comes on the stream.
    pub(crate) async fn begins(&self, id: u64, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let taken = self.posts(&message).await;
        assert_eq!((taken.status, taken.body.as_str()), (202, ""), "{taken:?}");
    }

    pub(crate) async fn begins_call(&self, id: u64, tool: &str, arguments: Value) {
        let params = json!({ "name": tool, "arguments": arguments });
        self.begins(id, "tools/call", params).await;
    }

    pub(crate) async fn notifies(&self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        assert_eq!(self.posts(&message).await.status, 202);
    }

    pub(crate) async fn asks(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.begins(id, method, params).await;
        self.answer_to(id).await
    }

    pub(crate) async fn calls(&mut self, id: u64, tool: &str, arguments: Value) -> Ended {
        self.begins_call(id, tool, arguments).await;
        Ended::of(&self.answer_to(id).await["result"])
    }

    /// The answer to this request; other messages before it are kept.
    pub(crate) async fn answer_to(&mut self, id: u64) -> Value {
        let mut passed = VecDeque::new();
        let answer = loop {
            let message = self.hears().await;
            if message["id"] == id && message.get("method").is_none() {
                break message;
            }
            passed.push_back(message);
        };
        self.unheard = passed;
        answer
    }

    /// The next message of any kind.
    pub(crate) async fn hears(&mut self) -> Value {
        if let Some(message) = self.unheard.pop_front() {
            return message;
        }
        let (name, data) = self.event().await.unwrap();
        assert_eq!(name, "message");
        serde_json::from_str(&data).unwrap()
    }

    /// Waits for the end of the stream; the messages before it.
    pub(crate) async fn ends(mut self) -> Vec<Value> {
        let mut messages: Vec<Value> = self.unheard.drain(..).collect();
        while let Some((_, data)) = self.event().await {
            messages.push(serde_json::from_str(&data).unwrap());
        }
        messages
    }

    /// Name and data of the next event, comments left out; `None` at the end of the stream.
    async fn event(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                if event.starts_with(':') {
                    continue;
                }
                let (name, data) = event.split_once("\ndata: ").unwrap();
                let name = name.strip_prefix("event: ").unwrap();
                return Some((name.to_owned(), data.to_owned()));
            }
            let chunk = in_time(self.stream.chunk()).await.unwrap()?;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
