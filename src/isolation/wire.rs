//! Requests as an attacker writes them: every header and byte of the body is ours, twice where that is the trick.
//! In: a [`Message`]. Out: an [`Answer`] with the whole text that came back, which is what leaks are looked for in.
//! Waits only where a sidecar said how long (`RATE_LIMITED`).

mod raw;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use crate::outgoing::{self, ReadError, Timeouts};

/// Larger answers prove nothing and are cut.
const MOST_BYTES: usize = 32 << 20;
/// How often a limited request is repeated, and how long one wait may be.
const REPEATS: usize = 20;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
/// The header that names a legacy connection.
pub(super) const CONNECTION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Where somebody knocks, and as whom.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) url: Url,
    pub(super) authorization: HeaderValue,
}

/// Sends and counts.
pub(super) struct Wire {
    client: Client,
    requests: AtomicUsize,
}

/// One HTTP request, complete.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Header lines that no library would write; plain HTTP only.
    pub(super) lines: Vec<String>,
    pub(super) body: Option<Value>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Header values and body, one after the other.
    pub(super) text: String,
    /// The JSON-RPC message in it.
    pub(super) message: Option<Value>,
    pub(super) connection: Option<String>,
}

/// How a request ended.
pub(super) enum Ending {
    /// With a result: structured content, or the result whole.
    Success(Value),
    /// Somebody said no; the word they used.
    Refused { how: String, words: String },
    /// Nobody said anything that counts: no proof either way.
    Unanswered(String),
}

impl Door {
    /// A bearer token's. A token with bytes that no header may have becomes an empty one, which nobody accepts.
    pub(super) fn new(url: &Url, token: &SecretString) -> Self {
        Self {
            url: url.clone(),
            authorization: bearer(token.expose_secret()),
        }
    }
}

/// `Authorization` for a token.
pub(super) fn bearer(token: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

impl Message {
    /// A tool call of revision 2026-07-28.
    pub(super) fn call(door: &Door, tool: &str, arguments: Map<String, Value>) -> Self {
        let mut message = Self::modern(
            door,
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        );
        if let Ok(name) = HeaderValue::from_str(tool) {
            message
                .headers
                .insert(HeaderName::from_static("mcp-name"), name);
        }
        message
    }

    /// Any request of revision 2026-07-28.
    pub(super) fn modern(door: &Door, method: &'static str, mut params: Value) -> Self {
        if let Some(params) = params.as_object_mut() {
            params.insert(
                "_meta".to_owned(),
                json!({
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientCapabilities": {},
                }),
            );
        }
        Self::post(door, method, params)
            .with("mcp-protocol-version", MODERN)
            .with("mcp-method", method)
    }

    /// A request of the revisions with connections; without an id only `initialize` is answered.
    pub(super) fn legacy(
        door: &Door,
        connection: Option<&str>,
        method: &str,
        params: Value,
    ) -> Self {
        let message = Self::post(door, method, params);
        match connection {
            Some(id) => message
                .with("mcp-session-id", id)
                .with("mcp-protocol-version", LEGACY),
            None => message,
        }
    }

    /// The beginning of a connection.
    pub(super) fn initialize(door: &Door) -> Self {
        let client = json!({ "name": "toolbridge-prove-isolation", "version": "1" });
        let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client });
        Self::legacy(door, None, "initialize", params)
    }

    /// A request about a connection, without a body: its stream (GET) or its end (DELETE).
    pub(super) fn about_connection(door: &Door, method: Method, id: &str) -> Self {
        let mut message = Self::legacy(door, Some(id), "", Value::Null);
        message.method = method;
        message.body = None;
        message.headers.remove(CONTENT_TYPE);
        message.with("accept", "text/event-stream")
    }

    fn post(door: &Door, method: &str, params: Value) -> Self {
        let mut body = json!({ "jsonrpc": "2.0", "method": method });
        if let Some(body) = body.as_object_mut() {
            if !method.starts_with("notifications/") {
                body.insert("id".to_owned(), json!(1));
            }
            if !params.is_null() {
                body.insert("params".to_owned(), params);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, door.authorization.clone());
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            method: Method::POST,
            url: door.url.clone(),
            headers,
            lines: Vec::new(),
            body: Some(body),
        }
    }

    /// With this header, in place of one of that name. What cannot stand in a header is left out.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// With this header beside those that are there.
    pub(super) fn and(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }
}

