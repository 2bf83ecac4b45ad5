//! A socket whose client has to keep up. In: a stream and what its connection is doing. Out: the same stream, which ends
//! when the head of a request, or any request, is too long in coming, or when bytes that wait are not taken. While a
//! request is under way it waits for nothing but the client's reading: a call or a stream may take as long as it likes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::Entered;

/// What a connection is doing, told by whoever answers its requests.
#[derive(Debug)]
pub(in crate::server) struct Pace {
    step: AtomicU8,
    /// An answer is over since somebody looked.
    is_over: AtomicBool,
    /// Some of what was given to be written may not be.
    is_owing: AtomicBool,
    /// How many requests have begun.
    begun: AtomicU64,
    /// The last of them whose body was read to its end.
    read: AtomicU64,
    place: Entered,
}

/// Nothing has come yet.
const NEW: u8 = 0;
/// Between two requests.
const IDLE: u8 = 1;
/// Some of a head is here.
const HEAD: u8 = 2;
/// A request is being answered.
const BUSY: u8 = 3;

/// A request under way; until it is dropped.
#[derive(Debug)]
pub(in crate::server) struct UnderWay(Arc<Pace>);

/// A stream that keeps pace.
pub(in crate::server) struct Paced<S> {
    stream: S,
    /// Was read before, and is still to be taken.
    ahead: Bytes,
    pace: Arc<Pace>,
    reading: Timer,
    /// For which step `reading` runs.
    waits_for: Option<u8>,
    writing: Timer,
}

/// A stream that knows whether there is something to read.
pub(in crate::server) trait Wakes {
    /// Ready once there is, be it an end or an error.
    fn poll_wakes(&self, cx: &mut Context<'_>) -> Poll<()>;
}

/// How the rest between two requests ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Rested {
    /// There is something to read.
    Awake,
    /// The client has been silent for too long.
    TooLong,
}

/// Runs, or is made when it is first needed: most connections never wait for their client to read.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

/// So much is read of what a client sends before its turn.
const EARLY: usize = 512;

/// What a client is told whose head did not come in time.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Pace {
    pub(in crate::server) fn new(place: Entered) -> Arc<Self> {
        Arc::new(Self {
            step: AtomicU8::new(NEW),
            is_over: AtomicBool::new(false),
            is_owing: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            read: AtomicU64::new(0),
            place,
        })
    }

    /// The head of a request is here.
    pub(in crate::server) fn begins(self: &Arc<Self>) -> UnderWay {
        self.step.store(BUSY, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Which request began last, counted from one.
    pub(in crate::server) fn request(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// The body of this request was read to its end. Told late, when the next has begun, it says nothing of that one's.
    pub(super) fn has_read(&self, request: u64) {
        self.read.store(request, Relaxed);
    }

    /// Whether no request is under way, nothing of one was heard, and nothing of the last one is still to come.
    pub(in crate::server) fn is_between(&self) -> bool {
        matches!(self.step.load(Acquire), NEW | IDLE) && self.is_read()
    }

    /// Whether nothing of the last request is still to come.
    pub(in crate::server) fn is_read(&self) -> bool {
        self.read.load(Relaxed) == self.request()
    }

    /// Whoever writes has been given something.
    pub(in crate::server) fn owes(&self) {
        self.is_owing.store(true, Relaxed);
    }

    /// Whether some of that may not be written: it is when whoever writes has flushed.
    pub(in crate::server) fn is_owing(&self) -> bool {
        self.is_owing.load(Relaxed)
    }

    /// Whether an answer is over since this was asked.
    pub(in crate::server) fn is_newly_over(&self) -> bool {
        self.is_over.swap(false, AcqRel)
    }

    pub(in crate::server) fn place(&self) -> &Entered {
        &self.place
    }

    /// How long the client may be silent now; `None` while it is its turn to wait.
    fn patience(&self, step: u8) -> Option<Duration> {
        let limits = self.place.door().limits();
        match step {
            NEW | HEAD => Some(limits.header_timeout),
            IDLE => Some(limits.idle_timeout),
            _ => None,
        }
    }

    /// Bytes have come: outside a request they begin a head. What the connection was doing before.
    fn hears(&self) -> u8 {
        let heard = |step| (step == NEW || step == IDLE).then_some(HEAD);
        self.step
            .fetch_update(AcqRel, Acquire, heard)
            .unwrap_or_else(|step| step)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.step.store(IDLE, Release);
        self.0.is_over.store(true, Release);
    }
}

impl Timer {
    fn stop(&mut self) {
        self.runs = false;
    }

    /// Starts where it does not run; ready when it has run out.
    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| {
            self.runs = true;
            Box::pin(sleep(limit))
        });
        if !self.runs {
            self.runs = true;
            // A limit that no clock can express is none.
            if let Some(end) = Instant::now().checked_add(limit) {
                sleep.as_mut().reset(end);
            }
        }
        sleep.as_mut().poll(cx)
    }
}

