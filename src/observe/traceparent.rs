//! The W3C trace context of a call (Trace Context §3.2): which trace it belongs to, and who in it caused it. In: the text
//! of a `traceparent`, from a client, so anything. Out: the context, or nothing where it is not valid. `tracestate` and
//! `baggage` are dropped: they are foreign text without use here.

use std::fmt;

use http::HeaderValue;
use uuid::Uuid;

use super::trail::{HopName, Trail};

/// Name of the header, and of the key in `_meta` (protocol page D).
pub const TRACEPARENT: &str = "traceparent";

/// The id of a trace; never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span; never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that caused what carries this.
    pub span: SpanId,
    /// Whether its sender records it.
    pub is_sampled: bool,
}

/// What the backend is told of a call's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What the client said, because no spans are made here.
    AsItCame(TraceContext),
    /// The call's own span, of which each hop has a child.
    Ours(TraceContext),
}

impl Told {
    /// The place of the call itself.
    #[must_use]
    pub fn call(self) -> TraceContext {
        match self {
            Self::AsItCame(context) | Self::Ours(context) => context,
        }
    }

    /// What a request carries that is sent while this hop is under way; `None`: after all of them.
    #[must_use]
    pub fn during(self, hop: Option<HopName>, trail: &Trail) -> TraceContext {
        match (self, hop) {
            (Self::Ours(call), Some(hop)) => call.hop(hop, trail.ended(hop)),
            (told, _) => told.call(),
        }
    }
}

impl TraceId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }
}

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // The version and variant bits of a UUID are in both halves; together nothing of them stands still.
        Self((high.rotate_left(32) ^ low).max(1).to_be_bytes())
    }
}

impl TraceContext {
    /// What the text says, if it is valid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
        let version = bytes::<1>(version)?;
        // Later versions may add parts; this one has four.
        if version == [0xff] || (version == [0] && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
        let [flags] = bytes::<1>(flags)?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            is_sampled: flags & 1 == 1,
        })
    }

    /// The span of a hop of the call whose span this is, `before` hops of that name having ended earlier. The same for the
    /// same hop, so that whoever sends a request and whoever makes the spans later need not talk to each other.
    #[must_use]
    pub fn hop(self, name: HopName, before: usize) -> Self {
        let seed = u64::from_be_bytes(self.span.0);
        let place = (before as u64) << 8 | (name as u64 + 1);
        // SplitMix64: another place is another number.
        let mut mixed = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Self {
            span: SpanId(mixed.max(1).to_be_bytes()),
            ..self
        }
    }

    /// As a header, in version 00.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        #[expect(
            clippy::expect_used,
            reason = "hexadecimal digits and hyphens are always a header value"
        )]
        HeaderValue::from_str(&self.to_string()).expect("a traceparent is a header value")
    }
}

/// Lower-case hexadecimal digits alone, as the specification has it.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (span, flags) = (hex::encode(self.span.0), u8::from(self.is_sampled));
        write!(f, "00-{}-{span}-{flags:02x}", self.trace)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{HopName, SpanId, TraceContext, TraceId};

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_one_is_written_as_it_was_read() {
        let context = TraceContext::parse(VALID).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), VALID);
        assert_eq!(context.header(), VALID);
        assert_eq!(
            context.trace.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        // A later version may say more (Trace Context §4).
        let later = format!("{}-more", VALID.replacen("00", "01", 1));
        assert_eq!(TraceContext::parse(&later), Some(context));
    }

    #[test]
    fn anything_else_is_no_context() {
        for odd in [
            "",
            "-",
            "00-0",
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &VALID.replace('f', "ä"),
            &format!("{VALID}-more"),
            &format!("{VALID}\r\nX-TB-Tenant-ID: other"),
            &format!(" {VALID}"),
        ] {
            assert_eq!(TraceContext::parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn each_hop_of_a_call_has_a_span_of_its_own_in_the_same_trace() {
        let call = TraceContext::parse(VALID).unwrap();
        let mut spans = HashSet::from([call.span]);
        for before in 0..64 {
            for name in HopName::ALL {
                let hop = call.hop(name, before);
                assert_eq!(hop, call.hop(name, before));
                assert_eq!((hop.trace, hop.is_sampled), (call.trace, true));
                assert!(spans.insert(hop.span), "{name:?} {before}");
            }
        }
    }

    #[test]
    fn new_ids_differ_and_are_not_zero() {
        assert_ne!(TraceId::random(), TraceId::random());
        assert_ne!(SpanId::random(), SpanId::random());
        assert_ne!(SpanId::random().0, [0; 8]);
    }
}
