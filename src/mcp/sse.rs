//! HTTP+SSE, the transport of revision 2024-11-05: `GET /sse` opens a stream whose first event says where to send, each
//! message is a `POST /messages` answered by 202, its answer comes on the stream. In: requests that the server has let
//! in, with their `Caller`. Out: responses. A message is handled as its own request's caller, never as the stream's.

mod events;
mod table;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::combinators::BoxBody;
use tokio_util::sync::CancellationToken;

use super::{
    HandlesMcp, body,
    pipe::{self, NotTaken, Pipe},
    response::{self, Answer, INVALID_REQUEST},
};
use crate::auth::Caller;

use table::{Connection, Table};

/// Where messages are sent; relative, so that it holds behind any proxy.
const MESSAGES: &str = "/messages";

/// The one parameter of [`MESSAGES`].
const CONNECTION: &str = "connection=";

/// Answers may wait so long for a client that does not read.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many connections of this transport there may be.
#[derive(Clone, Copy, Debug)]
pub struct SseLimits {
    /// In all.
    pub most: usize,
    /// For one person.
    pub most_per_person: usize,
    /// After this long without a message a connection is ended.
    pub idle: Duration,
}

/// How connections of this transport are kept.
pub struct SseSettings {
    /// How many, and how long a silent one.
    pub limits: SseLimits,
    /// Longest message in bytes.
    pub max_request_bytes: usize,
    /// Ends every stream when it is cancelled.
    pub streams: CancellationToken,
    /// The Unix time, compared with the ends of tokens.
    pub now: fn() -> Duration,
}

/// MCP over HTTP+SSE, answered by `H`.
pub struct SseService<H: HandlesMcp> {
    handler: H,
    table: Arc<Table>,
    settings: SseSettings,
}

impl<H: HandlesMcp> SseService<H> {
    /// Host, Origin, tokens and scopes are the server's business.
    #[must_use]
    pub fn new(handler: H, settings: SseSettings) -> Self {
        Self {
            handler,
            table: Table::new(settings.limits),
            settings,
        }
    }

    /// Answers one request, to the stream or to the address that the stream gave.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody<Bytes, Infallible>>
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
        B::Data: Send,
    {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else {
            let why = "the request has no verified caller";
            return response::refusal(StatusCode::UNAUTHORIZED, INVALID_REQUEST, why);
        };
        let is_message = request.uri().path().starts_with(MESSAGES);
        match (is_message, request.method()) {
            (true, &Method::POST) => self.message(request, &caller).await,
            (false, &Method::GET) => self.stream(&caller),
            // Newer clients try POST first, and take exactly this status for "an older server" (protocol page A.3).
            (is_message, _) => response::not_allowed(if is_message { "POST" } else { "GET" }),
        }
    }

    fn stream(&self, caller: &Caller) -> Answer {
        let ended = self.settings.streams.child_token();
        let mut answers = None;
        let entered = self.table.enter(caller, || {
            let (pipe, queue) = Pipe::open(self.handler.clone(), ended.clone(), PATIENCE);
            answers = Some(queue);
            Connection::new(pipe, ended, caller, self.left_of(caller))
        });
        let (place, answers) = match (entered, answers) {
            (Ok(place), Some(answers)) => (place, answers),
            (Ok(_), None) => {
                return response::refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    response::INTERNAL,
                    "no queue",
                );
            }
            (Err(full), _) => return busy(&full),
        };
        let endpoint = format!("{MESSAGES}?{CONNECTION}{}", place.id);
        let mut response = Response::new(events::body(place, endpoint, answers));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx and its like would hold events back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    async fn message<B>(&self, request: Request<B>, caller: &Caller) -> Answer
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
        B::Data: Send,
    {
        let id = request.uri().query().and_then(connection_in);
        let Some(connection) = id.and_then(|id| self.table.of(id, caller)) else {
            return unknown();
        };
        if !body::is_json(request.headers()) {
            return response::no_json();
        }
        let (parts, body) = request.into_parts();
        let body = match body::read(body, self.settings.max_request_bytes).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let message = match pipe::decoded(&body) {
            Ok(message) => message,
            Err(why) => {
                let status = StatusCode::BAD_REQUEST;
                return response::refusal(status, why.code(), &why.to_string());
            }
        };
        connection.used(self.left_of(caller));
        match connection.pipe.take(message, parts).await {
            Ok(()) => response::accepted(),
            Err(NotTaken::Ended) => unknown(),
            Err(why @ NotTaken::Twice) => {
                response::refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, &why.to_string())
            }
            Err(why @ NotTaken::TooMany) => busy(&why),
        }
    }

    /// How long the caller's token is still good.
    fn left_of(&self, caller: &Caller) -> Duration {
        Duration::from_secs(caller.expires_at()).saturating_sub((self.settings.now)())
    }
}

/// The id in a query that names exactly one.
fn connection_in(query: &str) -> Option<&str> {
    let mut ids = query
        .split('&')
        .filter_map(|it| it.strip_prefix(CONNECTION));
    let id = ids.next()?;
    ids.next().is_none().then_some(id)
}

fn unknown() -> Answer {
    let why = "unknown connection: open a stream with GET /sse and send where its first event says";
    response::refusal(StatusCode::NOT_FOUND, INVALID_REQUEST, why)
}

fn busy(why: &impl ToString) -> Answer {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = response::refusal(status, INVALID_REQUEST, &why.to_string());
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}
