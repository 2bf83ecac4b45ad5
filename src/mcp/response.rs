//! HTTP answers to a POST that rmcp does not write: one JSON-RPC message, an error, nothing. In: statuses, codes, words.
//! Out: responses whose body is JSON-RPC always, because clients of 2026-07-28 take any other for an older server and
//! fall back (protocol page A.8).

use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::pieces::Pieces;

pub(super) const INVALID_REQUEST: i32 = -32600;
pub(super) const INVALID_PARAMS: i32 = -32602;
pub(super) const INTERNAL: i32 = -32603;
/// A header of 2026-07-28 is missing, or says something else than the body.
pub(super) const HEADER_MISMATCH: i32 = -32020;

/// What is answered: bytes or a stream of events.
pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// 200 with one message, or several.
pub(super) fn json(message: &impl Serialize) -> Answer {
    match serde_json::to_vec(message) {
        Ok(body) => with_body(StatusCode::OK, body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written: this is a bug of toolbridge");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            refusal(status, INTERNAL, "the answer could not be written")
        }
    }
}

/// The message was taken, and has no answer.
pub(super) fn accepted() -> Answer {
    empty(StatusCode::ACCEPTED)
}

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = status;
    response
}

/// The method is none of these.
pub(super) fn not_allowed(allowed: &'static str) -> Answer {
    let why = format!("use {allowed} here");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut refused = refusal(status, INVALID_REQUEST, &why);
    let headers = refused.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}

/// The content is not said to be JSON.
pub(super) fn no_json() -> Answer {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let why = "the body has to be JSON, and Content-Type has to say application/json";
    refusal(status, INVALID_REQUEST, why)
}

/// An error that answers no particular request.
pub(super) fn refusal(status: StatusCode, code: i32, message: &str) -> Answer {
    with_body(status, error(None, code, message))
}

/// An error that answers this request.
pub(super) fn refusal_of(status: StatusCode, id: &RawValue, code: i32, message: &str) -> Answer {
    with_body(status, error(Some(id), code, message))
}

/// A JSON-RPC error, written.
pub(super) fn error(id: Option<&RawValue>, code: i32, message: &str) -> String {
    let error = json!({ "code": code, "message": message });
    match id {
        Some(id) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
        None => format!(r#"{{"jsonrpc":"2.0","error":{error}}}"#),
    }
}

pub(super) fn with_body(status: StatusCode, body: impl Into<Pieces>) -> Answer {
    let mut response = Response::new(body.into().boxed());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
