//! How long a client says that it waits for a call: `Prefer: wait=SECONDS` of HTTP (RFC 7240), or `_meta` of the request,
//! the shorter of both. Ours stay what they are; whichever ends first ends the call. Whether the backend may have the
//! request by then is decided once, by whoever comes first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use rmcp::ErrorData;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

/// The key in `_meta`; its value is a whole number of milliseconds.
pub(super) const META: &str = "dev.toolbridge/timeout_ms";

/// Longer than any call of ours takes; also keeps the clock from overflowing.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const PREPARING: u8 = 0;
const SENDING: u8 = 1;
const ABANDONED: u8 = 2;

/// A client's own limit for one call, counted from its arrival.
#[derive(Clone, Debug)]
pub struct Limit {
    pub(super) after: Duration,
    ends: Instant,
    /// How the client said it.
    pub(super) said: &'static str,
    stage: Arc<AtomicU8>,
}

impl Limit {
    /// What the request says, in its headers and under [`META`].
    ///
    /// # Errors
    /// The value in `_meta` is no time. An odd `Prefer` is no error (RFC 7240 §2).
    pub(super) fn of(
        headers: Option<&HeaderMap>,
        said: Option<&Value>,
    ) -> Result<Option<Self>, ErrorData> {
        let preferred = headers
            .and_then(preferred)
            .map(|after| Self::new(after, "Prefer: wait"));
        let own = match said {
            Some(value) => Some(Self::new(milliseconds(value)?, META)),
            None => None,
        };
        Ok(preferred
            .into_iter()
            .chain(own)
            .min_by_key(|limit| limit.after))
    }

    fn new(after: Duration, said: &'static str) -> Self {
        let after = after.min(LONGEST);
        Self {
            after,
            ends: Instant::now() + after,
            said,
            stage: Arc::new(AtomicU8::new(PREPARING)),
        }
    }

    /// Waits until it passes.
    pub(super) async fn passed(&self) {
        sleep_until(self.ends).await;
    }

    /// When it passes.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// The backend is asked from now on, unless the call was given up before.
    pub(super) fn may_send(&self) -> bool {
        let entered = self.enter(SENDING);
        entered.is_ok() || entered == Err(SENDING)
    }

    /// Gives the call up, if nothing was sent yet.
    pub(super) fn abandons(&self) -> bool {
        self.enter(ABANDONED).is_ok()
    }

    fn enter(&self, stage: u8) -> Result<u8, u8> {
        let order = Ordering::AcqRel;
        self.stage
            .compare_exchange(PREPARING, stage, order, Ordering::Acquire)
    }
}

fn milliseconds(value: &Value) -> Result<Duration, ErrorData> {
    let number = value.as_u64().filter(|number| *number > 0);
    number.map(Duration::from_millis).ok_or_else(|| {
        let message = format!("_meta[\"{META}\"] must be a whole number of milliseconds above 0");
        ErrorData::invalid_params(message, None)
    })
}

/// `wait` of the first `Prefer` that has one; no time at all is no time to wait for anything, so it is left alone.
fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split(','));
    let seconds = preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse().ok())
    })?;
    seconds
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn waits(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_str(value).unwrap());
        }
        preferred(&headers).map(|time| time.as_secs())
    }

    #[test]
    fn a_preference_to_wait_is_found_however_it_is_written() {
        for value in [
            "wait=7",
            "Wait = 7",
            "wait=\"7\"",
            "respond-async, wait=7",
            "wait=7; x=1, wait=9",
            "return=minimal,wait=7",
        ] {
            assert_eq!(waits(&[value]), Some(7), "{value}");
        }
        assert_eq!(waits(&["respond-async", "wait=7"]), Some(7));
        for value in [
            "",
            "wait",
            "wait=",
            "wait=x",
            "wait=-1",
            "wait=0",
            "waiting=7",
            "x=wait=7",
        ] {
            assert_eq!(waits(&[value]), None, "{value}");
        }
    }

    #[test]
    fn milliseconds_are_whole_and_above_0() {
        assert_eq!(
            milliseconds(&json!(1500)).unwrap(),
            Duration::from_millis(1500)
        );
        for odd in [json!(0), json!(-1), json!(1.5), json!("1500"), json!(null)] {
            let error = milliseconds(&odd).unwrap_err();
            assert!(error.message.contains(META), "{odd}");
        }
    }

    #[tokio::test]
    async fn either_the_call_is_sent_or_it_is_given_up() {
        let sent = Limit::new(Duration::MAX, META);
        assert!(sent.may_send() && sent.may_send() && !sent.abandons());
        let abandoned = Limit::new(Duration::from_secs(1), META);
        assert!(abandoned.abandons() && !abandoned.may_send());
    }

    proptest::proptest! {
        #[test]
        fn any_preference_is_read_without_a_crash(value in "[ -~]{0,40}") {
            waits(&[&value]);
        }
    }
}
