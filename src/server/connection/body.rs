//! A request's body that has to be here in time. In: hyper's body. Out: the same frames, or an error of the kind
//! `TimedOut`, by which whoever reads knows what to answer. The clock starts when somebody waits for bytes, so that the
//! time a token's check takes is not the client's.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::Pace;

/// A request's body, as it arrives.
#[derive(Debug)]
pub struct RequestBytes {
    incoming: Incoming,
    pace: Arc<Pace>,
    /// Which of its connection it belongs to.
    request: u64,
    /// What ends after an error is not read to its end.
    is_broken: bool,
    /// Runs once the body had to be waited for; all of it, because a byte now and then is no progress.
    limit: Option<Pin<Box<Sleep>>>,
}

impl RequestBytes {
    /// Of the request that has just begun.
    pub(in crate::server) fn new(incoming: Incoming, pace: Arc<Pace>) -> Self {
        let body = Self {
            incoming,
            request: pace.request(),
            pace,
            is_broken: false,
            limit: None,
        };
        if body.incoming.is_end_stream() {
            body.pace.has_read(body.request);
        }
        body
    }

    /// Takes note of how far it is read.
    fn heeds(&mut self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        self.is_broken |= matches!(frame, Some(Err(_)));
        if !self.is_broken && (frame.is_none() || self.incoming.is_end_stream()) {
            self.pace.has_read(self.request);
        }
    }
}

impl Body for RequestBytes {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.heeds(frame.as_ref());
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let door = this.pace.place().door();
        let patience = door.limits().body_timeout;
        let limit = this.limit.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(limit.as_mut().poll(cx));
        door.ended.slow_body.fetch_add(1, Relaxed);
        tracing::debug!("a request is refused: its body is slow to come (server.body_timeout)");
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
