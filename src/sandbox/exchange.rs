//! `POST /auth/token-exchange` (contract §3.2): the caller's token for a backend token with the same subject.

use std::time::Duration;

use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::{
    json::{self, Document},
    pipeline::Call,
    reply::Reply,
    token::{self, LIFETIME_S, Tokens},
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The answer for an authenticated subject. The debug header authenticates, but it is no token to exchange.
pub(super) fn answer(tokens: &Tokens, call: &Call, subject: &str, now: Duration) -> Reply {
    if token::bearer(&call.headers).is_none() {
        return Reply::error(
            401,
            if call.headers.contains_key(AUTHORIZATION) {
                "Invalid Authorization header format"
            } else {
                "Missing Authorization header"
            },
        );
    }
    let audience = match audience(&call.body) {
        Ok(audience) => audience,
        Err(problem) => return Reply::error(400, problem),
    };
    match tokens.exchange(subject, &audience, now) {
        Some(token) => Reply::json(
            200,
            json!({
                "access_token": token,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": LIFETIME_S,
            })
            .to_string(),
        ),
        None => Reply::error(500, "Failed to issue token"),
    }
}

fn audience(body: &[u8]) -> Result<String, String> {
    let request = match json::read(body) {
        Document::Object(request) => request,
        Document::Null => serde_json::Map::new(),
        Document::Invalid => return Err("Invalid request body".to_owned()),
    };
    let text = |key: &str| match request.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err("Invalid request body".to_owned()),
    };
    let (grant, audience) = (text("grant_type")?, text("audience")?);
    if grant != GRANT {
        return Err(format!("Invalid grant_type. Expected: {GRANT}"));
    }
    if audience.is_empty() {
        return Err("Missing audience".to_owned());
    }
    Ok(audience)
}
