//! How far the backend's clock is from ours, by the `Date` of its answers, at most once a minute. In: an answer's headers
//! and our time around the request. Out: a warning in the log when that changes, and [`Skew`] for `/readyz`. Signatures
//! expire by these clocks (contract §4.1), and a refused one does not say why.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, header::DATE};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// No comparison before that time has passed since the last one.
const PAUSE: Duration = Duration::from_secs(60);
/// A comparison says something for so long. A sidecar that is not ready gets no calls to compare by: without an end it
/// would stay so after the clocks are right again.
const LIFETIME: Duration = Duration::from_secs(120);
/// An answer that took longer does not tell when its `Date` was written.
const LONGEST: Duration = Duration::from_secs(10);
/// What `Date` is rounded to.
const RESOLUTION: Duration = Duration::from_secs(1);
/// Above this, people should know.
const NOTABLE: Duration = Duration::from_secs(60);
/// Above this, a backend refuses our signatures.
const REFUSED: Duration = Duration::from_secs(300);

/// The last comparison with the backend's clock; shared by everybody who calls it.
#[derive(Debug, Default)]
pub struct ClockSkew(Mutex<Last>);

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// The Unix time of the comparison.
    at: Option<Duration>,
    skew: Skew,
}

/// How far apart the clocks are at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    by: Duration,
    is_ahead: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Agree,
    Differ,
    Refuse,
}

impl ClockSkew {
    /// Compares `Date`, unless that was done within the last minute; `asked` and `answered` are the Unix time before and
    /// after. An answer without a readable `Date` says nothing.
    pub(super) fn measure(&self, headers: &HeaderMap, asked: Duration, answered: Duration) {
        let mut last = self.lock();
        // A clock that was set back makes it due as well: `checked_sub` is `None`.
        let passed = last.at.and_then(|at| answered.checked_sub(at));
        if passed.is_some_and(|passed| passed < PAUSE) {
            return;
        }
        let Some(skew) = Skew::of(headers, asked, answered) else {
            return;
        };
        let before = last.skew.state();
        let at = Some(answered);
        *last = Last { at, skew };
        drop(last);
        if skew.state() != before {
            skew.tell();
        }
    }

