//! The revisions before 2026-07-28: handshake, then requests under a connection id (`Mcp-Session-Id`). The id itself is
//! the store (`id`), so a connection outlives this process, and costs nothing while nothing happens on it. In: what the
//! front has read. Out: JSON or events. Every request is its own `exchange` with rmcp; a connection belongs to the
//! person who made it, and to nobody else.

mod batch;
mod direct;
pub(super) mod events;
mod exchange;
mod find;
mod id;
mod listening;
mod live;
mod replay;

use std::{sync::Arc, time::Duration};

use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, request::Parts};
use rmcp::model::{
    ClientCapabilities, ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions,
    InitializeRequestParams, JsonRpcMessage, JsonRpcRequest, ProtocolVersion, RequestId,
    ServerJsonRpcMessage, ServerResult,
};
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    HandlesMcp,
    envelope::{Envelope, Malformed},
    fast_path,
    outcome::{Code, Failure, Outcome},
    prepared, present,
    response::{self, Answer, INTERNAL, INVALID_PARAMS, INVALID_REQUEST},
    result_of,
    service::{Accepts, Post, ServiceSettings},
};
use crate::{auth::Caller, backend::CorrelationId, delivery::Delivery, in_place};

pub(super) use id::Connection;
pub use id::{ConnectionIds, NoKeys};
pub use listening::Lists;

use exchange::Messages;
pub(super) use live::OpenStream;
use live::{Live, TooMany};
use replay::{Asked, Place, Replay};

pub(super) const CONNECTION_ID: &str = "mcp-session-id";
pub(super) const VERSION: &str = "mcp-protocol-version";

/// A request that is not answered by then is answered by events, with signs of life in between. Before that it is not:
/// a client whose stream breaks before its first event waits for its own time-out, one without a stream knows at once.
const SLOW: Duration = Duration::from_secs(15);

/// What the operator says of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRules {
    /// So many streams may be open, in all.
    pub most_streams: usize,
    /// And so many of one person.
    pub most_streams_per_person: usize,
    /// Whether an unknown id is answered as if its handshake had just been.
    pub heal: bool,
}

/// All connections of the older revisions.
pub(super) struct Connections<H: HandlesMcp> {
    handler: H,
    ids: Arc<ConnectionIds>,
    live: Arc<Live>,
    rules: ConnectionRules,
    fast_path: bool,
    /// Ends all streams.
    streams: CancellationToken,
    lists: Lists,
    now: fn() -> Duration,
    /// When this process began, since 1970.
    began: Duration,
}

impl<H: HandlesMcp> Connections<H> {
    pub(super) fn new(handler: H, settings: &ServiceSettings) -> Self {
        Self {
            handler,
            ids: Arc::clone(&settings.ids),
            live: Live::new(settings.connections),
            rules: settings.connections,
            fast_path: settings.fast_path,
            streams: settings.streams.clone(),
            lists: settings.lists.clone(),
            began: (settings.now)(),
            now: settings.now,
        }
    }

    /// The handshake: a new connection and its id.
    pub(super) fn shakes_hands(&self, post: &Post<'_>, id: &RawValue) -> Answer {
        let Some((request_id, mut params)) = handshake(post.body) else {
            let why = "the parameters of initialize cannot be read";
            return response::refusal_of(StatusCode::OK, id, INVALID_PARAMS, why);
        };
        let result = match self.handler.negotiate_initialize(&params) {
            Ok(result) => result,
            Err(error) => {
                return response::json(&ServerJsonRpcMessage::error(error, Some(request_id)));
            }
        };
        params.protocol_version = result.protocol_version.clone();
        let Ok((connection_id, _)) = self.ids.make(&params, post.caller) else {
            let why = "no connection could be made";
            return response::refusal_of(StatusCode::INTERNAL_SERVER_ERROR, id, INTERNAL, why);
        };
        let result = ServerResult::InitializeResult(result);
        let message = ServerJsonRpcMessage::response(result, request_id);
        with_id(whole(&message, post.accepts), &connection_id)
    }

