//! Spans of calls at a collector: what they say, where they hang in a trace, what they never hold, and that no collector,
//! however it behaves, changes a call.

mod collector;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::json;
use toolbridge::observe::metrics::Standing;

use crate::harness::{
    FakeBackend, Person, Script, Setup, Sidecar, TENANT, TENANT_SECRET, token_for,
};

use collector::{Absent, Answers, Collector, attribute};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traced(backend: &FakeBackend, collector: &Collector) -> Setup {
    Setup::before(backend).set("traces.endpoint", &collector.url())
}

/// What `traceparent` says of this span.
fn context(span: &Span) -> String {
    let [trace, id] = [&span.trace_id, &span.span_id].map(hex::encode);
    format!("00-{trace}-{id}-01")
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {names:?}"))
}

/// Stops it; then the counts of spans that were exported and dropped.
async fn counts_after(sidecar: Sidecar) -> (String, String) {
    let calls = sidecar.calls.clone();
    assert!(sidecar.stops().await);
    let text = calls.observer().metrics.text(&Standing::default()).unwrap();
    let count = |result: &str| {
        let name = format!("toolbridge_spans_total{{result=\"{result}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().to_owned()
    };
    (count("exported"), count("dropped"))
}

/// The call's span says what there is to say, and each hop hangs below it, in its time.
fn is_whole(spans: &[Span]) {
    let call = named(spans, "tools/call list_notes");
    assert_eq!(call.kind(), SpanKind::Server);
    assert!(call.parent_span_id.is_empty() && call.status.is_none());
    for (key, value) in [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.tool.name", "list_notes"),
        ("mcp.protocol.version", "2026-07-28"),
        ("tenant.id", TENANT),
        ("toolbridge.outcome", "ok"),
        ("toolbridge.backend.status", "200"),
        ("toolbridge.backend.retries", "0"),
        ("error.type", ""),
    ] {
        assert_eq!(attribute(call, key), value, "{key}");
    }
    for (name, kind) in [
        ("verify", SpanKind::Internal),
        ("tenant", SpanKind::Internal),
        ("session", SpanKind::Client),
        ("request", SpanKind::Client),
        ("present", SpanKind::Internal),
    ] {
        let hop = named(spans, name);
        assert_eq!(hop.kind(), kind, "{name}");
        assert_eq!(hop.trace_id, call.trace_id, "{name}");
        assert_eq!(hop.parent_span_id, call.span_id, "{name}");
    }
    for span in spans {
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        let is_within =
            call.start_time_unix_nano <= start && start <= end && end <= call.end_time_unix_nano;
        assert!(is_within, "{span:#?} in {call:#?}");
    }
}

#[tokio::test]
async fn a_call_is_a_span_with_one_for_each_hop_and_the_backend_is_told_of_its_own() {
    for (protocol, path, kind) in [
        ("http", "/v1/traces", "application/x-protobuf"),
        (
            "grpc",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
        ),
    ] {
        let backend = FakeBackend::start();
        let collector = Collector::that_answers(Answers::Well);
        let setup = traced(&backend, &collector).set("traces.protocol", protocol);
        let sidecar = setup.start().await;
        let alice = sidecar.alice();
        let before = toolbridge::clock::unix_now().as_nanos();
        alice.calls("list_notes", json!({})).await.good();
        let after = toolbridge::clock::unix_now().as_nanos();
        let (exported, dropped) = counts_after(sidecar).await;
        let batches = collector.batches();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].path, path);
        assert_eq!(batches[0].headers["content-type"], kind);
        let spans = collector.spans();
        assert_eq!((exported, dropped), (spans.len().to_string(), "0".into()));
        is_whole(&spans);
        let call = named(&spans, "tools/call list_notes");
        assert!(u128::from(call.start_time_unix_nano) + 1_000_000_000 > before);
        assert!(u128::from(call.end_time_unix_nano) < after + 1_000_000_000);
        let mut told = backend.take_seen().into_iter();
        let opening = told.find(|it| it.opens_session()).unwrap();
        assert_eq!(
            opening.header("traceparent"),
            context(named(&spans, "session"))
        );
        let request = told.find(|it| it.method == "GET").unwrap();
        assert_eq!(
            request.header("traceparent"),
            context(named(&spans, "request"))
        );
    }
}

