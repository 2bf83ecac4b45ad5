//! The integration tests, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail loudly; clippy's own exemption ends at #[test] functions"
)]

mod architecture;
mod arguments;
mod audit;
mod bearer;
mod cancellation;
mod canonical_calls;
mod catalogue;
#[cfg(target_os = "linux")]
mod child;
mod clock_skew;
mod commands;
#[cfg(unix)]
mod compiler;
mod connections;
mod console;
mod crowd;
mod cuts;
mod dialects;
mod doctor;
mod fast_path;
mod faults;
mod guard;
mod harness;
mod health;
mod hostile;
mod isolation;
mod limits;
mod load;
mod observe;
mod once;
mod organizations;
mod outages;
mod outbound;
mod progress;
mod reload;
mod resource_server;
mod rmcp_client;
mod rotation;
mod sandbox;
mod secrets;
mod session_reuse;
mod shutdown;
mod sse;
mod stdio;
mod tcp_limits;
mod tenancy;
mod threats;
mod tool_calls;
mod tool_list;
mod traces;
