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
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::connection::Wakes;
use crate::delivery::{Delivery, Probe};

/// hyper hands over no more than so many pieces at once, so more may follow then.
pub(super) const MOST_PIECES: usize = 16;

/// A connection that watches its answers.
pub(super) struct Watched {
    /// By this half, whose reads know that a short one was all there is: nothing is asked a second time.
    reads: OwnedReadHalf,
    answers: Answers,
}

/// The answers of a connection that are on their way; clones are the same.
#[derive(Clone)]
pub(super) struct Answers(Arc<Shared>);

struct Shared {
    writes: OwnedWriteHalf,
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
        let (reads, writes) = stream.into_split();
        let answers = Answers(Arc::new(Shared {
            writes,
            line: Mutex::default(),
        }));
        let watched = Self {
            reads,
            answers: answers.clone(),
        };
        (watched, answers)
    }

    /// Writes what fits, and says that the answer is sent where that was the rest of it.
    fn gives(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut line = self.answers.line();
        let written = self.stream().try_write_vectored(pieces);
        let written = line.heeds(written)?;
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        if line.is_whole && written == all && pieces.len() < MOST_PIECES {
            line.is_written();
        }
        Ok(written)
    }

    fn stream(&self) -> &TcpStream {
        self.reads.as_ref()
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

    /// Whether an answer is being made or written.
    pub(super) fn is_answering(&self) -> bool {
        self.line().answering.is_some()
    }

    /// The client goes on.
    fn goes_on(&self) {
        let sent = std::mem::take(&mut self.line().sent);
        sent.iter().for_each(Delivery::received);
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
        line.is_broken |= !matches!(self.writes.as_ref().take_error(), Ok(None));
        line.is_broken
    }
}

impl Line {
    /// An error of the connection is the end of it; the system tells it once.
    fn heeds<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.is_broken |= error.kind() != io::ErrorKind::WouldBlock)
    }

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

impl Wakes for Watched {
    fn poll_wakes(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error is met by whoever reads.
        self.stream().poll_read_ready(context).map(|_| ())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let came_to = {
            // Whoever asks the system meanwhile would not find the error that this finds.
            let mut line = this.answers.line();
            ready!(Pin::new(&mut this.reads).poll_read(context, buffer))
                .inspect_err(|_| line.is_broken = true)
        };
        match came_to {
            Ok(()) if buffer.filled().len() > before => this.answers.goes_on(),
            Ok(()) => {}
            Err(_) => this.answers.ends(),
        }
        Poll::Ready(came_to)
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
            ready!(self.stream().poll_write_ready(context))?;
            match self.gives(pieces) {
                Ok(length) => return Poll::Ready(Ok(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.answers.ends();
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
        Poll::Ready(SockRef::from(self.stream()).shutdown(Shutdown::Write))
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

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::delivery::{Receipt, Stage};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    /// An answer whose body was handed over as a whole.
    async fn taken(answers: &Answers) -> Delivery {
        let way = answers.next();
        let body = answers.watch(Full::new(Bytes::from_static(b"answer")));
        body.collect().await.unwrap();
        way
    }

    #[tokio::test]
    async fn an_answer_is_sent_with_its_last_byte_and_no_later() {
        let (mut client, server) = pair().await;
        let (mut watched, answers) = Watched::over(server);
        let way = answers.next();
        let body = answers.watch(Full::new(Bytes::from_static(b"answer")));
        watched.write_all(b"head").await.unwrap();
        assert_eq!(way.stage(), Stage::Answering);
        body.collect().await.unwrap();
        assert_eq!(way.stage(), Stage::Answering);
        // Nothing is flushed: whoever has read it may ask before that.
        watched.write_all(b"answer").await.unwrap();
        assert_eq!(way.stage(), Stage::Sent);
        client.write_all(b"next").await.unwrap();
        watched.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(way.stage(), Stage::Received);
    }

    #[tokio::test]
    async fn an_end_in_order_is_a_receipt_and_a_reset_is_none_though_nobody_reads_it() {
        for resets in [false, true] {
            let (client, server) = pair().await;
            let (mut watched, answers) = Watched::over(server);
            let way = taken(&answers).await;
            watched.write_all(b"answer").await.unwrap();
            if resets {
                let at_once = Some(Duration::ZERO);
                SockRef::from(&client).set_linger(at_once).unwrap();
                drop(client);
                assert_eq!(way.stage(), Stage::Lost);
            } else {
                let mut client = client;
                client.read_exact(&mut [0; 6]).await.unwrap();
                drop(client);
                assert_eq!(watched.read(&mut [0; 1]).await.unwrap(), 0);
                drop(watched);
                assert_eq!(way.stage(), Stage::Received);
            }
        }
    }

    #[tokio::test]
    async fn what_was_not_written_when_the_connection_ended_is_lost() {
        let (client, server) = pair().await;
        let (watched, answers) = Watched::over(server);
        let way = taken(&answers).await;
        drop(client);
        drop(watched);
        assert_eq!(way.stage(), Stage::Lost);
    }

    #[tokio::test]
    async fn who_looks_while_an_answer_is_being_written_waits_for_the_end_of_that() {
        /// Looks from another thread in the moment in which the answer is said to be sent.
        struct Looks(Delivery, Mutex<Option<std::thread::JoinHandle<Stage>>>);
        impl Receipt for Looks {
            fn sent(&self) {
                let way = self.0.clone();
                *self.1.lock().unwrap() = Some(std::thread::spawn(move || way.stage()));
            }
            fn lost(&self) {}
            fn received(&self) {}
        }
        let (_client, server) = pair().await;
        let (mut watched, answers) = Watched::over(server);
        let way = taken(&answers).await;
        let looks = Arc::new(Looks(way.clone(), Mutex::default()));
        way.carries(Arc::clone(&looks) as Arc<dyn Receipt>);
        watched.write_all(b"answer").await.unwrap();
        let looking = looks.1.lock().unwrap().take().unwrap();
        assert_eq!(looking.join().unwrap(), Stage::Sent);
    }
}
