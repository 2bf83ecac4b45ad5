//! A backend that answers by a marker in the request: every kind of answer that a backend gives, good and bad. In: HTTP on
//! a socket. Out: the answer of the marker, and a note of what was asked, without what differs between two sidecars anyway.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::Backend;

/// A marker is a uid of this beginning and two digits.
const MARKER: &str = "aaaaaaaa-0000-4000-8000-0000000000";

/// How many kinds of answer there are.
pub(super) const ANSWERS: u64 = 32;

/// The one whose JSON is not as we would write it: numbers with more digits than we hold, escapes, a key twice.
pub(super) const ODDLY_WRITTEN: u64 = 4;

/// What differs with the moment, or with the sidecar.
const FLEETING: [&str; 3] = ["host", "x-tb-signature", "x-tb-timestamp"];

pub(super) struct Stub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Backend for Stub {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A uid, or any text, that asks for this answer.
pub(super) fn marker(answer: u64) -> String {
    format!("{MARKER}{answer:02}")
}

impl Stub {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::default();
        tokio::spawn(serve(listener, Arc::clone(&asked)));
        Self { address, asked }
    }

    /// What was asked since the last time, in order.
    pub(super) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(listener: TcpListener, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let asked = Arc::clone(&asked);
        let service = service_fn(move |request| answer(request, Arc::clone(&asked)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    let (method, target) = (head.method.as_str(), head.uri.to_string());
    let headers = written(&head.headers);
    let answer = marked(&target).or_else(|| marked(&body));
    asked
        .lock()
        .unwrap()
        .push(format!("{method} {target} {headers} {body}"));
    let good = if target.starts_with("/v1/any") {
        json!({ "asked": method, "n": [1, -2, 0.1, 1e300, -0.0, u64::MAX, i64::MIN, null] })
    } else if method == "GET" && !head.uri.path().starts_with("/v1/notes/") {
        json!({ "items": [record(), record()], "nextCursor": "next" })
    } else {
        record()
    };
    let (status, content_type, body) = reply(answer.unwrap_or_default(), &good);
    let response = Response::builder().status(status);
    let response = response.header("content-type", content_type);
    Ok(response.body(Full::new(body)).unwrap())
}

fn written(headers: &HeaderMap) -> String {
    let steady = headers
        .iter()
        .filter(|(name, _)| !FLEETING.contains(&name.as_str()));
    let mut lines: Vec<_> = steady
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines.join(", ")
}

fn marked(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(MARKER)?;
    rest.get(..2)?.parse().ok()
}

fn record() -> Value {
    json!({
        "uid": marker(0),
        "version": 7,
        "updatedAt": "2026-01-02T03:04:05.678Z",
        "deletedAt": null,
        "payload": { "title": "\"\\\u{1}\u{7f}\u{2028}é😀", "n": [0.5, 3], "deep": { "a": [{}] } },
        "unknown": true,
    })
}

fn reply(answer: u64, good: &Value) -> (u16, &'static str, Bytes) {
    let pretty = || serde_json::to_string_pretty(good).unwrap();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let said = |text: &str| json!({ "error": text }).to_string();
    let (status, body) = match answer {
        1 => (201, good.to_string()),
        2 => (200, pretty()),
        3 => (200, format!(" \r\n\t{good}\n")),
        ODDLY_WRITTEN => (200, oddly_written()),
        5 => (204, String::new()),
        6 => (202, good.to_string()),
        7 => (400, said("title: too \"long\"\n<script>")),
        8 => (404, json!({ "message": "no such note" }).to_string()),
        9 => (
            409,
            json!({ "error": "conflict", "currentVersion": 8, "version": 8 }).to_string(),
        ),
        10 => (410, said("deleted")),
        11 => (422, said(&"long ".repeat(500))),
        12 => (401, said("token")),
        13 => (403, String::new()),
        14 => (412, said("version")),
        15 => (500, "<html>oops</html>".to_owned()),
        16 => (200, "<html>hello</html>".to_owned()),
        17 => (200, r#"{"uid":"a","version":"#.to_owned()),
        18 => (200, "[1,2,{}]".to_owned()),
        19 => (200, "\"text\"".to_owned()),
        20 => (200, "null".to_owned()),
        21 => (200, r#"{"uid":5,"version":1}"#.to_owned()),
        22 => (200, r#"{"items":[],"nextCursor":null}"#.to_owned()),
        23 => (200, r#"{"items":{}}"#.to_owned()),
        24 => (302, String::new()),
        25 => (200, deep(127)),
        26 => (200, deep(128)),
        27 => (200, String::new()),
        28 => (428, said("stale")),
        29 => (
            200,
            format!(r#"{{"uid":"a","version":1,"payload":{}}}"#, deep(124)),
        ),
        30 => return (200, "text/plain", good.to_string().into()),
        31 => {
            return (
                200,
                "application/json",
                Bytes::from_static(b"{\"uid\":\"\xff\",\"version\":1}"),
            );
        }
        _ => (200, good.to_string()),
    };
    (status, "application/json", body.into())
}

fn oddly_written() -> String {
    r#"{ "uid": "\u0061\/b", "version": 1.50, "payload": { "a": 1, "a": 2, "n": 12345678901234567890123, "e": 1E2 },
        "items": [ { "uid": "é", "version": 1e0, "payload": "\ud83d\ude00" } ], "version": 2 }"#
        .to_owned()
}
