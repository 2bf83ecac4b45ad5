//! The answer to a successful call. In: a status and a body that may be anything. Out: JSON, or nothing, or what is
//! wrong with it. The body is bounded, never unpacked, and never printed.

use bytes::Bytes;
use http::header::CONTENT_ENCODING;

use super::{
    correlation::CorrelationId,
    error::{BackendError, BodyProblem, Stage},
    pool::{Answer, Unread},
    wire::Wire,
};
use crate::json_text::{JsonText, NotJson};

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
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyBody {
    /// None: `204`, or a body of white space.
    Empty,
    /// A JSON value as the backend wrote it.
    Json(JsonText),
}

impl ReplyBody {
    /// From the bytes of a body.
    ///
    /// # Errors
    /// Where they are no JSON, or not all of it.
    pub fn read(bytes: Bytes) -> Result<Self, BodyProblem> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::Empty);
        }
        match JsonText::read(bytes) {
            Ok(text) => Ok(Self::Json(text)),
            Err(NotJson::NotUtf8) => Err(BodyProblem::NotUtf8),
            Err(NotJson::CutShort) => Err(BodyProblem::CutShort),
            Err(NotJson::Other) => Err(BodyProblem::NotJson),
        }
    }
}

/// Reads the body of a success.
pub(super) async fn body(
    wire: Wire<'_>,
    stage: Stage,
    answer: Answer,
) -> Result<ReplyBody, BackendError> {
    let status = answer.head.status.as_u16();
    let unreadable = |problem| BackendError::Unreadable {
        stage,
        status,
        problem,
    };
    if is_encoded(&answer) {
        return Err(unreadable(BodyProblem::Encoded));
    }
    let limit = wire.backend.settings.max_response_bytes;
    match answer.read_at_most(limit).await {
        Ok(bytes) => {
            wire.errand.trail.received(bytes.len());
            ReplyBody::read(bytes).map_err(unreadable)
        }
        Err(Unread::TooLarge { limit }) => Err(BackendError::TooLarge { stage, limit }),
        Err(Unread::Late) => Err(wire.too_long(stage, true)),
        Err(Unread::Cut) => Err(unreadable(BodyProblem::CutShort)),
    }
}

fn is_encoded(answer: &Answer) -> bool {
    answer
        .head
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use bytes::Bytes;

    use super::{BodyProblem, JsonText, ReplyBody};

    fn parse(bytes: &[u8]) -> Result<ReplyBody, BodyProblem> {
        ReplyBody::read(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_body_is_json_or_nothing() {
        assert_eq!(
            parse(b"{\"a\":1}\n"),
            Ok(ReplyBody::Json(JsonText::of(&json!({ "a": 1 }))))
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
        assert_eq!(shown, "Ok(Json(JsonText(redacted)))");
    }
}
