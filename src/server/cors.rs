//! What browsers want to be told before a page of another origin may call or read (CORS). Descriptions are for every
//! page; MCP is for pages that the gate has let in, each answered by its own name. Never with credentials: a token comes
//! in a header that the page sets itself.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN, VARY,
    },
};
use http_body_util::{BodyExt, Full};

use super::Body;

/// What clients send (protocol page D).
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Accept, Last-Event-ID, MCP-Protocol-Version, \
                               Mcp-Session-Id, Mcp-Method, Mcp-Name, Prefer, Idempotency-Key";

/// What pages may read of an answer: without the challenge nobody can log in.
const RESPONSE_HEADERS: &str = "Mcp-Session-Id, WWW-Authenticate, Retry-After";

/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: &str = "3600";

/// Whether a browser asks what it may do, before it does it.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight for what every page may read.
pub(super) fn public_preflight() -> Response<Body> {
    let mut response = preflight("GET, HEAD, OPTIONS");
    open_to_all(response.headers_mut());
    response
}

/// The answer to a preflight for MCP from a page that the gate has let in. Browsers want each header by its name, those
/// that repeat arguments too.
pub(super) fn mcp_preflight(origin: &HeaderValue, arguments: &[String]) -> Response<Body> {
    let mut response = preflight("GET, POST, DELETE, OPTIONS");
    let headers = response.headers_mut();
    let allowed = [&[REQUEST_HEADERS.to_owned()], arguments]
        .concat()
        .join(", ");
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    open_to(headers, origin);
    response
}

/// Lets every page read the answer.
pub(super) fn open_to_all(headers: &mut HeaderMap) {
    set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
}

/// Lets the page read the answer, and the headers of it that it needs.
pub(super) fn open_to(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn preflight(methods: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, methods);
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    set(headers, ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