impl<S> Paced<S> {
    pub(in crate::server) fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            pace,
            reading: Timer::default(),
            waits_for: None,
            writing: Timer::default(),
        }
    }

    /// Puts back what was read and not used: it is read first.
    pub(in crate::server) fn puts_back(&mut self, bytes: Bytes) {
        // An empty one may hold the memory that it was cut from.
        if !bytes.is_empty() {
            self.ahead = bytes;
        }
    }

    /// As much of what was put back as there is room for.
    fn takes_ahead(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(length));
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
    }

    /// Bytes have come.
    fn hears(&mut self) {
        // The first request has its time from the beginning; each later one from its first byte.
        if self.pace.hears() == IDLE {
            self.waits_for = None;
        }
    }
}

impl<S: AsyncWrite + Wakes + Unpin> Paced<S> {
    /// Waits for the client without room for what it may send.
    pub(in crate::server) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Rested> {
        if !self.ahead.is_empty() || self.stream.poll_wakes(cx).is_ready() {
            return Poll::Ready(Rested::Awake);
        }
        self.poll_patience(cx).map(|_| Rested::TooLong)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Paced<S> {
    /// Ready when the client has left, with how. What it sends instead is kept for later, and no more is read then: nothing
    /// wakes whoever waits, who has something else to wait for.
    pub(in crate::server) fn poll_leaves(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut room = [0; EARLY];
        let mut buffer = ReadBuf::new(&mut room);
        match ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => {
                Poll::Ready(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(()) => {
                self.ahead = Bytes::copy_from_slice(buffer.filled());
                Poll::Pending
            }
            Err(error) => Poll::Ready(error),
        }
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    /// Ready when the client has been silent for too long: with what its connection ends by.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = self.pace.step.load(Acquire);
        let Some(patience) = self.pace.patience(step) else {
            self.waits_for = None;
            return Poll::Pending;
        };
        let goes_on = self.waits_for == Some(step) || (self.waits_for, step) == (Some(NEW), HEAD);
        if !goes_on {
            self.reading.stop();
            self.waits_for = Some(step);
        }
        ready!(self.reading.poll(cx, patience));
        self.ends(cx, step)
    }

    /// What writing came to, unless it has waited too long.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        came_to: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if came_to.is_ready() {
            self.writing.stop();
            return came_to;
        }
        let door = self.pace.place.door();
        ready!(self.writing.poll(cx, door.limits().write_timeout));
        door.ended.slow_reader.fetch_add(1, Relaxed);
        tracing::debug!("a connection ends: its client does not read (server.write_timeout)");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The client has been silent for too long.
    fn ends(&mut self, cx: &mut Context<'_>, step: u8) -> Poll<io::Result<()>> {
        let ended = &self.pace.place.door().ended;
        if step == IDLE {
            ended.idle.fetch_add(1, Relaxed);
            tracing::debug!("a connection ends: nothing is asked of it (server.idle_timeout)");
            // As if the client had closed it.
            return Poll::Ready(Ok(()));
        }
        ended.slow_head.fetch_add(1, Relaxed);
        tracing::debug!("a connection ends: its request is slow to begin (server.header_timeout)");
        if step == HEAD {
            // Nothing else is being written now. Whoever has no room for it does without.
            let _ = Pin::new(&mut self.stream).poll_write(cx, TOO_SLOW);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            this.takes_ahead(buffer);
            this.hears();
            return Poll::Ready(Ok(()));
        }
        let came_to = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if came_to.is_ready() {
            this.hears();
            return came_to;
        }
        this.poll_patience(cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let came_to = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, came_to)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let came_to = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.written(cx, came_to)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked by hyper when nothing is left in its own buffer.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.pace.is_owing.store(false, Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::server::connection::{Door, Limits};

    const LIMITS: Limits = Limits {
        header_timeout: Duration::from_secs(15),
        write_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        ..Limits::OPERATIONS
    };

    struct World {
        client: DuplexStream,
        server: Paced<DuplexStream>,
        pace: Arc<Pace>,
        door: Arc<Door>,
    }

    fn world() -> World {
        let door = Door::new(LIMITS);
        let pace = Pace::new(door.enter(Ipv4Addr::LOCALHOST.into()).unwrap());
        let (client, server) = duplex(100);
        World {
            client,
            server: Paced::new(server, Arc::clone(&pace)),
            pace,
            door,
        }
    }

    /// Reads until the end: whether that was an error, and after how many seconds.
    async fn end(server: &mut Paced<DuplexStream>) -> (bool, u64) {
        let started = Instant::now();
        let mut byte = [0];
        let error = loop {
            match server.read(&mut byte).await {
                Ok(0) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        (error, started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_does_not_hold_a_connection() {
        let mut world = world();
        let trickle = async {
            let mut heard = Vec::with_capacity(1000);
            while world.client.write_all(b"x").await.is_ok() && heard.is_empty() {
                let answer = world.client.read_buf(&mut heard);
                let _ = tokio::time::timeout(Duration::from_secs(4), answer).await;
            }
            heard
        };
        let (heard, ended) = tokio::join!(trickle, end(&mut world.server));
        assert_eq!(ended, (true, 15));
        assert_eq!(heard, TOO_SLOW);
        assert_eq!(world.door.counts().slow_head, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_told_nothing() {
        let mut world = world();
        assert_eq!(end(&mut world.server).await, (true, 15));
        drop(world.server);
        let mut heard = Vec::new();
        world.client.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time_and_each_head_has_its_own() {
        let mut world = world();
        let mut byte = [0];
        world.client.write_all(b"a").await.unwrap();
        world.server.read_exact(&mut byte).await.unwrap();
        drop(world.pace.begins());
        let asks = async {
            tokio::time::sleep(Duration::from_secs(70)).await;
            world.client.write_all(b"b").await.unwrap();
        };
        let (ended, ()) = tokio::join!(end(&mut world.server), asks);
        assert_eq!(ended, (true, 70 + 15));
        drop(world.pace.begins());
        assert_eq!(end(&mut world.server).await, (false, 75));
        assert_eq!(world.door.counts().idle, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_may_be_silent_for_as_long_as_it_likes() {
        let mut world = world();
        let mut byte = [0];
        // Its time for the head had begun.
        let wait = tokio::time::timeout(Duration::from_secs(10), world.server.read(&mut byte));
        wait.await.unwrap_err();
        let under_way = world.pace.begins();
        let day = Duration::from_secs(24 * 3600);
        let wait = tokio::time::timeout(day, world.server.read(&mut byte));
        wait.await.unwrap_err();
        world.server.write_all(b"still here").await.unwrap();
        drop(under_way);
        assert_eq!(end(&mut world.server).await, (false, 75));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_something_has_time_for_the_rest() {
        let mut world = world();
        let _under_way = world.pace.begins();
        let started = Instant::now();
        let reads = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                world.client.read_exact(&mut [0; 50]).await.unwrap();
            }
        };
        let written = world.server.write_all(&[0; 1000]);
        let (written, ()) = tokio::join!(written, reads);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 3 * 29 + 30);
        assert_eq!(world.door.counts().slow_reader, 1);
        // Nothing waits, so nobody is late.
        let flushed = poll_fn(|cx| Pin::new(&mut world.server).poll_flush(cx));
        flushed.await.unwrap();
    }
}
