//! The one place that reads the wall clock; everything else takes the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970-01-01 UTC; zero on a machine whose clock stands before it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one reader of the clock"
)]
#[must_use]
pub fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A time since 1970 as people and logs write it: `2026-11-23T21:30:00Z`.
#[must_use]
pub fn written(since_1970: Duration) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970)
}

/// The same with milliseconds: `2026-11-23T21:30:00.250Z`.
#[must_use]
pub fn written_exactly(since_1970: Duration) -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970)
}
