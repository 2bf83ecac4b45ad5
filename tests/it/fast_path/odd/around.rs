//! Oddities of what is around a message: headers, the connection, the bytes of the body.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::{
    draft::{Dice, Draft},
    side::MOST_BYTES,
    usual::Connection,
};

/// A header that is replaced by one of these, said twice, or left out.
fn header(dice: &mut Dice, draft: &mut Draft, name: &str, values: &[&str]) {
    match dice.below(10) {
        0 => draft.without_header(name),
        1 => draft.header_too(name, dice.one(values)),
        2 => {
            let same = draft.headers.get(name).cloned();
            if let Some(same) = same {
                draft.header_too(name, same);
            }
        }
        _ => draft.header(name, dice.one(values)),
    }
}

pub(super) fn version(dice: &mut Dice, draft: &mut Draft) {
    let versions = [
        "2026-07-28",
        "2025-11-25",
        "2025-06-18",
        "2025-03-26",
        "2024-11-05",
        "2026-07-29",
        "2027-01-01",
        "2026-07-28 ",
        "2026-07-28, 2026-07-28",
        "9",
        "draft",
        "",
        "é",
    ];
    header(dice, draft, "mcp-protocol-version", &versions);
}

pub(super) fn method(dice: &mut Dice, draft: &mut Draft) {
    let methods = [
        "tools/call",
        "tools/call ",
        " tools/call",
        "Tools/Call",
        "tools/list",
        "=?base64?dG9vbHMvY2FsbA==?=",
        "",
        "é",
    ];
    header(dice, draft, "mcp-method", &methods);
}

pub(super) fn name(dice: &mut Dice, draft: &mut Draft) {
    let same = draft.headers.get("mcp-name").cloned();
    let same = same.map(|value| value.as_bytes().to_vec());
    let same = same.unwrap_or_else(|| b"look".to_vec());
    match dice.below(6) {
        0 => draft.header("mcp-name", format!("=?base64?{}?=", STANDARD.encode(&same))),
        1 => draft.header("mcp-name", [&same[..], b" \t"].concat()),
        2 => draft.header("mcp-name", [b" ", &same[..]].concat()),
        3 => draft.header("mcp-name", same.to_ascii_uppercase()),
        _ => header(
            dice,
            draft,
            "mcp-name",
            &["look", "get_note", "unknown_tool", "", "é"],
        ),
    }
}

/// Arguments in headers, of tools that want them there and of others.
pub(super) fn repeated(dice: &mut Dice, draft: &mut Draft) {
    let name = dice.one(&[
        "mcp-param-pick",
        "mcp-param-count",
        "mcp-param-other",
        "mcp-param-",
    ]);
    let values = [
        "3",
        "3.0",
        "4",
        "a",
        "=?base64?YQ==?=",
        "=?base64?%?=",
        "",
        "é",
    ];
    header(dice, draft, name, &values);
}

pub(super) fn accept(dice: &mut Dice, draft: &mut Draft) {
    let values = [
        "application/json, text/event-stream",
        "text/event-stream,application/json",
        "application/json",
        "text/event-stream",
        "text/event-stream, text/plain",
        "*/*",
        "application/*",
        "text/*",
        "APPLICATION/JSON",
        "application/json;q=0, text/event-stream",
        "application/json;q=0.5, text/event-stream;q=0",
        "application/json; q=0.0",
        "application/json;charset=utf-8",
        "text/html",
        "",
        "é",
    ];
    header(dice, draft, "accept", &values);
}

pub(super) fn content_type(dice: &mut Dice, draft: &mut Draft) {
    let values = [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=latin1",
        "Application/JSON",
        "application/json-rpc",
        "application/vnd.api+json",
        "text/plain",
        "text/json",
        "application/jsonx",
        "",
    ];
    header(dice, draft, "content-type", &values);
}

