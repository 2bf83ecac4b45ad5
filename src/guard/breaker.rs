//! One breaker. In: how calls ended, and the time. Out: whether another may go. It opens when nothing has succeeded for
//! a while in which several calls failed, lets a few probes through after a pause, and closes with the first success.
//! A restart of a few seconds opens nothing: its failures are too close to the next success.

use std::time::Duration;

use tokio::time::Instant;

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row.
    pub failures: u32,
    /// From the first of them to the last, at least.
    pub after: Duration,
    /// Until probes are let through.
    pub pause: Duration,
    /// Probes at once.
    pub probes: u32,
}

/// A failure that comes so long after the one before is the first of its own row.
const LONGEST_GAP: Duration = Duration::from_secs(60);

/// What the end of a call says of what was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, be it with a no.
    Well,
    /// The backend as a whole cannot be reached or does not open sessions.
    BackendIll,
    /// This request was not answered as a well backend would.
    RequestIll,
    /// Nothing: the caller went away, or a limit of ours or theirs was in the way.
    Unsaid,
}

/// How it stands, for others to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// None does.
    Open,
    /// A few do, to see how it is.
    HalfOpen,
}

/// A call that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// One of many.
    Ordinary,
    /// A probe of the opening with this number.
    Probe(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Breaker {
    state: State,
    /// Of openings; a probe of a former one says nothing of this one.
    number: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed(Option<Row>),
    Open { until: Instant },
    HalfOpen { probes: u32 },
}

/// Failures without a success between.
#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    first: Instant,
    last: Instant,
    /// What failed, until something else did.
    only: Option<u64>,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed(None),
            number: 0,
        }
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call may go.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admits(
        &mut self,
        settings: &BreakerSettings,
        now: Instant,
    ) -> Result<Pass, Duration> {
        if let State::Open { until } = self.state {
            if now < until {
                return Err(until - now);
            }
            self.state = State::HalfOpen { probes: 0 };
        }
        match &mut self.state {
            State::HalfOpen { probes } if *probes >= settings.probes.max(1) => {
                Err(Duration::from_secs(1))
            }
            State::HalfOpen { probes } => {
                *probes += 1;
                Ok(Pass::Probe(self.number))
            }
            State::Closed(_) | State::Open { .. } => Ok(Pass::Ordinary),
        }
    }

    /// It answered. Whether that closes it.
    pub(super) fn succeeded(&mut self, pass: Pass) -> bool {
        let closes = self.is_probe(pass);
        if closes || matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(None);
        }
        closes
    }

    /// It failed; `of` names what did, where one thing alone must not open this. Whether that opens it.
    pub(super) fn failed(
        &mut self,
        pass: Pass,
        of: Option<u64>,
        settings: &BreakerSettings,
        now: Instant,
    ) -> bool {
        let opens = match (&mut self.state, pass) {
            (State::Closed(row), Pass::Ordinary) => {
                let row = Row::with(row.as_ref(), of, now);
                self.state = State::Closed(Some(row));
                row.only.is_none()
                    && row.failures >= settings.failures
                    && now - row.first >= settings.after
            }
            _ => self.is_probe(pass),
        };
        if opens {
            self.number += 1;
            self.state = State::Open {
                until: now + settings.pause,
            };
        }
        opens
    }

    /// It ended without a word: the next probe may go.
    pub(super) fn ended(&mut self, pass: Pass) {
        if self.is_probe(pass)
            && let State::HalfOpen { probes } = &mut self.state
        {
            *probes = probes.saturating_sub(1);
        }
    }

    /// Whether this is a probe whose word counts now.
    fn is_probe(&self, pass: Pass) -> bool {
        matches!(self.state, State::HalfOpen { .. }) && pass == Pass::Probe(self.number)
    }
}

