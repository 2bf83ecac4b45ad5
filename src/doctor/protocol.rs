//! MCP itself: the handshake of the revisions up to 2025-11-25, its stream, and the description of 2026-07-28.

use http::header::{ACCEPT, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{
    answers::said,
    challenge,
    report::{Finding, Outcome},
    rpc::{LEGACY, MODERN, Reply, authorized, initialize as opening},
    visit::{Visit, cause},
};

const HANDSHAKE: &str = "MCP 2025-11-25 lifecycle (initialize)";
const DISCOVER: &str = "MCP 2026-07-28 (server/discover)";
const STREAMS: &str =
    "MCP 2025-11-25 transports (server-sent events reach the client as they are sent)";

/// Why a step behind the door does not go in.
pub(super) fn locked(visit: &Visit) -> Option<Outcome> {
    (visit.token.is_none() && !visit.is_open())
        .then(|| Outcome::skipped("no token was given (--token or --token-file)"))
}

/// The handshake.
pub(super) async fn initialize(visit: &mut Visit) -> Outcome {
    if let Some(skipped) = locked(visit) {
        return skipped;
    }
    let reply = match visit.legacy(&opening(1)).await {
        Ok(reply) => reply,
        Err(why) => return no_answer(visit, &why, HANDSHAKE),
    };
    let version = reply
        .result()
        .and_then(|result| result.get("protocolVersion"));
    let Some(version) = version.and_then(Value::as_str).map(str::to_owned) else {
        return refused(visit, &reply, HANDSHAKE);
    };
    let server = reply
        .result()
        .and_then(|result| result.pointer("/serverInfo/name"));
    let server = visit.quote(server.and_then(Value::as_str).unwrap_or("?"));
    let id = reply.answer.headers.get("mcp-session-id");
    visit.facts.connection = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    match visit.legacy(&note).await {
        Ok(reply) if (200..300).contains(&reply.answer.status) => {
            Outcome::passed(format!("{server} speaks {}", visit.quote(&version)))
        }
        Ok(reply) => refused(visit, &reply, HANDSHAKE),
        Err(why) => no_answer(visit, &why, HANDSHAKE),
    }
}

/// The stream of server messages begins at once; what holds it back would hold back progress and answers too.
pub(super) async fn stream(visit: &Visit) -> Outcome {
    let (Some(url), Some(id)) = (visit.facts.url.clone(), visit.facts.connection.clone()) else {
        return Outcome::skipped("there is no connection to stream on");
    };
    let request = visit.http.get(url).header(ACCEPT, "text/event-stream");
    let request = authorized(request, visit.token.as_ref())
        .header("mcp-protocol-version", LEGACY)
        .header("mcp-session-id", id);
    match request.send().await {
        Ok(answer) if answer.status().as_u16() == 405 => {
            Outcome::skipped("the server offers none (405)")
        }
        Ok(answer) if answer.status().is_success() => Outcome::passed("it begins at once"),
        Ok(answer) => {
            let status = answer.status().as_u16();
            Outcome::failed(
                format!("{status}"),
                Finding::wrong(format!(
                    "the stream of server messages is refused ({status})"
                ))
                .rule(STREAMS)
                .mend(
                    "let the proxy forward GET as well as POST and DELETE, with all Mcp-* headers",
                ),
            )
        }
        Err(error) => {
            let why = visit.quote(&cause(error));
            Outcome::failed(
                "nothing in time",
                Finding::wrong(format!("the stream of server messages does not begin: {why}; something in between collects the answer before it passes it on"))
                    .rule(STREAMS)
                    .mend("turn response buffering and compression off in the proxy for /mcp (nginx: `proxy_buffering off`), and let connections stay open"),
            )
        }
    }
}

/// How the server describes itself to clients that make no handshake.
pub(super) async fn discover(visit: &mut Visit) -> Outcome {
    if let Some(skipped) = locked(visit) {
        return skipped;
    }
    let message = json!({
        "jsonrpc": "2.0", "id": 2, "method": "server/discover",
        "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        } },
    });
    let reply = match visit.modern(&message).await {
        Ok(reply) => reply,
        Err(why) => return no_answer(visit, &why, DISCOVER),
    };
    let Some(result) = reply.result() else {
        let code = reply
            .message
            .as_ref()
            .and_then(|message| message.pointer("/error/code"));
        let is_old = matches!(reply.answer.status, 200 | 400 | 404)
            && code.is_none_or(|code| {
                *code == json!(-32601) || *code == json!(-32600) || *code == json!(-32000)
            });
        if is_old {
            return Outcome::skipped("the server speaks only revisions with a handshake");
        }
        return refused(visit, &reply, DISCOVER);
    };
    let versions = result.get("supportedVersions").and_then(Value::as_array);
    let versions: Vec<_> = versions
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let lacking: Vec<_> = ["resultType", "capabilities", "ttlMs", "cacheScope"]
        .into_iter()
        .filter(|key| result.get(key).is_none())
        .collect();
    let seen = visit.quote(&versions.join(", "));
    if versions.contains(&MODERN) && lacking.is_empty() {
        return Outcome::passed(seen);
    }
    let what = if lacking.is_empty() {
        format!("the description does not list {MODERN} among its versions")
    } else {
        format!("the description lacks {}", lacking.join(", "))
    };
    Outcome::failed(
        seen,
        Finding::wrong(what)
            .rule(DISCOVER)
            .mend("update the server"),
    )
}

/// Ends the connection of the handshake.
pub(super) async fn leave(visit: &mut Visit) {
    let (Some(url), Some(id)) = (visit.facts.url.clone(), visit.facts.connection.take()) else {
        return;
    };
    let request = authorized(visit.http.delete(url), visit.token.as_ref())
        .header("mcp-protocol-version", LEGACY)
        .header("mcp-session-id", id);
    // A server that does not end connections lets them expire.
    let _ = request.send().await;
}

/// No HTTP answer to a message.
pub(super) fn no_answer(visit: &Visit, why: &str, rule: &'static str) -> Outcome {
    let why = visit.quote(why);
    Outcome::failed(
        "no answer",
        Finding::wrong(format!("no whole answer came: {why}"))
            .rule(rule)
            .mend("look at the server's log, and at the time limits and buffering of what stands in between"),
    )
}

/// An answer other than a result.
pub(super) fn refused(visit: &Visit, reply: &Reply, rule: &'static str) -> Outcome {
    let status = reply.answer.status;
    let header = reply.answer.headers.get(WWW_AUTHENTICATE);
    let header = header.and_then(|header| header.to_str().ok()).unwrap_or("");
    let challenges = challenge::parse(header).unwrap_or_default();
    let reason = challenges
        .iter()
        .find_map(|it| it.parameter("error_description"));
    let said = match reason {
        Some(reason) => format!(": {}", visit.quote(reason)),
        None => said(visit, &reply.answer),
    };
    let (what, rule, mend) = match status {
        401 => (
            "the server refuses the token (401)",
            "RFC 6750 §3.1 (invalid_token)",
            "compare auth.issuer, auth.audience and the key of the server with the token, and get a new one",
        ),
        403 => (
            "the server refuses this caller (403)",
            "RFC 6750 §3.1 (insufficient_scope), MCP 2026-07-28 authorization",
            "ask for the scopes that it names, or let the operator give this person access",
        ),
        _ => (
            "this is no answer of MCP",
            rule,
            "see what stands between here and the server, and look at the server's log",
        ),
    };
    Outcome::failed(
        status.to_string(),
        Finding::wrong(format!("{what}{said}"))
            .rule(rule)
            .mend(mend),
    )
}
