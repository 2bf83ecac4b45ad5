//! The public port: MCP behind a token, and the little that needs none. In: any request. Out: its answer; MCP sees only
//! requests whose extensions hold a verified `Caller`.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
};
use hyper::body::Incoming;

use super::{
    Answer, Body,
    gate::Gate,
    health,
    metadata::{self, ResourceMetadata},
    reply,
};
use crate::auth::{AuthError, Challenge, Verifier};

/// What the public port is made of.
pub struct Public {
    /// Which hosts and origins are served.
    pub gate: Gate,
    /// Who recognizes callers.
    pub verifier: Arc<Verifier>,
    /// Where clients learn whom to ask for a token.
    pub metadata: Option<ResourceMetadata>,
    /// Answers MCP.
    pub mcp: Answer,
    /// The Unix time.
    pub now: fn() -> Duration,
}

impl Public {
    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        // Platforms probe health by address, so it comes before the gate; it tells nothing.
        if request.uri().path() == "/healthz" && is_read(request.method()) {
            return health::live();
        }
        if let Err(stopped) = self.gate.admits(request.uri(), request.headers()) {
            let why = stopped.to_string();
            return reply::refusal(StatusCode::FORBIDDEN, "invalid_request", &why);
        }
        match request.uri().path() {
            "/mcp" | "/mcp/" => self.mcp(request).await,
            path if is_metadata(path) && is_read(request.method()) => self.document(),
            _ => reply::refusal(StatusCode::NOT_FOUND, "not_found", "MCP is served at /mcp"),
        }
    }

    async fn mcp(&self, mut request: Request<Incoming>) -> Response<Body> {
        match self.verifier.caller(request.headers(), (self.now)()).await {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                (self.mcp)(request).await
            }
            Err(error) => self.challenge(&error),
        }
    }

    fn challenge(&self, error: &AuthError) -> Response<Body> {
        tracing::info!(reason = error.reason(), "request refused");
        let metadata = self.metadata.as_ref().map(|metadata| metadata.url.as_str());
        let challenge = Challenge::of(error, metadata);
        let mut response = reply::json(challenge.status, &challenge.body);
        let headers = response.headers_mut();
        if let Some(value) = challenge.www_authenticate {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        if let Some(seconds) = challenge.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn document(&self) -> Response<Body> {
        let Some(metadata) = &self.metadata else {
            return reply::refusal(
                StatusCode::NOT_FOUND,
                "not_found",
                "this server has no authorization server; its operator hands out tokens",
            );
        };
        let mut response = reply::json(StatusCode::OK, &metadata.document);
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        );
        response
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn is_metadata(path: &str) -> bool {
    path.strip_prefix(metadata::PATH)
        .is_some_and(|rest| matches!(rest, "" | "/mcp"))
}
