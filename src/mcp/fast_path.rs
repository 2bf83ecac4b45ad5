//! The way of nearly every call, past rmcp: a POST of `tools/call` of which nothing is unusual. In: a body and what stands
//! beside it. Out: the answer, byte for byte what rmcp would have made of the same call, which is run by the same
//! [`Calls`](super::Calls). The one thing not to break: whatever is unusual, and every error of a request, is left to rmcp
//! before anything has been done; nothing here refuses anything.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, StatusCode, request::Parts};
use quick_cache::sync::Cache;
use rmcp::model::{ClientCapabilities, Implementation, RequestId, ServerJsonRpcMessage};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Map, Value, value::RawValue};
use tokio_util::sync::CancellationToken;

use super::{
    HandlesMcp, Incoming, NoOutcome, abandoned,
    call::Calls,
    connections::{Connection, VERSION},
    listing::Era,
    pieces::Pieces,
    prepared::{MODERN, is_only, told},
    published::Published,
    response::{self, Answer},
    service::{Accepts, Post},
};
use crate::auth::Caller;

const CALL: &str = "tools/call";

/// So many texts of clients are known at once, none of them longer than this.
const MOST_CLIENTS: usize = 256;
const LONGEST_SAID: usize = 2048;
const DEEPEST_SAID: usize = 64;

/// Headers that repeat arguments are compared by rmcp.
const REPEATED: &str = "mcp-param-";

/// A call of which nothing is unusual.
pub struct PlainCall<'a> {
    pub(super) caller: &'a Caller,
    pub(super) parts: &'a Parts,
    pub(super) tool: Cow<'a, str>,
    pub(super) arguments: Map<String, Value>,
    pub(super) era: Era,
    pub(super) protocol: &'a str,
    /// What the client calls itself, and its version.
    pub(super) client: Option<(&'a str, &'a str)>,
    pub(super) capabilities: &'a ClientCapabilities,
    pub(super) said: Said,
}

/// What `_meta` says of the call itself.
#[derive(Default)]
pub(super) struct Said {
    pub(super) traceparent: Option<Value>,
    pub(super) timeout: Option<Value>,
    pub(super) write_name: Option<Value>,
}

/// A call that is ready to run.
pub struct ReadyCall {
    pub(super) calls: Arc<Calls>,
    pub(super) published: Arc<Published>,
    pub(super) incoming: Incoming,
    pub(super) era: Era,
}

/// A derived reader takes arrays for objects, and skips what it does not know without reading it; with something
/// flattened it does neither, like rmcp's: half a surrogate pair is no text, wherever it stands.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Params<'a>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: Option<Map<String, Value>>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Meta<'a>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// Keys that nobody reads are no reason to take another way.
#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    client: Option<&'a RawValue>,
    #[serde(
        default,
        deserialize_with = "present",
        rename = "io.modelcontextprotocol/logLevel"
    )]
    log_level: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present", rename = "progressToken")]
    progress: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    traceparent: Option<Value>,
    #[serde(
        default,
        deserialize_with = "present",
        rename = "dev.toolbridge/timeout_ms"
    )]
    timeout: Option<Value>,
    #[serde(
        default,
        deserialize_with = "present",
        rename = "dev.toolbridge/idempotency_key"
    )]
    write_name: Option<Value>,
    #[serde(flatten)]
    _others: Map<String, Value>,
}

/// What is written as null is there.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    /// What is written there, if there is nothing that is unknown here.
    fn of(body: &'a [u8]) -> Option<Self> {
        let message: Self = serde_json::from_slice(body).ok()?;
        let is_known = message.unknown.is_empty() && message.params.unknown.is_empty();
        is_known.then_some(message)
    }
}

/// What clients say of themselves, by its text: the same in every call of a client, and read once.
pub(super) struct Clients {
    implementations: Cache<Box<str>, Arc<Implementation>>,
    capabilities: Cache<Box<str>, Arc<ClientCapabilities>>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            implementations: Cache::new(MOST_CLIENTS),
            capabilities: Cache::new(MOST_CLIENTS),
        }
    }
}

