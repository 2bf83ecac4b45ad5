//! The answer to a successful call. In: a status and a body that may be anything. Out: JSON, or nothing, or what is
//! wrong with it. The body is bounded, never unpacked, and never printed.

use std::fmt;

use http::header::CONTENT_ENCODING;
use reqwest::Response;
use serde_json::Value;

use super::{
    correlation::CorrelationId,
    error::{BackendError, BodyProblem, Stage},
    wire::Wire,
};
use crate::outgoing::{self, ReadError};

/// What the backend answered to a call that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// One of the plan's success statuses.
    pub status: u16,
    /// The body.
    pub body: ReplyBody,
    /// The id that the request carried, and the backend's log with it.
    pub correlation_id: CorrelationId,
}

/// The body of a reply. Its `Debug` says which kind it is and no more.
#[derive(Clone, PartialEq)]
pub enum ReplyBody {
    /// None: `204`, or a body of white space.
    Empty,
    /// A JSON value, keys in the backend's order.
    Json(Value),
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Json(_) => "Json(redacted)",
        })
    }
}

/// Reads the body of a success.
pub(super) async fn body(
    wire: Wire<'_>,
    stage: Stage,
    answer: Response,
) -> Result<ReplyBody, BackendError> {
    let status = answer.status().as_u16();
    let unreadable = |problem| BackendError::Unreadable {
        stage,
        status,
        problem,
    };
    if is_encoded(&answer) {
        return Err(unreadable(BodyProblem::Encoded));
    }
    let limit = wire.backend.settings.max_response_bytes;
    match outgoing::read_at_most(answer, limit).await {
        Ok(bytes) => {
            wire.errand.trail.received(bytes.len());
            parse(&bytes).map_err(unreadable)
        }
        Err(ReadError::TooLarge { limit }) => Err(BackendError::TooLarge { stage, limit }),
        Err(ReadError::Broken(error)) if error.is_timeout() => Err(wire.failure(stage, error)),
        Err(ReadError::Broken(_)) => Err(unreadable(BodyProblem::CutShort)),
    }
}

fn is_encoded(answer: &Response) -> bool {
    answer
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// JSON may be nested 127 levels deep, which is the reader's own limit.
fn parse(bytes: &[u8]) -> Result<ReplyBody, BodyProblem> {
    let text = std::str::from_utf8(bytes).map_err(|_| BodyProblem::NotUtf8)?;
    if text.trim_ascii().is_empty() {
        return Ok(ReplyBody::Empty);
    }
    match serde_json::from_str(text) {
        Ok(value) => Ok(ReplyBody::Json(value)),
        Err(error) if error.is_eof() => Err(BodyProblem::CutShort),
        Err(_) => Err(BodyProblem::NotJson),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BodyProblem, ReplyBody, parse};

    #[test]
    fn a_body_is_json_or_nothing() {
        assert_eq!(
            parse(b"{\"a\":1}\n"),
            Ok(ReplyBody::Json(json!({ "a": 1 })))
        );
        assert_eq!(parse(b""), Ok(ReplyBody::Empty));
        assert_eq!(parse(b" \r\n"), Ok(ReplyBody::Empty));
    }

    #[test]
    fn anything_else_says_what_it_is() {
        assert_eq!(parse(b"{\"a\":"), Err(BodyProblem::CutShort));
        assert_eq!(parse(b"<html>"), Err(BodyProblem::NotJson));
        assert_eq!(parse(b"{} {}"), Err(BodyProblem::NotJson));
        assert_eq!(parse(b"\"\xff\""), Err(BodyProblem::NotUtf8));
        assert_eq!(
            parse("[".repeat(10_000).as_bytes()),
            Err(BodyProblem::NotJson)
        );
    }

    #[test]
    fn debug_shows_no_body() {
        let shown = format!("{:?}", parse(b"{\"canary\":\"canary\"}"));
        assert_eq!(shown, "Ok(Json(redacted))");
    }
}
