//! toolbridge: a per-tenant sidecar that serves MCP in front of a REST backend.

pub mod app;
pub mod auth;
pub mod backend;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod identity;
pub mod mcp;
pub mod nearest;
pub mod outgoing;
pub mod sandbox;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
