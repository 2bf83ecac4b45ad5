//! A call's record → its spans: one of the call, and below it one for each hop, by the semantic conventions of OpenTelemetry
//! for MCP. In: records. Out: OTLP's message. Of a record only what the conventions ask goes out, and the tenant: no
//! argument, body, token, address or person, and no text of a client's.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use uuid::Uuid;

use super::super::{
    record::{CallRecord, Ending},
    traceparent::TraceContext,
    trail::{Hop, HopName},
};

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Span flags of OTLP: sampled; it is known whether the parent is another process's; it is.
const SAMPLED: u32 = 1;
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// This process, as every span of it names it.
#[derive(Debug)]
pub(super) struct Process(Resource);

impl Process {
    pub(super) fn new() -> Self {
        Self(Resource {
            attributes: vec![
                text("service.name", NAME),
                text("service.version", VERSION),
                text("service.instance.id", &Uuid::new_v4().to_string()),
            ],
            ..Resource::default()
        })
    }

    /// The spans of these calls.
    pub(super) fn message(&self, records: &[Arc<CallRecord>]) -> ExportTraceServiceRequest {
        let spans = records.iter().flat_map(|record| of(record)).collect();
        let scope = InstrumentationScope {
            name: NAME.to_owned(),
            version: VERSION.to_owned(),
            ..InstrumentationScope::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.0.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        }
    }
}

/// How many spans a call has.
pub(super) fn count(record: &CallRecord) -> u64 {
    1 + record.marks.hops.len() as u64
}

fn of(record: &CallRecord) -> Vec<Span> {
    let Some(place) = record.trace else {
        return Vec::new();
    };
    let mut spans = vec![call(record, place)];
    let last = last_of_the_way(record);
    let hops = &record.marks.hops;
    for (index, hop) in hops.iter().enumerate() {
        let before = hops.iter().take(index);
        let before = before.filter(|other| other.name == hop.name).count();
        let mut span = of_hop(record, place, hop, before);
        if last == Some(index) {
            span.status = status(record.ending);
            let status = record.marks.status.filter(|_| hop.name == HopName::Request);
            span.attributes
                .extend(status.map(|it| number("http.response.status_code", it)));
        }
        spans.push(span);
    }
    spans
}

/// The hop that decided how the call ended.
fn last_of_the_way(record: &CallRecord) -> Option<usize> {
    let hops = &record.marks.hops;
    match record.ending {
        Ending::Ok => hops.iter().rposition(|hop| hop.name == HopName::Request),
        Ending::Failed(_) | Ending::Cancelled => {
            hops.iter().rposition(|hop| hop.name != HopName::Present)
        }
    }
}

fn call(record: &CallRecord, place: TraceContext) -> Span {
    let marks = &record.marks;
    let mut attributes = vec![
        text("mcp.method.name", "tools/call"),
        text("gen_ai.operation.name", "execute_tool"),
        text("gen_ai.tool.name", &record.tool),
        text("toolbridge.outcome", record.ending.as_str()),
        text("request.id", &record.correlation),
    ];
    let protocol = record.protocol.as_deref().filter(|it| is_revision(it));
    attributes.extend(protocol.map(|it| text("mcp.protocol.version", it)));
    attributes.extend(record.tenant.as_deref().map(|it| text("tenant.id", it)));
    attributes.extend(error_type(record.ending).map(|it| text("error.type", it)));
    attributes.extend(
        marks
            .status
            .map(|it| number("toolbridge.backend.status", it)),
    );
    attributes.push(number("toolbridge.backend.retries", marks.retries));
    if record.is_repeated {
        attributes.push(KeyValue {
            key: "toolbridge.repeated".to_owned(),
            value: Some(AnyValue {
                value: Some(Value::BoolValue(true)),
            }),
            ..KeyValue::default()
        });
    }
    let (parent, remote) = match record.parent {
        Some(parent) => (parent.span.0.to_vec(), KNOWS_REMOTE | IS_REMOTE),
        None => (Vec::new(), KNOWS_REMOTE),
    };
    Span {
        name: format!("tools/call {}", record.tool),
        parent_span_id: parent,
        flags: SAMPLED | remote,
        attributes,
        status: status(record.ending),
        ..span(record, place, SpanKind::Server, Duration::ZERO, record.took)
    }
}

fn of_hop(record: &CallRecord, call: TraceContext, hop: &Hop, before: usize) -> Span {
    let asks = matches!(hop.name, HopName::Session | HopName::Request);
    let kind = if asks {
        SpanKind::Client
    } else {
        SpanKind::Internal
    };
    let resent = u32::try_from(before).ok().filter(|it| asks && *it > 0);
    let resent = resent.map(|it| number("http.request.resend_count", it));
    Span {
        name: hop.name.as_str().to_owned(),
        parent_span_id: call.span.0.to_vec(),
        flags: SAMPLED | KNOWS_REMOTE,
        attributes: resent.into_iter().collect(),
        ..span(
            record,
            call.hop(hop.name, before),
            kind,
            hop.start,
            hop.took,
        )
    }
}

fn span(
    record: &CallRecord,
    place: TraceContext,
    kind: SpanKind,
    start: Duration,
    took: Duration,
) -> Span {
    let start = record.began_at + start;
    Span {
        trace_id: place.trace.0.to_vec(),
        span_id: place.span.0.to_vec(),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(start),
        end_time_unix_nano: nanoseconds(start + took),
        ..Span::default()
    }
}

/// What the conventions call the error of a tool that answered with one; the code is in `toolbridge.outcome`.
fn error_type(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::Ok => None,
        Ending::Failed(_) => Some("tool_error"),
        Ending::Cancelled => Some("cancelled"),
    }
}

fn status(ending: Ending) -> Option<Status> {
    let failed = |code: &str| Status {
        code: StatusCode::Error.into(),
        message: code.to_owned(),
    };
    error_type(ending).map(|_| failed(ending.as_str()))
}

/// A date, as revisions of MCP are; the rest would be a client's own text.
fn is_revision(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|it| it.is_ascii_digit() || it == b'-')
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn number(key: &str, value: impl Into<i64>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(value.into())),
        }),
        ..KeyValue::default()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
