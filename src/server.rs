//! HTTP, on plain hyper: accepts connections, finds the route, lets in who may come in. In: a listener and what answers.
//! Out: responses. MCP is one of the things that answer and is passed in; nothing here knows what it does.
//! Order of a request: path → Host and Origin → bearer token → scopes → MCP. Nothing behind the token check runs
//! without it.

pub mod connection;
pub mod console;
pub mod gate;
pub mod health;
pub mod lanes;
pub mod leaving;
pub mod metadata;
pub mod operations;
pub mod ops_door;
pub mod public;
pub mod scopes;

mod cors;
mod life;
mod reply;
mod watched;

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use connection::{Door, Entered, RequestBytes};
use lanes::Lanes;
use life::Life;

/// A response's body: bytes or a stream of events, never an error of ours.
pub type Body = BoxBody<Bytes, Infallible>;

/// What answers requests.
pub type Answer = Arc<dyn Fn(Request<RequestBytes>) -> Answering + Send + Sync>;

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// TCP connections that are still open.
#[derive(Default)]
pub struct Open {
    /// Each holds a receiver until it has ended.
    stop: watch::Sender<()>,
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
        self.stop.send_replace(());
        self.stop.closed().await;
    }
}

/// Accepts connections until `stop`, as many as `door` has places for, and has them live on `lanes`; returns those that are
/// still open, for a graceful end.
pub async fn accept(
    listener: TcpListener,
    answer: Answer,
    door: Arc<Door>,
    lanes: Lanes,
    stop: CancellationToken,
) -> Open {
    let open = Open::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, from)) => match door.enter(from.ip()) {
                Some(place) => serve(stream, place, Arc::clone(&answer), (&open, &lanes)),
                None => connection::refuse(stream, &door),
            },
            Err(error) => {
                // Out of file descriptors, mostly: accepting again at once would spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if let Err(error) = serve_queue(listener, &answer, &door, (&open, &lanes)) {
        tracing::debug!(%error, "who was waiting to be accepted was not");
    }
    open
}

/// The kernel has accepted more than we have, and would reset them all when the listener is closed. Nothing is awaited
/// between the last one and that.
fn serve_queue(
    listener: TcpListener,
    answer: &Answer,
    door: &Arc<Door>,
    (open, lanes): (&Open, &Lanes),
) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, from)) => {
                stream.set_nonblocking(true)?;
                let stream = TcpStream::from_std(stream)?;
                match door.enter(from.ip()) {
                    Some(place) => serve(stream, place, Arc::clone(answer), (open, lanes)),
                    None => connection::refuse(stream, door),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn serve(stream: TcpStream, place: Entered, answer: Answer, (open, lanes): (&Open, &Lanes)) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delays");
    }
    let (runtime, on_lane) = lanes.emptiest();
    let stop = open.stop.subscribe();
    // Its news have to arrive where it lives.
    let stream = stream.into_std();
    let living = async move {
        match stream.and_then(TcpStream::from_std) {
            Ok(stream) => life::lives(stop, Life::new(stream, place, answer)).await,
            Err(error) => tracing::warn!(%error, "a connection could not be served"),
        }
        drop(on_lane);
    };
    open.connections.spawn_on(living, &runtime);
}
