//! One HTTP/1.1 connection that sends prepared bytes and reads whole answers. Costs a few microseconds a request, a
//! tenth of a full client, so that on a small machine it is the server that is measured.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What was read, until the next exchange.
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// The body without its framing.
    pub body: &'a [u8],
    /// `Mcp-Session-Id`, where the answer has one.
    pub connection_id: Option<String>,
}

/// A connection that is kept alive.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

struct Head {
    status: u16,
    length: usize,
    framing: Framing,
    connection_id: Option<String>,
}

enum Framing {
    Length(usize),
    Chunked,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
            body: Vec::new(),
        })
    }

    /// Sends a request and reads its answer to the end.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
        };
        let body = match head.framing {
            Framing::Length(length) => {
                let end = head.length + length;
                self.buffer.reserve(end.saturating_sub(self.buffer.len()));
                while self.buffer.len() < end {
                    self.read().await?;
                }
                self.buffer.get(head.length..end).context("a body")?
            }
            Framing::Chunked => {
                self.read_chunks(head.length).await?;
                &self.body
            }
        };
        Ok(Answer {
            status: head.status,
            body,
            connection_id: head.connection_id,
        })
    }

    /// Sends a request whose answer is a stream, and reads its head only.
    pub async fn begin(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            self.read().await?;
            match head(&self.buffer)? {
                Some(head) if head.status == 200 => return Ok(()),
                Some(head) => bail!("a stream was asked for: status {}", head.status),
                None => {}
            }
        }
    }

    /// Whether the other side still has it open; throws away what came.
    pub fn is_open(&mut self) -> bool {
        self.buffer.clear();
        loop {
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return false,
                Ok(_) => self.buffer.clear(),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed within an answer");
        }
        Ok(())
    }

    /// Collects the chunks that begin at `at`.
    async fn read_chunks(&mut self, mut at: usize) -> Result<()> {
        self.body.clear();
        loop {
            let rest = self.buffer.get(at..).unwrap_or_default();
            let Ok(size) = httparse::parse_chunk_size(rest) else {
                bail!("a chunk without a size");
            };
            let httparse::Status::Complete((start, size)) = size else {
                self.read().await?;
                continue;
            };
            let start = at + start;
            let end = start + usize::try_from(size)?;
            while self.buffer.len() < end + 2 {
                self.read().await?;
            }
            if size == 0 {
                return Ok(());
            }
            self.body
                .extend_from_slice(self.buffer.get(start..end).unwrap_or_default());
            at = end + 2;
        }
    }
}

/// The head at the beginning of the buffer, once it is complete.
fn head(buffer: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(buffer)? else {
        return Ok(None);
    };
    let status = response.code.context("a status")?;
    let mut framing = Framing::Length(0);
    let mut connection_id = None;
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value)?;
        if header.name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("mcp-session-id") {
            connection_id = Some(value.to_owned());
        }
    }
    Ok(Some(Head {
        status,
        length,
        framing,
        connection_id,
    }))
}