    /// The difference at the Unix time `now`, if it is one to speak of and was found lately.
    #[must_use]
    pub fn now(&self, now: Duration) -> Option<Skew> {
        let last = *self.lock();
        let is_fresh = now.checked_sub(last.at?)? <= LIFETIME;
        (is_fresh && last.skew.state() != State::Agree).then_some(last.skew)
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Skew {
    /// The time halfway is when the backend is taken to have written `Date`.
    fn of(headers: &HeaderMap, asked: Duration, answered: Duration) -> Option<Self> {
        let took = answered
            .checked_sub(asked)
            .filter(|took| *took <= LONGEST)?;
        let date = headers.get(DATE)?.to_str().ok()?;
        let date = OffsetDateTime::parse(date, &Rfc2822).ok()?;
        let theirs = Duration::from_secs(u64::try_from(date.unix_timestamp()).ok()?);
        let ours = asked + took / 2;
        Some(Self {
            by: theirs.abs_diff(ours).saturating_sub(RESOLUTION),
            is_ahead: theirs > ours,
        })
    }

    /// In whole seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.by.as_secs()
    }

    /// Whether a backend that checks signatures refuses ours because of it.
    #[must_use]
    pub fn is_refused(self) -> bool {
        self.state() == State::Refuse
    }

    fn state(self) -> State {
        if self.by > REFUSED {
            State::Refuse
        } else if self.by > NOTABLE {
            State::Differ
        } else {
            State::Agree
        }
    }

    fn tell(self) {
        let skew_seconds = self.seconds();
        let ahead = self.is_ahead;
        match self.state() {
            State::Agree => {
                tracing::info!(skew_seconds, "the backend's clock agrees with ours again")
            }
            State::Differ => tracing::warn!(
                skew_seconds,
                ahead,
                "the backend's clock differs from ours: synchronize both with NTP; above 300 s signatures are refused"
            ),
            State::Refuse => tracing::warn!(
                skew_seconds,
                ahead,
                "the backend's clock differs from ours so much that it refuses signatures: synchronize both with NTP"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use super::*;

    /// `Wed, 15 Nov 2023 22:13:20 GMT` and a bit.
    const AT: Duration = Duration::from_millis(1_700_086_400_500);

    fn date(at: Duration) -> HeaderMap {
        let at = OffsetDateTime::from_unix_timestamp(i64::try_from(at.as_secs()).unwrap()).unwrap();
        let date = at.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        [(DATE, date.parse().unwrap())].into_iter().collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What is known after an answer from a clock that is so far from ours.
    fn after(theirs: Duration) -> Option<(u64, bool)> {
        let clock = ClockSkew::default();
        clock.measure(&date(theirs), AT, AT);
        let skew = clock.now(AT)?;
        Some((skew.seconds(), skew.is_refused()))
    }

    #[test]
    fn a_minute_is_nothing_and_five_minutes_are_refused() {
        // The date is cut to its second, and one second is forgiven: half of one less ahead, half of one more behind.
        assert_eq!(after(AT + seconds(61)), None);
        assert_eq!(after(AT - seconds(60)), None);
        assert_eq!(after(AT + seconds(63)), Some((61, false)));
        assert_eq!(after(AT - seconds(62)), Some((61, false)));
        assert_eq!(after(AT + seconds(301)), Some((299, false)));
        assert_eq!(after(AT - seconds(302)), Some((301, true)));
        assert_eq!(after(AT + seconds(400)), Some((398, true)));
    }

    #[test]
    fn the_time_halfway_is_compared_and_a_slow_answer_is_not() {
        let clock = ClockSkew::default();
        clock.measure(&date(AT + seconds(400)), AT, AT + seconds(11));
        assert_eq!(clock.now(AT + seconds(11)), None);
        clock.measure(&date(AT + seconds(400)), AT, AT + seconds(10));
        assert_eq!(clock.now(AT + seconds(10)).unwrap().seconds(), 393);
    }

    #[test]
    fn it_is_compared_once_a_minute() {
        let clock = ClockSkew::default();
        clock.measure(&date(AT + seconds(100)), AT, AT);
        let soon = AT + seconds(59);
        clock.measure(&date(soon), soon, soon);
        assert!(clock.now(soon).is_some());
        let later = AT + seconds(60);
        clock.measure(&date(later), later, later);
        assert_eq!(clock.now(later), None);
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The levels of what is logged of one answer a minute, from clocks that are so many seconds ahead.
    fn levels(ahead: &[u64]) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let clock = ClockSkew::default();
            for (minute, ahead) in (0..).zip(ahead) {
                let now = AT + PAUSE * minute;
                clock.measure(&date(now + seconds(*ahead)), now, now);
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let level = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        text.lines().map(level).collect()
    }

    #[test]
    fn the_log_says_each_change_once() {
        assert_eq!(levels(&[0, 30, 1]), Vec::<String>::new());
        assert_eq!(levels(&[100, 110, 100]), ["WARN"]);
        assert_eq!(levels(&[100, 400, 410, 0, 0]), ["WARN", "WARN", "INFO"]);
    }

    #[test]
    fn a_difference_is_forgotten_after_two_minutes_without_a_call() {
        let clock = ClockSkew::default();
        clock.measure(&date(AT + seconds(400)), AT, AT);
        assert!(clock.now(AT + LIFETIME).is_some());
        assert_eq!(clock.now(AT + LIFETIME + seconds(1)), None);
    }

    #[test]
    fn a_clock_of_ours_that_was_set_back_is_compared_at_once() {
        let clock = ClockSkew::default();
        clock.measure(&date(AT - seconds(400)), AT, AT);
        let mended = AT - seconds(400);
        assert_eq!(clock.now(mended), None);
        clock.measure(&date(mended), mended, mended);
        assert_eq!(clock.now(AT), None);
    }

    #[test]
    fn what_is_no_date_says_nothing_and_does_not_count() {
        let clock = ClockSkew::default();
        clock.measure(&HeaderMap::new(), AT, AT);
        for text in [
            "",
            "yesterday",
            "Mon, 99 Foo 2023 22:13:20 GMT",
            "Thu, 01 Jan 1900 00:00:00 GMT",
        ] {
            let headers = [(DATE, text.parse().unwrap())].into_iter().collect();
            clock.measure(&headers, AT, AT);
            assert_eq!(clock.now(AT), None, "{text}");
        }
        clock.measure(&date(AT + seconds(100)), AT, AT);
        assert!(clock.now(AT).is_some());
    }
}
