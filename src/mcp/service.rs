//! The HTTP face of MCP: one endpoint for every protocol revision. In: requests that the server has let in, with their
//! `Caller`. Out: responses. Reads what a body holds, tells the eras apart (protocol page A.8) and hands each to its own:
//! 2026-07-28 and later to rmcp, everything before to `connections`. What a request is may depend on it alone, never on
//! tenant or load, because clients remember what they find.

use std::{convert::Infallible, fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::ACCEPT, request::Parts,
};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use tokio_util::sync::CancellationToken;

use super::{
    HandlesMcp,
    body::{self, is_json},
    connections::{Connections, VERSION},
    envelope::{self, Envelope, Posted, Traits},
    fast_path,
    held::{self, Held, OnlyOpened, Wish},
    last_message, prepared, repeated,
    response::{self, Answer, HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST},
};
use crate::{auth::Caller, delivery::Delivery, in_place};

pub use super::connections::{ConnectionIds, ConnectionRules, Lists, NoKeys};

/// The first revision without connections; dates compare as text.
const MODERN: &[u8] = b"2026-07-28";

const LISTEN: &str = "subscriptions/listen";

const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// MCP over streamable HTTP, around a handler.
pub struct McpService<H: HandlesMcp> {
    modern: StreamableHttpService<H, NeverSessionManager>,
    connections: Connections<H>,
    handler: H,
    clients: fast_path::Clients,
    max_request_bytes: usize,
    fast_path: bool,
    streams: CancellationToken,
}

/// What a client takes for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) events: bool,
}

/// A POST whose body has arrived.
pub(super) struct Post<'a> {
    pub(super) body: &'a Bytes,
    pub(super) caller: &'a Caller,
    pub(super) parts: Parts,
    pub(super) accepts: Accepts,
}

/// What the service is told beside the handler.
pub struct ServiceSettings {
    /// What the operator says of connections.
    pub connections: ConnectionRules,
    /// Makes and opens their ids.
    pub ids: Arc<ConnectionIds>,
    /// The longest body that is read.
    pub max_request_bytes: usize,
    /// Whether calls of which nothing is unusual are answered, and streams of news held, without rmcp.
    pub fast_path: bool,
    /// Ends every open stream when it is cancelled.
    pub streams: CancellationToken,
    /// Which tool list there is, and when it changes.
    pub lists: Lists,
    /// The time since 1970.
    pub now: fn() -> Duration,
}

impl<H: HandlesMcp> McpService<H> {
    /// Host and Origin are the server's business, not rmcp's.
    pub fn around(handler: H, settings: ServiceSettings) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_sse_retry(None)
            .with_max_request_body_bytes(settings.max_request_bytes)
            .with_cancellation_token(settings.streams.clone())
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let each = handler.clone();
        let sessions = Arc::new(NeverSessionManager::default());
        Self {
            modern: StreamableHttpService::new(move || Ok(each.clone()), sessions, config),
            connections: Connections::new(handler.clone(), &settings),
            handler,
            clients: fast_path::Clients::default(),
            max_request_bytes: settings.max_request_bytes,
            fast_path: settings.fast_path,
            streams: settings.streams,
        }
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody<Bytes, Infallible>>
    where
        B: Body + Send + 'static,
        B::Error: Display + Into<Box<dyn std::error::Error + Send + Sync>>,
        B::Data: Send + 'static,
    {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else {
            let why = "the request has no verified caller";
            return response::refusal(StatusCode::UNAUTHORIZED, INVALID_REQUEST, why);
        };
        let is_modern = is_modern(request.headers());
        match *request.method() {
            Method::POST => self.post(request, &caller).await,
            Method::GET if !is_modern => {
                let delivery = request.extensions().get();
                self.get(request.headers(), &caller, delivery)
            }
            Method::DELETE if !is_modern => self.connections.ends(request.headers(), &caller),
            _ if is_modern => response::not_allowed("POST"),
            _ => response::not_allowed("GET, POST, DELETE"),
        }
    }

