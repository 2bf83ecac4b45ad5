//! The public port: MCP behind a token, and the little that needs none. In: any request. Out: its answer; MCP sees only
//! requests whose extensions hold a verified `Caller` that has the scopes of the tools it calls.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Answering, Body,
    connection::RequestBytes,
    cors,
    gate::{Gate, Stopped},
    health::{self, Checks, Detail},
    metadata::{self, Resource, ResourceMetadata},
    reply,
    scopes::{self, Refused, RequestBody, ToolScopes},
};
use crate::{
    auth::{AuthError, Caller, Challenge, Directions, IssuerMetadata, MetadataError, Verifier},
    observe::{Arrival, Observer, record::server_timing},
};

/// What answers MCP.
pub type McpAnswer = Arc<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>;

/// How long a caller has to wait before the next request; `None`: not at all.
pub type TooOften = Arc<dyn Fn(&Caller) -> Option<Duration> + Send + Sync>;

/// Where the backend finds the keys of the tokens it is given.
const KEY_SET: &str = "/.well-known/jwks.json";

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Said where the setting `server.sse` is false.
const SSE_IS_OFF: &str = "HTTP+SSE is switched off here (server.sse): MCP is served at /mcp";

/// What the public port is made of.
pub struct Public {
    /// Which hosts and origins are served.
    pub gate: Gate,
    /// Whether calls would succeed; everybody may ask.
    pub checks: Checks,
    /// Who recognizes callers.
    pub verifier: Arc<Verifier>,
    /// Where clients learn whom to ask for a token.
    pub metadata: Option<ResourceMetadata>,
    /// What the one to ask says of itself, for clients that look for it here.
    pub issuer_metadata: Option<IssuerMetadata>,
    /// What tools ask of their callers.
    pub scopes: Arc<dyn ToolScopes>,
    /// Longest request body in bytes.
    pub max_request_bytes: usize,
    /// Whether a caller asks too often, whatever it is; how long to wait then.
    pub too_often: TooOften,
    /// The keys of the tokens that are signed here for the backend.
    pub key_set: Option<Value>,
    /// Answers MCP.
    pub mcp: McpAnswer,
    /// Answers MCP as it was in 2024: at `/sse` and `/messages`; `None` where it is switched off.
    pub sse: Option<McpAnswer>,
    /// Told of every answer, and of every token that was refused.
    pub observer: Arc<Observer>,
    /// The Unix time.
    pub now: fn() -> Duration,
}

impl Public {
    /// Answers one request.
    pub async fn answer(&self, request: Request<RequestBytes>) -> Response<Body> {
        let response = self.answered(request).await;
        self.observer.metrics.http(response.status().as_u16());
        if !is_stream(&response) {
            return response;
        }
        let open = self.observer.metrics.stream();
        response.map(|body| {
            let holding = body.map_frame(move |frame| {
                let _until_the_body_is_gone = &open;
                frame
            });
            holding.boxed()
        })
    }

    async fn answered(&self, request: Request<RequestBytes>) -> Response<Body> {
        // Platforms probe health by address, so it comes before the gate; it tells a verdict and nothing else.
        if is_read(request.method()) {
            let (path, headers) = (request.uri().path(), request.headers());
            let health = health::answer(path, headers, &self.checks, Detail::Bare);
            if let Some(response) = health.await {
                return response;
            }
        }
        let host = match self.gate.admits_host(request.uri(), request.headers()) {
            Ok(host) => host,
            Err(stopped) => return refuse(stopped),
        };
        // Descriptions are for pages of every origin.
        let path = request.uri().path();
        if let Some(resource) = Resource::described_at(path) {
            return open(&request, async { self.document(resource) }).await;
        }
        if metadata::is_relay(path) {
            return open(&request, self.relayed()).await;
        }
        if let Err(stopped) = self.gate.admits_page(&host, request.headers()) {
            return refuse(stopped);
        }
        match request.uri().path() {
            "/mcp" | "/mcp/" => self.for_page(request, &self.mcp).await,
            "/sse" | "/sse/" | "/messages" => match &self.sse {
                Some(sse) => self.for_page(request, sse).await,
                None => reply::refusal(StatusCode::NOT_FOUND, "not_found", SSE_IS_OFF),
            },
            KEY_SET if is_read(request.method()) => self.key_set(),
            _ => reply::refusal(StatusCode::NOT_FOUND, "not_found", "MCP is served at /mcp"),
        }
    }

    fn key_set(&self) -> Response<Body> {
        let Some(key_set) = &self.key_set else {
            let why = "this server signs no tokens with a private key";
            return reply::refusal(StatusCode::NOT_FOUND, "not_found", why);
        };
        let mut response = reply::json(StatusCode::OK, key_set);
        // Short, so that a new key is known soon after a restart.
        let cache = HeaderValue::from_static("public, max-age=300");
        response.headers_mut().insert(CACHE_CONTROL, cache);
        response
    }

