//! A call on a connection that needs no exchange with rmcp. In: a call that is ready. Out: its answer, as JSON or events,
//! in the same forms and under the same ids as an exchange gives it. Losing the stream is no cancellation in these
//! revisions (protocol page A.6): a call that nobody waits for any more runs to its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::stream;
use http::StatusCode;
use rmcp::model::RequestId;
use serde_json::value::RawValue;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Connection, Connections, SLOW, events, knows_priming,
    live::Live,
    replay::{Asked, Replay},
};
use crate::{
    in_place,
    mcp::{
        HandlesMcp,
        fast_path::ReadyCall,
        pieces::Pieces,
        response::{self, Answer},
        service::Post,
    },
};

/// A call that has ended by then is answered at once; else its client has the id to come back with, and waits.
const SOON: Duration = Duration::from_millis(10);

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
        let mut call = ToItsEnd::of(in_place::boxed(|| async move {
            let _running = running;
            let answer = ready.answered(&written, cancel.clone()).await;
            // A cancelled request is not answered (protocol page A.6).
            answer.filter(|_| !cancel.is_cancelled())
        }));
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
        let filling = ToItsEnd::of(Box::pin(async move { live.fills(filled, call.await) }));
        // What takes longer goes on by itself.
        let _ = timeout(SOON, filling).await;
        self.rest(answer, 0)
    }
}

impl Live {
    /// The answer is this message and nothing else, or it was cancelled and is nothing.
    fn fills(&self, answer: Arc<Replay>, message: Option<Pieces>) {
        match message {
            Some(message) => answer.add_written(&message.whole()),
            None => answer.end(),
        }
        self.keeps(answer);
    }
}

/// A future that runs on in a task of its own where it is dropped before its end.
struct ToItsEnd<T: Send + 'static>(Option<Boxed<T>>);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send> ToItsEnd<T> {
    fn of(future: Boxed<T>) -> Self {
        Self(Some(future))
    }
}

impl<T: Send> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Asked once more after its end, which nobody does, it would have nothing to say.
        let Some(future) = &mut self.0 else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send> Drop for ToItsEnd<T> {
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
        let mut future = ToItsEnd::of(Box::pin(async move {
            let _ = gone.await;
            let _ = tell.send(());
        }));
        assert!(futures_util::poll!(&mut future).is_pending());
        drop(future);
        go.send(()).unwrap();
        told.await.unwrap();
    }
}
