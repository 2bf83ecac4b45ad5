//! An answer of events that waits for more of them, without hyper: its socket, its body and nothing else, where hyper keeps
//! 16 KB to write and read into. In: what hyper was given to write, taken back between two of its chunks. Out: the rest of
//! the same chunked body, byte for byte as hyper writes it. Taken back only where it is certain what hyper has written.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::AsyncWrite;

use super::{Requests, Stream};
use crate::server::{
    Body,
    connection::AnswerBytes,
    watched::{self, WholeBody},
};

/// The body of an answer that is under way.
pub(super) type Source = AnswerBytes<WholeBody<Body>>;

/// What hyper has of a body.
pub(super) enum Given {
    Whole(Source),
    Lent(Lent),
}

/// A body that its connection can take back.
pub(super) struct Lent(Arc<Requests>);

/// Writes the rest of an answer. The socket is let go first, so that what was not written counts as lost before the body
/// hears that nobody listens.
pub(super) struct Streams {
    stream: Stream,
    /// `None` once it has said all.
    source: Option<Source>,
    /// What is left of the last that it said, in pieces, none of them empty. All of them are written at once: an answer
    /// whose source has ended counts as sent when what is handed over is.
    left: VecDeque<Bytes>,
}

/// More is asked for before that is written while so many pieces wait at most: with a chunk of three they are fewer than
/// [`watched::MOST_PIECES`].
const FEW: usize = watched::MOST_PIECES - 5;

/// And while they are no longer than this in all.
const SHORT: usize = 8 * 1024;

const END_OF_CHUNK: Bytes = Bytes::from_static(b"\r\n");
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// Whether the answer to this may go on without hyper: the connection goes on after it, and it is in chunks if it has no
/// length.
pub(super) fn may_be_asked_for<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let stays = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    request.version() == Version::HTTP_11
        && matches!(*request.method(), Method::GET | Method::POST)
        && headers.get_all(CONNECTION).iter().all(stays)
        && !headers.contains_key(UPGRADE)
        // hyper closes after a request that has both.
        && !(headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH))
}

/// Whether this is an answer of events that hyper writes in chunks, each of them a frame.
pub(super) fn is_of_events(response: &Response<Source>) -> bool {
    let headers = response.headers();
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let others = [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER, CONNECTION];
    response.status() == StatusCode::OK
        && response.version() == Version::HTTP_11
        && kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
        && !others.iter().any(|name| headers.contains_key(name))
        && response.body().size_hint().exact().is_none()
        && !response.body().is_end_stream()
}

impl Given {
    /// A body that can be taken back.
    pub(super) fn lent(source: Source, requests: Arc<Requests>) -> Self {
        // Its head is still to be written.
        requests.pace.owes();
        *requests.lent() = Some(source);
        Self::Lent(Lent(requests))
    }
}

impl Lent {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut lent = self.0.lent();
        let Some(source) = lent.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(source).poll_frame(cx));
        self.0.pace.owes();
        Poll::Ready(frame)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // What is let go of here may ask for anything, so not under the lock.
        let source = self.0.lent().take();
        drop(source);
    }
}

impl http_body::Body for Given {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(source) => Pin::new(source).poll_frame(cx),
            Self::Lent(lent) => lent.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(source) => source.is_end_stream(),
            Self::Lent(Lent(requests)) => {
                let lent = requests.lent();
                lent.as_ref().is_none_or(Source::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(source) => source.size_hint(),
            Self::Lent(Lent(requests)) => {
                let lent = requests.lent();
                lent.as_ref().map(Source::size_hint).unwrap_or_default()
            }
        }
    }
}

impl Requests {
    /// What hyper was lent, where it can be taken back: hyper has read the whole request, has written all that it was given,
    /// and waits for more.
    pub(super) fn takes_back(&self) -> Option<Source> {
        let waits = self.pace.is_read() && !self.pace.is_owing();
        waits.then(|| self.lent().take()).flatten()
    }

    fn lent(&self) -> MutexGuard<'_, Option<Source>> {
        // It is there or not, so a panic elsewhere does not spoil it.
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    pub(super) fn new(stream: Stream, source: Source) -> Self {
        Self {
            stream,
            source: Some(source),
            left: VecDeque::new(),
        }
    }

    /// Ready when the answer is written to its end, or the connection is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.left.is_empty() {
                self.collects(cx);
            }
            if !self.left.is_empty() {
                match self.poll_write(cx) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => break,
                }
            } else if self.source.is_none() {
                return Poll::Ready(Ok(()));
            } else {
                break;
            }
        }
        if self.source.is_none() {
            // Only its end is still to be taken, and whoever does not is too slow.
            return Poll::Pending;
        }
        self.stream.poll_leaves(cx).map(Err)
    }

    /// The socket, once all is written.
    pub(super) fn ends(self) -> Stream {
        self.stream
    }

    /// Takes what is there to be said now: a client may leave as soon as it has read what it waited for, and then an end
    /// that could have come with it must not be still to be written.
    fn collects(&mut self, cx: &mut Context<'_>) {
        while let Some(source) = &mut self.source {
            let length: usize = self.left.iter().map(Bytes::len).sum();
            if self.left.len() > FEW || length > SHORT {
                return;
            }
            match Pin::new(source).poll_frame(cx) {
                Poll::Ready(frame) => self.says(frame),
                Poll::Pending => return,
            }
        }
    }

    /// Has this written next. Where it was the last, its source is gone before anybody can read that.
    fn says(&mut self, frame: Option<Result<Frame<Bytes>, Infallible>>) {
        let is_end = |source: &Source| frame.is_none() || source.is_end_stream();
        let is_last = self.source.as_ref().is_none_or(is_end);
        if is_last {
            self.source = None;
        }
        // Trailers were not announced.
        let said = frame.and_then(|Ok(frame)| frame.into_data().ok());
        // Nothing is a chunk only at the end.
        if let Some(said) = said.filter(|said| !said.is_empty()) {
            let length = format!("{:X}\r\n", said.len());
            self.left.extend([length.into(), said, END_OF_CHUNK]);
        }
        if is_last {
            self.left.push_back(LAST_CHUNK);
        }
    }

    /// Writes some of what is left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pieces = [IoSlice::new(&[]); watched::MOST_PIECES];
        for (piece, bytes) in pieces.iter_mut().zip(&self.left) {
            *piece = IoSlice::new(bytes);
        }
        let pieces = pieces.get(..self.left.len()).unwrap_or_default();
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.is_written(written);
        Poll::Ready(Ok(()))
    }

    fn is_written(&mut self, mut written: usize) {
        while let Some(mut piece) = self.left.pop_front() {
            if written < piece.len() {
                piece.advance(written);
                self.left.push_front(piece);
                return;
            }
            written -= piece.len();
        }
        // With what it has room in.
        self.left = VecDeque::new();
    }
}