/// The value of this text. Every value in it is read, as rmcp does. `None`: it is none, or not what clients say.
fn said<T: DeserializeOwned>(known: &Cache<Box<str>, Arc<T>>, text: &RawValue) -> Option<Arc<T>> {
    let text = text.get();
    if let Some(value) = known.get(text) {
        return Some(value);
    }
    // rmcp counts how deep it is from the beginning of the message.
    let deep = |byte: &u8| matches!(byte, b'{' | b'[');
    if text.len() > LONGEST_SAID || text.bytes().filter(deep).count() > DEEPEST_SAID {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let value = Arc::new(serde_json::from_value(value).ok()?);
    known.insert(text.into(), Arc::clone(&value));
    Some(value)
}

/// Whether the headers are those of a call of 2026-07-28: where they are not, nothing else has to be looked at.
pub(super) fn may_be_modern(headers: &HeaderMap) -> bool {
    is_only(headers, VERSION, MODERN) && is_only(headers, "mcp-method", CALL)
}

/// The answer to a call whose headers are those of one of 2026-07-28, once it has ended; `None`: it was not begun.
pub(super) async fn modern(
    handler: &impl HandlesMcp,
    clients: &Clients,
    post: &Post<'_>,
) -> Option<Answer> {
    let message = read(post)?;
    let headers = &post.parts.headers;
    let (params, id) = (message.params, message.id);
    let meta = params.meta;
    let is_plain = is_only(headers, "mcp-name", &params.name)
        && !headers
            .keys()
            .any(|name| name.as_str().starts_with(REPEATED))
        && meta.version.as_deref() == Some(MODERN);
    is_plain.then_some(())?;
    let capabilities = said(&clients.capabilities, meta.capabilities?)?;
    let client = match meta.client {
        Some(client) => Some(said(&clients.implementations, client)?),
        None => None,
    };
    let ready = handler.ready(PlainCall {
        caller: post.caller,
        parts: &post.parts,
        tool: params.name,
        arguments: params.arguments.unwrap_or_default(),
        era: Era::Modern,
        protocol: MODERN,
        client: client.as_deref().map(told),
        capabilities: &capabilities,
        said: Said {
            traceparent: meta.traceparent,
            timeout: meta.timeout,
            write_name: meta.write_name,
        },
    })?;
    // Whoever drops this goes away, and takes a read along: nobody has to be told.
    let answer = ready.answered(id, CancellationToken::new()).await?;
    Some(response::with_body(StatusCode::OK, answer))
}

/// A call on a connection, not begun yet; `None`: rmcp does it.
pub(super) fn on_connection<'a>(
    handler: &impl HandlesMcp,
    connection: &Connection,
    post: &Post<'a>,
) -> Option<(&'a RawValue, ReadyCall)> {
    let message = read(post)?;
    let (params, id) = (message.params, message.id);
    let meta = params.meta;
    let is_plain = meta.version.is_none() && meta.capabilities.is_none() && meta.client.is_none();
    is_plain.then_some(())?;
    // What cannot be asked on a stream is not asked.
    let nothing = ClientCapabilities::default();
    let Accepts { events, .. } = post.accepts;
    let ready = handler.ready(PlainCall {
        caller: post.caller,
        parts: &post.parts,
        tool: params.name,
        arguments: params.arguments.unwrap_or_default(),
        era: Era::Legacy,
        protocol: connection.peer.protocol_version.as_str(),
        client: Some(told(&connection.peer.client_info)),
        capabilities: if events {
            &connection.peer.capabilities
        } else {
            &nothing
        },
        said: Said {
            traceparent: meta.traceparent,
            timeout: meta.timeout,
            write_name: meta.write_name,
        },
    })?;
    Some((id, ready))
}

/// The message, if it is a call and everything in it is known here.
fn read<'a>(post: &Post<'a>) -> Option<Message<'a>> {
    let message = Message::of(post.body)?;
    let is_plain = message.jsonrpc == "2.0"
        && message.method == CALL
        && is_plain_id(message.id.get())
        && post.accepts.json | post.accepts.events
        && message.params.meta.progress.is_none()
        && message.params.meta.log_level.is_none();
    is_plain.then_some(message)
}

/// An id that is written again as it is: a number as everybody writes it, or a text without escapes.
fn is_plain_id(written: &str) -> bool {
    match written.strip_prefix('"') {
        Some(text) => !text.contains('\\') && written.len() <= 1024,
        None => written
            .parse::<i64>()
            .is_ok_and(|number| number.to_string() == written),
    }
}

