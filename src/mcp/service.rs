//! The HTTP face of MCP: one endpoint for every protocol revision. Guards legacy connections, then lets rmcp answer.
//! In: requests that the server has let in, with their `Caller`. Out: responses. Which revision a request speaks is
//! rmcp's decision, except that a modern request's stray connection id is left alone (protocol page A.8).

use std::{convert::Infallible, fmt::Display, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use rmcp::transport::streamable_http_server::{
    SessionManager, StreamableHttpServerConfig, StreamableHttpService,
    session::local::LocalSessionManager,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{HandlesMcp, connections::Connections};
use crate::auth::Caller;

pub use super::connections::ConnectionLimits;

const CONNECTION_ID: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

/// The first revision without connections; dates compare as text.
const MODERN: &[u8] = b"2026-07-28";

/// How rmcp's words for JSON that is no JSON-RPC message end; its version is pinned, and a test holds it.
const UNRECOGNIZED: &[u8] = b"unrecognized JSON-RPC message";

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// MCP over streamable HTTP, answered by `H`.
pub struct McpService<H: HandlesMcp> {
    rmcp: StreamableHttpService<H, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    connections: Connections,
}

impl<H: HandlesMcp> McpService<H> {
    /// `streams` ends every open stream when it is cancelled. Host and Origin are the server's business, not rmcp's.
    #[must_use]
    pub fn new(
        handler: H,
        limits: ConnectionLimits,
        max_request_bytes: usize,
        streams: CancellationToken,
    ) -> Self {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(limits.idle);
        // No priming events: clients before 2025-11-25 try to parse their empty data (protocol page, trap 6).
        sessions.session_config.sse_retry = None;
        let sessions = Arc::new(sessions);
        let config = StreamableHttpServerConfig::default()
            .with_json_response(true)
            .with_sse_retry(None)
            .with_max_request_body_bytes(max_request_bytes)
            .with_cancellation_token(streams)
            .disable_allowed_hosts()
            .disable_allowed_origins();
        Self {
            rmcp: StreamableHttpService::new(
                move || Ok(handler.clone()),
                Arc::clone(&sessions),
                config,
            ),
            sessions,
            connections: Connections::new(limits),
        }
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody<Bytes, Infallible>>
    where
        B: Body + Send + 'static,
        B::Error: Display,
        B::Data: Send + 'static,
    {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "the request has no verified caller",
            );
        };
        let id = legacy_connection(request.headers());
        if let Some(id) = &id
            && !self.connections.admits(id, &caller, Instant::now())
        {
            return refusal(
                StatusCode::NOT_FOUND,
                "unknown connection id: send `initialize` without one",
            );
        }
        let is_delete = request.method() == Method::DELETE;
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let mut response = self.rmcp.handle(request).await;
        if is_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return unreadable(response).await;
        }
        if let (Some(id), true) = (&id, is_delete && response.status().is_success()) {
            self.connections.closed(id);
            // rmcp says 202; the official Python client takes only 200 and 204 for an end.
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        if id.is_none() {
            self.enter_new(&response, &caller).await;
        }
        response
    }

    /// An answer that carries a connection id opened a connection.
    async fn enter_new<B>(&self, response: &Response<B>, caller: &Caller) {
        let Some(id) = text(response.headers(), CONNECTION_ID) else {
            return;
        };
        for old in self.connections.opened(&id, caller, Instant::now()) {
            if let Err(error) = self.sessions.close_session(&old.into()).await {
                tracing::debug!(%error, "an evicted connection was already gone");
            }
        }
    }
}

/// The connection id of a request that is not of a revision without connections.
fn legacy_connection(headers: &HeaderMap) -> Option<String> {
    if is_modern(headers) {
        return None;
    }
    text(headers, CONNECTION_ID)
}

/// Whether a request is of a revision without connections.
pub(super) fn is_modern(headers: &HeaderMap) -> bool {
    headers
        .get(VERSION)
        .is_some_and(|version| version.as_bytes() >= MODERN)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// rmcp answers a body that it cannot read with 415 and text; clients look for a JSON-RPC error (protocol page A.7, E.9).
async fn unreadable(
    answer: Response<BoxBody<Bytes, Infallible>>,
) -> Response<BoxBody<Bytes, Infallible>> {
    let Ok(said) = answer.into_body().collect().await;
    let said = said.to_bytes();
    let (code, message) = if said.ends_with(UNRECOGNIZED) {
        (INVALID_REQUEST, "this is no JSON-RPC message")
    } else {
        (PARSE_ERROR, "the body is no JSON that can be read")
    };
    error(StatusCode::BAD_REQUEST, code, message)
}

/// A refusal with a JSON-RPC body that answers no particular request.
fn refusal(status: StatusCode, message: &str) -> Response<BoxBody<Bytes, Infallible>> {
    error(status, INVALID_REQUEST, message)
}

fn error(status: StatusCode, code: i32, message: &str) -> Response<BoxBody<Bytes, Infallible>> {
    let body = json!({
        "jsonrpc": "2.0",
        "error": { "code": code, "message": message },
    });
    let mut response = Response::new(Full::from(body.to_string()).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}
