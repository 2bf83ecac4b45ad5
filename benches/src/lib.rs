//! What the bench's programs agree on: who calls for which tenant, how requests are signed, what the backend answers.

pub mod answers;
pub mod catalogue;
pub mod signature;
pub mod token;

/// The tenant of every call.
pub const TENANT: &str = "org_bench";

/// The epoch of every session.
pub const EPOCH: &str = "7";

/// The secret behind the tenant headers' signature, 32 characters as in production.
pub const SIGNING_SECRET: &str = "the-bench-signs-with-this-secret";

/// The one note that can be read.
pub const NOTE: &str = "0b8f6c1e-7a52-4f0c-9d6a-2f1f3c5e7a90";

/// The environment variable that tells each server the one token to expect or to be called with.
pub const TOKEN_VARIABLE: &str = "BENCH_TOKEN";

/// The environment variable that tells the naive server and the floor where the backend is.
pub const BACKEND_VARIABLE: &str = "BENCH_BACKEND";

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
