//! Connections to the backend, kept alive. In: a request. Out: the head of its answer, and the answer's body, read to its
//! end. A connection is moved by whoever uses it, in the task of the call: there is no other task that a request would be
//! handed to and back. One call has a connection for itself; it comes back only when an answer was read to its end.
//! No redirect is followed, no proxy asked, nothing unpacked: hyper does none of it by itself.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri, response::Parts, uri::Scheme};
use http_body::Body;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    net::TcpStream,
    runtime::{Handle, Id},
    time::{Instant, sleep, timeout, timeout_at},
};
use tower_service::Service;

use crate::outgoing::Timeouts;

/// So much of an answer is read at once, and so long may its head be. hyper's own 400 KB are new memory for each long answer.
const PIECE: usize = 64 * 1024;

type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connections to one place.
pub(super) struct Pool {
    connector: HttpsConnector<HttpConnector>,
    /// Where that is: scheme, host and port.
    place: Uri,
    connect_timeout: Duration,
    idle: Arc<Idle>,
}

/// Connections that nobody uses, the one that was used last at the end.
struct Idle {
    kept_for: Duration,
    table: Mutex<Table>,
}

/// By the runtime that a connection belongs to: its news arrive there, and waking a task elsewhere is dear.
#[derive(Default)]
struct Table {
    links: HashMap<Id, Vec<(Instant, Box<Link>)>>,
    is_watched: bool,
}

/// A connection; in a box, because it is large and moves from hand to hand.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    wire: Connection<Io, Full<Bytes>>,
    is_over: bool,
}

/// The head of an answer; its body is still to be read.
pub(super) struct Answer {
    pub(super) head: Parts,
    body: Incoming,
    link: Box<Link>,
    idle: Arc<Idle>,
    /// When there is no more waiting for the rest.
    ends: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// No connection stands.
    Unreachable(Cause),
    /// None stood in time.
    ConnectingTooLong,
    /// The request's time is over; whether it may have been sent.
    TooLong { sent: bool },
    /// The connection ended.
    Broken(Cause),
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than may be read.
    TooLarge { limit: usize },
    /// It was not there in time.
    Late,
    /// It ended before its end.
    Cut,
}

/// What libraries say of a failure, without addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self(text)
    }
}

impl Pool {
    /// Connects nowhere yet.
    ///
    /// # Errors
    /// When TLS is needed and cannot be set up: there are no usable root certificates.
    pub(super) fn new(
        place: Uri,
        timeouts: Timeouts,
        kept_for: Duration,
    ) -> Result<Self, CannotConnect> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = tls(place.scheme() != Some(&Scheme::HTTP))?;
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls);
        Ok(Self {
            connector: tls.https_or_http().enable_http1().wrap_connector(tcp),
            place,
            connect_timeout: timeouts.connect,
            idle: Arc::new(Idle {
                kept_for,
                table: Mutex::default(),
            }),
        })
    }

    /// Sends one request, whose answer has to be read by `ends`. A connection that the backend closed meanwhile is none:
    /// another one is taken, as long as nothing of the request has been sent.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        ends: Instant,
    ) -> Result<Answer, Failed> {
        loop {
            let (mut link, is_fresh) = match self.kept() {
                Some(link) => (link, false),
                // Rare, so its state is no part of every call's.
                None => (Box::pin(self.connect(ends)).await?, true),
            };
            let sent = {
                // Pinned here: handed over by value it would be copied, and it is large.
                let sending = pin!(link.send(request));
                timeout_at(ends, sending).await
            };
            match sent {
                Ok(Ok((head, body))) => {
                    return Ok(Answer {
                        head,
                        body,
                        link,
                        idle: Arc::clone(&self.idle),
                        ends,
                    });
                }
                Ok(Err((_, Some(unsent)))) if !is_fresh => request = unsent,
                Ok(Err((cause, _))) => return Err(Failed::Broken(cause)),
                Err(_) => return Err(Failed::TooLong { sent: true }),
            }
        }
    }

    /// A connection that is kept and still stands.
    fn kept(&self) -> Option<Box<Link>> {
        let here = Handle::try_current().ok()?.id();
        loop {
            let (since, mut link) = self.idle.table().links.get_mut(&here)?.pop()?;
            if since.elapsed() <= self.idle.kept_for && link.stands() {
                return Some(link);
            }
        }
    }

    async fn connect(&self, ends: Instant) -> Result<Box<Link>, Failed> {
        let mut connector = self.connector.clone();
        let place = self.place.clone();
        let connecting = async move {
            poll_fn(|cx| connector.poll_ready(cx)).await?;
            connector.call(place).await
        };
        let patience = ends.saturating_duration_since(Instant::now());
        let is_ours = self.connect_timeout < patience;
        let stream = match timeout(patience.min(self.connect_timeout), connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failed::Unreachable(Cause::of(&*error))),
            Err(_) if is_ours => return Err(Failed::ConnectingTooLong),
            Err(_) => return Err(Failed::TooLong { sent: false }),
        };
        let (sender, wire) = http1::Builder::new()
            .max_buf_size(PIECE)
            .handshake(stream)
            .await
            .map_err(|error| Failed::Unreachable(Cause::of(&error)))?;
        Ok(Box::new(Link {
            sender,
            wire,
            is_over: false,
        }))
    }
}

