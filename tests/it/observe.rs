//! What an operator sees of the calls: metrics, the log's line and its filter, traces on their way, `Server-Timing`.

use serde_json::json;

use crate::harness::{FakeBackend, Person, Script, Setup, Sidecar};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn note() -> serde_json::Value {
    json!({ "uid": "c1d9b7dc-a1b2-4c3d-9e8f-000000000001" })
}

async fn metrics(sidecar: &Sidecar) -> String {
    let answer = Person::at(&sidecar.ops_url).gets("/metrics").await;
    assert_eq!(answer.status, 200);
    let format = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("content-type"), format);
    answer.body
}

#[track_caller]
fn says(text: &str, line: &str) {
    let name = line.split(['{', ' ']).next().unwrap();
    let near: Vec<_> = text.lines().filter(|it| it.starts_with(name)).collect();
    assert!(
        text.lines().any(|it| it == line),
        "{line} is not in {near:#?}"
    );
}

#[tokio::test]
async fn every_call_is_counted_by_tool_and_code() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    alice.calls("list_notes", json!({})).await.good();
    alice
        .calls("list_notes", json!({ "nonsense": 1 }))
        .await
        .failed();
    backend.does(Script::status(404));
    alice.calls("get_note", note()).await.failed();
    let unknown = alice
        .calls_with("no_such_tool", json!({}), &json!({}))
        .await;
    assert_eq!(unknown.error_code(), -32602, "{}", unknown.body);
    sidecar
        .mallory()
        .calls_with("list_notes", json!({}), &json!({}))
        .await;
    alice.asks("tools/list", json!({})).await;
    let text = metrics(&sidecar).await;
    for line in [
        r#"mcp_server_operation_duration_seconds_count{error_type="",gen_ai_tool_name="",mcp_method_name="tools/list"} 1"#,
        r#"toolbridge_calls_total{code="ok",tool="list_notes"} 1"#,
        r#"toolbridge_calls_total{code="VALIDATION_ERROR",tool="list_notes"} 1"#,
        r#"toolbridge_calls_total{code="NOT_FOUND",tool="get_note"} 1"#,
        r#"mcp_server_operation_duration_seconds_count{error_type="",gen_ai_tool_name="list_notes",mcp_method_name="tools/call"} 1"#,
        r#"mcp_server_operation_duration_seconds_count{error_type="-32602",gen_ai_tool_name="",mcp_method_name="tools/call"} 1"#,
        r#"toolbridge_backend_sessions_total{result="opened"} 2"#,
        r#"toolbridge_backend_responses_total{class="4xx"} 1"#,
        r#"toolbridge_hop_duration_seconds_count{hop="verify"} 3"#,
        r#"toolbridge_hop_duration_seconds_count{hop="request"} 2"#,
        r#"toolbridge_auth_failures_total{reason="wrong_audience"} 1"#,
        r#"toolbridge_http_requests_total{status="401"} 1"#,
        r#"rate_limit_requests_total{status="allowed"} 3"#,
        "rate_limiter_degraded_mode 0",
        r#"toolbridge_breaker_state{scope="backend"} 0"#,
        "toolbridge_calls_running 0",
        "toolbridge_ready 1",
        "toolbridge_catalogue_tools 40",
        r#"toolbridge_build_info{version="0.1.0"} 1"#,
    ] {
        says(&text, line);
    }
    assert!(
        !text.contains("no_such_tool") && !text.contains("alice"),
        "{text}"
    );
}

#[tokio::test]
async fn callers_cannot_make_the_metrics_grow() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let call = async |name: String| {
        alice
            .asks("tools/call", json!({ "name": name, "arguments": {} }))
            .await;
        alice
            .with("user-agent", &name)
            .gets(&format!("/{name}"))
            .await;
    };
    call("first".to_owned()).await;
    let before = metrics(&sidecar).await.lines().count();
    for number in 0..50 {
        call(format!("made_up_{number}")).await;
    }
    let after = metrics(&sidecar).await;
    assert_eq!(after.lines().count(), before);
    assert!(!after.contains("made_up"));
}

#[tokio::test]
async fn a_trace_that_the_client_began_goes_on_to_the_backend_and_nothing_else_of_it_does() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar
        .alice()
        .with("traceparent", PARENT)
        .with("tracestate", "canary=1")
        .with("baggage", "canary=1");
    alice.calls("list_notes", json!({})).await.good();
    for seen in backend.take_seen() {
        let trace = seen.header("traceparent");
        assert!(
            trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
            "{trace}"
        );
        assert_eq!(
            (seen.header("tracestate"), seen.header("baggage")),
            ("", "")
        );
    }
    // What is in the message stands above what is in HTTP.
    let other = PARENT.replace("4bf9", "aaaa");
    let meta = json!({ "traceparent": other });
    alice.calls_with("list_notes", json!({}), &meta).await;
    let seen = backend.take_seen();
    assert!(!seen.is_empty());
    for seen in seen {
        assert!(seen.header("traceparent").starts_with("00-aaaa2f35"));
    }
}

