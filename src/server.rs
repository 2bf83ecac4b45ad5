//! HTTP, on plain hyper: accepts connections, finds the route, lets in who may come in. In: a listener and what answers.
//! Out: responses. MCP is one of the things that answer and is passed in; nothing here knows what it does.
//! Order of a request: path → Host and Origin → bearer token → scopes → MCP. Nothing behind the token check runs
//! without it.

pub mod gate;
pub mod health;
pub mod leaving;
pub mod metadata;
pub mod operations;
pub mod public;
pub mod scopes;

mod cors;
mod reply;

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A response's body: bytes or a stream of events, never an error of ours.
pub type Body = BoxBody<Bytes, Infallible>;

/// What answers requests.
pub type Answer = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A client has this long to send its header lines.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of header lines a client may send: a token of 8 KiB with room around it.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// TCP connections that are still open.
#[derive(Default)]
pub struct Open {
    graceful: GracefulShutdown,
    connections: TaskTracker,
}

impl Open {
    /// Returns when none is left of itself, after `patience` at the latest.
    pub async fn rests(&self, patience: Duration) {
        self.connections.close();
        let _ = tokio::time::timeout(patience, self.connections.wait()).await;
    }

    /// Tells them to take no further request; returns when the last one has ended.
    pub async fn end(self) {
        self.graceful.shutdown().await;
    }
}

/// Accepts connections until `stop`; returns those that are still open, for a graceful end.
pub async fn accept(listener: TcpListener, answer: Answer, stop: CancellationToken) -> Open {
    let open = Open::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => serve(stream, Arc::clone(&answer), &open),
            Err(error) => {
                // Out of file descriptors, mostly: accepting again at once would spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if let Err(error) = serve_queue(listener, &answer, &open) {
        tracing::debug!(%error, "who was waiting to be accepted was not");
    }
    open
}

/// The kernel has accepted more than we have, and would reset them all when the listener is closed. Nothing is awaited
/// between the last one and that.
fn serve_queue(listener: TcpListener, answer: &Answer, open: &Open) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                serve(TcpStream::from_std(stream)?, Arc::clone(answer), open);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn serve(stream: TcpStream, answer: Answer, open: &Open) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delays");
    }
    let service = service_fn(move |request| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = open.graceful.watch(connection);
    open.connections.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}
