//! An answer before it knows its correlation id, and the body shapes of contract §1.3: JSON, JSON error, plain text,
//! tombstone, epoch mismatch, nothing.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};

use super::{json, stamp};

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: StatusCode,
    content: Content,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, Debug)]
enum Content {
    Empty,
    Text(String),
    Html(&'static str),
    Json(String),
    /// The message of a JSON error.
    Error(String),
    Gone {
        error: String,
        deleted_at: String,
    },
    EpochMismatch(i64),
}

/// The correlation id of a request: as it was sent, and as it is answered.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    /// The request's header, or empty.
    pub(super) sent: HeaderValue,
    /// The same, or a generated one.
    pub(super) used: HeaderValue,
}

const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

impl Correlation {
    /// Echoes the request's id, or makes one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sent = headers
            .get(CORRELATION)
            .cloned()
            .unwrap_or_else(|| HeaderValue::from_static(""));
        let used = if sent.is_empty() {
            HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).unwrap_or(sent.clone())
        } else {
            sent.clone()
        };
        Self { sent, used }
    }
}

impl Reply {
    fn new(status: u16, content: Content) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content,
            headers: Vec::new(),
        }
    }

    /// No body: 204, 405, and what is left of a crashed handler.
    pub(super) fn empty(status: u16) -> Self {
        Self::new(status, Content::Empty)
    }

    /// One line of text with `nosniff`, as authentication, tenants and session endpoints fail.
    pub(super) fn text(status: u16, line: &str) -> Self {
        Self::new(status, Content::Text(format!("{line}\n")))
            .with(X_CONTENT_TYPE_OPTIONS, &HeaderValue::from_static("nosniff"))
    }

    /// The liveness answer: text without a newline, without `nosniff`.
    pub(super) fn alive() -> Self {
        Self::new(200, Content::Text("ok".to_owned()))
    }

    /// A web page where JSON is expected.
    pub(super) fn html(page: &'static str) -> Self {
        Self::new(200, Content::Html(page))
    }

    /// A JSON text, without its final newline.
    pub(super) fn json(status: u16, text: String) -> Self {
        Self::new(status, Content::Json(text))
    }

    /// A JSON error; the correlation id is added when it is sent.
    pub(super) fn error(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, Content::Error(message.into()))
    }

    /// A tombstone: `note deleted` and when. Carries no correlation id.
    pub(super) fn gone(error: String, deleted_at_ms: i64) -> Self {
        let deleted_at = stamp::from_millis(deleted_at_ms);
        Self::new(410, Content::Gone { error, deleted_at })
    }

    /// The request's epoch is behind the user's (contract §2.3).
    pub(super) fn epoch_mismatch(epoch: i64) -> Self {
        Self::new(409, Content::EpochMismatch(epoch)).with_number("x-sync-epoch", epoch)
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: &HeaderValue) -> Self {
        self.headers.push((name, value.clone()));
        self
    }

    /// Adds a header that holds a number.
    pub(super) fn with_number(self, name: &'static str, number: impl Into<i128>) -> Self {
        match HeaderValue::from_str(&number.into().to_string()) {
            Ok(value) => self.with(HeaderName::from_static(name), &value),
            Err(_) => self,
        }
    }

    /// The finished answer. The epoch mismatch shows the id that was sent, even if none was.
    pub(super) fn render(self, correlation: &Correlation) -> Response<Bytes> {
        let id = match self.content {
            Content::EpochMismatch(_) => &correlation.sent,
            _ => &correlation.used,
        };
        let (content_type, body) = self.content.body(&String::from_utf8_lossy(id.as_bytes()));
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(CORRELATION, id.clone());
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        response
    }
}

const JSON: Option<&str> = Some("application/json");
const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

impl Content {
    /// Content type and body.
    fn body(self, id: &str) -> (Option<&'static str>, String) {
        match self {
            Self::Empty => (None, String::new()),
            Self::Text(text) => (TEXT, text),
            Self::Html(page) => (Some("text/html; charset=utf-8"), page.to_owned()),
            Self::Json(text) => (JSON, text + "\n"),
            Self::Error(message) => {
                let (message, id) = (json::string(&message), json::string(id));
                (
                    JSON,
                    format!("{{\"error\":{message},\"correlation_id\":{id}}}\n"),
                )
            }
            Self::Gone { error, deleted_at } => {
                let error = json::string(&error);
                (
                    JSON,
                    format!("{{\"error\":{error},\"deletedAt\":\"{deleted_at}\"}}\n"),
                )
            }
            Self::EpochMismatch(epoch) => {
                let id = json::string(id);
                (
                    JSON,
                    format!(
                        "{{\"error\":\"epoch_mismatch\",\"epoch\":{epoch},\"correlation_id\":{id}}}\n"
                    ),
                )
            }
        }
    }
}
