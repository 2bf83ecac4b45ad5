//! Several messages in one body, which only 2025-03-26 knows (protocol page A.4). In: the messages. Out: one array with
//! the answers, in the order of the requests; nothing where nothing is asked. Each request runs as if it had come alone,
//! but the client cannot be asked anything meanwhile, and is told of no progress: there is no stream to say it on.

use http::StatusCode;
use rmcp::model::{
    ClientCapabilities, GetExtensions, JsonRpcMessage, ProtocolVersion, ServerJsonRpcMessage,
};
use serde_json::value::RawValue;

use super::{Connections, decoded, exchange, find::Found, last, with_id};
use crate::mcp::{
    HandlesMcp,
    envelope::{Envelope, Malformed},
    response::{self, Answer, INVALID_PARAMS, INVALID_REQUEST},
    service::Post,
};

/// What answers one message of a batch.
enum Part {
    Coming(exchange::Messages),
    Written(String),
}

impl<H: HandlesMcp> Connections<H> {
    pub(in crate::mcp) async fn takes_batch(
        &self,
        post: Post<'_>,
        messages: Vec<(&[u8], Result<Envelope<'_>, Malformed>)>,
    ) -> Answer {
        let Found {
            mut connection,
            made,
        } = match self.find(&post.parts.headers, post.caller) {
            Ok(found) => found,
            Err(why) => return why.into(),
        };
        if connection.peer.protocol_version != ProtocolVersion::V_2025_03_26 {
            let why = "only revision 2025-03-26 has batches: send one message in each request";
            return response::refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, why);
        }
        connection.peer.capabilities = ClientCapabilities::default();
        let mut answers = Vec::new();
        for (body, message) in messages {
            let message = match message {
                Ok(message) => message,
                Err(why) => {
                    let error = response::error(None, why.code(), &why.to_string());
                    answers.push(Part::Written(error));
                    continue;
                }
            };
            match (message, decoded(body)) {
                (Envelope::Request { method, id, .. }, _) if method == "initialize" => {
                    let why = "initialize cannot be part of a batch";
                    let error = response::error(Some(id), INVALID_REQUEST, why);
                    answers.push(Part::Written(error));
                }
                (Envelope::Request { .. }, Some(JsonRpcMessage::Request(mut request))) => {
                    request.request.extensions_mut().insert(post.parts.clone());
                    let handler = self.handler.clone();
                    let messages = exchange::begin(handler, &connection, request, &self.live);
                    answers.push(Part::Coming(messages));
                }
                (Envelope::Request { id, .. }, _) => {
                    let why = "the request cannot be read";
                    let error = response::error(Some(id), INVALID_PARAMS, why);
                    answers.push(Part::Written(error));
                }
                (Envelope::Notification { .. } | Envelope::Reply, Some(message)) => {
                    self.notes(&connection, message);
                }
                (Envelope::Notification { .. } | Envelope::Reply, None) => {}
            }
        }
        let answer = collected(answers).await;
        match made {
            Some(id) => with_id(answer, &id),
            None => answer,
        }
    }
}

async fn collected(parts: Vec<Part>) -> Answer {
    let mut answers: Vec<Box<RawValue>> = Vec::new();
    for part in parts {
        let written = match part {
            Part::Written(written) => Some(written),
            Part::Coming(mut messages) => last(&mut messages).await.as_ref().and_then(written),
        };
        answers.extend(written.and_then(|written| RawValue::from_string(written).ok()));
    }
    if answers.is_empty() {
        response::accepted()
    } else {
        response::json(&answers)
    }
}

fn written(message: &ServerJsonRpcMessage) -> Option<String> {
    serde_json::to_string(message).ok()
}