impl Wire {
    /// The client of a whole proof.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let client = outgoing::client(Timeouts {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(60),
        })?;
        Ok(Self {
            client,
            requests: AtomicUsize::new(0),
        })
    }

    /// Sends, and repeats what was limited as often as it has to.
    pub(super) async fn send(&self, message: &Message) -> Result<Answer, String> {
        let mut repeats = 0;
        loop {
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            let answer = once(&self.client, numbered(message, number)).await;
            match answer.as_ref().ok().and_then(Answer::wait) {
                Some(wait) if repeats < REPEATS => tokio::time::sleep(wait.min(LONGEST_WAIT)).await,
                _ => return answer,
            }
            repeats += 1;
        }
    }

    /// How many requests were sent.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// With a JSON-RPC id of its own: two requests of one id at once on one connection would wait for each other.
fn numbered(message: &Message, number: usize) -> Message {
    let mut message = message.clone();
    if let Some(id) = message.body.as_mut().and_then(|body| body.get_mut("id")) {
        *id = json!(number);
    }
    message
}

async fn once(client: &Client, message: Message) -> Result<Answer, String> {
    if !message.lines.is_empty() {
        return raw::send(&message).await;
    }
    let mut request = client
        .request(message.method.clone(), message.url)
        .headers(message.headers);
    if let Some(body) = &message.body {
        request = request.body(body.to_string());
    }
    let response = request.send().await.map_err(|error| words(&error))?;
    let status = response.status();
    let headers = response.headers().clone();
    // A stream that was granted never ends; that it was granted says enough.
    let body = if message.method == Method::GET && status.is_success() {
        Vec::new()
    } else {
        let body = outgoing::read_at_most(response, MOST_BYTES).await;
        body.map_err(|error| match error {
            ReadError::TooLarge { limit } => format!("an answer of more than {limit} bytes"),
            ReadError::Broken(error) => words(&error),
        })?
    };
    Ok(Answer::new(status.as_u16(), &headers, &body))
}

/// What went wrong, without the address.
fn words(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    what.to_owned()
}

impl Answer {
    fn new(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let body = String::from_utf8_lossy(body);
        let is_stream = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let message = if is_stream {
            body.lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .filter_map(|data| serde_json::from_str::<Value>(data).ok())
                .rfind(|message| message.get("result").or(message.get("error")).is_some())
        } else {
            serde_json::from_str(&body).ok()
        };
        let mut whole: Vec<String> = headers.values().map(text).collect();
        whole.push(body.into_owned());
        Self {
            status,
            text: whole.join("\n"),
            message,
            connection: headers.get(&CONNECTION).map(text),
        }
    }

    /// How it ended.
    pub(super) fn ending(&self) -> Ending {
        if self.status >= 500 || self.status == 429 {
            return Ending::Unanswered(format!("HTTP {}", self.status));
        }
        if self.status >= 400 {
            return self.refused(&format!("HTTP {}", self.status), "");
        }
        let Some(message) = &self.message else {
            return Ending::Success(Value::Null);
        };
        if let Some(code) = message.pointer("/error/code") {
            return self.refused(&format!("JSON-RPC {code}"), "");
        }
        let result = message.get("result").cloned().unwrap_or_default();
        let content = content(&result);
        if result.get("isError") != Some(&Value::Bool(true)) {
            return Ending::Success(content.unwrap_or(result));
        }
        let error = content.unwrap_or_default();
        let part = |name: &str| {
            error
                .pointer(&format!("/error/{name}"))
                .and_then(Value::as_str)
        };
        match part("code") {
            Some(code @ ("BACKEND_UNAVAILABLE" | "TIMEOUT" | "RATE_LIMITED" | "INTERNAL")) => {
                Ending::Unanswered(code.to_owned())
            }
            Some(code) => self.refused(code, part("message").unwrap_or_default()),
            None => self.refused("tool error", ""),
        }
    }

    fn refused(&self, how: &str, words: &str) -> Ending {
        Ending::Refused {
            how: how.to_owned(),
            words: words.to_owned(),
        }
    }

    /// How long to wait before it is worth asking again.
    fn wait(&self) -> Option<Duration> {
        let result = self.message.as_ref()?.get("result")?;
        let error = content(result)?.get("error")?.clone();
        (error.get("code")? == "RATE_LIMITED").then(|| {
            let seconds = error.get("retry_after_s").and_then(Value::as_u64);
            Duration::from_secs(seconds.unwrap_or(1))
        })
    }
}

/// The structured content of a tool's result, or the JSON in its text.
fn content(result: &Value) -> Option<Value> {
    match result.get("structuredContent") {
        Some(content) => Some(content.clone()),
        None => serde_json::from_str(result.pointer("/content/0/text")?.as_str()?).ok(),
    }
}
