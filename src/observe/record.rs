//! What is known of a call once it has ended: the one source of its log line, its samples, its spans and its row in the
//! console. In: what `mcp::call` found out. Out: a [`CallRecord`], which holds no argument, body, token or address.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    traceparent::TraceContext,
    trail::{HopName, Marks},
};

/// Who called, as far as it is told: the log says the name only where its operator wants that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `iss` of the token.
    pub issuer: String,
    /// `sub` of the token.
    pub subject: String,
}

impl Caller {
    /// The same for the same person in every process, and not the name: the first 16 hexadecimal digits of a SHA-256.
    /// Whoever knows a name can find its lines; nobody reads a name out of them.
    #[must_use]
    pub fn hashed(&self) -> String {
        let length = (self.issuer.len() as u64).to_be_bytes();
        let digest = Sha256::new()
            .chain_update(length)
            .chain_update(&self.issuer)
            .chain_update(&self.subject)
            .finalize();
        hex::encode(digest.get(..8).unwrap_or_default())
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ending {
    /// With a result.
    Ok,
    /// With this error code of design §8.
    Failed(&'static str),
    /// Nobody waited for it any more, so it was given up.
    #[default]
    Cancelled,
}

impl Ending {
    /// As logs and metrics say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(code) => code,
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// One call, whole.
#[derive(Clone, Debug, Default)]
pub struct CallRecord {
    /// The tool's name today.
    pub tool: String,
    /// The former name under which it was called.
    pub alias: Option<String>,
    /// Whether the tool writes.
    pub is_write: bool,
    /// Who called.
    pub caller: Option<Caller>,
    /// In whose name, once that was known.
    pub tenant: Option<String>,
    /// Joins our log, the backend's and what the person sees.
    pub correlation: String,
    /// The span of this call, where it is part of a trace.
    pub trace: Option<TraceContext>,
    /// Which span caused it, where a client said so.
    pub parent: Option<TraceContext>,
    /// What the client calls itself; nothing but a remark.
    pub client: Option<String>,
    /// The revision of MCP it came in.
    pub protocol: Option<String>,
    /// When it began, since 1970.
    pub began_at: Duration,
    /// How long it took, from the arrival of its request.
    pub took: Duration,
    /// What happened on its way.
    pub marks: Marks,
    /// How it ended.
    pub ending: Ending,
    /// Whether the same write had been begun before, so that this call sent nothing.
    pub is_repeated: bool,
    /// Why it failed, for the operator.
    pub cause: Option<String>,
}

impl CallRecord {
    /// How long the backend took: its sessions and its answers.
    #[must_use]
    pub fn backend(&self) -> Option<Duration> {
        let session = self.marks.took(HopName::Session);
        let request = self.marks.took(HopName::Request);
        (session.is_some() || request.is_some())
            .then(|| session.unwrap_or_default() + request.unwrap_or_default())
    }
}

/// The hops as the header `Server-Timing` says them, in milliseconds; `None` where there is none yet.
#[must_use]
pub fn server_timing(marks: &Marks, total: Duration) -> Option<String> {
    if marks.hops.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(160);
    for name in HopName::ALL {
        if let Some(took) = marks.took(name) {
            write_timing(&mut text, name.as_str(), took);
            text.push_str(", ");
        }
    }
    write_timing(&mut text, "total", total);
    Some(text)
}

/// By digits: what formats numbers of every kind takes ten times as long, and each answer has some six of them.
fn write_timing(text: &mut String, name: &str, time: Duration) {
    let micros = time.as_secs() * 1_000_000 + u64::from(time.subsec_nanos() + 500) / 1_000;
    text.push_str(name);
    text.push_str(";dur=");
    text.push_str(itoa::Buffer::new().format(micros / 1_000));
    text.push('.');
    let rest = micros % 1_000;
    text.push_str(match rest {
        0..10 => "00",
        10..100 => "0",
        _ => "",
    });
    text.push_str(itoa::Buffer::new().format(rest));
}

/// As logs and the console write times: to the microsecond.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::trail::Hop, *};

    #[test]
    fn the_hash_of_a_person_is_the_same_everywhere_and_joins_no_two() {
        let person = |issuer: &str, subject: &str| {
            Caller {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
            }
            .hashed()
        };
        assert_eq!(person("https://a", "alice"), person("https://a", "alice"));
        assert_ne!(person("ab", "c"), person("a", "bc"));
        assert_eq!(person("https://a", "alice").len(), 16);
    }

    #[test]
    fn server_timing_names_each_hop_once() {
        let hop = |name, took| Hop {
            name,
            start: Duration::ZERO,
            took: Duration::from_micros(took),
        };
        let marks = Marks {
            hops: vec![
                hop(HopName::Request, 1_500),
                hop(HopName::Verify, 10),
                hop(HopName::Request, 500),
            ],
            ..Marks::default()
        };
        assert_eq!(
            server_timing(&marks, Duration::from_millis(3)).as_deref(),
            Some("verify;dur=0.010, request;dur=2.000, total;dur=3.000")
        );
        assert_eq!(server_timing(&Marks::default(), Duration::ZERO), None);
    }
}
