//! `mcp_header`: clients of 2026-07-28 repeat an argument in a header, so that proxies need not read bodies. A request whose
//! header and body differ is refused, both ways; browsers are told the headers' names; what would make clients drop a tool
//! is a problem of the catalogue.

use super::*;

const TOOLS: &str = r#"
version: 1
backend:
  session:
    open: POST /v1/sync/sessions
    headers: { X-Sync-Session: /id, X-Sync-Epoch: /epoch }
tools:
  find:
    description: Finds notes.
    request: GET /v1/notes
    effect: read
    parameters:
      region: { type: string, in: query, mcp_header: Region }
      count: { type: integer, in: query, mcp_header: X-Count }
      all: { type: boolean, in: query, mcp_header: All }
      text: { type: string, in: query }
"#;

/// Calls `find` with these arguments and these headers.
async fn finds(sidecar: &Sidecar, arguments: Value, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut person = sidecar.alice().with("mcp-name", "find");
    for (name, value) in headers {
        person = person.with(&format!("mcp-param-{name}"), value);
    }
    let params = json!({ "name": "find", "arguments": arguments });
    let answer = person.asks("tools/call", params).await;
    (answer.status, answer.message())
}

/// How many requests the backend got, beside those that open sessions.
fn sent(backend: &FakeBackend) -> usize {
    let seen = backend.seen();
    seen.iter().filter(|seen| !seen.opens_session()).count()
}

#[tokio::test]
async fn the_schema_says_which_arguments_are_repeated_where() {
    let backend = FakeBackend::start();
    let sidecar = serving(TOOLS, &backend).await;
    let alice = sidecar.alice();
    let modern = alice.asks("tools/list", json!({})).await.result();
    let properties = modern["tools"][0]["inputSchema"]["properties"].clone();
    assert_eq!(properties["region"]["x-mcp-header"], "Region");
    assert_eq!(properties["count"]["x-mcp-header"], "X-Count");
    assert_eq!(properties["text"].get("x-mcp-header"), None);
    let connection = alice.connects().await;
    let legacy = connection.asks("tools/list", json!({})).await;
    assert!(!legacy.body.contains("x-mcp-header"), "{legacy:?}");
    connection
        .calls("find", json!({ "region": "eu" }))
        .await
        .good();
}

#[tokio::test]
async fn a_header_that_repeats_its_argument_lets_the_call_through() {
    let backend = FakeBackend::start();
    let sidecar = serving(TOOLS, &backend).await;
    for (arguments, headers) in [
        (json!({}), &[][..]),
        (json!({ "text": "a" }), &[][..]),
        (json!({ "region": "eu" }), &[("region", "eu")][..]),
        (json!({ "region": "eu" }), &[("REGION", "eu")][..]),
        (
            json!({ "region": "Zürich" }),
            &[("region", "=?base64?WsO8cmljaA==?=")][..],
        ),
        (
            json!({ "region": null, "count": 42 }),
            &[("x-count", "42")][..],
        ),
        (
            json!({ "count": -1, "all": true }),
            &[("x-count", "-1"), ("all", "true")][..],
        ),
    ] {
        let (status, message) = finds(&sidecar, arguments.clone(), headers).await;
        assert_eq!(status, 200, "{arguments} {message}");
        assert_ne!(message["result"]["isError"], true, "{arguments} {message}");
    }
    assert_eq!(sent(&backend), 7);
    assert!(
        !backend
            .seen()
            .iter()
            .any(|seen| !seen.header("mcp-param-region").is_empty())
    );
}

#[tokio::test]
async fn an_integer_and_its_header_are_compared_as_numbers() {
    let backend = FakeBackend::start();
    let sidecar = serving(TOOLS, &backend).await;
    for (count, header) in [
        (json!(42), "42.0"),
        (json!(42.0), "42"),
        (json!(-7), "-7.00"),
        (json!(0), "-0.0"),
    ] {
        let arguments = json!({ "count": count });
        let (status, message) = finds(&sidecar, arguments, &[("x-count", header)]).await;
        assert_eq!(status, 200, "{count} {header} {message}");
        assert_ne!(
            message["result"]["isError"], true,
            "{count} {header} {message}"
        );
    }
    assert_eq!(sent(&backend), 4);
}

