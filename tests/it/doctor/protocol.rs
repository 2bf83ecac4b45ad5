//! What a client can meet behind the door, one thing wrong at a time; and what a hostile server must not achieve.

use serde_json::json;
use toolbridge::doctor::Verdict;

use super::world::{Says, World, assert_named, impatience, result, seen, tool};

#[tokio::test]
async fn a_server_that_refuses_the_token_is_named_with_its_reason() {
    let world = World::new().await;
    let challenge = "Bearer error=\"invalid_token\", error_description=\"wrong audience\"";
    let answer = Says::json(401, &json!({})).with("www-authenticate", challenge);
    world.server.says("initialize", answer);
    let words = "the server refuses the token (401): `wrong audience`";
    assert_named(&world.examine().await, "initialize", words);
}

#[tokio::test]
async fn a_token_that_comes_back_is_not_printed() {
    let world = World::new().await;
    let echo = json!({ "error_description": "what is {authorization}?" });
    let answer = Says::json(401, &echo).with(
        "www-authenticate",
        "Bearer error_description=\"no: {authorization}\"",
    );
    world.server.says("initialize", answer);
    let token = world.token.clone().unwrap();
    let report = world.examine().await;
    let printed = format!("{report}{}", report.json());
    assert!(printed.contains("(the token)"), "{printed}");
    for part in token.split('.') {
        for piece in part.as_bytes().chunks(16).filter(|piece| piece.len() == 16) {
            assert!(
                !printed.contains(std::str::from_utf8(piece).unwrap()),
                "{printed}"
            );
        }
    }
}

#[tokio::test]
async fn control_characters_of_a_server_do_not_reach_the_terminal() {
    let world = World::new().await;
    let words = json!({ "error_description": "\u{1b}[2J\u{202e}gone\r\n✓ tls" });
    world.server.says("nobody", Says::json(403, &words));
    let printed = world.examine().await.to_string();
    assert!(
        !printed.contains(['\u{1b}', '\u{202e}', '\r']),
        "{printed:?}"
    );
    assert!(!printed.contains("\n✓ tls "), "{printed}");
}

#[tokio::test]
async fn a_proxy_that_collects_streams_is_named() {
    let mut world = World::new().await;
    world.patience = impatience();
    world.server.says("GET /mcp", Says::nothing());
    assert_named(
        &world.examine().await,
        "stream",
        "collects the answer before it passes it on",
    );
}

#[tokio::test]
async fn a_refused_stream_is_named_and_one_that_is_not_offered_is_not() {
    let world = World::new().await;
    world.server.says("GET /mcp", Says::status(403));
    assert_named(&world.examine().await, "stream", "is refused (403)");
    let world = World::new().await;
    world.server.says("GET /mcp", Says::status(405));
    let report = world.examine().await;
    assert_eq!(seen(&report, "stream").0, Verdict::Skipped);
    assert!(report.is_healthy());
}

#[tokio::test]
async fn a_server_of_old_revisions_is_healthy_and_a_half_new_one_is_named() {
    let world = World::new().await;
    world.server.says("server/discover", Says::status(400));
    let report = world.examine().await;
    assert!(report.is_healthy(), "{report}");
    assert_eq!(seen(&report, "discover").0, Verdict::Skipped);
    let world = World::new().await;
    let half = json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} });
    world.server.says("server/discover", result(&half));
    assert_named(
        &world.examine().await,
        "discover",
        "lacks resultType, ttlMs, cacheScope",
    );
}

#[tokio::test]
async fn an_empty_list_of_tools_is_named() {
    let world = World::new().await;
    world.tools(&[]);
    assert_named(
        &world.examine().await,
        "tools",
        "the list of tools is empty",
    );
}

#[tokio::test]
async fn tools_that_clients_refuse_are_named() {
    for (wrong, words) in [
        (json!({ "name": "x" }), "`x` has no `inputSchema`"),
        (
            json!({ "name": "x", "inputSchema": { "type": "array" } }),
            "not of type object",
        ),
        (
            json!({ "name": "x", "inputSchema": { "type": "object", "properties": { "a": { "type": "text" } } } }),
            "is no JSON Schema",
        ),
        (
            tool("list notes"),
            "the tool name `list notes` does not suit",
        ),
        (tool("list_notes"), "two tools are called `list_notes`"),
    ] {
        let world = World::new().await;
        world.tools(&[tool("list_notes"), wrong]);
        assert_named(&world.examine().await, "tools", words);
    }
}

#[tokio::test]
async fn a_read_that_fails_is_named_with_code_and_reason() {
    let world = World::new().await;
    let error = json!({ "isError": true, "structuredContent": { "error": { "code": "BACKEND_UNAVAILABLE", "message": "down" } } });
    world.server.says("tools/call", result(&error));
    assert_named(
        &world.examine().await,
        "read",
        "`list_notes` answers `BACKEND_UNAVAILABLE`: `down`",
    );
}

#[tokio::test]
async fn a_server_that_stalls_costs_no_more_than_its_time() {
    let mut world = World::new().await;
    world.patience = impatience();
    world.server.says("nobody", Says::nothing());
    assert_named(&world.examine().await, "answers", "no answer in time");
}

#[tokio::test]
async fn an_open_server_is_examined_without_a_token() {
    let mut world = World::new().await;
    world.token = None;
    world.server.says(
        "nobody",
        result(&json!({ "protocolVersion": "2025-11-25" })),
    );
    let report = world.examine().await;
    assert_eq!(seen(&report, "challenge").0, Verdict::Skipped);
    assert_eq!(
        seen(&report, "token"),
        (Verdict::Skipped, "none is asked for")
    );
    assert_eq!(seen(&report, "initialize").0, Verdict::Passed);
}

#[tokio::test]
async fn an_examination_ends_when_its_time_is_up() {
    let mut world = World::new().await;
    world.patience.overall = std::time::Duration::ZERO;
    let report = world.examine().await;
    let late = (Verdict::Skipped, "the time for the whole examination is up");
    assert_eq!(seen(&report, "answers"), late, "{report}");
    assert_eq!(seen(&report, "initialize"), late, "{report}");
}