    async fn post<B>(&self, request: Request<B>, caller: &Caller) -> Answer
    where
        B: Body + Send + 'static,
        B::Error: Display + Into<Box<dyn std::error::Error + Send + Sync>>,
        B::Data: Send + 'static,
    {
        if !is_json(request.headers()) {
            return response::no_json();
        }
        let accepts = accepts(request.headers());
        if !accepts.json && !accepts.events {
            return not_acceptable("application/json and text/event-stream");
        }
        let (parts, body) = request.into_parts();
        let body = match body::read(body, self.max_request_bytes).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let post = Post {
            body: &body,
            caller,
            parts,
            accepts,
        };
        if self.fast_path
            && fast_path::may_be_modern(&post.parts.headers)
            // In a box, so that requests of every other kind do not carry its state.
            && let Some(answer) = in_place::boxed(|| fast_path::modern(&self.handler, &self.clients, &post)).await
        {
            return answer;
        }
        match envelope::read(&body) {
            Ok(Posted::One(message)) => match self.prepared(&post, &message) {
                Some(answer) => answer,
                // In a box, so that calls, which are nearly all of it, do not carry its state.
                None => in_place::boxed(|| self.one(post, &message)).await,
            },
            Ok(Posted::Batch(_)) if is_modern(&post.parts.headers) => {
                let why = "this revision has no batches: send one message in each request";
                response::refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, why)
            }
            Ok(Posted::Batch(messages)) => self.connections.takes_batch(post, messages).await,
            Err(why) => response::refusal(StatusCode::BAD_REQUEST, why.code(), &why.to_string()),
        }
    }

    /// What is answered in the same words each time.
    fn prepared(&self, post: &Post<'_>, message: &Envelope<'_>) -> Option<Answer> {
        is_modern(&post.parts.headers).then_some(())?;
        prepared::modern(&self.handler, post, message)
    }

    async fn one(&self, post: Post<'_>, message: &Envelope<'_>) -> Answer {
        let headers = &post.parts.headers;
        match message {
            Envelope::Request { method, id, traits }
                if method == "initialize"
                    && (traits.shakes_hands || !speaks_modern(method, *traits, headers)) =>
            {
                self.connections.shakes_hands(&post, id)
            }
            // Nothing says which revision; rmcp would take the first that had no header, and not know the method.
            Envelope::Request { id, method, traits }
                if is_of_modern(method)
                    && !traits.names_version
                    && !headers.contains_key(VERSION) =>
            {
                let why = format!("{method} needs the MCP-Protocol-Version header");
                response::refusal_of(StatusCode::BAD_REQUEST, id, HEADER_MISMATCH, &why)
            }
            Envelope::Request { method, traits, .. }
            | Envelope::Notification { method, traits }
                if speaks_modern(method, *traits, headers) =>
            {
                if method == LISTEN {
                    return self.listen(post, message).await;
                }
                last_message::ends(self.modern(post.parts, post.body.clone(), message).await)
            }
            Envelope::Reply if is_modern(headers) => {
                let why = "this revision has no replies: repeat the call with what was asked for";
                response::refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, why)
            }
            message => self.connections.takes(post, message).await,
        }
    }

    /// rmcp wants both media types named; clients that name one or none get what they can read of it.
    async fn modern(&self, mut parts: Parts, body: Bytes, message: &Envelope<'_>) -> Answer {
        parts.headers.insert(ACCEPT, BOTH);
        repeated::write_alike(&self.handler, &mut parts.headers, &body);
        let request = Request::from_parts(parts, Full::new(body));
        let answer = self.modern.handle(request).await;
        let status = answer.status();
        // The content is JSON, as has been seen: what rmcp says with this is that it cannot decode it.
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return unreadable(message);
        }
        let is_text = !is_json(answer.headers());
        if (status.is_client_error() || status.is_server_error()) && is_text {
            return worded(answer).await;
        }
        answer
    }

    /// A stream that stays open takes a place, like one of a connection, until its body is gone.
    async fn listen(&self, post: Post<'_>, message: &Envelope<'_>) -> Answer {
        let place = match self.connections.place(post.caller) {
            Ok(place) => place,
            Err(too_many) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                return response::refusal(status, INVALID_REQUEST, &too_many.to_string());
            }
        };
        let wish = self.fast_path.then(|| Wish::read(post.body)).flatten();
        // From now on nothing is missed, whoever tells of it.
        let news = |wish: &Wish| self.handler.news(post.caller, &wish.of);
        let held = wish.and_then(|wish| Some((news(&wish)?, wish)));
        let mut parts = post.parts;
        let Some((news, wish)) = held else {
            let answer = self.modern(parts, post.body.clone(), message).await;
            return held::keeps(answer, place);
        };
        parts.extensions.insert(OnlyOpened);
        let answer = self.modern(parts, post.body.clone(), message).await;
        let held = Held::new(wish, news, self.streams.clone(), place);
        held.takes_over(answer).await
    }

    fn get(&self, headers: &HeaderMap, caller: &Caller, delivery: Option<&Delivery>) -> Answer {
        if !accepts(headers).events {
            return not_acceptable("text/event-stream");
        }
        self.connections.listens(headers, caller, delivery)
    }
}

