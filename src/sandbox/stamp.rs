//! Times as the backend writes them: RFC 3339 in UTC, the fraction without trailing zeros (contract §5.1, §2.1).

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970, `2025-01-01T00:00:00.16Z`; empty for a time that has no calendar date.
pub(super) fn from_millis(millis: i64) -> String {
    text(i128::from(millis) * 1_000_000)
}

/// A time since 1970 with all its nanoseconds.
pub(super) fn from_time(time: Duration) -> String {
    text(i128::try_from(time.as_nanos()).unwrap_or_default())
}

/// Whole milliseconds since 1970.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn text(nanoseconds: i128) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_loses_its_trailing_zeros() {
        assert_eq!(from_millis(1_735_689_600_160), "2025-01-01T00:00:00.16Z");
        assert_eq!(from_millis(1_735_689_600_007), "2025-01-01T00:00:00.007Z");
        assert_eq!(from_millis(1_735_689_600_000), "2025-01-01T00:00:00Z");
    }

    #[test]
    fn a_session_time_keeps_its_nanoseconds() {
        let time = Duration::new(1_735_689_640, 100_114_660);
        assert_eq!(from_time(time), "2025-01-01T00:00:40.10011466Z");
    }
}
