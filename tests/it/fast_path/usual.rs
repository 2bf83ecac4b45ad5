//! Calls as clients send them, of both eras: what the fast path is for, with everything that clients may leave out or add.
//! In: dice, and connections that were made. Out: a draft, not written yet.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::{
    backend::{ANSWERS, marker},
    draft::{Dice, Draft, Fate, Node, Spaces},
};

pub(super) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(super) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(super) const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub(super) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(super) const TIMEOUT: &str = "dev.toolbridge/timeout_ms";
pub(super) const WRITE_NAME: &str = "dev.toolbridge/idempotency_key";

/// A connection of a revision before 2026-07-28.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) person: usize,
    pub(super) version: &'static str,
    pub(super) id: HeaderValue,
}

/// The handshakes to begin with: who, revision, message.
pub(super) fn handshakes() -> Vec<(usize, &'static str, String)> {
    let mut handshakes = Vec::new();
    let forms = json!({ "elicitation": {}, "roots": { "listChanged": true } });
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        for (person, capabilities, client) in [
            (0, json!({}), "compared"),
            (0, forms.clone(), "odd \u{7f} \u{202e}name"),
            (1, forms.clone(), "bobs"),
        ] {
            let params = json!({
                "protocolVersion": version, "capabilities": capabilities,
                "clientInfo": { "name": client, "version": "1.0" },
            });
            let hello =
                json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
            handshakes.push((person, version, hello.to_string()));
        }
    }
    handshakes
}

/// A text that asks the backend for an answer, a good one mostly.
fn picked(dice: &mut Dice) -> String {
    match dice.percent(60) {
        true => marker(dice.below(4) as u64),
        false => marker(dice.below(usize::try_from(ANSWERS).unwrap()) as u64),
    }
}

fn words(dice: &mut Dice) -> String {
    let case = dice.case;
    dice.one(&[
        format!("case {case}"),
        format!("case {}", case / 4),
        String::new(),
        "\"quoted\" \\ \u{1}\u{7f}\u{2028} été 😀".to_owned(),
        "x".repeat(300),
    ])
}

/// A tool and arguments that it takes.
fn call(dice: &mut Dice) -> (&'static str, Value) {
    let (pick, words) = (picked(dice), words(dice));
    let title = format!("{pick} {words}");
    match dice.below(20) {
        0 | 1 => ("list_notes", json!({ "cursor": pick, "limit": 5 })),
        2 => ("list_notes", json!({})),
        3..=5 => ("get_note", json!({ "uid": pick })),
        6 | 7 => (
            "create_note",
            json!({ "title": title, "content": words, "tags": ["a", words], "stars": 3, "weight": 0.1 }),
        ),
        8 => (
            "update_note",
            json!({ "uid": pick, "title": title, "stars": -0.0, "if_match": 7 }),
        ),
        9 => (
            "patch_note",
            json!({ "uid": pick, "updates": { "title": title, "tags": null } }),
        ),
        10 => ("delete_note", json!({ "uid": pick })),
        11 => ("archive_note", json!({ "uid": pick })),
        12 => ("process_note", json!({ "uid": pick, "action": "pin" })),
        13 => ("read_note", json!({ "uid": pick })),
        14 => ("peek", json!({ "pick": pick })),
        15 => ("sync_notes", json!({ "pick": pick })),
        16 => ("guarded", json!({})),
        17 => (
            "send",
            json!({ "pick": title, "deep": { "a": { "b": [1, 1.5, null, words] } }, "many": [1e300, -1, 0.5] }),
        ),
        18 => ("find", json!({ "pick": pick, "count": 3 })),
        _ => ("look", json!({ "pick": title, "level": 3, "all": true })),
    }
}

/// What clients say in `_meta` beside what they have to.
fn remarks(dice: &mut Dice, meta: &mut Value) {
    if dice.percent(10) {
        meta["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    }
    if dice.percent(10) {
        meta[TIMEOUT] = json!(60_000 + dice.below(1000));
    }
    if dice.percent(10) {
        // Sometimes the name of another write.
        meta[WRITE_NAME] = json!(format!("write {}", dice.case / 3));
    }
    if dice.percent(10) {
        meta["com.example/own"] = json!({ "progressToken": 5, "a": [null, "\u{e000}"] });
    }
}

/// A call of which nothing is unusual.
pub(super) fn draft(dice: &mut Dice, connections: &[Connection]) -> Draft {
    let is_modern = dice.percent(50);
    let (tool, arguments) = call(dice);
    let mut params = json!({ "name": tool });
    if arguments != json!({}) || dice.percent(50) {
        params["arguments"] = arguments;
    }
    let mut meta = if is_modern {
        modern_meta(dice)
    } else {
        json!({})
    };
    remarks(dice, &mut meta);
    if meta != json!({}) || dice.percent(20) {
        params["_meta"] = meta;
    }
    let id = match dice.below(4) {
        0 => json!(format!("call-{}", dice.case)),
        1 => json!(""),
        _ => json!(dice.case),
    };
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let mut draft = Draft {
        person: usize::from(dice.percent(15)),
        is_modern,
        headers: HeaderMap::new(),
        message: Node::of(&message),
        spaces: dice.one(&[
            Spaces::None,
            Spaces::None,
            Spaces::None,
            Spaces::Pretty,
            Spaces::Odd,
        ]),
        body: Bytes::new(),
        fate: dice.one(&[Fate::Unseen, Fate::Received, Fate::Received, Fate::Lost]),
    };
    heads(dice, &mut draft, tool, connections);
    draft
}

fn modern_meta(dice: &mut Dice) -> Value {
    let mut meta = json!({ VERSION: "2026-07-28" });
    meta[CAPABILITIES] = dice.one(&[
        json!({}),
        json!({ "elicitation": { "form": {} } }),
        json!({ "elicitation": {}, "sampling": {}, "roots": {}, "experimental": { "x": { "y": 1 } } }),
    ]);
    if dice.percent(70) {
        meta[CLIENT] = dice.one(&[
            json!({ "name": "compared", "version": "1" }),
            json!({ "name": "", "version": "", "title": "T", "icons": [], "more": {} }),
            json!({ "name": "n\u{1b}\u{202e}".repeat(60), "version": "é", "websiteUrl": "https://example.com" }),
        ]);
    }
    meta
}

fn heads(dice: &mut Dice, draft: &mut Draft, tool: &str, connections: &[Connection]) {
    // The gate lets nobody in without.
    draft.header("host", "127.0.0.1:8001");
    draft.header("content-type", "application/json");
    draft.header("accept", "application/json, text/event-stream");
    if dice.percent(50) {
        draft.header("user-agent", "compared/1.0");
    }
    if draft.is_modern {
        draft.header("mcp-protocol-version", "2026-07-28");
        draft.header("mcp-method", "tools/call");
        draft.header("mcp-name", tool);
        if tool == "find"
            && let Some((_, Node::Text(pick))) = draft
                .message
                .at(&["params", "arguments"])
                .and_then(|arguments| arguments.first().cloned())
        {
            draft.header("mcp-param-pick", pick.trim_matches('"'));
            draft.header("mcp-param-count", dice.one(&["3", "3.0"]));
        }
    } else {
        let connection = dice.one(connections);
        draft.person = connection.person;
        draft.header("mcp-session-id", connection.id);
        if dice.percent(80) {
            draft.header("mcp-protocol-version", connection.version);
        }
    }
}
