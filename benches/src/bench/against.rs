//! Another MCP server, whichever it is: where it is, what is called there, and which kind of MCP it speaks.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{
    calls::{Client, Theirs, Tool, Way},
    endpoint::Endpoint,
};

/// The other server.
pub struct Against {
    /// Its address, as it was given.
    pub url: String,
    /// The same, taken apart.
    pub endpoint: Endpoint,
    /// What is called.
    pub tool: Tool,
    /// How: as revision 2026-07-28 where it knows that, else with a handshake.
    pub way: Way,
}

impl Against {
    /// Makes one call, in the one way or the other.
    pub async fn find(url: &str, token: &str, tool: &str, arguments: Value) -> Result<Self> {
        let endpoint = Endpoint::of_url(url, token)?;
        let theirs = Theirs {
            name: tool.to_owned(),
            arguments,
        };
        let tool = Tool::Theirs(Box::leak(Box::new(theirs)));
        let mut refusals = String::new();
        for way in [Way::Modern, Way::Connection] {
            match once(&endpoint, tool, way).await {
                Ok(()) => {
                    return Ok(Self {
                        url: url.to_owned(),
                        endpoint,
                        tool,
                        way,
                    });
                }
                Err(error) => refusals.push_str(&format!("\n{way:?}: {error:#}")),
            }
        }
        bail!("{url} answers {} in neither way:{refusals}", tool.name())
    }
}

async fn once(endpoint: &Endpoint, tool: Tool, way: Way) -> Result<()> {
    Client::connect(endpoint, tool, way).await?.call().await
}
