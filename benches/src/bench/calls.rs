//! One call in every way it can be made: directly to the backend, or as MCP of either kind. Every answer is checked:
//! its status, its length and the marker at its end.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bench_parts::{NOTE, TENANT, answers, now_ms, signature::Signer};
use serde_json::{Value, json};

use super::wire::{Answer, Wire};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `get_note`, an answer of 0.5 KB.
    GetNote,
    /// `list_notes`, an answer of 10 KB.
    ShortList,
    /// `list_notes`, an answer of 1 MB.
    LongList,
    /// `create_note`.
    CreateNote,
    /// No call at all: `tools/list`.
    ToolsList,
}

/// How it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The two requests, made by the driver itself.
    Direct,
    /// Revision 2026-07-28, JSON answers.
    Modern,
    /// Revision 2025-11-25: a connection is opened once, answers are event streams.
    Connection,
}

impl Tool {
    /// Its name as MCP knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetNote => "get_note",
            Self::ShortList | Self::LongList => "list_notes",
            Self::CreateNote => "create_note",
            Self::ToolsList => "tools/list",
        }
    }

    fn arguments(self) -> Value {
        match self {
            Self::GetNote => json!({ "uid": NOTE }),
            Self::ShortList => json!({ "limit": answers::SHORT_LIST }),
            Self::LongList => json!({ "limit": answers::LONG_LIST }),
            Self::CreateNote => json!({
                "title": "Shopping",
                "content": "Milk, *bread* and käse",
                "tags": ["home"],
            }),
            Self::ToolsList => json!({}),
        }
    }

    /// Method, target and body of the backend's request.
    fn request(self) -> (&'static str, String, Option<Value>) {
        match self {
            Self::GetNote => ("GET", format!("/v1/notes/{NOTE}"), None),
            Self::ShortList => (
                "GET",
                format!("/v1/notes?limit={}", answers::SHORT_LIST),
                None,
            ),
            Self::LongList => (
                "GET",
                format!("/v1/notes?limit={}", answers::LONG_LIST),
                None,
            ),
            Self::CreateNote => ("POST", "/v1/notes".to_owned(), Some(self.arguments())),
            Self::ToolsList => ("GET", "/".to_owned(), None),
        }
    }

    /// A whole answer is at least so long, and ends like this.
    fn expectation(self) -> (usize, &'static str) {
        match self {
            Self::GetNote | Self::CreateNote => (400, answers::MARKER),
            Self::ShortList => (10_000, answers::MARKER),
            Self::LongList => (1_000_000, answers::MARKER),
            Self::ToolsList => (5_000, "\"process_chat_message\""),
        }
    }

    fn check(self, answer: &Answer<'_>) -> Result<()> {
        let (length, marker) = self.expectation();
        let body = answer.body;
        let is_marked = memchr::memmem::rfind(body, marker.as_bytes()).is_some();
        let start = body.get(..body.len().min(600)).unwrap_or_default();
        let end = body
            .get(body.len().saturating_sub(200)..)
            .unwrap_or_default();
        let failed = [start, end]
            .iter()
            .any(|part| memchr::memmem::find(part, b"\"isError\":true").is_some());
        if (200..300).contains(&answer.status) && is_marked && !failed && body.len() >= length {
            return Ok(());
        }
        let start = String::from_utf8_lossy(start);
        bail!(
            "{}: status {}, {} bytes: {start}",
            self.name(),
            answer.status,
            body.len()
        );
    }
}

/// One client on one connection of its own.
pub struct Client {
    wire: Wire,
    tool: Tool,
    kind: Kind,
}

enum Kind {
    Direct(Box<Direct>),
    Prepared(Vec<u8>),
}

/// The driver's own two requests.
struct Direct {
    signer: Signer,
    opening: String,
    request: String,
    body: String,
    bytes: Vec<u8>,
}

impl Client {
    /// Connects, and opens an MCP connection where the way asks for one.
    pub async fn connect(address: SocketAddr, token: &str, tool: Tool, way: Way) -> Result<Self> {
        let mut wire = Wire::connect(address).await?;
        let kind = match way {
            Way::Direct => Kind::Direct(Box::new(Direct::new(address, token, tool)?)),
            Way::Modern => Kind::Prepared(modern(address, token, tool)),
            Way::Connection => Kind::Prepared(opened(&mut wire, address, token, tool).await?),
        };
        Ok(Self { wire, tool, kind })
    }

    /// Makes one call and checks its answer.
    pub async fn call(&mut self) -> Result<()> {
        let answer = match &mut self.kind {
            Kind::Prepared(bytes) => self.wire.exchange(bytes).await?,
            Kind::Direct(direct) => direct.exchange(&mut self.wire).await?,
        };
        self.tool.check(&answer)
    }
}

impl Direct {
    fn new(address: SocketAddr, token: &str, tool: Tool) -> Result<Self> {
        let (method, target, body) = tool.request();
        let common = format!(
            "host: {address}\r\nauthorization: Bearer {token}\r\naccept: application/json\r\nx-tb-tenant-id: {TENANT}\r\n"
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

    async fn exchange<'w>(&mut self, wire: &'w mut Wire) -> Result<Answer<'w>> {
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

/// A request of revision 2026-07-28.
fn modern(address: SocketAddr, token: &str, tool: Tool) -> Vec<u8> {
    const VERSION: &str = "2026-07-28";
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let (method, params, name) = match tool {
        Tool::ToolsList => ("tools/list", json!({ "_meta": meta }), String::new()),
        _ => (
            "tools/call",
            json!({ "name": tool.name(), "arguments": tool.arguments(), "_meta": meta }),
            format!("mcp-name: {}\r\n", tool.name()),
        ),
    };
    let headers = format!("mcp-protocol-version: {VERSION}\r\nmcp-method: {method}\r\n{name}");
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(address, token, &headers, &message)
}

/// Opens a connection of revision 2025-11-25; the request that is then made on it.
async fn opened(wire: &mut Wire, address: SocketAddr, token: &str, tool: Tool) -> Result<Vec<u8>> {
    const VERSION: &str = "2025-11-25";
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": { "name": "bench", "version": "0" },
    } });
    let answer = wire
        .exchange(&post(address, token, "", &initialize))
        .await?;
    let id = answer.connection_id.context("no connection id")?;
    let headers = format!("mcp-protocol-version: {VERSION}\r\nmcp-session-id: {id}\r\n");
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let answer = wire
        .exchange(&post(address, token, &headers, &initialized))
        .await?;
    if answer.status != 202 {
        bail!("notifications/initialized: status {}", answer.status);
    }
    let (method, params) = match tool {
        Tool::ToolsList => ("tools/list", json!({})),
        _ => (
            "tools/call",
            json!({ "name": tool.name(), "arguments": tool.arguments() }),
        ),
    };
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    Ok(post(address, token, &headers, &message))
}

fn post(address: SocketAddr, token: &str, headers: &str, message: &Value) -> Vec<u8> {
    let body = message.to_string();
    let length = body.len();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{headers}content-length: {length}\r\n\r\n"
    );
    [head, body].concat().into_bytes()
}
