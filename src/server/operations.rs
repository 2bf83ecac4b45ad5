//! The operations port: health, metrics, the log's filter and the console, for whoever runs us. Bound to loopback unless
//! the operator says otherwise. In: any request. Out: its answer; what is not for everybody is behind the door.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};

use super::{
    Body,
    connection::RequestBytes,
    console::{self, Console},
    health::{self, Checks, Detail},
    ops_door::OpsDoor,
    reply,
};
use crate::telemetry::Filter;

/// Text, or why there is none.
pub type Scraping =
    Pin<Box<dyn Future<Output = Result<String, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// What answers `/metrics`.
pub type Metrics = Arc<dyn Fn() -> Scraping + Send + Sync>;

/// The text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Longer than any filter that somebody writes.
const LONGEST_FILTER: usize = 1024;

const PLACES: &str = "here are /console, /healthz, /readyz, /health, /metrics and /log/filter";

/// What the operations port is made of.
pub struct Operations {
    /// Whether calls would succeed.
    pub checks: Checks,
    /// The way in to everything but health and metrics.
    pub door: OpsDoor,
    /// The page for people.
    pub console: Console,
    /// What is counted.
    pub metrics: Metrics,
    /// The log's filter; `None` where somebody else owns the log.
    pub log: Option<Filter>,
}

impl Operations {
    /// Answers one request.
    pub async fn answer(&self, request: Request<RequestBytes>) -> Response<Body> {
        let path = request.uri().path();
        if console::is_at(path) {
            return self.console.answer(request, &self.door).await;
        }
        if path == "/log/filter" {
            return self.filter(request).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return not_allowed("use GET");
        }
        if path == "/metrics" {
            return self.metrics().await;
        }
        let answer = health::answer(path, request.headers(), &self.checks, Detail::Full).await;
        answer.unwrap_or_else(|| reply::refusal(StatusCode::NOT_FOUND, "not_found", PLACES))
    }

    async fn metrics(&self) -> Response<Body> {
        match (self.metrics)().await {
            Ok(text) => {
                let mut response = reply::text(StatusCode::OK, text);
                let format = HeaderValue::from_static(PROMETHEUS);
                response.headers_mut().insert(CONTENT_TYPE, format);
                response
            }
            Err(error) => {
                tracing::warn!(%error, "the metrics cannot be written");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                reply::refusal(status, "server_error", "the metrics cannot be written")
            }
        }
    }

    async fn filter(&self, request: Request<RequestBytes>) -> Response<Body> {
        if let Err(stopped) = self.door.admits(&request) {
            return stopped.response();
        }
        let Some(log) = &self.log else {
            return reply::refusal(StatusCode::NOT_FOUND, "not_found", "the log is not ours");
        };
        match *request.method() {
            Method::GET | Method::HEAD => {
                reply::text(StatusCode::OK, format!("{}\n", log.current()))
            }
            Method::PUT => match asked(request).await {
                Ok(filter) => change(log, &filter),
                Err(why) => reply::refusal(StatusCode::BAD_REQUEST, "invalid_request", why),
            },
            _ => not_allowed("use GET, or PUT with a filter as its body"),
        }
    }
}

/// The filter in the body.
async fn asked(request: Request<RequestBytes>) -> Result<String, &'static str> {
    let body = Limited::new(request.into_body(), LONGEST_FILTER).collect();
    let body = body.await.map_err(|_| "a filter is at most 1024 bytes")?;
    let text = String::from_utf8(body.to_bytes().into());
    text.map(|text| text.trim().to_owned())
        .map_err(|_| "a filter is text")
}

fn change(log: &Filter, filter: &str) -> Response<Body> {
    match log.replace(filter) {
        Ok(()) => {
            let now = log.current();
            tracing::warn!(filter = now, "the log's filter was changed");
            reply::text(StatusCode::OK, format!("{now}\n"))
        }
        Err(why) => reply::refusal(StatusCode::BAD_REQUEST, "invalid_request", &why.to_string()),
    }
}

fn not_allowed(how: &str) -> Response<Body> {
    reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", how)
}
