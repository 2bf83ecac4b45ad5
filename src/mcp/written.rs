//! The answer to a call, written without rmcp. In: how the call ended. Out: the whole message, byte for byte as rmcp writes
//! it. What is the same in every success was written by rmcp once, at load; only the id and the result are put in. The one
//! thing not to break: what stands around them is never written here by hand.

use bytes::Bytes;
use rmcp::model::{
    CallToolResult, MetaObject, RequestId, ServerConfig, ServerJsonRpcMessage, ServerResult,
};
use serde_json::value::RawValue;

use super::{SERVER_INFO, listing::Era, outcome::Outcome, pieces::Pieces, result_of};
use crate::json_text::JsonText;

/// Stands for a result, and for an id, where rmcp writes a success to learn how.
const RESULT: &str = "\u{e000}result\u{e000}";
const ID: &str = "\u{e000}id\u{e000}";

/// A result of so many bytes is passed on where it is, instead of being copied into the message.
const LONG: usize = 64 * 1024;

/// How answers of one catalogue are written.
pub(super) struct Answers {
    /// Who answers, for the era that is told so each time (protocol page A.7).
    introduction: MetaObject,
    legacy: Success,
    modern: Success,
}

/// A success with gaps for id, text, and structured content.
struct Success([String; 4]);

impl Answers {
    pub(super) fn of(description: &ServerConfig) -> Self {
        let mut introduction = MetaObject::default();
        if let Ok(server) = serde_json::to_value(&description.server_info) {
            introduction.insert(SERVER_INFO.to_owned(), server);
        }
        let empty = || Success(Default::default());
        let mut answers = Self {
            introduction,
            legacy: empty(),
            modern: empty(),
        };
        answers.legacy = answers.learn(Era::Legacy).unwrap_or_else(empty);
        answers.modern = answers.learn(Era::Modern).unwrap_or_else(empty);
        answers
    }

    /// What results of this era say beside what came of the call.
    pub(super) fn introduction(&self, era: Era) -> Option<MetaObject> {
        match era {
            Era::Legacy => None,
            Era::Modern => Some(self.introduction.clone()),
        }
    }

    /// The message that answers the request `id`.
    pub(super) fn written(&self, era: Era, id: &RawValue, outcome: Outcome) -> Pieces {
        let success = match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        };
        match outcome {
            Outcome::Success(text) if !success.is_empty() => success.written(id.get(), &text),
            outcome => {
                let id = serde_json::from_str(id.get()).unwrap_or(RequestId::Number(0));
                self.by_rmcp(era, id, outcome).into()
            }
        }
    }

    /// The same message as rmcp writes it.
    fn by_rmcp(&self, era: Era, id: RequestId, outcome: Outcome) -> Vec<u8> {
        let mut result: CallToolResult = result_of(outcome);
        result.meta = self.introduction(era);
        let mut result = ServerResult::CallToolResult(result);
        if matches!(era, Era::Legacy) {
            result.strip_result_type_for_legacy_peer();
        }
        let message = ServerJsonRpcMessage::response(result, id);
        serde_json::to_vec(&message).unwrap_or_default()
    }

    fn learn(&self, era: Era) -> Option<Success> {
        let outcome = Outcome::Success(JsonText::of(&RESULT));
        let written = self.by_rmcp(era, RequestId::String(ID.into()), outcome);
        let written = String::from_utf8(written).ok()?;
        let (before_id, rest) = written.split_once(&format!("\"{ID}\""))?;
        let (before_text, rest) = rest.split_once(&format!("\\\"{RESULT}\\\""))?;
        let (before_content, after) = rest.split_once(&format!("\"{RESULT}\""))?;
        let parts = [before_id, before_text, before_content, after];
        let is_whole = parts.iter().all(|part| !part.contains('\u{e000}'));
        is_whole.then(|| Success(parts.map(str::to_owned)))
    }
}

impl Success {
    /// rmcp wrote it in a way that was not expected, so that it goes on writing.
    fn is_empty(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }

    fn written(&self, id: &str, text: &JsonText) -> Pieces {
        let [before_id, before_text, before_content, after] = &self.0;
        let is_long = text.as_bytes().len() >= LONG;
        let around: usize = self.0.iter().map(String::len).sum();
        let copied = if is_long { 0 } else { text.as_bytes().len() };
        let length = around + id.len() + text.escaped_length() + copied;
        let mut written = Vec::with_capacity(length);
        written.extend_from_slice(before_id.as_bytes());
        written.extend_from_slice(id.as_bytes());
        written.extend_from_slice(before_text.as_bytes());
        text.escape_into(&mut written);
        written.extend_from_slice(before_content.as_bytes());
        if is_long {
            let after = Bytes::copy_from_slice(after.as_bytes());
            return Pieces::of(vec![written.into(), text.bytes(), after]);
        }
        written.extend_from_slice(text.as_bytes());
        written.extend_from_slice(after.as_bytes());
        written.into()
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::{Implementation, ServerCapabilities};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_success_is_written_as_rmcp_writes_it() {
        let server = Implementation::new("\"quoted\" \\ name", "1").with_title("T\u{e4}");
        let config = ServerConfig::new(ServerCapabilities::default()).with_server_info(server);
        let answers = Answers::of(&config);
        for era in [Era::Legacy, Era::Modern] {
            for value in [
                json!({}),
                json!({ "text": "a\n".repeat(LONG) }),
                json!({ "uid": "a", "text": "\"\\\n\u{1}\u{7f}\u{e000}result\u{e000} é", "n": [1, -2, 1.5, null] }),
            ] {
                let outcome = || Outcome::Success(JsonText::of(&value));
                let success = match era {
                    Era::Legacy => &answers.legacy,
                    Era::Modern => &answers.modern,
                };
                assert!(!success.is_empty());
                let id = RawValue::from_string("7".to_owned()).unwrap();
                let ours = answers.written(era, &id, outcome()).whole();
                let theirs = answers.by_rmcp(era, RequestId::Number(7), outcome());
                assert_eq!(ours, theirs);
            }
        }
    }
}
