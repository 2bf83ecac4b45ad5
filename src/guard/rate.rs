//! How often is too often. In: a rule, what is known of the one it is about, and the time. Out: yes, or how long to wait.
//! A rule lets `burst` requests through at once and gives back one of them every `window / requests`; whoever asks for
//! more is blocked for a while, if the rule says so. Constant cost and two times of memory, whatever the numbers.

use std::time::Duration;

use tokio::time::Instant;

/// Requests per window, so many of them at once, and how long it costs to ask for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How many in each window, over time.
    pub requests: u32,
    /// The window.
    pub window: Duration,
    /// How many at once.
    pub burst: u32,
    /// How long whoever exceeds it is refused everything; zero: only what exceeds it is refused.
    pub block: Duration,
}

impl Rule {
    /// The time after which one more request fits.
    pub(super) fn interval(&self) -> Duration {
        let interval = self.window / self.requests.max(1);
        interval.max(Duration::from_nanos(1))
    }

    /// How far ahead of its pace somebody may be.
    pub(super) fn tolerance(&self) -> Duration {
        self.interval().saturating_mul(self.burst.max(1))
    }

    /// Half of it.
    pub(super) fn halved(self) -> Self {
        Self {
            requests: (self.requests / 2).max(1),
            burst: (self.burst / 2).max(1),
            ..self
        }
    }

    /// Twice as much, and without a block.
    pub(super) fn doubled_without_block(self) -> Self {
        Self {
            requests: self.requests.saturating_mul(2),
            burst: self.burst.saturating_mul(2),
            window: self.window,
            block: Duration::ZERO,
        }
    }
}

/// Why not, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The next request fits after this.
    Limit(Duration),
    /// Nothing is let through before this.
    Block(Duration),
}

impl Over {
    /// How long to wait.
    #[must_use]
    pub fn wait(self) -> Duration {
        match self {
            Self::Limit(wait) | Self::Block(wait) => wait,
        }
    }
}

/// What is known of one of those that a rule is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// When nothing of the past counts any more.
    rests_at: Instant,
    blocked_until: Option<Instant>,
}

impl Bucket {
    /// Of two who come at once, the one whose `now` is the earlier may find the bucket that the other has made.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rests_at: now,
            blocked_until: None,
        }
    }

    /// Whether one more fits now; nothing is taken yet.
    pub(super) fn allows(&self, rule: &Rule, now: Instant) -> Result<(), Over> {
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return Err(Over::Block(until - now));
        }
        let ahead = self.rests_at.max(now) - now + rule.interval();
        match ahead.saturating_sub(rule.tolerance()) {
            Duration::ZERO => Ok(()),
            wait => Err(Over::Limit(wait)),
        }
    }

    /// Counts one that is let through.
    pub(super) fn take(&mut self, rule: &Rule, now: Instant) {
        self.rests_at = self.rests_at.max(now) + rule.interval();
    }

    /// Begins a block, where the rule has one.
    pub(super) fn exceeded(&mut self, rule: &Rule, over: Over, now: Instant) -> Over {
        match over {
            Over::Limit(_) if !rule.block.is_zero() => {
                self.block(rule.block, now);
                Over::Block(rule.block)
            }
            Over::Limit(_) | Over::Block(_) => over,
        }
    }

    pub(super) fn block(&mut self, time: Duration, now: Instant) {
        self.blocked_until = self.blocked_until.max(Some(now + time));
    }

    /// Whether it says no more than a new one.
    pub(super) fn is_at_rest(&self, now: Instant) -> bool {
        self.rests_at <= now && self.blocked_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        requests: 60,
        window: Duration::from_secs(60),
        burst: 5,
        block: Duration::ZERO,
    };

    /// How many of a hundred requests at this time get through.
    fn through(bucket: &mut Bucket, rule: &Rule, now: Instant) -> usize {
        let mut let_through = 0;
        for _ in 0..100 {
            match bucket.allows(rule, now) {
                Ok(()) => {
                    bucket.take(rule, now);
                    let_through += 1;
                }
                Err(over) => {
                    bucket.exceeded(rule, over, now);
                }
            }
        }
        let_through
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_at_once_and_then_the_pace() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut bucket = Bucket::new(begun);
        assert_eq!(through(&mut bucket, &RULE, at(0)), 5);
        let next = bucket.allows(&RULE, at(0));
        assert_eq!(next, Err(Over::Limit(Duration::from_secs(1))));
        assert_eq!(through(&mut bucket, &RULE, at(1)), 1);
        assert_eq!(through(&mut bucket, &RULE, at(4)), 3);
        // No more than the burst is saved up.
        assert_eq!(through(&mut bucket, &RULE, at(1_000)), 5);
        assert!(!bucket.is_at_rest(at(1_000)));
        assert!(bucket.is_at_rest(at(1_005)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_held_back_for_having_come_a_moment_before_the_bucket_was_made() {
        let rule = Rule {
            block: Duration::from_secs(30),
            ..RULE
        };
        let before = Instant::now();
        let bucket = Bucket::new(before + Duration::from_micros(3));
        assert_eq!(bucket.allows(&rule, before), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_exceeds_is_blocked_for_the_period_and_no_longer_for_asking_again() {
        let rule = Rule {
            block: Duration::from_secs(30),
            ..RULE
        };
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut bucket = Bucket::new(begun);
        assert_eq!(through(&mut bucket, &rule, at(0)), 5);
        assert_eq!(through(&mut bucket, &rule, at(29)), 0);
        let left = Over::Block(Duration::from_secs(1));
        assert_eq!(bucket.allows(&rule, at(29)), Err(left));
        assert_eq!(through(&mut bucket, &rule, at(30)), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_rule_is_half_of_both() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        assert_eq!(through(&mut bucket, &RULE.halved(), now), 2);
        let later = now + Duration::from_secs(2);
        assert_eq!(through(&mut bucket, &RULE.halved(), later), 1);
    }
}