#[tokio::test]
async fn a_trace_context_that_is_not_valid_goes_nowhere() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for odd in ["00-0-0-00", "x", &PARENT.to_uppercase()] {
        let alice = sidecar.alice().with("traceparent", odd);
        alice.calls("list_notes", json!({})).await.good();
    }
    sidecar.alice().calls("list_notes", json!({})).await.good();
    for seen in backend.take_seen() {
        assert_eq!(seen.header("traceparent"), "");
    }
}

#[tokio::test]
async fn an_answer_says_where_its_time_went() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let answer = sidecar
        .alice()
        .calls_with("list_notes", json!({}), &json!({}))
        .await;
    let timing = answer.header("server-timing");
    for hop in [
        "verify;dur=",
        "tenant;dur=",
        "session;dur=",
        "request;dur=",
        "present;dur=",
        "total;dur=",
    ] {
        assert!(timing.contains(hop), "{timing}");
    }
    let listing = sidecar.alice().asks("tools/list", json!({})).await;
    assert_eq!(listing.header("server-timing"), "");
}

#[tokio::test]
async fn streams_are_counted_while_they_are_open() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    says(&metrics(&sidecar).await, "toolbridge_open_streams 0");
    let stream = sidecar.alice().opens_sse().await;
    says(&metrics(&sidecar).await, "toolbridge_open_streams 1");
    drop(stream);
}

#[tokio::test]
async fn the_line_of_a_call_says_what_an_operator_asks() {
    let backend = FakeBackend::start();
    let mut served = Setup::before(&backend).serves(&[]).await;
    let alice = Person::at(&served.url)
        .with_token(&crate::harness::token_for("alice"))
        .with("traceparent", PARENT)
        .with("user-agent", "tester/1");
    alice.calls("list_notes", json!({})).await.good();
    let line = served.says("tool call").await;
    for (field, value) in [
        ("tool.name", json!("list_notes")),
        ("outcome", json!("ok")),
        ("backend.status", json!(200)),
        ("backend.request_bytes", json!(0)),
        ("mcp.protocol", json!("2026-07-28")),
        ("trace.id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    for number in [
        "duration_ms",
        "backend.duration_ms",
        "backend.session_ms",
        "backend.response_bytes",
    ] {
        assert!(line[number].is_number(), "{number}: {line}");
    }
    for text in ["tenant.id", "caller.subject", "client", "request.id"] {
        assert!(line[text].is_string(), "{text}: {line}");
    }
    assert!(!line.to_string().contains("alice"), "{line}");
    served.stops().await;
    let plain = Setup::before(&backend).set("log.person", "plain");
    let mut served = plain.serves(&[]).await;
    let alice = Person::at(&served.url).with_token(&crate::harness::token_for("alice"));
    alice.calls("list_notes", json!({})).await.good();
    let line = served.says("tool call").await;
    assert_eq!(line["caller.subject"], "alice");
    served.stops().await;
}

#[tokio::test]
async fn a_client_that_does_not_say_its_name_is_known_by_its_agent_alone() {
    let backend = FakeBackend::start();
    let mut served = Setup::before(&backend).serves(&[]).await;
    let person = Person::at(&served.url)
        .with_token(&crate::harness::token_for("alice"))
        .with("mcp-protocol-version", "2026-07-28")
        .with("mcp-method", "tools/call")
        .with("mcp-name", "list_notes");
    let mut message = crate::harness::person::modern(
        "tools/call",
        json!({ "name": "list_notes", "arguments": {} }),
    );
    let meta = message["params"]["_meta"].as_object_mut().unwrap();
    meta.remove("io.modelcontextprotocol/clientInfo").unwrap();
    for (agent, client) in [(Some("curl/8.1"), json!("curl/8.1")), (None, json!(null))] {
        let person = match agent {
            Some(agent) => person.with("user-agent", agent),
            None => person.without("user-agent"),
        };
        person.posts(&message).await.result();
        let line = served.says("tool call").await;
        assert_eq!(line["client"], client, "{line}");
    }
    served.stops().await;
}

#[tokio::test]
async fn the_log_can_be_turned_up_and_down_while_it_runs_but_not_by_a_page() {
    let backend = FakeBackend::start();
    let mut served = Setup::before(&backend).serves(&[]).await;
    let operator = Person::at(&served.ops_url);
    assert_eq!(operator.gets("/log/filter").await.body, "info\n");
    let page = operator.with("origin", "https://evil.example");
    let refused = page.sends("PUT", "/log/filter", "trace").await;
    assert_eq!(refused.status, 403);
    let odd = operator.sends("PUT", "/log/filter", "loud").await;
    assert_eq!(odd.status, 400);
    assert!(odd.body.contains("`loud` is no filter"), "{}", odd.body);
    assert_eq!(operator.gets("/log/filter").await.body, "info\n");
    let changed = operator.sends("PUT", "/log/filter", "warn").await;
    assert_eq!((changed.status, &*changed.body), (200, "warn\n"));
    served.says("the log's filter was changed").await;
    let alice = Person::at(&served.url).with_token(&crate::harness::token_for("alice"));
    alice.calls("list_notes", json!({})).await.good();
    operator.sends("PUT", "/log/filter", "info").await;
    alice.calls("get_note", note()).await;
    // The call before, at `warn`, has no line.
    let line = served.says("tool call").await;
    assert_eq!(line["tool.name"], "get_note");
    served.stops().await;
}
