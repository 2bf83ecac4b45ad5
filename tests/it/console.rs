//! The console on the operations port: who is let in, what browsers are told, the shapes of its data, tries that are calls
//! like any other, and no secret in any answer.

use serde_json::{Value, json};

use crate::{
    canonical_calls::NOTE,
    harness::{
        AUDIENCE, Answer, FakeBackend, ISSUER, Person, SECRET, Setup, Sidecar, TENANT,
        TENANT_SECRET, sandbox, token_for,
    },
};

const OPS_TOKEN: &str = "operators-token-of-the-tests-0123456789";
const DATA: [&str; 3] = [
    "/console/state",
    "/console/catalogue",
    "/console/calls?after=0",
];

fn operator(sidecar: &Sidecar) -> Person {
    Person::at(&sidecar.ops_url)
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

async fn tries(operator: &Person, body: &Value) -> Answer {
    let sender = operator.with("content-type", "application/json");
    sender
        .sends("POST", "/console/try", &body.to_string())
        .await
}

#[tokio::test]
async fn the_page_is_for_everybody_and_holds_no_data() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .secret("OPS_TOKEN", OPS_TOKEN)
        .start()
        .await;
    let stranger = operator(&sidecar).with("host", "ops.example.test");
    for (path, kind) in [
        ("/console", "text/html; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/console.js", "text/javascript; charset=utf-8"),
        ("/console/live.js", "text/javascript; charset=utf-8"),
    ] {
        let file = stranger.gets(path).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, kind),
            "{path}"
        );
        assert!(!file.body.contains(TENANT) && !file.body.contains(&sidecar.url));
        let head = stranger.sends("HEAD", path, "").await;
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        assert_eq!(stranger.sends("POST", path, "").await.status, 405, "{path}");
    }
    let start = stranger.gets("/").await;
    assert_eq!((start.status, start.header("location")), (302, "console"));
    assert_eq!(
        stranger.gets("/console/../console/index.html").await.status,
        401
    );
}