impl ReadyCall {
    /// Runs it. The JSON-RPC message that answers it; `None` where nobody is answered, because it was cancelled.
    pub(super) async fn answered(self, id: &RawValue, gone: CancellationToken) -> Option<Pieces> {
        let Self {
            calls,
            published,
            incoming,
            era,
        } = self;
        match calls.run(incoming, gone).await {
            Ok(outcome) => Some(published.answers.written(era, id, outcome)),
            Err(NoOutcome::ClientGone) => None,
            // That there is such a tool has been seen.
            Err(NoOutcome::Lost | NoOutcome::UnknownTool) => {
                let id: RequestId = serde_json::from_str(id.get()).ok()?;
                let message = ServerJsonRpcMessage::error(abandoned(), Some(id));
                Some(serde_json::to_vec(&message).unwrap_or_default().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{Clients, LONGEST_SAID, Message, is_plain_id, said};

    fn is_read(body: &str) -> bool {
        Message::of(body.as_bytes()).is_some()
    }

    #[test]
    fn an_array_in_the_place_of_an_object_is_left_to_rmcp() {
        for (body, is_plain) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#,
                true,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{}}}"#,
                true,
            ),
            (r#"["2.0",1,"tools/call",{"name":"a"}]"#, false),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a",{},{}]}"#,
                false,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":["2026-07-28",{},null,null,null,null,null,null]}}"#,
                false,
            ),
        ] {
            assert_eq!(is_read(body), is_plain, "{body}");
        }
    }

    #[test]
    fn what_nobody_reads_has_to_be_readable_all_the_same() {
        let with = |value: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","_meta":{{"tracestate":{value}}}}}}}"#
            )
        };
        for plain in ["\"a=b\"", "{\"a\":[1]}", "null", "\"\\ud83d\\ude00\""] {
            assert!(is_read(&with(plain)), "{plain}");
        }
        for odd in ["\"\\ud800\"", "[{\"\\udc00\":1}]", "1e400"] {
            assert!(!is_read(&with(odd)), "{odd}");
        }
    }

    #[test]
    fn what_a_client_says_of_itself_is_read_to_its_end() {
        let clients = Clients::default();
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let client = |text: &str| said(&clients.implementations, &raw(text));
        let able = |text: &str| said(&clients.capabilities, &raw(text));
        let plain = r#"{"name":"a","version":"1","more":[{}]}"#;
        // The first time it is read, the second time known.
        for _ in 0..2 {
            assert_eq!(client(plain).unwrap().name, "a");
            assert!(able(r#"{"x":1}"#).is_some());
        }
        for odd in [
            r#"{"name":"a","version":"1","more":"\udc00"}"#,
            r#"{"name":"a"}"#,
            "[]",
        ] {
            assert!(client(odd).is_none() && client(odd).is_none(), "{odd}");
        }
        for odd in [
            r#"{"x":"\ud800"}"#,
            // A name that the JSON library keeps for itself.
            r#"{"$serde_json::private::RawValue":[]}"#,
        ] {
            assert!(able(odd).is_none(), "{odd}");
        }
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(able(&deep).is_none());
        let long = format!("{{\"x\":\"{}\"}}", "a".repeat(LONGEST_SAID));
        assert!(able(&long).is_none());
    }

    #[test]
    fn unknown_keys_beside_known_ones_are_left_to_rmcp() {
        let plain = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        assert!(is_read(plain));
        assert!(!is_read(&plain.replacen('{', r#"{"x":1,"#, 1)));
        assert!(!is_read(
            &plain.replace(r#"{"name""#, r#"{"task":{},"name""#)
        ));
        assert!(!is_read(&plain.replacen('{', r#"{"id":1,"#, 1)));
    }

    #[test]
    fn an_id_that_rmcp_writes_otherwise_is_left_to_it() {
        for plain in [
            "1",
            "-7",
            "0",
            "\"a\"",
            "\"\"",
            "\"é\"",
            "9223372036854775807",
        ] {
            assert!(is_plain_id(plain), "{plain}");
        }
        for odd in [
            "-0",
            "1.0",
            "1e2",
            "null",
            "{}",
            "[]",
            "true",
            "\"\\u0062\"",
            "9223372036854775808",
        ] {
            assert!(!is_plain_id(odd), "{odd}");
        }
    }
}