/// None of these is short: how a race ends is chance.
pub(super) fn preference(dice: &mut Dice, draft: &mut Draft) {
    let values = [
        "wait=60",
        "wait=\"40\"",
        "respond-async, wait=60",
        "wait=0",
        "wait=x",
        "wait=-1",
        "wait",
        "wait=99999999999999999999",
        "wait=99999999999",
        "",
        "é",
    ];
    header(dice, draft, "prefer", &values);
}

pub(super) fn write_name(dice: &mut Dice, draft: &mut Draft) {
    let (long, longer) = ("h".repeat(255), "h".repeat(256));
    let case = format!("case {}", dice.case / 3);
    let values = [
        "one",
        "two",
        "\"quoted\"",
        "",
        " ",
        "é",
        &long,
        &longer,
        &case,
        &case,
    ];
    header(dice, draft, "idempotency-key", &values);
}

/// The id of no connection, or of one and something else.
pub(super) fn connection(dice: &mut Dice, draft: &mut Draft) {
    const NAME: &str = "mcp-session-id";
    let known = draft.headers.get(NAME).cloned();
    match known {
        Some(known) if known.len() > 20 && dice.percent(60) => {
            let mut changed = known.as_bytes().to_vec();
            match dice.below(4) {
                0 => changed.truncate(changed.len() - 1),
                1 => changed.push(b'A'),
                2 => changed[20] ^= 1,
                _ => changed.push(b' '),
            }
            draft.header(NAME, changed);
        }
        _ => header(dice, draft, NAME, &["", "unknown", "é", "AAAA"]),
    }
}

/// A connection on a modern request, another person's, or one of another revision.
pub(super) fn other_connection(dice: &mut Dice, draft: &mut Draft, connections: &[Connection]) {
    let other = dice.one(connections);
    draft.header("mcp-session-id", other.id);
    if dice.percent(50) {
        draft.header("mcp-protocol-version", other.version);
    }
    if dice.percent(50) {
        draft.person = 1 - draft.person;
    }
}

/// What only the log and the backend see.
pub(super) fn seen(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(3) {
        0 => header(dice, draft, "user-agent", &["", "é", "a b/1", "\t"]),
        1 => {
            let parents = [
                "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                "01-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-x",
                "odd",
            ];
            header(dice, draft, "traceparent", &parents);
        }
        _ => header(dice, draft, "last-event-id", &["", "5", "a.1.c.MQ"]),
    }
}

/// The written body, with something done to its bytes.
pub(super) fn body(dice: &mut Dice, draft: &mut Draft) {
    let whole = draft.body.to_vec();
    let at = dice.below(whole.len());
    let around = |before: &[u8], after: &[u8]| [before, &whole, after].concat();
    let changed = match dice.below(15) {
        0 => around(b" \r\n\t", b"\n"),
        1 => whole[..at].to_vec(),
        2 => around(b"", b"}"),
        3 => around(b"", b" x"),
        4 => around(b"", &whole),
        5 => around(b"\xef\xbb\xbf", b""),
        6 => around(b"[", b"]"),
        7 => [b"[", &whole[..], b",", &whole, b"]"].concat(),
        8 => around(b"", b"\0"),
        9 => [&whole[..at], b"\xff", &whole[at..]].concat(),
        10 => [&whole[..at], b"\\", &whole[at..]].concat(),
        11 => around(b"", &b" ".repeat(MOST_BYTES)),
        12 => Vec::new(),
        13 => as_an_array(draft),
        _ => [&whole[..at], &whole[(at + 1).min(whole.len())..]].concat(),
    };
    draft.body = changed.into();
}

/// The values of the message without their keys.
fn as_an_array(draft: &mut Draft) -> Vec<u8> {
    let members = draft.message.at(&[]).map(std::mem::take);
    let values = members.unwrap_or_default().into_iter();
    let values: Vec<_> = values.map(|(_, value)| value.written()).collect();
    format!("[{}]", values.join(",")).into_bytes()
}