#[tokio::test]
async fn a_header_that_is_missing_or_says_something_else_is_a_mismatch() {
    let backend = FakeBackend::start();
    let sidecar = serving(TOOLS, &backend).await;
    for (arguments, headers) in [
        (json!({ "region": "eu" }), &[][..]),
        (json!({ "region": "eu" }), &[("region", "us")][..]),
        (json!({ "region": "eu" }), &[("region", "EU")][..]),
        (
            json!({ "region": "eu" }),
            &[("region", "eu"), ("region", "us")][..],
        ),
        (
            json!({ "region": "eu" }),
            &[("region", "=?base64?!!!?=")][..],
        ),
        (json!({ "text": "a" }), &[("region", "eu")][..]),
        (json!({ "region": null }), &[("region", "eu")][..]),
        (json!({ "count": 42 }), &[("x-count", "43")][..]),
        (json!({ "all": true }), &[("all", "false")][..]),
        (json!({ "count": 42 }), &[("x-count", "42.5")][..]),
        (json!({ "count": 42 }), &[("x-count", "042")][..]),
        (
            json!({ "count": 42 }),
            &[("x-count", "42.0"), ("x-count", "42.0")][..],
        ),
        // One more than can be told apart as a floating-point number.
        (
            json!({ "count": 9_007_199_254_740_993_u64 }),
            &[("x-count", "9007199254740992.0")][..],
        ),
        // A text stays a text.
        (json!({ "region": "42" }), &[("region", "42.0")][..]),
    ] {
        let (status, message) = finds(&sidecar, arguments.clone(), headers).await;
        assert_eq!(
            (status, &message["error"]["code"]),
            (400, &json!(-32020)),
            "{arguments} {headers:?}"
        );
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_tool_under_a_shortened_name_has_its_headers_compared_too() {
    let long = "find_notes_of_the_whole_workspace_with_their_attachments";
    let tools = TOOLS.replace("  find:", &format!("  {long}:"));
    let backend = FakeBackend::start();
    let sidecar = serving(&tools, &backend).await;
    let person = sidecar.alice().using("claude-code");
    let list = person.asks("tools/list", json!({})).await.result();
    let name = list["tools"][0]["name"].as_str().unwrap();
    assert_ne!(name, long);
    let params = json!({ "name": name, "arguments": { "region": "eu" } });
    for (region, status) in [("us", 400), ("eu", 200)] {
        let person = person
            .with("mcp-name", name)
            .with("mcp-param-region", region);
        assert_eq!(
            person.asks("tools/call", params.clone()).await.status,
            status,
            "{region}"
        );
    }
    assert_eq!(sent(&backend), 1);
}

#[tokio::test]
async fn pages_may_send_each_of_these_headers_by_its_name() {
    let file = file(TOOLS);
    let setup = Setup::before(&FakeBackend::start())
        .set("catalogue.file", file.path().to_str().unwrap())
        .set("server.allowed_origins", "https://app.example.com");
    let sidecar = setup.start().await;
    let page = sidecar
        .nobody()
        .with("origin", "https://app.example.com")
        .with("access-control-request-method", "POST");
    let asked = page.sends("OPTIONS", "/mcp", "").await;
    let allowed: Vec<_> = asked
        .header("access-control-allow-headers")
        .split(", ")
        .collect();
    for header in [
        "Mcp-Param-All",
        "Mcp-Param-Region",
        "Mcp-Param-X-Count",
        "Mcp-Name",
    ] {
        assert!(allowed.contains(&header), "{header}: {allowed:?}");
    }
}

#[test]
fn what_would_make_a_client_drop_the_tool_is_a_problem_of_the_catalogue() {
    for (parameters, said) in [
        (
            "a: { type: string, in: query, mcp_header: \"two words\" }",
            "`two words`",
        ),
        ("a: { type: string, in: query, mcp_header: \"\" }", "``"),
        (
            "a: { type: string, in: query, mcp_header: \"a:b\" }",
            "`a:b`",
        ),
        ("a: { type: string, in: query, mcp_header: \"ä\" }", "`ä`"),
        (
            "a: { type: string, in: query, mcp_header: \"a\\r\\nb\" }",
            "header",
        ),
        ("a: { type: number, in: query, mcp_header: A }", "a number"),
        (
            "a: { type: array, items: { type: string }, in: query, mcp_header: A }",
            "an array",
        ),
        (
            "a: { type: string, in: query, mcp_header: Same }\n      b: { type: string, in: query, mcp_header: SAME }",
            "already the header of `a`",
        ),
        (
            "a: { type: array, items: { type: string, mcp_header: A }, in: query }",
            "`mcp_header` means nothing in `items`",
        ),
    ] {
        let text = format!(
            "version: 1\ntools:\n  find:\n    description: About.\n    request: GET /a\n    effect: read\n    parameters:\n      {parameters}\n"
        );
        let problems = Catalogue::parse("tools.yaml", text.as_bytes()).unwrap_err();
        assert!(
            problems.to_string().contains(said),
            "{parameters}: {problems}"
        );
    }
}
