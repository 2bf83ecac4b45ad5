//! Where requests go, and as whom.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, bail};

/// One server's door.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What is connected to.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path of MCP.
    pub path: String,
    /// The token of every request; empty for none.
    pub token: String,
}

impl Endpoint {
    /// A server of ours.
    pub fn ours(address: SocketAddr, token: &str) -> Self {
        Self {
            address,
            host: address.to_string(),
            path: "/mcp".to_owned(),
            token: token.to_owned(),
        }
    }

    /// Anybody's, `http://HOST[:PORT][/PATH]`; without a path, `/mcp`.
    pub fn of_url(url: &str, token: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("{url}: only http:// addresses can be loaded; put what speaks TLS away for it");
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = if path.is_empty() { "mcp" } else { path };
        let mut found = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            host.to_socket_addrs()
        } else {
            format!("{host}:80").to_socket_addrs()
        }
        .with_context(|| format!("{url}: no such host"))?;
        Ok(Self {
            address: found.next().context("a host without an address")?,
            host: host.to_owned(),
            path: format!("/{path}"),
            token: token.to_owned(),
        })
    }

    /// The header with the token, if there is one.
    pub fn authorization(&self) -> String {
        if self.token.is_empty() {
            return String::new();
        }
        format!("authorization: Bearer {}\r\n", self.token)
    }
}
