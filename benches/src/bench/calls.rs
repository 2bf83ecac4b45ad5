//! One call in every way it can be made: directly to the backend, or as MCP of either kind. Every answer is checked:
//! its status, its length and the marker at its end.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use bench_parts::{NOTE, answers};
use serde_json::{Value, json};

use super::{
    direct::Direct,
    endpoint::Endpoint,
    requests::{self, Opened},
    wire::{Answer, Wire},
};

/// Who creates a note has the next number.
static CREATING: AtomicUsize = AtomicUsize::new(0);

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
    /// Whatever another server has; lives as long as the program.
    Theirs(&'static Theirs),
}

/// A tool of another server, called with these arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Theirs {
    /// Its name there.
    pub name: String,
    /// What it is called with.
    pub arguments: Value,
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
            Self::Theirs(theirs) => &theirs.name,
        }
    }

    /// What it is called with. What is created is another note for each client: the same one, twice at once, is one
    /// write that is asked for twice, and the second call does not reach the backend.
    pub fn arguments(self) -> Value {
        match self {
            Self::GetNote => json!({ "uid": NOTE }),
            Self::ShortList => json!({ "limit": answers::SHORT_LIST }),
            Self::LongList => json!({ "limit": answers::LONG_LIST }),
            Self::CreateNote => json!({
                "title": format!("Shopping {}", CREATING.fetch_add(1, Ordering::Relaxed)),
                "content": "Milk, *bread* and käse",
                "tags": ["home"],
            }),
            Self::ToolsList => json!({}),
            Self::Theirs(theirs) => theirs.arguments.clone(),
        }
    }

    /// Method, target and body of the backend's request.
    pub fn request(self) -> (&'static str, String, Option<Value>) {
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
            Self::ToolsList | Self::Theirs(_) => ("GET", "/".to_owned(), None),
        }
    }

    /// A whole answer is at least so long, and ends like this.
    fn expectation(self) -> (usize, &'static str) {
        match self {
            Self::GetNote | Self::CreateNote => (400, answers::MARKER),
            Self::ShortList => (10_000, answers::MARKER),
            Self::LongList => (1_000_000, answers::MARKER),
            Self::ToolsList => (5_000, "\"process_chat_message\""),
            Self::Theirs(_) => (2, "\"result\""),
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

impl Client {
    /// Connects, and opens an MCP connection where the way asks for one.
    pub async fn connect(endpoint: &Endpoint, tool: Tool, way: Way) -> Result<Self> {
        let mut wire = Wire::connect(endpoint.address).await?;
        let kind = match way {
            Way::Direct => Kind::Direct(Box::new(Direct::new(endpoint, tool)?)),
            Way::Modern => Kind::Prepared(requests::modern(endpoint, tool)),
            Way::Connection => {
                let opened = Opened::on(&mut wire, endpoint).await?;
                Kind::Prepared(opened.call(endpoint, tool))
            }
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
