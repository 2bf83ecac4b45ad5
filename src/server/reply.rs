//! Small whole responses: JSON, text, a refusal.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::Body;

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    with_body(status, "application/json", value.to_string())
}

/// 200 with bytes that are JSON already.
pub(super) fn raw_json(json: Bytes) -> Response<Body> {
    with_body(StatusCode::OK, "application/json", json)
}

pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    with_body(status, "text/plain; charset=utf-8", text)
}

/// A refusal that says why, in the shape of an OAuth error.
pub(super) fn refusal(status: StatusCode, error: &str, why: &str) -> Response<Body> {
    json(status, &json!({ "error": error, "error_description": why }))
}

fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
