//! The stream of `/sse`: where to send, then every message as an event, comments in between so that proxies keep it open,
//! an end when the connection ends. Dropping it (the client went away) gives up the connection's place.

use std::{convert::Infallible, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use tokio::{sync::mpsc, time::sleep};

use super::table::Place;

/// How often something is said on a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Events {
    /// Where to send, until it has been said.
    endpoint: Option<String>,
    answers: mpsc::Receiver<Bytes>,
    place: Place,
}

/// The body of the answer to `GET /sse`.
pub(super) fn body(
    place: Place,
    endpoint: String,
    answers: mpsc::Receiver<Bytes>,
) -> BoxBody<Bytes, Infallible> {
    let events = Events {
        endpoint: Some(endpoint),
        answers,
        place,
    };
    let frames = stream::unfold(events, async |mut events| {
        let event = events.next().await?;
        Some((Ok(Frame::data(event)), events))
    });
    StreamBody::new(frames).boxed()
}

impl Events {
    /// What is said next; `None` at the end. What was answered before the end is still said.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(endpoint) = self.endpoint.take() {
            return Some(event("endpoint", endpoint.as_bytes()));
        }
        let ended = &self.place.connection.ended;
        let answer = tokio::select! {
            biased;
            answer = self.answers.recv() => answer?,
            () = sleep(KEEP_ALIVE), if !ended.is_cancelled() => {
                return Some(Bytes::from_static(b": keep-alive\n\n"));
            }
        };
        self.place.connection.answered();
        Some(event("message", &answer))
    }
}

/// JSON has no line breaks of its own here, so one `data` line holds it.
fn event(name: &str, data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(name.len() + data.len() + 18);
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        event.put_slice(part);
    }
    event.freeze()
}
