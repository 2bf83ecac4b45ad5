//! Whether a caller may call the tools that a request names, decided before MCP: only then can the answer be HTTP 403
//! with a challenge, which is what makes a client ask for more. In: a request and its caller. Out: the same request, or
//! the scopes it needs. MCP checks each call again; nothing here is the only lock.

use std::{borrow::Cow, io};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Body as _;
use serde::Deserialize;

use super::{Body, connection::RequestBytes, reply};
use crate::auth::Caller;

/// A request's body: as it arrives, or read already and put back.
pub type RequestBody = Either<RequestBytes, Full<Bytes>>;

/// What the tools of the moment ask of their callers.
pub trait ToolScopes: Send + Sync {
    /// The scopes of this tool, all of them needed; empty where it asks for none or does not exist.
    fn of(&self, tool: &str) -> Vec<String>;

    /// The scopes of all tools, each once.
    fn all(&self) -> Vec<String>;

    /// Whether any tool asks for any.
    fn any(&self) -> bool;

    /// The headers in which clients repeat arguments of the tools.
    fn argument_headers(&self) -> Vec<String>;
}

/// Why a request does not get to MCP.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The caller lacks one of these, which the request needs together.
    Lacks(Vec<String>),
    /// The body is larger than is allowed.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The body did not arrive.
    Broken,
}

impl Refused {
    /// What whoever sent the body is told.
    pub(super) fn of_body(&self) -> Response<Body> {
        let (status, why) = match self {
            Self::Lacks(_) => (StatusCode::FORBIDDEN, "a scope is missing"),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than this server takes",
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "the body took longer to arrive than this server waits",
            ),
            Self::Broken => (StatusCode::BAD_REQUEST, "the body did not arrive"),
        };
        reply::refusal(status, "invalid_request", why)
    }
}

/// The first revision whose headers name the tool, and whose headers MCP compares with the body; dates compare as text.
const MODERN: &[u8] = b"2026-07-28";

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const CALL: &str = "tools/call";

/// The request as it came, if its caller has every scope that the tools in it ask for; `limit` is the longest body.
pub(super) async fn check(
    request: Request<RequestBytes>,
    caller: &Caller,
    scopes: &dyn ToolScopes,
    limit: usize,
) -> Result<Request<RequestBody>, Refused> {
    // Nobody without a token can get a better one here.
    let asked = caller.token().is_some() && request.method() == Method::POST && scopes.any();
    if !asked {
        return Ok(request.map(Either::Left));
    }
    if is_modern(request.headers()) {
        let tool = named_in(request.headers());
        allowed(tool.as_slice(), caller, scopes)?;
        return Ok(request.map(Either::Left));
    }
    let (parts, body) = request.into_parts();
    let body = read(body, limit).await?;
    allowed(&called_in(&body), caller, scopes)?;
    Ok(Request::from_parts(parts, Either::Right(Full::new(body))))
}

fn allowed<T: AsRef<str>>(
    tools: &[T],
    caller: &Caller,
    scopes: &dyn ToolScopes,
) -> Result<(), Refused> {
    let mut needed = Vec::new();
    for scope in tools.iter().flat_map(|tool| scopes.of(tool.as_ref())) {
        if !needed.contains(&scope) {
            needed.push(scope);
        }
    }
    if needed.iter().all(|scope| caller.scopes().contains(scope)) {
        Ok(())
    } else {
        Err(Refused::Lacks(needed))
    }
}

fn is_modern(headers: &HeaderMap) -> bool {
    let version = headers.get(VERSION);
    version.is_some_and(|version| version.as_bytes() >= MODERN)
}

/// The tool that a modern request calls, by its headers.
fn named_in(headers: &HeaderMap) -> Option<String> {
    if headers.get(METHOD)?.as_bytes() != CALL.as_bytes() {
        return None;
    }
    let name = headers.get(NAME)?.to_str().ok()?.trim();
    let Some(encoded) = name.strip_prefix("=?base64?") else {
        return Some(name.to_owned());
    };
    let bytes = STANDARD.decode(encoded.strip_suffix("?=")?).ok()?;
    String::from_utf8(bytes).ok()
}

/// The whole body, `limit` bytes at most.
pub(super) async fn read(body: RequestBytes, limit: usize) -> Result<Bytes, Refused> {
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > limit) {
        return Err(Refused::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refused::TooLarge),
        Err(error) => Err(match error.downcast_ref::<io::Error>() {
            Some(error) if error.kind() == io::ErrorKind::TimedOut => Refused::TooSlow,
            _ => Refused::Broken,
        }),
    }
}

/// As much of a message as tells which tool it calls.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// The tools that a body calls; none where it cannot be read, which MCP then says in its own words.
fn called_in(body: &[u8]) -> Vec<String> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let messages = if is_batch {
        serde_json::from_slice(body)
    } else {
        serde_json::from_slice(body).map(|message| vec![message])
    };
    let messages: Vec<Message<'_>> = messages.unwrap_or_default();
    let calls = messages
        .into_iter()
        .filter(|message| message.method.as_deref() == Some(CALL));
    calls
        .filter_map(|call| Some(call.params?.name?.into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn named(headers: &[(&'static str, &str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (http::HeaderName::from_static(name), value)
        });
        named_in(&headers.collect())
    }

    #[test]
    fn a_modern_call_is_named_in_its_headers_plainly_or_encoded() {
        let call = ("mcp-method", "tools/call");
        let name = |name| named(&[call, ("mcp-name", name)]);
        assert_eq!(name("create_note").as_deref(), Some("create_note"));
        let encoded = "=?base64?Y3JlYXRlX25vdGU=?=";
        assert_eq!(name(encoded).as_deref(), Some("create_note"));
        for broken in [
            "=?base64?Y3JlYXRlX25vdGU=",
            "=?base64?%%?=",
            "=?base64?/w==?=",
        ] {
            assert_eq!(name(broken), None, "{broken}");
        }
        assert_eq!(named(&[call]), None);
        let other = [("mcp-method", "prompts/get"), ("mcp-name", "create_note")];
        assert_eq!(named(&other), None);
    }

    #[test]
    fn the_calls_of_a_body_are_found_alone_and_in_batches() {
        let call = r#"{"id":1,"method":"tools/call","params":{"arguments":{"name":"x"},"name":"a\u0062"}}"#;
        let ping = r#"{"id":2,"method":"ping"}"#;
        assert_eq!(called_in(call.as_bytes()), ["ab"]);
        let batch = format!(" [{ping},{call},{call}]");
        assert_eq!(called_in(batch.as_bytes()), ["ab", "ab"]);
        assert!(called_in(ping.as_bytes()).is_empty());
        for unreadable in [
            "",
            "5",
            "[[]]",
            r#"{"method":"tools/call","method":"ping","params":{"name":"a"}}"#,
            r#"{"method":"tools/call","params":{"name":5}}"#,
        ] {
            assert!(called_in(unreadable.as_bytes()).is_empty(), "{unreadable}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_without_a_crash(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            called_in(&body);
        }
    }
}
