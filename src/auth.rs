//! Token → caller: who sent an MCP request, proven by a token that was checked here.

pub mod caller;

pub use caller::{BearerToken, Caller};
