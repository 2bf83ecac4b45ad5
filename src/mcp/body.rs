//! The body of a request for MCP: whether it says that it is JSON, and its bytes, up to a limit. In: a request's parts.
//! Out: bytes, or the refusal. Nothing of a body that is too large is kept.

use std::{error::Error, io};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::response::{self, Answer, INVALID_REQUEST};

/// Whether the content is said to be JSON, with whatever parameters.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The whole body.
pub(super) async fn read<B>(body: B, limit: usize) -> Result<Bytes, Answer>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let error = match Limited::new(body, limit).collect().await {
        Ok(body) => return Ok(body.to_bytes()),
        Err(error) => error,
    };
    let (status, why) = if error.is::<LengthLimitError>() {
        let why = "the body is larger than this server takes";
        (StatusCode::PAYLOAD_TOO_LARGE, why)
    } else if is_late(&*error) {
        let why = "the body took longer to arrive than this server waits";
        (StatusCode::REQUEST_TIMEOUT, why)
    } else {
        (StatusCode::BAD_REQUEST, "the body did not arrive")
    };
    Err(response::refusal(status, INVALID_REQUEST, why))
}

/// Whether whoever carries the body had no more patience with its client.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}
