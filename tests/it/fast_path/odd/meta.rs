//! Oddities of `_meta`.

use super::{
    super::{
        draft::{Dice, Draft, Node},
        usual::{CAPABILITIES, CLIENT, LOG_LEVEL, TIMEOUT, VERSION, WRITE_NAME},
    },
    message::VALUES,
};

const META: &[&str] = &["params", "_meta"];

/// Puts one of these under this key, or anything at all, or nothing.
fn put(dice: &mut Dice, draft: &mut Draft, key: &str, values: &[&str]) {
    if draft.message.at(META).is_none() {
        draft.put(&["params"], "_meta", Node::Object(Vec::new()));
    }
    match dice.below(12) {
        0 => draft.remove(META, key),
        1 | 2 => draft.put(META, key, Node::text(dice.one(VALUES))),
        _ => draft.put(META, key, Node::text(dice.one(values))),
    }
}

pub(super) fn whole(dice: &mut Dice, draft: &mut Draft) {
    match dice.below(4) {
        0 => draft.remove(&["params"], "_meta"),
        // In the order in which somebody may have declared the fields.
        1 => {
            let nulls = ",null".repeat(dice.below(8));
            let meta = format!("[\"2026-07-28\",{{}}{nulls}]");
            draft.put(&["params"], "_meta", Node::text(meta));
        }
        2 => draft.put(&["params"], "_meta", Node::text("null")),
        _ => draft.put(&["params"], "_meta", Node::text(dice.one(VALUES))),
    }
}

pub(super) fn version(dice: &mut Dice, draft: &mut Draft) {
    let versions = [
        "\"2026-07-28\"",
        "\"2026-07\\u002d28\"",
        "\"2026-07-29\"",
        "\"2025-11-25\"",
        "\"2025-03-26\"",
        "\"1.0\"",
        "\"\"",
        "null",
    ];
    put(dice, draft, VERSION, &versions);
}

pub(super) fn capabilities(dice: &mut Dice, draft: &mut Draft) {
    let capabilities = [
        "{}",
        "{\"elicitation\":{}}",
        "{\"elicitation\":{\"form\":{},\"url\":{}}}",
        "{\"elicitation\":null}",
        "{\"elicitation\":[]}",
        "{\"sampling\":{\"tools\":{}},\"tasks\":{}}",
        "{\"roots\":{\"listChanged\":\"yes\"}}",
        "{\"experimental\":{\"a\":1}}",
        "{\"extensions\":{\"a\":{}}}",
        "{\"unknown\":1}",
        "[{}]",
        "[]",
        "null",
    ];
    put(dice, draft, CAPABILITIES, &capabilities);
}

pub(super) fn client(dice: &mut Dice, draft: &mut Draft) {
    let clients = [
        "{\"name\":\"a\",\"version\":\"b\"}",
        "{\"version\":\"b\",\"name\":\"\\u0061\"}",
        "{\"name\":\"a\"}",
        "{\"version\":\"b\"}",
        "{\"name\":\"a\",\"version\":1}",
        "{\"name\":null,\"version\":\"1\"}",
        "{\"name\":\"a\",\"version\":\"b\",\"title\":null,\"icons\":null}",
        "{\"name\":\"a\",\"version\":\"b\",\"icons\":[{\"src\":\"https://a.example\",\"sizes\":\"1x1\"}]}",
        "{\"name\":\"a\",\"version\":\"b\",\"icons\":5}",
        "[\"a\",\"b\"]",
        "[\"a\",null,null,\"b\"]",
        "{}",
        "\"a\"",
    ];
    put(dice, draft, CLIENT, &clients);
}

pub(super) fn progress(dice: &mut Dice, draft: &mut Draft) {
    put(
        dice,
        draft,
        "progressToken",
        &["\"token\"", "7", "null", "1.5", "{}"],
    );
}

pub(super) fn log_level(dice: &mut Dice, draft: &mut Draft) {
    put(
        dice,
        draft,
        LOG_LEVEL,
        &["\"debug\"", "\"info\"", "\"loud\"", "null"],
    );
}

pub(super) fn trace(dice: &mut Dice, draft: &mut Draft) {
    let parents = [
        "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
        "\"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01\"",
        "\"00-00000000000000000000000000000000-b7ad6b7169203331-01\"",
        "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331\"",
        "\"\"",
        "null",
        "7",
    ];
    put(dice, draft, "traceparent", &parents);
    put(dice, draft, "tracestate", &["\"a=b\"", "5"]);
}

pub(super) fn timeout(dice: &mut Dice, draft: &mut Draft) {
    let times = [
        "60000",
        "40000",
        "60000.0",
        "6e4",
        "0",
        "-1",
        "1.5",
        "\"60000\"",
        "null",
        "18446744073709551615",
        "18446744073709551616",
    ];
    // Not just any value: a short one would be a race.
    if draft.message.at(META).is_some() {
        draft.put(META, TIMEOUT, Node::text(dice.one(&times)));
    }
}

pub(super) fn write_name(dice: &mut Dice, draft: &mut Draft) {
    let long = Node::string(&"n".repeat(255));
    let longer = Node::string(&"n".repeat(256));
    match dice.below(10) {
        0 => draft.put(META, WRITE_NAME, long),
        1 => draft.put(META, WRITE_NAME, longer),
        _ => put(
            dice,
            draft,
            WRITE_NAME,
            &[
                "\"one\"",
                "\"two\"",
                "\"\"",
                "\"é\"",
                "\"a\\nb\"",
                "\"\\u0061\"",
                "null",
                "5",
            ],
        ),
    }
}

pub(super) fn foreign(dice: &mut Dice, draft: &mut Draft) {
    let keys = [
        "com.example/a",
        "io.modelcontextprotocol/related-task",
        "io.modelcontextprotocol/serverInfo",
        "io.modelcontextprotocol/subscriptionId",
        "ProgressToken",
        "baggage",
        "",
    ];
    let key = dice.one(&keys);
    put(
        dice,
        draft,
        key,
        &["{\"taskId\":\"a\"}", "[[]]", "{\"a\":{\"a\":1,\"a\":2}}"],
    );
}
