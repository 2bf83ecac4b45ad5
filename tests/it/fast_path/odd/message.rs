//! Oddities of the JSON-RPC message and of what it calls.

use serde_json::json;

use super::super::draft::{Dice, Draft, Node, quoted};

/// Values that are not what anybody waits for.
pub(super) const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "1.0",
    "1e2",
    "-1",
    "1.5",
    "1e400",
    "01",
    "18446744073709551615",
    "12345678901234567890123",
    "\"\"",
    "\"text\"",
    "\"7\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "[]",
    "[1,{}]",
    "{}",
    "{\"a\":1,\"a\":2}",
    "{\"\":{\"$ref\":\"#\"}}",
    "NaN",
];

const IDS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1.0",
    "1.5",
    "1e2",
    "1E2",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775808",
    "9007199254740993.0",
    "123456789012345678901234567890",
    "+1",
    "01",
    "\"\"",
    "\"1\"",
    "\"a\\u0062\"",
    "\"\\n\\\"\\\\\\/\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"é😀\u{2028}\u{7f}\"",
    "\"<script>&\"",
    "null",
    "true",
    "[]",
    "[1]",
    "{}",
    "{\"a\":1}",
];

const METHODS: &[&str] = &[
    "\"tools/call\"",
    "\"tools\\/call\"",
    "\"tools\\u002fcall\"",
    "\"tools/call \"",
    "\"Tools/Call\"",
    "\"tools/list\"",
    "\"ping\"",
    "\"server/discover\"",
    "\"prompts/list\"",
    "\"nothing/known\"",
    "\"notifications/initialized\"",
    "\"\"",
    "null",
    "5",
    "[\"tools/call\"]",
];

/// Where objects are.
const PLACES: &[&[&str]] = &[
    &[],
    &["params"],
    &["params", "arguments"],
    &["params", "_meta"],
    &["params", "_meta", super::super::usual::CAPABILITIES],
    &["params", "_meta", super::super::usual::CLIENT],
    &["params", "arguments", "deep"],
    &["params", "arguments", "updates"],
];

const NAMES: &[&str] = &[
    "get_note",
    "read_note",
    "peek",
    "search",
    "sync_notes",
    "guarded",
    "find",
    "unknown_tool",
    "Get_Note",
    " get_note",
    "get_note ",
    "get note",
    "get_note\n",
    "gét_note",
    "😀",
    "\u{0}",
    "../look",
    "=?base64?bG9vaw==?=",
    "select_organization",
    "list_organizations",
    "",
];

fn value(dice: &mut Dice) -> Node {
    Node::text(dice.one(VALUES))
}

pub(super) fn id(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(20) {
        0 => draft.remove(&[], "id"),
        1 => {
            let length = dice.one(&[1021, 1022, 1023, 1024, 1025, 4000]);
            draft.put(&[], "id", Node::string(&"i".repeat(length)));
        }
        _ => draft.put(&[], "id", Node::text(dice.one(IDS))),
    }
}

pub(super) fn jsonrpc(dice: &mut Dice, draft: &mut Draft) {
    let other = [
        "\"2.0\"",
        "\"2\\u002e0\"",
        "\"1.0\"",
        "\"2.0 \"",
        "2.0",
        "null",
    ];
    match dice.below(8) {
        0 => draft.remove(&[], "jsonrpc"),
        _ => draft.put(&[], "jsonrpc", Node::text(dice.one(&other))),
    }
}

pub(super) fn method(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(12) {
        0 => draft.remove(&[], "method"),
        _ => draft.put(&[], "method", Node::text(dice.one(METHODS))),
    }
}

pub(super) fn params(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(4) {
        0 => draft.remove(&[], "params"),
        // An array in the order of the fields is read by some as an object.
        1 => draft.put(&[], "params", Node::text("[\"look\",{},{}]")),
        _ => draft.put(&[], "params", value(dice)),
    }
}

/// A key that is there already, with the same value or another.
pub(super) fn twice(dice: &mut Dice, draft: &mut Draft) {
    let other = value(dice);
    let (same, first, place) = (dice.percent(40), dice.percent(50), dice.below(1000));
    let path = dice.one(PLACES);
    let Some(members) = draft.message.at(path).filter(|members| !members.is_empty()) else {
        return;
    };
    let mut again = members[place % members.len()].clone();
    if !same {
        again.1 = other;
    }
    let at = if first { 0 } else { members.len() };
    members.insert(at, again);
}

