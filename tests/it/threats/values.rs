//! Values that try to be more than a value: identifiers that climb, text that ends its parameter, JSON without a bottom,
//! and answers that are larger than they look.

use serde_json::json;

use crate::{
    canonical_calls::NOTE,
    harness::{
        FakeBackend, Script, Sidecar,
        person::{BOTH_TYPES, MODERN},
    },
};

/// Uids as an attacker writes them.
fn climbing() -> Vec<String> {
    let mut uids: Vec<String> = [
        "",
        ".",
        "..",
        "%2e%2e",
        "..%2f..%2fadmin",
        "a/b",
        "a?x",
        "a#f",
        "a\\..\\b",
        "\0",
        "\t",
        "\r\n",
        "../sync/state",
        "//evil.test/",
        "@evil.test",
        "\u{ff0e}\u{ff0e}",
    ]
    .map(str::to_owned)
    .to_vec();
    uids.push("a".repeat(300));
    uids.extend(
        ["/..", "/process", "?includeDeleted=true", "#", "\n", "\0"]
            .map(|end| format!("{NOTE}{end}")),
    );
    uids
}

#[tokio::test]
async fn an_identifier_that_climbs_reaches_no_backend() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for uid in climbing() {
        for (tool, arguments) in [
            ("get_note", json!({ "uid": uid })),
            ("delete_task", json!({ "uid": uid })),
            ("archive_chat", json!({ "uid": uid })),
            (
                "update_note",
                json!({ "uid": uid, "title": "t", "content": "c" }),
            ),
        ] {
            let ended = sidecar.alice().calls(tool, arguments).await;
            assert_eq!(ended.code(), "VALIDATION_ERROR", "{tool} {uid:?}");
        }
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_value_of_a_query_arrives_as_one_parameter() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for cursor in [
        "a&limit=9999#",
        "a;limit=9999",
        "a\r\nX-TB-Tenant-ID: evil",
        "%26limit=9999",
        "a b+c?d=e",
    ] {
        let list = json!({ "cursor": cursor, "limit": 5 });
        sidecar.alice().calls("list_notes", list).await.good();
        let seen = backend.take_seen();
        let target = url::Url::parse("http://backend").unwrap();
        let target = target.join(&seen.last().unwrap().target).unwrap();
        let pairs: Vec<_> = target.query_pairs().into_owned().collect();
        let expected = [("limit", "5"), ("cursor", cursor)];
        assert_eq!(
            pairs,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!((target.path(), target.fragment()), ("/v1/notes", None));
    }
}

/// So many arrays in each other.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[tokio::test]
async fn ten_thousand_levels_of_a_request_reach_no_backend() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let deep = nested(10_000);
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"patch_note","arguments":{arguments}}}}}"#
        )
    };
    let inside = call(&format!(
        r#"{{"uid":"{NOTE}","updates":{{"title":{deep}}}}}"#
    ));
    let alice = sidecar
        .alice()
        .with("content-type", "application/json")
        .with("accept", BOTH_TYPES)
        .with("mcp-protocol-version", MODERN)
        .with("mcp-method", "tools/call")
        .with("mcp-name", "patch_note");
    for body in [&deep, &"[".repeat(10_000), &inside] {
        let answer = alice.sends("POST", "/mcp", body).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    // JSON in a text, where JSON is expected, is read too.
    for hidden in [deep.clone(), format!(r#"{{"title":{deep}}}"#)] {
        let patch = json!({ "uid": NOTE, "updates": hidden });
        let ended = sidecar.alice().calls("patch_note", patch).await;
        assert_eq!(ended.code(), "VALIDATION_ERROR");
        assert!(ended.text().len() < 2000);
    }
    assert!(backend.seen().is_empty());
}

/// What an answer did to its call; the sidecar works afterwards.
async fn code_of(answer: Script) -> String {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let note = || json!({ "uid": NOTE });
    backend.does(answer);
    let ended = sidecar.alice().calls("get_note", note()).await;
    assert!(ended.result.to_string().len() < 4000);
    backend.recovers();
    sidecar.alice().calls("get_note", note()).await.good();
    ended.code()
}

#[tokio::test]
async fn ten_thousand_levels_of_an_answer_are_unusable() {
    let deep = nested(10_000);
    let inside = format!(r#"{{"uid":"{NOTE}","payload":{deep}}}"#);
    for body in [deep, inside] {
        let code = code_of(Script::with(200, &[], &body)).await;
        assert_eq!(code, "BACKEND_UNAVAILABLE");
    }
}

/// Gzip of zeros, `megabytes` of them, in six thousandths of the room: one literal, then matches of 258 bytes at
/// distance 1 in the fixed code of RFC 1951 §3.2.6.
fn bomb(megabytes: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut push = |code: u32, length: u32| {
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    };
    // The last block, of the fixed code; a zero.
    push(0b110, 3);
    push(0b0011_0000, 8);
    for _ in 0..(megabytes << 20) / 258 {
        push(0b1100_0101, 8);
        push(0, 5);
    }
    push(0, 7);
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bomb.extend(bits.chunks(8).map(|byte| {
        byte.iter()
            .enumerate()
            .fold(0, |value, (at, bit)| value | u8::from(*bit) << at)
    }));
    bomb
}

#[tokio::test]
async fn a_bomb_is_not_unpacked_whether_it_says_what_it_is_or_not() {
    let bomb = bomb(200);
    assert!(bomb.len() < 2 << 20);
    for headers in [&[("content-encoding", "gzip")][..], &[]] {
        assert_eq!(
            code_of(Script::with(200, headers, &bomb)).await,
            "BACKEND_UNAVAILABLE"
        );
        let refused = Script::with(400, headers, &bomb);
        assert_ne!(code_of(refused).await, "");
    }
}

#[tokio::test]
async fn no_encoding_is_asked_for() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice().with("accept-encoding", "gzip, br");
    alice.calls("get_note", json!({ "uid": NOTE })).await.good();
    for seen in backend.seen() {
        assert_eq!(seen.header("accept-encoding"), "");
    }
}
