//! What a POST holds, as far as it has to be known before anybody decodes it: which JSON-RPC messages, and of which era
//! (protocol page A.8). In: a body and the version header. Out: envelopes that still borrow the body, or why it is no
//! JSON-RPC. Nothing of the parameters is believed here but what tells the eras apart.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// More messages than this in one body are refused.
const LONGEST_BATCH: usize = 100;

/// The messages of a body.
#[derive(Debug)]
pub(super) enum Posted<'a> {
    One(Envelope<'a>),
    /// Only 2025-03-26 has these. An element that is no message stands for its own refusal.
    Batch(Vec<(&'a [u8], Result<Envelope<'a>, Malformed>)>),
}

/// One message, undecoded.
#[derive(Debug)]
pub(super) enum Envelope<'a> {
    Request {
        method: Cow<'a, str>,
        /// As it was written.
        id: &'a RawValue,
        traits: Traits,
    },
    Notification {
        method: Cow<'a, str>,
        traits: Traits,
    },
    /// What a client answers to a request of ours.
    Reply,
}

/// What the parameters tell of the era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// `_meta` names a protocol version.
    pub(super) names_version: bool,
    /// There are parameters of the old handshake.
    pub(super) shakes_hands: bool,
}

/// Why a body holds no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the body is no JSON that can be read")]
    NotJson,
    #[error("this is no JSON-RPC message")]
    NotJsonRpc,
    #[error("a request id is a string or a whole number")]
    Id,
    #[error("a batch holds from 1 to {LONGEST_BATCH} messages")]
    BatchSize,
}

impl Malformed {
    /// The code of JSON-RPC.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::NotJson => -32700,
            Self::NotJsonRpc | Self::Id | Self::BatchSize => -32600,
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// An id that is written as null is there, and wrong.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, rename = "protocolVersion")]
    version: Option<&'a RawValue>,
}

/// What every request has since 2026-07-28, and none before.
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
}

/// The messages in a body.
pub(super) fn read(body: &[u8]) -> Result<Posted<'_>, Malformed> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        return envelope(body).map(Posted::One);
    }
    let elements: Vec<&RawValue> = serde_json::from_slice(body).map_err(|_| Malformed::NotJson)?;
    if elements.is_empty() || elements.len() > LONGEST_BATCH {
        return Err(Malformed::BatchSize);
    }
    let elements = elements.into_iter().map(|element| {
        let bytes = element.get().as_bytes();
        (bytes, envelope(bytes))
    });
    Ok(Posted::Batch(elements.collect()))
}

fn envelope(message: &[u8]) -> Result<Envelope<'_>, Malformed> {
    let wire: Wire<'_> = serde_json::from_slice(message).map_err(|error| {
        if error.is_data() {
            Malformed::NotJsonRpc
        } else {
            Malformed::NotJson
        }
    })?;
    if wire.jsonrpc.as_deref() != Some("2.0") {
        return Err(Malformed::NotJsonRpc);
    }
    if wire.id.is_some_and(|id| !is_id(id.get())) {
        return Err(Malformed::Id);
    }
    let answers = wire.result.is_some() || wire.error.is_some();
    match (wire.method, wire.id) {
        (Some(_), _) if answers => Err(Malformed::NotJsonRpc),
        (Some(method), id) => {
            let traits = traits(wire.params);
            Ok(match id {
                Some(id) => Envelope::Request { method, id, traits },
                None => Envelope::Notification { method, traits },
            })
        }
        (None, _) if answers => Ok(Envelope::Reply),
        (None, _) => Err(Malformed::NotJsonRpc),
    }
}

/// A string, or a whole number that rmcp takes; the specification has no null ids. A string may be JSON and still no
/// text: half a surrogate pair.
fn is_id(written: &str) -> bool {
    if written.starts_with('"') {
        serde_json::from_str::<Cow<'_, str>>(written).is_ok()
    } else {
        written.parse::<i64>().is_ok()
    }
}

/// Parameters that are no object tell nothing; whoever decodes them refuses them.
fn traits(params: Option<&RawValue>) -> Traits {
    let Some(params) = params.filter(|params| params.get().starts_with('{')) else {
        return Traits::default();
    };
    let params: Params<'_> = serde_json::from_str(params.get()).unwrap_or_default();
    let meta = params.meta.and_then(|meta| {
        let meta: Meta<'_> = serde_json::from_str(meta.get()).ok()?;
        meta.version
    });
    Traits {
        names_version: meta.is_some(),
        shakes_hands: params.version.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

    fn one(body: &str) -> Result<String, Malformed> {
        match read(body.as_bytes())? {
            Posted::One(envelope) => Ok(format!("{envelope:?}")),
            Posted::Batch(_) => panic!("a batch: {body}"),
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_code_of_json_rpc() {
        for (body, why) in [
            ("", Malformed::NotJson),
            ("{", Malformed::NotJson),
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"a\"} x",
                Malformed::NotJson,
            ),
            ("nonsense", Malformed::NotJson),
            ("\u{feff}{}", Malformed::NotJson),
            ("3", Malformed::NotJsonRpc),
            ("null", Malformed::NotJsonRpc),
            ("{}", Malformed::NotJsonRpc),
            (
                r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
                Malformed::NotJsonRpc,
            ),
            (r#"{"id":1,"method":"ping"}"#, Malformed::NotJsonRpc),
            (r#"{"jsonrpc":"2.0","id":1}"#, Malformed::NotJsonRpc),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
                Malformed::NotJsonRpc,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
                Malformed::Id,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
                Malformed::Id,
            ),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
                Malformed::Id,
            ),
            (
                r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
                Malformed::Id,
            ),
            (
                r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
                Malformed::Id,
            ),
            ("[]", Malformed::BatchSize),
        ] {
            assert_eq!(one(body), Err(why), "{body}");
        }
        let long = format!("[{}]", vec!["1"; 101].join(","));
        assert_eq!(read(long.as_bytes()).unwrap_err(), Malformed::BatchSize);
        assert!(read(b"[1, 2").is_err_and(|why| why.code() == -32700));
    }

    #[test]
    fn the_traits_of_the_eras_are_seen_wherever_they_stand() {
        let traits_of = |body: &str| match read(body.as_bytes()) {
            Ok(Posted::One(Envelope::Request { traits, .. })) => traits,
            other => panic!("{other:?}"),
        };
        let modern = format!(
            r#"{{"params":{{"x":[1],"_meta":{{"a":1,"{META_VERSION}":"2026-07-28"}}}},"method":"tools/list","id":"1","jsonrpc":"2.0"}}"#
        );
        assert!(traits_of(&modern).names_version);
        assert!(!traits_of(&modern).shakes_hands);
        let old = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
        assert!(traits_of(old).shakes_hands);
        for params in [
            "[]",
            "1",
            "null",
            "{}",
            r#"{"_meta":[]}"#,
            r#"{"_meta":{}}"#,
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{params}}}"#);
            assert_eq!(traits_of(&body), Traits::default(), "{params}");
        }
    }

    #[test]
    fn one_bad_message_does_not_spoil_a_batch() {
        let body = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}, 7, {"jsonrpc":"2.0","result":{},"id":2}]"#;
        let Ok(Posted::Batch(messages)) = read(body.as_bytes()) else {
            panic!("no batch");
        };
        let read: Vec<_> = messages.iter().map(|(_, message)| message).collect();
        assert!(matches!(
            read.as_slice(),
            [
                Ok(Envelope::Request { .. }),
                Err(Malformed::NotJsonRpc),
                Ok(Envelope::Reply)
            ]
        ));
    }
}
