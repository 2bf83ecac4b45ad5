//! The integration tests, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail loudly; clippy's own exemption ends at #[test] functions"
)]

mod arguments;
mod canonical_calls;
mod catalogue;
mod sandbox;