/// Whether the headers are those of a revision without connections.
pub(super) fn is_modern(headers: &HeaderMap) -> bool {
    headers
        .get(VERSION)
        .is_some_and(|version| version.as_bytes() >= MODERN)
}

/// Point 8 of the protocol page's A.8.
fn speaks_modern(method: &str, traits: Traits, headers: &HeaderMap) -> bool {
    traits.names_version || is_modern(headers) || is_of_modern(method)
}

/// Whether no revision with connections has this method.
fn is_of_modern(method: &str) -> bool {
    method == "server/discover" || method == LISTEN
}

/// Clients have to list both types; those that list one, `*/*` or nothing are served all the same.
fn accepts(headers: &HeaderMap) -> Accepts {
    let both = Accepts {
        json: true,
        events: true,
    };
    let mut lists = headers.get_all(ACCEPT).iter().peekable();
    // As the clients' libraries write it, or not at all.
    if lists.peek().is_none_or(|first| **first == BOTH) {
        return both;
    }
    let mut accepts = Accepts {
        json: false,
        events: false,
    };
    let ranges = lists.filter_map(|list| list.to_str().ok());
    for range in ranges.flat_map(|list| list.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
            weight.is_some_and(|weight| weight <= 0.0)
        });
        if refused {
            continue;
        }
        accepts.json |= matches!(
            essence.as_str(),
            "application/json" | "application/*" | "*/*"
        );
        accepts.events |= matches!(essence.as_str(), "text/event-stream" | "text/*" | "*/*");
    }
    accepts
}

fn not_acceptable(types: &str) -> Answer {
    let why = format!("Accept has to name {types}");
    response::refusal(StatusCode::NOT_ACCEPTABLE, INVALID_REQUEST, &why)
}

/// A JSON-RPC message whose parameters nobody can decode: too deep, or with a key twice.
fn unreadable(message: &Envelope<'_>) -> Answer {
    let status = StatusCode::BAD_REQUEST;
    match message {
        Envelope::Request { id, .. } => {
            response::refusal_of(status, id, INVALID_PARAMS, "the request cannot be read")
        }
        Envelope::Notification { .. } | Envelope::Reply => {
            response::refusal(status, INVALID_REQUEST, "the message cannot be read")
        }
    }
}

/// rmcp refuses some requests in plain text: the same words, as JSON-RPC.
async fn worded(answer: Answer) -> Answer {
    let status = answer.status();
    let Ok(said) = answer.into_body().collect().await;
    let said = said.to_bytes();
    let said = String::from_utf8_lossy(&said);
    response::refusal(status, INVALID_REQUEST, said.trim())
}
