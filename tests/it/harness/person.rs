//! Somebody who calls the sidecar over plain HTTP, as the 2026-07-28 revision wants it, and what comes back.

use std::time::Duration;

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use toolbridge::outgoing::{self, Timeouts};

use super::{
    in_time,
    legacy::{Connection, Stream},
    sse::SseConnection,
};

pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const BOTH_TYPES: &str = "application/json, text/event-stream";

/// Somebody, with the headers that each of their requests carries.
#[derive(Clone)]
pub(crate) struct Person {
    url: String,
    client: reqwest::Client,
    headers: Vec<(String, String)>,
    /// What the client calls itself.
    pub(super) client_name: String,
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// How a tool call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The `CallToolResult`.
    pub(crate) result: Value,
}

/// A request on its way, on a connection of its own.
pub(crate) struct Begun {
    stream: TcpStream,
    /// What came of the answer.
    text: String,
}

impl Person {
    pub(crate) fn at(url: &str) -> Self {
        let wait = Duration::from_secs(60);
        let client = outgoing::client(Timeouts {
            connect: wait,
            request: wait,
        });
        Self {
            url: url.to_owned(),
            client: client.unwrap(),
            headers: Vec::new(),
            client_name: "it".to_owned(),
        }
    }

    /// The same person with a client that calls itself so.
    pub(crate) fn using(&self, client: &str) -> Self {
        Self {
            client_name: client.to_owned(),
            ..self.clone()
        }
    }

    /// The same person with one more header on every request, beside those of the same name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// The same person without a header.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(header, _)| header != name);
        other
    }

    /// Any request, with nothing but this person's headers.
    pub(crate) async fn sends(&self, method: &str, path: &str, body: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = self.headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let response = request.body(body.to_owned()).send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn gets(&self, path: &str) -> Answer {
        self.sends("GET", path, "").await
    }

    /// A response of MCP whose body is still to come.
    pub(crate) async fn streams(&self, method: &str, body: &str) -> Stream {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}/mcp", self.url));
        let person = self.with("content-type", "application/json");
        let request = person
            .headers
            .iter()
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            });
        Stream::of(request.body(body.to_owned()).send().await.unwrap())
    }

    /// A response whose body is still to come.
    pub(crate) async fn opens_at(&self, method: Method, path: &str) -> reqwest::Response {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = self.headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        request.send().await.unwrap()
    }

    /// One message to MCP.
    pub(crate) async fn posts(&self, message: &Value) -> Answer {
        self.with("content-type", "application/json")
            .with("accept", BOTH_TYPES)
            .sends("POST", "/mcp", &message.to_string())
            .await
    }

    /// One request in the 2026-07-28 revision.
    pub(crate) async fn asks(&self, method: &str, params: Value) -> Answer {
        let mut message = modern(method, params);
        let meta = &mut message["params"]["_meta"];
        meta["io.modelcontextprotocol/clientInfo"]["name"] = json!(self.client_name);
        self.with("mcp-protocol-version", MODERN)
            .with("mcp-method", method)
            .posts(&message)
            .await
    }

    /// One tool call in the 2026-07-28 revision.
    pub(crate) async fn calls(&self, tool: &str, arguments: Value) -> Ended {
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = self.with("mcp-name", tool).asks("tools/call", params).await;
        Ended::of(&answer.result())
    }

    /// The same call on a connection of its own, which ends when what is returned is dropped.
    pub(crate) async fn begins(&self, tool: &str, arguments: Value) -> Begun {
        let params = json!({ "name": tool, "arguments": arguments });
        self.with("mcp-protocol-version", MODERN)
            .with("mcp-method", "tools/call")
            .with("mcp-name", tool)
            .writes(&modern("tools/call", params))
            .await
    }

    /// The same with more in its `_meta`.
    pub(crate) async fn begins_with(&self, tool: &str, arguments: Value, meta: &Value) -> Begun {
        let params = json!({ "name": tool, "arguments": arguments });
        let mut message = modern("tools/call", params);
        add(&mut message["params"]["_meta"], meta);
        self.with("mcp-protocol-version", MODERN)
            .with("mcp-method", "tools/call")
            .with("mcp-name", tool)
            .writes(&message)
            .await
    }

    /// A call in the 2026-07-28 revision with more in its `_meta`; what it was answered.
    pub(crate) async fn calls_with(&self, tool: &str, arguments: Value, meta: &Value) -> Answer {
        let params = json!({ "name": tool, "arguments": arguments });
        let mut message = modern("tools/call", params);
        add(&mut message["params"]["_meta"], meta);
        self.with("mcp-protocol-version", MODERN)
            .with("mcp-method", "tools/call")
            .with("mcp-name", tool)
            .posts(&message)
            .await
    }

    /// One message to MCP on a connection of its own, byte for byte.
    pub(crate) async fn writes(&self, message: &Value) -> Begun {
        let authority = self.url.trim_start_matches("http://");
        let body = message.to_string();
        let mut head = format!("POST /mcp HTTP/1.1\r\nhost: {authority}\r\n");
        let own = [
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), BOTH_TYPES.to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
        ];
        for (name, value) in self.headers.iter().chain(&own) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(authority).await.unwrap();
        let request = format!("{head}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        Begun {
            stream,
            text: String::new(),
        }
    }

    /// Opens the stream of a connection of the oldest revision.
    pub(crate) async fn opens_sse(&self) -> SseConnection {
        SseConnection::open(self).await
    }

    /// Opens a connection of the older revisions.
    pub(crate) async fn connects(&self) -> Connection {
        Connection::open(self).await
    }
}

