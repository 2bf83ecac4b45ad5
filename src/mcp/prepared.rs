//! Answers that are made once, given without rmcp: `tools/list`. In: a request of which nothing is unusual. Out: the
//! whole answer, byte for byte what rmcp would have made of the handler's. Whatever is unusual, and every error, is left
//! to rmcp: nothing here refuses anything.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::USER_AGENT};
use rmcp::model::{ClientCapabilities, Implementation};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    HandlesMcp,
    connections::{Connection, VERSION},
    envelope::Envelope,
    listing::Era,
    pieces::Pieces,
    response::{self, Answer},
    service::Post,
};
use crate::auth::Caller;

const LIST: &str = "tools/list";
/// The revision without connections.
pub(super) const MODERN: &str = "2026-07-28";

/// Who asks for the tool list, and from where on.
pub struct ListQuestion<'a> {
    pub(super) caller: &'a Caller,
    pub(super) era: Era,
    pub(super) client: Option<(&'a str, &'a str)>,
    pub(super) user_agent: Option<&'a str>,
    pub(super) cursor: Option<&'a str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params<'a> {
    #[serde(borrow)]
    cursor: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<ClientCapabilities>,
    #[serde(rename = "io.modelcontextprotocol/clientInfo")]
    client: Option<Implementation>,
}

/// The list for a request of 2026-07-28.
pub(super) fn modern(
    handler: &impl HandlesMcp,
    post: &Post<'_>,
    envelope: &Envelope<'_>,
) -> Option<Answer> {
    let (id, params) = asked(post, envelope)?;
    let meta = params.meta?;
    let headers = &post.parts.headers;
    let is_plain = is_only(headers, VERSION, MODERN)
        && is_only(headers, "mcp-method", LIST)
        && !headers.contains_key("mcp-name")
        && meta.version.as_deref() == Some(MODERN)
        && meta.capabilities.is_some();
    is_plain.then_some(())?;
    let list = handler.prepared_list(&ListQuestion {
        caller: post.caller,
        era: Era::Modern,
        client: meta.client.as_ref().map(told),
        user_agent: user_agent(headers),
        cursor: params.cursor.as_deref(),
    })?;
    Some(written(id, &list))
}

/// The list for a request on a connection.
pub(super) fn on_connection(
    handler: &impl HandlesMcp,
    connection: &Connection,
    post: &Post<'_>,
    envelope: &Envelope<'_>,
) -> Option<Answer> {
    let (id, params) = asked(post, envelope)?;
    let list = handler.prepared_list(&ListQuestion {
        caller: post.caller,
        era: Era::Legacy,
        client: Some(told(&connection.peer.client_info)),
        user_agent: user_agent(&post.parts.headers),
        cursor: params.cursor.as_deref(),
    })?;
    Some(written(id, &list))
}

/// The request's id and parameters, if it asks for the list and takes JSON.
fn asked<'a>(post: &Post<'a>, envelope: &Envelope<'a>) -> Option<(&'a RawValue, Params<'a>)> {
    let Envelope::Request { method, id, .. } = envelope else {
        return None;
    };
    (method == LIST && post.accepts.json).then_some(())?;
    let message: Message<'a> = serde_json::from_slice(post.body).ok()?;
    Some((id, message.params.unwrap_or_default()))
}

/// Whether a header is there once, and says this.
pub(super) fn is_only(headers: &HeaderMap, name: &str, value: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    values
        .next()
        .is_some_and(|it| it.as_bytes() == value.as_bytes())
        && values.next().is_none()
}

/// What a client calls itself, and its version.
pub(super) fn told(client: &Implementation) -> (&str, &str) {
    (client.name.as_str(), client.version.as_str())
}

fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(USER_AGENT)?.to_str().ok()
}

fn written(id: &RawValue, result: &Bytes) -> Answer {
    let head = [
        br#"{"jsonrpc":"2.0","id":"#,
        id.get().as_bytes(),
        br#","result":"#,
    ]
    .concat();
    let parts = vec![head.into(), result.clone(), Bytes::from_static(b"}")];
    response::with_body(StatusCode::OK, Pieces::of(parts))
}