pub(super) fn unknown_key(dice: &mut Dice, draft: &mut Draft) {
    let keys = [
        "unknown",
        "Name",
        "ID",
        "result",
        "error",
        "task",
        "meta",
        "",
        "$ref",
        "extensions",
        "uid",
        "title",
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "cursor",
        "protocolVersion",
        "capabilities",
        "clientInfo",
        "_meta",
        "jsonrpc",
        "é",
    ];
    let (path, key, value) = (dice.one(PLACES), dice.one(&keys), value(dice));
    let first = dice.percent(50);
    if let Some(members) = draft.message.at(path) {
        let at = if first { 0 } else { members.len() };
        members.insert(at, (quoted(key), value));
    }
}

/// The same key in another spelling.
pub(super) fn escaped_key(dice: &mut Dice, draft: &mut Draft) {
    let (path, place) = (dice.one(PLACES), dice.below(1000));
    let Some(members) = draft.message.at(path).filter(|members| !members.is_empty()) else {
        return;
    };
    let place = place % members.len();
    let key = &mut members[place].0;
    if let Some(first) = key.chars().nth(1).filter(char::is_ascii_alphabetic) {
        *key = key.replacen(first, &format!("\\u{:04x}", first as u32), 1);
    }
}

pub(super) fn order(dice: &mut Dice, draft: &mut Draft) {
    let by = dice.below(7);
    for path in PLACES {
        if let Some(members) = draft.message.at(path).filter(|members| !members.is_empty()) {
            let by = by % members.len();
            members.rotate_left(by);
            if by == 1 {
                members.reverse();
            }
        }
    }
}

pub(super) fn arguments(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(4) {
        0 => draft.remove(&["params"], "arguments"),
        1 => {
            // Two objects are around it; the readers' limit is 128.
            let levels = dice.below(10) + 118;
            let (open, close) = dice.one(&[("{\"a\":", "}"), ("[", "]")]);
            let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let deep = match dice.percent(50) {
                true => deep,
                false => format!("{{\"deep\":{deep}}}"),
            };
            draft.put(&["params"], "arguments", Node::text(deep));
        }
        2 => {
            let length = super::super::side::MOST_BYTES - 700 + dice.below(900);
            let long = json!({ "pick": "y".repeat(length) }).to_string();
            draft.put(&["params"], "arguments", Node::text(long));
        }
        _ => draft.put(&["params"], "arguments", value(dice)),
    }
}

/// One argument of an odd kind, that the tool has or has not.
pub(super) fn argument(dice: &mut Dice, draft: &mut Draft) {
    let keys = [
        "uid",
        "title",
        "content",
        "stars",
        "weight",
        "tags",
        "pick",
        "level",
        "all",
        "deep",
        "many",
        "count",
        "limit",
        "cursor",
        "updates",
        "if_match",
        "action",
        "metadata",
        "additional_fields",
        "include_deleted",
        "arguments",
    ];
    let (key, value) = (dice.one(&keys), value(dice));
    draft.put(&["params", "arguments"], key, value);
}

/// Another name, which the header repeats or does not.
pub(super) fn name(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(10) {
        0 => draft.remove(&["params"], "name"),
        1 | 2 => draft.put(&["params"], "name", value(dice)),
        3 => {
            draft.put(&["params"], "name", Node::text("\"l\\u006fok\""));
            draft.header("mcp-name", "look");
        }
        _ => {
            let name = dice.one(NAMES);
            draft.put(&["params"], "name", Node::string(name));
            if draft.is_modern && dice.percent(70) {
                draft.header("mcp-name", name);
            }
        }
    }
}

/// What belongs to questions and tasks.
pub(super) fn rounds(dice: &mut Dice, draft: &mut Draft) {
    let key = dice.one(&["requestState", "inputResponses", "task"]);
    let value = dice.one(&[
        "null",
        "\"state\"",
        "{}",
        "{\"ttl\":60000}",
        "{\"a\":{\"action\":\"accept\",\"content\":{}}}",
        "5",
    ]);
    draft.put(&["params"], key, Node::text(value));
}