#[tokio::test]
async fn every_answer_tells_browsers_to_load_and_ask_nothing_else() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let operator = operator(&sidecar);
    for path in DATA
        .into_iter()
        .chain(["/", "/console", "/console/live.js", "/console/nothing"])
    {
        let answer = operator.gets(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
        ));
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'none'"));
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    for path in DATA {
        assert_eq!(
            operator.gets(path).await.header("cache-control"),
            "no-store"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_origin_and_a_rebound_name_get_nothing() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let operator = operator(&sidecar);
    let body = json!({ "tool": "delete_note", "arguments": {}, "token": token_for("alice") });
    for outsider in [
        operator.with("origin", "http://evil.test"),
        operator.with("origin", "null"),
        operator.with("host", "evil.test:9091"),
        operator.with("x-forwarded-for", "203.0.113.7"),
    ] {
        for path in DATA.into_iter().chain(["/log/filter"]) {
            let answer = outsider.gets(path).await;
            assert_eq!(answer.status, 403, "{path}");
            assert!(!answer.body.contains("tools"), "{answer:?}");
        }
        assert_eq!(tries(&outsider, &body).await.status, 403);
    }
    assert!(backend.seen().is_empty());
    for path in ["/healthz", "/readyz", "/metrics"] {
        let probe = operator.with("host", "10.1.2.3:9091");
        assert_eq!(probe.gets(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn from_elsewhere_the_operators_token_opens_it_and_no_callers_token_does() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).secret("OPS_TOKEN", OPS_TOKEN);
    let sidecar = setup.start().await;
    let elsewhere = operator(&sidecar).with("host", "ops.example.test");
    for path in DATA {
        let asked = elsewhere.gets(path).await;
        assert_eq!(asked.status, 401, "{path}");
        assert!(asked.header("www-authenticate").starts_with("Bearer"));
        let caller = elsewhere.with_token(&token_for("alice"));
        assert_eq!(caller.gets(path).await.status, 401, "{path}");
        assert_eq!(elsewhere.with_token(OPS_TOKEN).gets(path).await.status, 200);
    }
    assert_eq!(
        sidecar
            .nobody()
            .with_token(OPS_TOKEN)
            .posts(&json!({}))
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn the_state_says_how_everything_stands() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let state = json_of(&operator(&sidecar).gets("/console/state").await);
    assert_eq!(state["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(state["mcp_url"], format!("{}/mcp", sidecar.url));
    assert_eq!(
        state["catalogue"],
        json!({ "generation": 1, "tools": 40, "problems": 0 })
    );
    assert_eq!(state["ready"], true);
    let names = state["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["backend", "keys", "catalogue"]);
    let issuer = json!({ "issuer": ISSUER, "keys": 1, "age_s": null });
    assert_eq!(
        state["auth"],
        json!({ "kind": "tokens", "issuers": [issuer] })
    );
    assert_eq!(state["guard"]["breaker"], "closed");
    assert_eq!(
        state["calls"],
        json!({ "running": 0, "ok": 0, "failed": 0 })
    );
    assert!(state["resident_bytes"].is_u64() && state["uptime_s"].is_f64());
    let public = Setup::before(&backend).set("server.public_url", "https://acme.example.com");
    let state = json_of(&operator(&public.start().await).gets("/console/state").await);
    assert_eq!(state["mcp_url"], "https://acme.example.com/mcp");
}

#[tokio::test]
async fn the_catalogue_has_every_tool_with_its_schemas_and_its_cost() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let catalogue = json_of(&operator(&sidecar).gets("/console/catalogue").await);
    assert_eq!(catalogue["server"]["name"], "toolbridge");
    let tools = catalogue["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 40);
    let costs: u64 = tools
        .iter()
        .map(|tool| tool["tokens"].as_u64().unwrap())
        .sum();
    let whole = catalogue["tokens"].as_u64().unwrap();
    assert!(
        whole > 5_000 && whole.abs_diff(costs) < 100,
        "{whole}, {costs}"
    );
    let create = tools
        .iter()
        .find(|tool| tool["name"] == "create_note")
        .unwrap();
    assert_eq!(
        (&create["effect"], &create["scopes"]),
        (&json!("write"), &json!([]))
    );
    assert_eq!(
        create["input_schema"]["required"],
        json!(["title", "content"])
    );
    assert_eq!(create["output_schema"]["type"], "object");
}

#[tokio::test]
async fn a_try_is_a_call_like_any_other_and_is_seen_with_its_hops() {
    let sandbox = sandbox().await;
    let sidecar = Sidecar::before(&sandbox).await;
    let operator = operator(&sidecar);
    let arguments = json!({ "title": "Tried", "content": "In the console" });
    let body =
        json!({ "tool": "create_note", "arguments": arguments, "token": token_for("alice") });
    let tried = json_of(&tries(&operator, &body).await);
    assert_eq!(tried["outcome"], "ok");
    assert_eq!(tried["result"]["payload"]["title"], "Tried");
    let uid = tried["result"]["uid"].clone();
    let read = sidecar
        .alice()
        .calls("get_note", json!({ "uid": uid }))
        .await;
    assert_eq!(read.result["structuredContent"]["uid"], uid);
    let calls = json_of(&operator.gets("/console/calls?after=0").await);
    assert_eq!(calls["last"], 2);
    let row = &calls["calls"][0];
    assert_eq!(row["correlation_id"], tried["correlation_id"]);
    for (name, value) in [
        ("number", json!(1)),
        ("tool", json!("create_note")),
        ("tenant", json!(TENANT)),
        ("client", json!("console")),
        ("outcome", json!("ok")),
        ("status", json!(201)),
        ("sessions", json!(1)),
        ("retries", json!(0)),
        ("repeated", json!(false)),
        ("alias", Value::Null),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    let person = row["person"].as_str().unwrap();
    assert!(person.len() == 16 && person != "alice");
    let hops = row["hops"].as_array().unwrap().iter();
    let hops: Vec<_> = hops.map(|hop| hop["name"].as_str().unwrap()).collect();
    let way = [
        "verify", "limit", "tenant", "queue", "session", "request", "present",
    ];
    assert_eq!(hops, way);
    let newer = json_of(&operator.gets("/console/calls?after=1").await);
    assert_eq!(newer["calls"].as_array().unwrap().len(), 1);
    let none = json_of(&operator.gets("/console/calls?after=2").await);
    assert_eq!(none, json!({ "calls": [], "last": 2 }));
    // The page of an earlier process has seen more than this one has.
    let earlier = json_of(&operator.gets("/console/calls?after=900").await);
    assert_eq!(earlier["last"], 2);
    assert_eq!(operator.gets("/console/calls?after=x").await.status, 400);
}

#[tokio::test]
async fn a_try_without_a_good_token_is_told_so_and_reaches_nobody() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let operator = operator(&sidecar);
    for token in [
        Value::Null,
        json!(""),
        json!("nonsense"),
        json!("a\nb"),
        json!(OPS_TOKEN),
    ] {
        let body = json!({ "tool": "list_notes", "arguments": {}, "token": token });
        let tried = json_of(&tries(&operator, &body).await);
        assert_eq!(tried["outcome"], "UNAUTHENTICATED", "{token}");
        assert_eq!(tried["result"]["error"]["code"], "UNAUTHENTICATED");
        assert_eq!(tried["correlation_id"], Value::Null);
    }
    // The operator's own credentials are nobody's in MCP.
    let body = json!({ "tool": "list_notes", "arguments": {} });
    let tried = json_of(&tries(&operator.with_token(&token_for("alice")), &body).await);
    assert_eq!(tried["outcome"], "UNAUTHENTICATED");
    assert!(backend.seen().is_empty());
    let open = Setup::before(&backend).set("auth.mode", "none");
    let open = open
        .without("auth.issuer")
        .without("auth.audience")
        .without_jwt_secret();
    let open = open.start().await;
    let body = json!({ "tool": "get_note", "arguments": { "uid": NOTE } });
    let tried = json_of(&tries(&Person::at(&open.ops_url), &body).await);
    // Let in as nobody, which is for this backend to refuse.
    assert_eq!(tried["result"]["error"]["status"], 400, "{tried}");
    assert_eq!(backend.take_complaints().len(), 1);
}

#[tokio::test]
async fn a_try_that_is_no_try_is_refused_without_repeating_it() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.max_request_bytes", "4 KiB");
    let sidecar = setup.start().await;
    let operator = operator(&sidecar);
    let known = json!({ "tool": "list_notes", "token": token_for("alice") });
    assert_eq!(
        operator
            .sends("POST", "/console/try", &known.to_string())
            .await
            .status,
        415
    );
    assert_eq!(operator.gets("/console/try").await.status, 405);
    let form = operator.with("content-type", "text/plain");
    assert_eq!(
        form.sends("POST", "/console/try", &known.to_string())
            .await
            .status,
        415
    );
    for odd in [
        json!([]),
        json!({ "tool": 1 }),
        json!({ "tool": "list_notes", "arguments": "canary" }),
        json!({ "tool": "list_notes", "tokn": "canary" }),
        json!({ "tool": "list_notes", "token": { "canary": 1 } }),
    ] {
        let refused = tries(&operator, &odd).await;
        assert_eq!(refused.status, 400, "{odd}");
        assert!(!refused.body.contains("canary"), "{refused:?}");
    }
    let unknown = json!({ "tool": "no_such_tool", "token": token_for("alice") });
    assert_eq!(tries(&operator, &unknown).await.status, 404);
    let huge = json!({ "tool": "list_notes", "arguments": { "x": "x".repeat(5_000) } });
    assert_eq!(tries(&operator, &huge).await.status, 413);
    let refused =
        json!({ "tool": "get_note", "arguments": { "uid": "x" }, "token": token_for("alice") });
    let refused = json_of(&tries(&operator, &refused).await);
    assert_eq!(refused["outcome"], "VALIDATION_ERROR");
    assert_eq!(refused["result"]["error"]["field"], "uid");
    assert_eq!(
        refused["result"]["error"]["correlation_id"],
        refused["correlation_id"]
    );
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn limits_hold_for_tries() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("limits.tool.requests", "2")
        .set("limits.tool.window", "1h")
        .set("limits.tool.burst", "1");
    let sidecar = setup.start().await;
    let body = json!({ "tool": "list_notes", "arguments": {}, "token": token_for("alice") });
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let tried = json_of(&tries(&operator(&sidecar), &body).await);
        outcomes.push(tried["outcome"].clone());
    }
    assert_eq!(outcomes.last().unwrap(), "RATE_LIMITED", "{outcomes:?}");
}

#[tokio::test]
async fn no_secret_is_in_any_answer_of_the_console() {
    let sandbox = sandbox().await;
    let secrets = [
        ("OPS_TOKEN", "marker-of-the-operators-token-0123456789"),
        ("SEAL_SECRET", "marker-of-what-seals-0123456789-0123456789"),
        (
            "SEAL_SECRET_NEXT",
            "marker-of-what-seals-next-0123456789-0123",
        ),
        (
            "TENANT_HEADER_SECRET_NEXT",
            "marker-of-what-signs-next-0123456789-012",
        ),
        ("WORKOS_API_KEY", "marker-of-workos-0123456789-0123456789"),
    ];
    let mut setup = Setup::before(&sandbox);
    for (name, value) in secrets {
        setup = setup.secret(name, value);
    }
    let sidecar = setup.start().await;
    let operator = operator(&sidecar);
    let token = token_for("alice");
    let argument = "marker-of-an-argument";
    let note = json!({ "title": argument, "content": argument });
    let body = json!({ "tool": "create_note", "arguments": note, "token": token });
    let mut said = String::new();
    // The caller reads its own record, and nobody else does.
    let tried = tries(&operator, &body).await;
    said.push_str(&tried.body.replace(argument, ""));
    sidecar
        .alice()
        .calls("create_note", json!({ "titel": argument }))
        .await;
    for path in DATA
        .into_iter()
        .chain(["/console", "/console/nothing", "/metrics"])
    {
        said.push_str(&format!("{:?}", operator.gets(path).await));
    }
    assert!(said.contains("create_note") && !said.contains(AUDIENCE));
    let backend = sandbox.url();
    let parts = token.split('.').skip(1).map(str::to_owned);
    let others = [
        SECRET,
        TENANT_SECRET,
        argument,
        backend.as_str(),
        "marker-of",
    ];
    for hidden in parts.chain(others.map(str::to_owned)) {
        assert!(!said.contains(&hidden), "{hidden}");
    }
}
