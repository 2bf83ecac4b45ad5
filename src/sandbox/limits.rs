//! Rate limits (contract §6.1): a token bucket per user and group of endpoints, in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::store::Owner;

/// The buckets every user has. `None` switches one off, with its headers. The original's third bucket counts the
/// delta sync, which the sandbox does not serve.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions, token exchange and tenant resolution together.
    pub auth: Option<Bucket>,
    /// Every entity request.
    pub entities: Option<Bucket>,
}

/// One bucket: it refills with `max` per `window` up to `burst`.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The time in which `max` requests are refilled.
    pub window: Duration,
    /// Requests per window; what `X-RateLimit-Limit` shows.
    pub max: u32,
    /// Capacity.
    pub burst: u32,
}

impl Default for Limits {
    /// The original's numbers: sessions 20 at once and one a second, entity requests 120 at once and ten a second.
    fn default() -> Self {
        let per_minute = |max, burst| Bucket {
            window: Duration::from_mins(1),
            max,
            burst,
        };
        Self {
            auth: Some(per_minute(60, 20)),
            entities: Some(per_minute(600, 120)),
        }
    }
}

impl Limits {
    /// No limits at all.
    #[must_use]
    pub fn off() -> Self {
        Self {
            auth: None,
            entities: None,
        }
    }
}

/// Which bucket a request is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Auth,
    Entities,
}

/// What a limiter said about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `X-RateLimit-Limit`.
    pub(super) limit: u32,
    /// Whole requests left.
    pub(super) remaining: u64,
    /// Unix seconds at which the bucket is full again.
    pub(super) reset: u64,
    /// `X-RateLimit-Burst`.
    pub(super) burst: u32,
    /// Seconds to wait, when refused.
    pub(super) retry_after: Option<u64>,
}

/// All users' buckets.
pub(super) struct Limiter {
    limits: Limits,
    levels: Mutex<HashMap<(Counted, i64), Level>>,
}

#[derive(Clone, Copy)]
struct Level {
    tokens: f64,
    at: Duration,
}

impl Limiter {
    /// Every bucket full.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            levels: Mutex::default(),
        }
    }

    /// Takes one request out of the user's bucket; `None` where that bucket is switched off.
    pub(super) fn take(&self, counted: Counted, owner: Owner, now: Duration) -> Option<Verdict> {
        let bucket = match counted {
            Counted::Auth => self.limits.auth?,
            Counted::Entities => self.limits.entities?,
        };
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.entry((counted, owner.row)).or_insert(Level {
            tokens: f64::from(bucket.burst),
            at: now,
        });
        Some(bucket.take(level, now))
    }
}

impl Bucket {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole tokens and seconds of small positive numbers"
    )]
    fn take(&self, level: &mut Level, now: Duration) -> Verdict {
        let per_second = f64::from(self.max) / self.window.as_secs_f64().max(f64::MIN_POSITIVE);
        let burst = f64::from(self.burst);
        let passed = now.saturating_sub(level.at).as_secs_f64();
        level.tokens = (level.tokens + passed * per_second).min(burst);
        level.at = now;
        let allowed = level.tokens >= 1.0;
        if allowed {
            level.tokens -= 1.0;
        }
        let until_full = (burst - level.tokens) / per_second;
        let until_next = (1.0 - level.tokens) / per_second;
        Verdict {
            limit: self.max,
            remaining: level.tokens as u64,
            reset: (now.as_secs_f64() + until_full).ceil() as u64,
            burst: self.burst,
            retry_after: (!allowed).then_some((until_next.ceil() as u64).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_a_second() {
        let bucket = Limits::default().auth.unwrap();
        let mut now = Duration::from_secs(1000);
        let mut level = Level {
            tokens: 20.0,
            at: now,
        };
        for left in (0..20).rev() {
            assert_eq!(bucket.take(&mut level, now).remaining, left);
        }
        let refused = bucket.take(&mut level, now);
        assert_eq!(
            (
                refused.retry_after,
                refused.reset,
                refused.limit,
                refused.burst
            ),
            (Some(1), 1020, 60, 20)
        );
        now += Duration::from_secs(1);
        assert_eq!(bucket.take(&mut level, now).retry_after, None);
        assert_eq!(bucket.take(&mut level, now).retry_after, Some(1));
    }
}
