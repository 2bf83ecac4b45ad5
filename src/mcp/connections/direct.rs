//! A call on a connection that needs no exchange with rmcp. In: a call that is ready. Out: its answer, as JSON or events,
//! in the same forms and under the same ids as an exchange gives it. Losing the stream is no cancellation in these
//! revisions (protocol page A.6): a call that nobody waits for any more runs to its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::stream;
use http::StatusCode;
use rmcp::model::RequestId;
use serde_json::value::RawValue;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Connection, Connections, SLOW, events, knows_priming,
    replay::{Asked, Replay},
};
use crate::mcp::{
    HandlesMcp,
    fast_path::ReadyCall,
    pieces::Pieces,
    response::{self, Answer},
    service::Post,
};

impl<H: HandlesMcp> Connections<H> {
    /// Runs a call under this id.
    pub(super) async fn runs(
        &self,
        connection: &Connection,
        id: &RawValue,
        ready: ReadyCall,
        post: &Post<'_>,
    ) -> Answer {
        let written = id.to_owned();
        let id: RequestId = serde_json::from_str(id.get()).unwrap_or(RequestId::Number(0));
        let cancel = CancellationToken::new();
        let running = self.live.runs(connection.key, &id, cancel.clone());
        let mut call = ToItsEnd::of(async move {
            let _running = running;
            let answer = ready.answered(&written, cancel.clone()).await;
            // A cancelled request is not answered (protocol page A.6).
            answer.filter(|_| !cancel.is_cancelled())
        });
        let accepts = post.accepts;
        if !accepts.events {
            return match call.await {
                Some(message) => response::with_body(StatusCode::OK, message),
                None => response::accepted(),
            };
        }
        // A call that its client can come back for: it has the id for that before anything can go wrong.
        let is_primed = knows_priming(connection);
        if accepts.json && !is_primed {
            match timeout(SLOW, &mut call).await {
                Ok(Some(message)) => return response::with_body(StatusCode::OK, message),
                Ok(None) => return events::response(stream::empty()),
                Err(_) => {}
            }
        }
        let asked = Asked { id, is_call: true };
        let answer = Replay::new(connection.key, asked, post.parts.extensions.get().cloned());
        self.live.awaits(Arc::clone(&answer));
        if is_primed {
            answer.prime();
        }
        let (filled, live) = (Arc::clone(&answer), Arc::clone(&self.live));
        tokio::spawn(async move {
            match call.await {
                Some(message) => filled.add_written(&message.whole()),
                None => filled.end(),
            }
            live.keeps(filled);
        });
        self.rest(answer, 0)
    }
}

/// A future that runs on in a task of its own where it is dropped before its end.
struct ToItsEnd(Option<Pin<Box<dyn Future<Output = Option<Pieces>> + Send>>>);

impl ToItsEnd {
    fn of(future: impl Future<Output = Option<Pieces>> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl Future for ToItsEnd {
    type Output = Option<Pieces>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Pieces>> {
        let Some(future) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for ToItsEnd {
    fn drop(&mut self) {
        if let (Some(future), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_runs_to_its_end() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut future = ToItsEnd::of(async move {
            let _ = gone.await;
            let _ = tell.send(());
            None
        });
        assert!(futures_util::poll!(&mut future).is_pending());
        drop(future);
        go.send(()).unwrap();
        told.await.unwrap();
    }
}
