//! A stream of events that ends with its answer. In: the body of a response as rmcp makes it. Out: the same, over as soon
//! as the message that answers the request is in it. Many clients hang up once they have read that message; an end that
//! comes later would meet a closed door, and a write that was answered would look like one whose answer was lost.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::BoxBody};
use serde::{Deserialize, de::IgnoredAny};

use super::response::Answer;

/// Ends a stream of events with the answer to its request; anything else is left as it is.
pub(super) fn ends(answer: Answer) -> Answer {
    let kind = answer.headers().get(CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return answer;
    }
    answer.map(|events| {
        Ending {
            events: Some(events),
        }
        .boxed()
    })
}

struct Ending {
    /// `None` once the answer has passed.
    events: Option<BoxBody<Bytes, Infallible>>,
}

impl Body for Ending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(events) = &mut self.events else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(events).poll_frame(context));
        let data = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref());
        if data.is_none_or(|data| is_answer(data)) {
            self.events = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.events.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Whether this event is a response: rmcp writes each event as one frame.
fn is_answer(event: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Response {
        method: Option<IgnoredAny>,
        result: Option<IgnoredAny>,
        error: Option<IgnoredAny>,
    }
    let Ok(event) = std::str::from_utf8(event) else {
        return false;
    };
    let data = event.lines().find_map(|line| line.strip_prefix("data:"));
    let response = data.and_then(|data| serde_json::from_str::<Response>(data).ok());
    response.is_some_and(|it| it.method.is_none() && (it.result.is_some() || it.error.is_some()))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::Response;
    use http_body_util::StreamBody;

    use super::*;

    const PROGRESS: &str =
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"result":1}}"#;
    const ANSWER: &str = r#"data: {"jsonrpc":"2.0","id":"result","result":{"isError":true}}"#;

    #[tokio::test]
    async fn a_stream_is_over_with_its_answer_and_not_before() {
        let events = ["", "id: 1\ndata:\n\n", PROGRESS, ANSWER];
        // It never ends by itself.
        let frames =
            stream::iter(events.map(|it| Ok(Frame::data(Bytes::from(format!("{it}\n\n"))))));
        let body = StreamBody::new(futures_util::StreamExt::chain(frames, stream::pending()));
        let mut answer = Response::new(BodyExt::boxed(body));
        let kind = http::HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        let mut body = ends(answer).into_body();
        for _ in &events {
            assert!(!body.is_end_stream());
            assert!(body.frame().await.is_some());
        }
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }
}
