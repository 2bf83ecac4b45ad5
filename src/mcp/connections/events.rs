//! Server-sent events, written: a message, an event that only has an id, a sign of life; and bodies made of them. In:
//! messages. Out: the bytes of one event each. A message is one line of JSON, so nothing in it can end an event early.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{
    HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use serde::Serialize;

/// Silence longer than this ends connections in some proxies.
pub(in crate::mcp) const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// A client that lost a stream comes back after so long.
const RETRY: Duration = Duration::from_millis(500);

/// A comment, which clients ignore.
pub(in crate::mcp) const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// An event with a message.
pub(in crate::mcp) fn message(id: Option<&str>, message: &impl Serialize) -> Bytes {
    written(id, &json(message))
}

/// The same without name and id, as rmcp writes the events of streams that nobody comes back to.
pub(in crate::mcp) fn unnamed(message: &impl Serialize) -> Bytes {
    let parts: [&[u8]; 3] = [b"data: ", &json(message), b"\n\n"];
    Bytes::from(parts.concat())
}

fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_else(|error| {
        tracing::error!(%error, "a message could not be written: this is a bug of toolbridge");
        b"null".to_vec()
    })
}

/// An event with a message that is written already.
pub(in crate::mcp) fn written(id: Option<&str>, message: &[u8]) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let parts: [&[u8]; 4] = [id.as_bytes(), b"event: message\ndata: ", message, b"\n\n"];
    Bytes::from(parts.concat())
}

/// An event with an id and empty data; only for clients that know of it (protocol page, trap 6).
pub(in crate::mcp) fn priming(id: &str) -> Bytes {
    let retry = RETRY.as_millis();
    Bytes::from(format!("id: {id}\nretry: {retry}\ndata: \n\n"))
}

/// A response of events.
pub(in crate::mcp) fn response(
    events: impl Stream<Item = Bytes> + Send + Sync + 'static,
) -> Response<BoxBody<Bytes, Infallible>> {
    let frames = events.map(|event| Ok(Frame::data(event)));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect an answer before they pass it on would keep the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
