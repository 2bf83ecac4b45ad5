//! What a connection knows of its answers. In: a TCP connection, the end of each answer's body. Out: the [`Delivery`] of
//! each request, moved on by what is written and read. An answer counts as sent in the same moment in which its last byte
//! is handed to the system, under one lock: a client that has read it can ask nothing before that is known here.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::delivery::{Delivery, Probe};

/// hyper hands over no more than so many pieces at once, so more may follow then.
const MOST_PIECES: usize = 16;

/// A connection that watches its answers.
pub(super) struct Watched {
    stream: Arc<TcpStream>,
    answers: Answers,
}

/// The answers of a connection that are on their way; clones are the same.
#[derive(Clone)]
pub(super) struct Answers(Arc<Shared>);

struct Shared {
    stream: Arc<TcpStream>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// The way of the answer that is being made or written.
    answering: Option<Delivery>,
    /// Whether all of it was handed over to be written.
    is_whole: bool,
    /// Ways of answers that are written and not known to be received.
    sent: Vec<Delivery>,
    /// Somebody has seen it break: the system says so once only.
    is_broken: bool,
}

/// A body that says when all of it was taken.
pub(super) struct WholeBody<B> {
    body: B,
    answers: Answers,
}

impl Watched {
    pub(super) fn over(stream: TcpStream) -> (Self, Answers) {
        let stream = Arc::new(stream);
        let answers = Answers(Arc::new(Shared {
            stream: Arc::clone(&stream),
            line: Mutex::default(),
        }));
        let watched = Self {
            stream,
            answers: answers.clone(),
        };
        (watched, answers)
    }

    /// Writes what fits, and says that the answer is sent where that was the rest of it.
    fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut line = self.answers.line();
        let written = self.stream.try_write_vectored(pieces)?;
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        if line.is_whole && written == all && pieces.len() < MOST_PIECES {
            line.is_written();
        }
        Ok(written)
    }
}

impl Answers {
    /// The way of the answer to a request that has just arrived.
    pub(super) fn next(&self) -> Delivery {
        let shared = Arc::downgrade(&self.0);
        let probe: Probe = Arc::new(move || shared.upgrade().is_none_or(|it| it.is_broken()));
        let way = Delivery::over(probe);
        let mut line = self.line();
        line.is_whole = false;
        line.answering = Some(way.clone());
        way
    }

    /// The body of the answer, watched.
    pub(super) fn watch<B: Body>(&self, body: B) -> WholeBody<B> {
        if body.is_end_stream() {
            self.line().is_whole = true;
        }
        WholeBody {
            body,
            answers: self.clone(),
        }
    }

    /// The client goes on.
    fn goes_on(&self) {
        let sent = std::mem::take(&mut self.line().sent);
        sent.iter().for_each(Delivery::received);
    }

    /// Nothing arrives any more.
    fn breaks(&self) {
        self.line().is_broken = true;
        self.ends();
    }

    /// The connection is over: what was written arrived, unless it broke.
    fn ends(&self) {
        let (all, is_broken) = {
            let mut line = self.line();
            (line.all(), line.is_broken)
        };
        for way in all {
            if is_broken {
                way.lost();
            } else {
                way.over_and_out();
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Every change leaves the line whole, so a panic elsewhere does not spoil it.
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Also where nobody has read the news yet. Waits for a write that is just under way.
    fn is_broken(&self) -> bool {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.is_broken |= !matches!(self.stream.take_error(), Ok(None));
        line.is_broken
    }
}

impl Line {
    fn is_written(&mut self) {
        self.is_whole = false;
        if let Some(way) = self.answering.take() {
            way.sent();
            self.sent.push(way);
        }
    }

    fn all(&mut self) -> Vec<Delivery> {
        let mut all = std::mem::take(&mut self.sent);
        all.extend(self.answering.take());
        all
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    if length > 0 {
                        self.answers.goes_on();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.answers.breaks();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.write(pieces) {
                Ok(length) => return Poll::Ready(Ok(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.answers.breaks();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back here: hyper asks once its own buffer is written.
        let mut line = self.answers.line();
        if line.is_whole {
            line.is_written();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // For the last time: the system may know more than was read.
        self.answers.0.is_broken();
        self.answers.ends();
    }
}

impl<B: Body + Unpin> Body for WholeBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.answers.line().is_whole = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
