//! A `subscriptions/listen` stream that rmcp has opened and that is held without it: an exchange of rmcp keeps some 60 KB
//! while it waits for news, and this some 2. rmcp is asked to open it and to end it at once; what it says at its end is kept
//! for the end. In: rmcp's answer. Out: the same answer with everything that rmcp would have sent in between. The one thing
//! not to break: no message is written here by hand, and whatever rmcp refuses is left as it is.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, GetMeta, JsonRpcMessage, JsonRpcRequest, RequestId,
    ServerJsonRpcMessage, ServerNotification, SubscriptionFilter, ToolListChangedNotification,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    connections::{OpenStream, events},
    news::News,
    response::Answer,
};

/// rmcp's own comment.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// What such a request asks for, as rmcp reads it.
pub(super) struct Wish {
    id: RequestId,
    pub(super) of: SubscriptionFilter,
}

impl Wish {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        match serde_json::from_slice(body).ok()? {
            ClientJsonRpcMessage::Request(JsonRpcRequest {
                id,
                request: ClientRequest::SubscriptionsListenRequest(request),
                ..
            }) => Some(Self {
                id,
                of: request.params.notifications,
            }),
            _ => None,
        }
    }
}

/// An answer that keeps its place until its body is gone.
pub(super) fn keeps(answer: Answer, place: OpenStream) -> Answer {
    answer.map(|body| {
        let kept = body.map_frame(move |frame| {
            let _kept = &place;
            frame
        });
        kept.boxed()
    })
}

/// Marks a request whose stream rmcp only opens.
#[derive(Clone)]
pub(super) struct OnlyOpened;

/// What a stream needs that waits for news.
pub(super) struct Held {
    id: RequestId,
    news: News,
    /// Ends it without a last word.
    streams: CancellationToken,
    place: OpenStream,
    /// What rmcp said first, and said at the end; each is said once.
    first: Option<Bytes>,
    last: Option<Bytes>,
}

/// What comes next on a stream.
enum Next {
    Changed,
    Alive,
    Goodbye,
}

impl Held {
    pub(super) fn new(
        wish: Wish,
        news: News,
        streams: CancellationToken,
        place: OpenStream,
    ) -> Self {
        Self {
            id: wish.id,
            news,
            streams,
            place,
            first: None,
            last: None,
        }
    }

    /// Goes on with what rmcp has opened; what it has refused stays as it is.
    pub(super) async fn takes_over(mut self, answer: Answer) -> Answer {
        let kind = answer.headers().get(CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "text/event-stream") {
            return keeps(answer, self.place);
        }
        let (head, mut body) = answer.into_parts();
        self.first = event_of(&mut body).await;
        self.last = event_of(&mut body).await;
        // Its end is the end of rmcp's exchange.
        while event_of(&mut body).await.is_some() {}
        let events = stream::unfold(self, Self::next);
        let frames = events.map(|event| Ok::<_, Infallible>(Frame::data(event)));
        Answer::from_parts(head, BodyExt::boxed(StreamBody::new(frames)))
    }

    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(first) = self.first.take() {
            return Some((first, self));
        }
        // Without a last word it is over.
        self.last.as_ref()?;
        let event = match self.comes().await? {
            Next::Changed => events::unnamed(&self.changed()),
            Next::Alive => ALIVE,
            Next::Goodbye => self.last.take()?,
        };
        Some((event, self))
    }

    /// `None`: it ends without a word.
    async fn comes(&mut self) -> Option<Next> {
        let alive = Instant::now() + events::SIGN_OF_LIFE;
        let ends = self.news.ends();
        tokio::select! {
            biased;
            () = self.streams.cancelled() => None,
            is_news = self.news.come() => Some(if is_news { Next::Changed } else { Next::Goodbye }),
            // One timer for both.
            () = sleep_until(alive.min(ends)) => Some(if ends <= alive { Next::Goodbye } else { Next::Alive }),
        }
    }

    fn changed(&self) -> ServerJsonRpcMessage {
        let mut changed =
            ServerNotification::ToolListChangedNotification(ToolListChangedNotification {
                method: Default::default(),
                extensions: Default::default(),
            });
        let meta = changed.get_meta_mut();
        meta.set_subscription_id(self.id.clone());
        JsonRpcMessage::notification(changed)
    }
}

async fn event_of(body: &mut BoxBody<Bytes, Infallible>) -> Option<Bytes> {
    let Ok(frame) = body.frame().await?;
    let event = frame.into_data().ok()?;
    // It is kept for long, and what it was written into is larger.
    Some(Bytes::copy_from_slice(&event))
}