    /// One message on a connection.
    pub(super) async fn takes(&self, post: Post<'_>, envelope: &Envelope<'_>) -> Answer {
        let found = match self.find(&post.parts.headers, post.caller) {
            Ok(found) => found,
            Err(why) => return why.into(),
        };
        if found.made.is_none()
            && let Some(answer) =
                prepared::on_connection(&self.handler, &found.connection, &post, envelope)
        {
            return answer;
        }
        if self.fast_path
            && found.made.is_none()
            && matches!(envelope, Envelope::Request { .. })
            && let Some((id, ready)) =
                fast_path::on_connection(&self.handler, &found.connection, &post)
        {
            let runs = || self.runs(&found.connection, id, ready, &post);
            return in_place::boxed(runs).await;
        }
        let made = found.made;
        let answer = match (decoded(post.body), envelope) {
            (Some(JsonRpcMessage::Request(request)), Envelope::Request { .. }) => {
                self.answers(found.connection, request, post.parts, post.accepts)
                    .await
            }
            (Some(message), Envelope::Notification { .. } | Envelope::Reply) => {
                self.notes(&found.connection, message);
                response::accepted()
            }
            (_, Envelope::Request { id, .. }) => {
                let why = "the request cannot be read";
                response::refusal_of(StatusCode::OK, id, INVALID_PARAMS, why)
            }
            (None, _) => {
                let why = Malformed::NotJsonRpc;
                response::refusal(StatusCode::BAD_REQUEST, why.code(), &why.to_string())
            }
        };
        match made {
            Some(id) => with_id(answer, &id),
            None => answer,
        }
    }

    /// The stream of what answers no request; or the rest of an answer that was lost.
    pub(super) fn listens(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
        delivery: Option<&Delivery>,
    ) -> Answer {
        let connection = match self.find(headers, caller) {
            Ok(found) => found.connection,
            Err(why) => return why.into(),
        };
        let last = headers.get("last-event-id").map(HeaderValue::as_bytes);
        let Some(last) = last.filter(|last| !last.is_empty()) else {
            return self.listen(&connection, caller, None);
        };
        let last = std::str::from_utf8(last).unwrap_or_default();
        if let Some(list) = listening::list_of(last) {
            return self.listen(&connection, caller, Some(list));
        }
        let Some(place) = Place::read(last) else {
            let why = "this Last-Event-ID is none of ours: open the stream without it";
            return response::refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, why);
        };
        match self.live.answer(connection.key, &place.name) {
            // The official TypeScript client asks again until this status, silently.
            Some(answer) if answer.is_over(place.seen) => response::not_allowed("POST"),
            Some(answer) => {
                answer.leaves_again_over(delivery);
                self.rest(answer, place.seen)
            }
            None if place.is_end() => response::not_allowed("POST"),
            None => lost(&place),
        }
    }

    /// A place for a stream of a revision without connections, free again when what is returned is dropped.
    pub(super) fn place(&self, caller: &Caller) -> Result<OpenStream, TooMany> {
        self.live.opens(None, caller)
    }

    /// The client ends its connection.
    pub(super) fn ends(&self, headers: &HeaderMap, caller: &Caller) -> Answer {
        match self.known(headers, caller) {
            Ok(connection) => {
                self.live.ends(connection.key);
                // The official Python client takes only 200 and 204 for an end.
                response::empty(StatusCode::NO_CONTENT)
            }
            Err(why) => why.into(),
        }
    }

    async fn answers(
        &self,
        connection: Connection,
        mut request: JsonRpcRequest<ClientRequest>,
        parts: Parts,
        accepts: Accepts,
    ) -> Answer {
        let mut connection = connection;
        if !accepts.events {
            // What cannot be asked on a stream is not asked.
            connection.peer.capabilities = ClientCapabilities::default();
        }
        let delivery = parts.extensions.get().cloned();
        request.request.extensions_mut().insert(parts);
        let asked = Asked {
            id: request.id.clone(),
            is_call: matches!(request.request, ClientRequest::CallToolRequest(_)),
        };
        let handler = self.handler.clone();
        let mut messages = exchange::begin(handler, &connection, request, &self.live);
        if !accepts.events {
            return match last(&mut messages).await {
                Some(message) => response::json(&message),
                None => response::accepted(),
            };
        }
        // A call that its client can come back for: it has the id for that before anything can go wrong.
        let is_primed = asked.is_call && knows_priming(&connection);
        let first = if accepts.json && !is_primed {
            timeout(SLOW, messages.recv()).await.ok()
        } else {
            None
        };
        match first {
            Some(Some(message)) if is_last(&message) => whole(&message, accepts),
            Some(None) => events::response(stream::empty()),
            first => {
                let answer = Replay::new(connection.key, asked, delivery);
                self.live.awaits(Arc::clone(&answer));
                if first.is_none() && knows_priming(&connection) {
                    answer.prime();
                }
                tokio::spawn(fill(
                    Arc::clone(&answer),
                    first.flatten(),
                    messages,
                    Arc::clone(&self.live),
                ));
                self.rest(answer, 0)
            }
        }
    }

    /// A notification, or a reply to a request of ours; one that nobody waits for is no error.
    fn notes(&self, connection: &Connection, message: ClientJsonRpcMessage) {
        match message {
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    notification.notification
                    && let Some(id) = cancelled.params.request_id
                {
                    self.live.cancel(connection.key, &id);
                }
            }
            reply => {
                if !self.live.replied(connection.key, reply) {
                    tracing::debug!("a reply came that nobody waits for");
                }
            }
        }
    }

    /// An answer from this place on, to its end or ours.
    fn rest(&self, answer: Arc<Replay>, seen: u64) -> Answer {
        let ending = self.streams.clone();
        events::response(stream::unfold((answer, seen), move |(answer, seen)| {
            let ending = ending.clone();
            async move {
                tokio::select! {
                    next = answer.after(seen) => {
                        let (seen, event) = next?;
                        Some((event, (answer, seen)))
                    }
                    () = tokio::time::sleep(events::SIGN_OF_LIFE) => Some((events::ALIVE, (answer, seen))),
                    () = ending.cancelled() => None,
                }
            }
        }))
    }
}