    /// MCP for a page that the gate has let in, or for a client that is no page.
    async fn for_page(&self, request: Request<RequestBytes>, answer: &McpAnswer) -> Response<Body> {
        let Some(origin) = request.headers().get(ORIGIN).cloned() else {
            return self.mcp(request, answer).await;
        };
        if cors::is_preflight(&request) {
            return cors::mcp_preflight(&origin, &self.scopes.argument_headers());
        }
        let mut response = self.mcp(request, answer).await;
        cors::open_to(response.headers_mut(), &origin);
        response
    }

    async fn mcp(&self, request: Request<RequestBytes>, answer: &McpAnswer) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let begun = Instant::now();
        let caller = match self.verifier.caller(request.headers(), (self.now)()).await {
            Ok(caller) => caller,
            Err(error) => return self.challenge(&error, &path),
        };
        let arrival = Arrival::verified(begun);
        if let Some(wait) = (self.too_often)(&caller) {
            return slow_down(wait);
        }
        let checked = scopes::check(request, &caller, &*self.scopes, self.max_request_bytes);
        match checked.await {
            Ok(mut request) => {
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(arrival.clone());
                let mut response = answer(request).await;
                say_timing(&mut response, &arrival);
                response
            }
            Err(Refused::Lacks(needed)) => {
                self.challenge(&AuthError::InsufficientScope { needed }, &path)
            }
            Err(refused) => refused.of_body(),
        }
    }

    fn challenge(&self, error: &AuthError, path: &str) -> Response<Body> {
        tracing::info!(reason = error.reason(), "request refused");
        self.observer.metrics.auth_failed(error.reason());
        let metadata = self.metadata.as_ref();
        let metadata = metadata.map(|metadata| metadata.url_for(path));
        let directions = Directions {
            resource_metadata: metadata.as_deref(),
            scopes: &metadata::advertised(self.scopes.all()),
        };
        let challenge = Challenge::of(error, directions);
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

    /// Which authorization server hands out tokens for the resource.
    fn document(&self, resource: Resource) -> Response<Body> {
        let Some(metadata) = &self.metadata else {
            return no_authorization_server();
        };
        let scopes = metadata::advertised(self.scopes.all());
        let document = metadata.document(resource, &scopes);
        cacheable(Bytes::from(document.to_string()))
    }

    /// What the authorization server says of itself, as it says it.
    async fn relayed(&self) -> Response<Body> {
        let Some(metadata) = &self.issuer_metadata else {
            return no_authorization_server();
        };
        let error = match metadata.document().await {
            Ok(document) => return cacheable(document),
            Err(error) => error,
        };
        let (status, code, retry_after) = match error {
            MetadataError::Unavailable { retry_after } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                Some(retry_after),
            ),
            MetadataError::Unusable(_) => (StatusCode::BAD_GATEWAY, "server_error", None),
        };
        let mut response = reply::refusal(status, code, &error.to_string());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn is_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The hops of the call that this answers, as far as they are over: an answer that is a stream begins before its call ends.
fn say_timing(response: &mut Response<Body>, arrival: &Arrival) {
    let trail = arrival.taken();
    let timing = trail.and_then(|trail| server_timing(&trail.marks(), trail.elapsed()));
    if let Some(value) = timing.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
}

/// Something that every page may read, and nothing but read.
async fn open(
    request: &Request<RequestBytes>,
    read: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    if cors::is_preflight(request) {
        return cors::public_preflight();
    }
    let mut response = if is_read(request.method()) {
        read.await
    } else {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        reply::refusal(status, "invalid_request", "use GET")
    };
    cors::open_to_all(response.headers_mut());
    response
}

fn cacheable(document: Bytes) -> Response<Body> {
    let mut response = reply::raw_json(document);
    let hour = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(CACHE_CONTROL, hour);
    response
}

fn no_authorization_server() -> Response<Body> {
    reply::refusal(
        StatusCode::NOT_FOUND,
        "not_found",
        "this server has no authorization server; its operator hands out tokens",
    )
}

/// More than calls over their limit, which are answered as calls.
fn slow_down(wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let why = format!("you send too many requests: try again in {seconds} s");
    let mut response = reply::refusal(StatusCode::TOO_MANY_REQUESTS, "rate_limited", &why);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn refuse(stopped: Stopped) -> Response<Body> {
    let why = stopped.to_string();
    reply::refusal(StatusCode::FORBIDDEN, "invalid_request", &why)
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