impl Begun {
    /// Waits for the answer: everything until the sidecar has sent a whole body (or ended the connection).
    pub(crate) async fn answer(mut self) -> String {
        while !is_whole(&self.text) && self.reads().await {}
        self.text
    }

    /// Waits until the answer, still on its way, has said this so many times.
    pub(crate) async fn says(&mut self, what: &str, times: usize) {
        while self.text.matches(what).count() < times {
            assert!(self.reads().await, "{}", self.text);
        }
    }

    /// Reads on; false at the end of the connection.
    async fn reads(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let read = in_time(self.stream.read(&mut buffer)).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..read]);
        self.text.push_str(&text);
        read > 0
    }

    /// Goes away in the middle.
    pub(crate) fn disconnects(self) {
        drop(self);
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    match length {
        Some(length) => body.len() >= length,
        None => body.ends_with("0\r\n\r\n"),
    }
}

/// Adds the members of one object to another.
fn add(object: &mut Value, more: &Value) {
    let more = more.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(more);
}

/// A request of the 2026-07-28 revision.
pub(crate) fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "it", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// A header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON-RPC message, as JSON or as the last event of a stream.
    #[track_caller]
    pub(crate) fn message(&self) -> Value {
        if !self.header("content-type").starts_with("text/event-stream") {
            return self.json();
        }
        let mut data = self
            .body
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok());
        data.next_back()
            .unwrap_or_else(|| panic!("no event: {self:?}"))
    }

    /// The result of a request that succeeded.
    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        let message = self.message();
        assert!(message["result"].is_object(), "{self:?}");
        message["result"].clone()
    }

    /// The code of a JSON-RPC error.
    #[track_caller]
    pub(crate) fn error_code(&self) -> i64 {
        let code = self.message()["error"]["code"].as_i64();
        code.unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

impl Ended {
    pub(crate) fn of(result: &Value) -> Self {
        Self {
            result: result.clone(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.result["content"].as_array().unwrap().len(), 1);
        self.result["content"][0]["text"].as_str().unwrap()
    }

    /// The structured result of a call that succeeded; its text is the same JSON.
    #[track_caller]
    pub(crate) fn good(&self) -> Value {
        let structured = &self.result["structuredContent"];
        assert_ne!(self.result["isError"], true, "{}", self.result);
        let text: Value = serde_json::from_str(self.text()).unwrap();
        assert_eq!(text, *structured);
        structured.clone()
    }

    /// The error of a call that failed; its text is the same message.
    #[track_caller]
    pub(crate) fn failed(&self) -> Value {
        assert_eq!(self.result["isError"], true, "{}", self.result);
        let error = &self.result["structuredContent"]["error"];
        assert_eq!(error["message"], self.text());
        error.clone()
    }

    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.failed()["code"].as_str().unwrap().to_owned()
    }
}