impl Link {
    /// The head of the answer; of a request that nothing was sent of, the request itself.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Parts, Incoming), (Cause, Option<Request<Full<Bytes>>>)> {
        let Self {
            sender,
            wire,
            is_over,
        } = self;
        let mut sending = pin!(sender.try_send_request(request));
        let sent = poll_fn(|cx| {
            move_on(wire, is_over, cx);
            sending.as_mut().poll(&mut quiet())
        });
        match sent.await {
            Ok(answer) => Ok(answer.into_parts()),
            Err(mut failed) => {
                let unsent = failed.take_message();
                Err((Cause::of(failed.error()), unsent))
            }
        }
    }

    /// Whether it can take a request now.
    fn stands(&mut self) -> bool {
        move_on(&mut self.wire, &mut self.is_over, &mut quiet());
        !self.is_over && self.sender.is_ready()
    }
}

/// Wakes nobody. A request and its connection are looked at one after the other by the same task, so neither has to tell it
/// of what the other did: each such word would run the whole of the task once more for nothing. The last look at a
/// connection before anybody waits is never a quiet one.
fn quiet() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Lets the connection read and write what it can.
fn move_on(wire: &mut Connection<Io, Full<Bytes>>, is_over: &mut bool, cx: &mut Context<'_>) {
    // Why it ended is said to whoever waits for an answer.
    if !*is_over && Pin::new(wire).poll(cx).is_ready() {
        *is_over = true;
    }
}

impl Answer {
    /// The whole body, at most `limit` bytes of it in memory. The connection is kept after that, and only then.
    ///
    /// # Errors
    /// [`Unread`]; too large as soon as the limit is passed.
    pub(super) async fn read_at_most(self, limit: usize) -> Result<Bytes, Unread> {
        let Self {
            mut body,
            mut link,
            idle,
            ends,
            ..
        } = self;
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(Unread::TooLarge { limit });
        }
        let bytes = {
            let reading = pin!(read(&mut body, &mut link, announced, limit));
            let read = timeout_at(ends, reading).await;
            read.map_err(|_| Unread::Late)??
        };
        drop(body);
        if link.stands() {
            idle.keep(link);
        }
        Ok(bytes)
    }
}

async fn read(
    body: &mut Incoming,
    link: &mut Link,
    announced: usize,
    limit: usize,
) -> Result<Bytes, Unread> {
    let mut first = Bytes::new();
    let mut collected: Vec<u8> = Vec::new();
    loop {
        let frame = poll_fn(|cx| {
            let mut quiet = quiet();
            // Else the connection, asked for more, would wake this task.
            move_on(&mut link.wire, &mut link.is_over, &mut quiet);
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut quiet) {
                return Poll::Ready(frame);
            }
            move_on(&mut link.wire, &mut link.is_over, cx);
            Pin::new(&mut *body).poll_frame(&mut quiet)
        });
        let frame = match frame.await {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Unread::Cut),
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + collected.len() + data.len() > limit {
            return Err(Unread::TooLarge { limit });
        }
        if first.is_empty() && collected.is_empty() {
            first = data;
            continue;
        }
        if collected.is_empty() {
            collected.reserve_exact(announced.max(first.len() + data.len()));
            collected.extend_from_slice(&first);
            first = Bytes::new();
        }
        collected.extend_from_slice(&data);
    }
    Ok(if collected.is_empty() {
        first
    } else {
        collected.into()
    })
}

impl Idle {
    fn keep(self: &Arc<Self>, link: Box<Link>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut table = self.table();
        let links = table.links.entry(runtime.id()).or_default();
        links.push((Instant::now(), link));
        if !table.is_watched {
            table.is_watched = true;
            runtime.spawn(Arc::clone(self).watch());
        }
    }

    /// Closes what nobody has used for so long; ends when there is nothing left.
    async fn watch(self: Arc<Self>) {
        loop {
            sleep(self.kept_for).await;
            let mut table = self.table();
            table.links.retain(|_, links| {
                links.retain(|(since, _)| since.elapsed() < self.kept_for);
                !links.is_empty()
            });
            if table.links.is_empty() {
                table.is_watched = false;
                return;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where TLS is not used the system's certificates, of which there are some 150, are not read: nobody is trusted then.
fn tls(is_used: bool) -> Result<ClientConfig, CannotConnect> {
    let told = |error: rustls::Error| CannotConnect(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider);
    let verifier = versions.with_safe_default_protocol_versions();
    let verifier = verifier.map_err(told)?;
    let verified = if is_used {
        verifier.try_with_platform_verifier().map_err(told)?
    } else {
        verifier.with_root_certificates(RootCertStore::empty())
    };
    Ok(verified.with_no_client_auth())
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct CannotConnect(String);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle: usize = self.idle.table().links.values().map(Vec::len).sum();
        f.debug_struct("Pool")
            .field("idle", &idle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
