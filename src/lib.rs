//! toolbridge: a per-tenant sidecar that serves MCP in front of a REST backend. This page is the map.
//!
//! One tool call, in six lines:
//! 1. [`server`] accepts `POST /mcp`, checks Host and Origin, and has [`auth`] turn the bearer token into a `Caller`, or
//!    answers 401 with a challenge.
//! 2. rmcp decodes the message; [`mcp`] hands name, arguments and `Caller` to [`mcp::call`].
//! 3. [`catalogue`] finds the tool; `plan(arguments)` repairs what can be repaired, checks the rest, and yields a `Plan`.
//! 4. [`identity`] turns the `Caller` into an `Identity`: tenant, token for the backend, signature.
//! 5. [`backend`] opens a `Session` for that identity; `session.send(plan)` sends one request and consumes it.
//! 6. The reply is read, [`mcp::present`] words it for the model, and the call's one line is logged.
//!
//! What always holds, and a type or a test keeps:
//! - No backend request without an `Identity`, no `Identity` without a verified `Caller` and a `TenantId`.
//! - A `Session` serves one call: it cannot be cloned, and sending moves it.
//! - Headers to the backend are written from nothing; no function takes a client's.
//! - Everything about a tool is decided at load; a call parses nothing of the catalogue, and a tool's first one compiles
//!   its schema.
//! - Secrets have no readable form, and no token, body or internal address reaches a log, an error or a client.
//! - Who may import whom is a table in `tests/it/architecture.rs`.

// The way of a call.
pub mod auth;
pub mod backend;
pub mod catalogue;
pub mod guard;
pub mod identity;
pub mod mcp;
pub mod server;

// What all of them stand on.
pub mod clock;
pub mod delivery;
mod in_place;
pub mod json_text;
pub mod nearest;
pub mod observe;
pub mod outgoing;

// The process around them.
pub mod app;
#[cfg(unix)]
pub mod child;
pub mod cli;
pub mod reload;
pub mod settings;
pub mod shutdown;
pub mod telemetry;

// Looking at a running sidecar from outside.
pub mod doctor;
pub mod isolation;

// The embedded backend: nothing above but `cli` knows of it.
pub mod sandbox;