/// Collects an answer as it comes, and keeps it a while.
async fn fill(
    answer: Arc<Replay>,
    first: Option<ServerJsonRpcMessage>,
    mut messages: Messages,
    live: Arc<Live>,
) {
    let mut next = first;
    loop {
        match next {
            // Nothing follows it: many clients hang up as soon as they have read it, so the end has to be there by then.
            Some(message) if is_last(&message) => {
                answer.add_last(&message);
                break;
            }
            Some(message) => answer.add(&message),
            None => {}
        }
        next = messages.recv().await;
        if next.is_none() {
            answer.end();
            break;
        }
    }
    live.keeps(answer);
}

/// The answer is known no more: the client is told so, as the end of its request.
fn lost(place: &Place) -> Answer {
    let why = "the answer is no longer known: it was too long ago, or the server has been restarted since. \
               A read can be repeated; before a write is repeated, look whether it was done";
    let id = place.request.id.clone();
    let message = if place.request.is_call {
        let failure = Failure {
            retryable: true,
            correlation_id: CorrelationId::random().to_string(),
            ..present::plain(Code::BackendUnavailable, why.to_owned())
        };
        let mut result = ServerResult::CallToolResult(result_of(Outcome::Failure(failure)));
        // rmcp does this with what goes through it.
        result.strip_result_type_for_legacy_peer();
        ServerJsonRpcMessage::response(result, id)
    } else {
        let data = serde_json::json!({ "retryable": true });
        let error = rmcp::ErrorData::internal_error(why, Some(data));
        ServerJsonRpcMessage::error(error, Some(id))
    };
    let event = events::message(Some(&place.end()), &message);
    events::response(stream::once(std::future::ready(event)))
}

/// One message that is the whole answer.
fn whole(message: &ServerJsonRpcMessage, accepts: Accepts) -> Answer {
    if accepts.json {
        return response::json(message);
    }
    let event = events::message(None, message);
    events::response(stream::once(std::future::ready(event)))
}

/// The response alone, for who takes no events.
async fn last(messages: &mut Messages) -> Option<ServerJsonRpcMessage> {
    while let Some(message) = messages.recv().await {
        if is_last(&message) {
            return Some(message);
        }
    }
    None
}

fn is_last(message: &ServerJsonRpcMessage) -> bool {
    matches!(
        message,
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)
    )
}

/// Clients before 2025-11-25 try to parse the empty data (protocol page, trap 6).
fn knows_priming(connection: &Connection) -> bool {
    connection.peer.protocol_version >= ProtocolVersion::V_2025_11_25
}

fn decoded(body: &[u8]) -> Option<ClientJsonRpcMessage> {
    serde_json::from_slice(body).ok()
}

fn handshake(body: &[u8]) -> Option<(RequestId, InitializeRequestParams)> {
    match decoded(body)? {
        JsonRpcMessage::Request(JsonRpcRequest {
            id,
            request: ClientRequest::InitializeRequest(request),
            ..
        }) => Some((id, request.params)),
        _ => None,
    }
}

fn with_id(mut answer: Answer, id: &str) -> Answer {
    if let Ok(id) = HeaderValue::from_str(id) {
        answer.headers_mut().insert(CONNECTION_ID, id);
    }
    answer
}