#[tokio::test]
async fn a_trace_in_the_message_goes_on_before_one_in_http_and_its_flag_decides_nothing() {
    let backend = FakeBackend::start();
    let collector = Collector::that_answers(Answers::Well);
    let sidecar = traced(&backend, &collector).start().await;
    let alice = sidecar.alice().with("traceparent", PARENT);
    let meta = json!({ "traceparent": "00-aaaa2f3577b34da6a3ce929d0e0e4736-aaf067aa0ba902b7-00" });
    alice.calls_with("list_notes", json!({}), &meta).await;
    assert!(sidecar.stops().await);
    let spans = collector.spans();
    let call = named(&spans, "tools/call list_notes");
    assert_eq!(hex::encode(&call.parent_span_id), "aaf067aa0ba902b7");
    let seen = backend.take_seen();
    assert!(!seen.is_empty());
    for seen in seen {
        let told = seen.header("traceparent");
        assert!(
            told.starts_with("00-aaaa2f3577b34da6a3ce929d0e0e4736-"),
            "{told}"
        );
        assert!(
            told.ends_with("-01") && !told.contains("aaf067aa0ba902b7"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_client_cannot_have_spans_made_where_none_shall_be_unless_it_is_trusted() {
    for (trust, flag) in [("false", "00"), ("true", "01")] {
        let backend = FakeBackend::start();
        let collector = Collector::that_answers(Answers::Well);
        let setup = traced(&backend, &collector).set("traces.sample", "0");
        let sidecar = setup.set("traces.trust_parent", trust).start().await;
        let alice = sidecar.alice().with("traceparent", PARENT);
        alice.calls("list_notes", json!({})).await.good();
        assert!(sidecar.stops().await);
        assert_eq!(collector.spans().is_empty(), trust == "false", "{trust}");
        for seen in backend.take_seen() {
            let told = seen.header("traceparent");
            assert!(
                told.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
                "{told}"
            );
            assert!(told.ends_with(flag), "{told}");
        }
    }
}

#[tokio::test]
async fn a_call_that_failed_says_so_and_where() {
    let backend = FakeBackend::start();
    let collector = Collector::that_answers(Answers::Well);
    let sidecar = traced(&backend, &collector).start().await;
    backend.does(Script::status(404));
    let uid = "c1d9b7dc-a1b2-4c3d-9e8f-000000000001";
    let alice = sidecar.alice();
    alice
        .calls("get_note", json!({ "uid": uid }))
        .await
        .failed();
    backend.does(Script::status(503));
    alice.calls("list_notes", json!({})).await.failed();
    assert!(sidecar.stops().await);
    let spans = collector.spans();
    let call = named(&spans, "tools/call get_note");
    let status = call.status.clone().unwrap();
    assert_eq!(
        (status.code(), &*status.message),
        (StatusCode::Error, "NOT_FOUND")
    );
    assert_eq!(attribute(call, "error.type"), "tool_error");
    assert_eq!(attribute(call, "toolbridge.outcome"), "NOT_FOUND");
    let request = named(&spans, "request");
    assert_eq!(request.status.clone().unwrap().code(), StatusCode::Error);
    assert_eq!(attribute(request, "http.response.status_code"), "404");
    assert_eq!(named(&spans, "session").status, None);
    // Each try has a span of its own, and the backend heard of each.
    let call = named(&spans, "tools/call list_notes");
    let tries = spans
        .iter()
        .filter(|span| span.name == "request" && span.parent_span_id == call.span_id);
    let tries: Vec<_> = tries.map(context).collect();
    assert!(tries.len() > 1, "{tries:?}");
    let seen = backend.take_seen();
    for each in &tries {
        let told = seen.iter().filter(|it| it.header("traceparent") == each);
        assert_eq!(told.count(), 1, "{each}");
    }
    let retries = attribute(call, "toolbridge.backend.retries");
    assert_eq!(retries, (tries.len() - 1).to_string());
}

#[tokio::test]
async fn a_collector_gets_its_key_and_nothing_that_is_secret_or_a_persons() {
    let backend = FakeBackend::start();
    let collector = Collector::that_answers(Answers::Well);
    let sidecar = traced(&backend, &collector)
        .secret("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary%20key,x-other=2")
        .start()
        .await;
    let token = token_for("canary-person");
    let person = Person::at(&sidecar.url)
        .with_token(&token)
        .with("user-agent", "canary-client")
        .with("mcp-protocol-version", "2026-07-28")
        .with("baggage", "canary=1")
        .with("tracestate", "canary=1");
    let note = json!({ "content": { "title": "canary-argument" } });
    person.calls_with("create_note", note, &json!({})).await;
    let odd = json!({ "canary-name": "canary-value" });
    person.calls_with("list_notes", odd, &json!({})).await;
    backend.does(Script::with(500, &[], r#"{"error":"canary-body"}"#));
    let uid = json!({ "uid": "c1d9b7dc-a1b2-4c3d-9e8f-000000000001" });
    person.calls_with("get_note", uid, &json!({})).await;
    assert!(sidecar.stops().await);
    let batches = collector.batches();
    assert_eq!(batches[0].headers["x-key"], "canary key");
    assert_eq!(batches[0].headers["x-other"], "2");
    assert!(collector.spans().len() > 10);
    let address = backend.seen()[0].header("host").to_owned();
    assert!(!address.is_empty());
    let signature = token.rsplit('.').next().unwrap();
    for batch in batches {
        let text = String::from_utf8_lossy(&batch.bytes).into_owned();
        for secret in ["canary", signature, TENANT_SECRET, &address, "c1d9b7dc"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn a_collector_that_hangs_or_refuses_costs_no_call() {
    for (protocol, answers, refused) in [
        ("http", Answers::Never, None),
        ("http", Answers::Status(400), Some(true)),
        ("grpc", Answers::Never, None),
        ("grpc", Answers::Grpc(3), Some(true)),
        ("http", Answers::Refusing(2), Some(false)),
        ("grpc", Answers::Refusing(2), Some(false)),
    ] {
        let backend = FakeBackend::start();
        let collector = Collector::that_answers(answers);
        let setup = traced(&backend, &collector).set("traces.protocol", protocol);
        let sidecar = setup.start().await;
        let alice = sidecar.alice();
        alice.calls("list_notes", json!({})).await.good();
        collector.has(1).await;
        // While it hangs, or after it refused.
        alice.calls("list_notes", json!({})).await.good();
        let (exported, dropped) = counts_after(sidecar).await;
        match refused {
            None => assert_eq!(exported, "0", "{answers:?}"),
            // Nothing that it does not want is sent twice.
            Some(true) => {
                assert_eq!(collector.batches().len(), 2, "{answers:?}");
                let sent = collector.spans().len().to_string();
                assert_eq!((exported, dropped), ("0".into(), sent), "{answers:?}");
            }
            Some(false) => assert_eq!(dropped, "4", "{answers:?}"),
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_collector_that_is_away_costs_no_call_and_the_log_says_once_that_it_is_and_once_that_it_is_back()
 {
    let backend = FakeBackend::start();
    let absent = Absent::new();
    let address = absent.url().replace("http://", "");
    let setup = Setup::before(&backend).set("traces.endpoint", &absent.url());
    let mut served = setup.serves(&[]).await;
    let alice = Person::at(&served.url).with_token(&token_for("alice"));
    alice.calls("list_notes", json!({})).await.good();
    served.says("the collector takes no spans").await;
    alice.calls("list_notes", json!({})).await.good();
    let collector = absent.comes();
    served.says("the collector takes spans again").await;
    alice
        .calls(
            "get_note",
            json!({ "uid": "c1d9b7dc-a1b2-4c3d-9e8f-000000000001" }),
        )
        .await;
    served.is_told("TERM").await;
    let (code, said) = served.ends().await;
    assert_eq!(code, Some(0));
    let about = said
        .iter()
        .filter(|line| line.to_string().contains("the collector takes"));
    assert_eq!(about.count(), 2, "{said:#?}");
    assert!(
        said.iter().all(|line| !line.to_string().contains(&address)),
        "{said:#?}"
    );
    // What had happened meanwhile is there, unless it had been given up by then, and nothing is there twice.
    let spans = collector.spans();
    let calls = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert!((1..=2).contains(&calls("tools/call list_notes")));
    assert_eq!(calls("tools/call get_note"), 1);
}