impl Row {
    /// The row with one more failure.
    fn with(before: Option<&Self>, of: Option<u64>, now: Instant) -> Self {
        match before {
            Some(row) if now.saturating_duration_since(row.last) <= LONGEST_GAP => Self {
                failures: row.failures.saturating_add(1),
                first: row.first,
                last: now,
                only: row.only.filter(|only| Some(*only) == of),
            },
            Some(_) | None => Self {
                failures: 1,
                first: now,
                last: now,
                only: of,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        after: Duration::from_secs(10),
        pause: Duration::from_secs(5),
        probes: 2,
    };

    fn at(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    /// Fails at each of these seconds; whether the last one opens it.
    fn fails(breaker: &mut Breaker, begun: Instant, seconds: &[u64]) -> bool {
        let failing = seconds
            .iter()
            .map(|second| breaker.failed(Pass::Ordinary, None, &SETTINGS, at(begun, *second)));
        failing.last().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_several_failures_over_a_while() {
        let begun = Instant::now();
        let mut breaker = Breaker::new();
        // A restart: many at once, and then all is well.
        assert!(!fails(&mut breaker, begun, &[0; 50]));
        breaker.succeeded(Pass::Ordinary);
        assert!(!fails(&mut breaker, begun, &[8, 9, 17]));
        assert!(fails(&mut breaker, begun, &[18]));
        let left = breaker.admits(&SETTINGS, at(begun, 19));
        assert_eq!(left, Err(Duration::from_secs(4)));
        assert_eq!(breaker.state(at(begun, 19)), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_far_apart_are_no_row() {
        let begun = Instant::now();
        let mut breaker = Breaker::new();
        let hourly = [0, 3_600, 7_200, 10_800, 14_400];
        assert!(!fails(&mut breaker, begun, &hourly));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_probes_go_and_the_first_success_closes_it() {
        let begun = Instant::now();
        let mut breaker = Breaker::new();
        assert!(fails(&mut breaker, begun, &[0, 5, 10]));
        let now = at(begun, 15);
        let first = breaker.admits(&SETTINGS, now).unwrap();
        let second = breaker.admits(&SETTINGS, now).unwrap();
        assert_eq!((first, second), (Pass::Probe(1), Pass::Probe(1)));
        assert!(breaker.admits(&SETTINGS, now).is_err());
        // One that ends without a word gives its place to another.
        breaker.ended(second);
        assert!(breaker.admits(&SETTINGS, now).is_ok());
        assert!(breaker.succeeded(first));
        assert_eq!(breaker.admits(&SETTINGS, now), Ok(Pass::Ordinary));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_late_ones_say_nothing() {
        let begun = Instant::now();
        let mut breaker = Breaker::new();
        assert!(fails(&mut breaker, begun, &[0, 5, 10]));
        // What was under way when it opened changes nothing.
        assert!(!breaker.succeeded(Pass::Ordinary));
        assert!(!breaker.failed(Pass::Ordinary, None, &SETTINGS, at(begun, 11)));
        let late = breaker.admits(&SETTINGS, at(begun, 15)).unwrap();
        let probe = breaker.admits(&SETTINGS, at(begun, 15)).unwrap();
        assert!(breaker.failed(probe, None, &SETTINGS, at(begun, 16)));
        let left = breaker.admits(&SETTINGS, at(begun, 17));
        assert_eq!(left, Err(Duration::from_secs(4)));
        assert!(breaker.admits(&SETTINGS, at(begun, 21)).is_ok());
        assert!(!breaker.succeeded(late));
        assert_eq!(breaker.state(at(begun, 21)), BreakerState::HalfOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn one_thing_alone_does_not_open_what_is_about_several() {
        let begun = Instant::now();
        let mut breaker = Breaker::new();
        let mut fails =
            |of, second| breaker.failed(Pass::Ordinary, Some(of), &SETTINGS, at(begun, second));
        assert!(
            ![0, 10, 20, 30]
                .map(|second| fails(1, second))
                .contains(&true)
        );
        assert!(fails(2, 31));
    }
}
