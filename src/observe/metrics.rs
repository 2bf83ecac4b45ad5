//! What is counted, in the text format of Prometheus 0.0.4. In: ended calls, answered requests, look-ups; at a scrape, how
//! everything stands ([`Standing`]). Out: text. Labels come from the catalogue and from our own words, and each family
//! has a bound, so that no caller can make it grow. Names follow the MCP semantic conventions of OpenTelemetry where
//! there are any, written as Prometheus writes them.

mod labels;
pub mod standing;

use std::{collections::HashSet, time::Duration};

use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
    core::{Collector, Metric, MetricVec, MetricVecBuilder},
};

use super::record::{CallRecord, Ending};
use super::trail::HopName;

pub use standing::{JwksAge, Standing};

use labels::Labels;

/// The buckets that the conventions advise, and finer ones below, because a call here takes a millisecond.
const OPERATION_SECONDS: [f64; 17] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0,
    300.0,
];
const HOP_SECONDS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

const OPERATION: [&str; 3] = ["mcp_method_name", "gen_ai_tool_name", "error_type"];

/// How a look-up of memberships at `WorkOS` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// With memberships, or none.
    Ok,
    /// `WorkOS` refused it: a wrong key, a limit, an unknown person.
    Refused,
    /// There was no answer that could be used.
    Failed,
}

impl LookUp {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// All families.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    operations: HistogramVec,
    calls: IntCounterVec,
    running: IntGauge,
    streams: IntGauge,
    hops: [Histogram; HopName::ALL.len()],
    sessions: [IntCounter; SESSIONS.len()],
    retries: IntCounter,
    answers: [IntCounter; CLASSES.len()],
    repeated: IntCounter,
    http: IntCounterVec,
    http_ok: IntCounter,
    auth_failures: IntCounterVec,
    look_ups: HistogramVec,
    spans: SpanCounts,
    standing: standing::Families,
    tools: Labels,
}

/// An open stream.
#[derive(Debug)]
pub struct OpenStream(IntGauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What became of the spans that were made; all clones count together.
#[derive(Clone, Debug)]
pub struct SpanCounts(IntCounterVec);

impl SpanCounts {
    /// A collector took so many.
    pub fn exported(&self, spans: u64) {
        self.0.with_label_values(&["exported"]).inc_by(spans);
    }

    /// So many were given up.
    pub fn dropped(&self, spans: u64) {
        self.0.with_label_values(&["dropped"]).inc_by(spans);
    }
}

impl Default for Metrics {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are literals of this file; a test makes every one of them"
    )]
    fn default() -> Self {
        Self::new().expect("the families have valid names, each once")
    }
}

impl Metrics {
    #[expect(
        clippy::too_many_lines,
        reason = "a table of families, and nothing else"
    )]
    fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let http = counters(
            &registry,
            "toolbridge_http_requests_total",
            "Answers on the public port by status.",
            &["status"],
        )?;
        let metrics = Self {
            operations: histograms(
                &registry,
                "mcp_server_operation_duration_seconds",
                "MCP requests, from arrival to their answer (semantic convention mcp.server.operation.duration).",
                &OPERATION,
                &OPERATION_SECONDS,
            )?,
            calls: counters(
                &registry,
                "toolbridge_calls_total",
                "Tool calls by how they ended: ok, a code of the error, or CANCELLED.",
                &["tool", "code"],
            )?,
            running: kept(
                &registry,
                IntGauge::new("toolbridge_calls_running", "Tool calls under way."),
            )?,
            streams: kept(
                &registry,
                IntGauge::new(
                    "toolbridge_open_streams",
                    "Answers under way that are streams.",
                ),
            )?,
            hops: each(
                &histograms(
                    &registry,
                    "toolbridge_hop_duration_seconds",
                    "Parts of a call: verify, limit, tenant, queue, session, request, pause, present.",
                    &["hop"],
                    &HOP_SECONDS,
                )?,
                HopName::ALL.map(HopName::as_str),
            ),
            sessions: each(
                &counters(
                    &registry,
                    "toolbridge_backend_sessions_total",
                    "Backend sessions: opened, reused, refused.",
                    &["result"],
                )?,
                SESSIONS,
            ),
            retries: kept(
                &registry,
                IntCounter::new("toolbridge_backend_retries_total", "Tries after the first."),
            )?,
            answers: each(
                &counters(
                    &registry,
                    "toolbridge_backend_responses_total",
                    "Answers of the backend by class of status; none: it did not answer.",
                    &["class"],
                )?,
                CLASSES,
            ),
            repeated: kept(
                &registry,
                IntCounter::new(
                    "toolbridge_writes_repeated_total",
                    "Writes that had been begun before, so that nothing was sent again.",
                ),
            )?,
            http_ok: http.with_label_values(&["200"]),
            http,
            auth_failures: counters(
                &registry,
                "toolbridge_auth_failures_total",
                "Requests refused for their token, by reason.",
                &["reason"],
            )?,
            look_ups: histograms(
                &registry,
                "toolbridge_workos_request_duration_seconds",
                "Look-ups of memberships at WorkOS.",
                &["result"],
                &OPERATION_SECONDS,
            )?,
            spans: SpanCounts(counters(
                &registry,
                "toolbridge_spans_total",
                "Spans by whether a collector took them: exported, dropped.",
                &["result"],
            )?),
            standing: standing::Families::new(&registry)?,
            tools: Labels::default(),
            registry,
        };
        metrics.begin();
        Ok(metrics)
    }

    /// Families whose labels are known are there from the start, so that a rate sees their first sample.
    fn begin(&self) {
        self.spans.exported(0);
        self.spans.dropped(0);
        for status in ["202", "401", "403", "429", "503"] {
            let _there = self.http.with_label_values(&[status]);
        }
        let failed = ["missing", "expired", "bad_signature", "keys_unavailable"];
        for reason in failed {
            let _there = self.auth_failures.with_label_values(&[reason]);
        }
    }

    /// A call has begun.
    pub fn call_began(&self) {
        self.running.inc();
    }

    /// A call that had begun has ended.
    pub fn call_ended(&self, record: &CallRecord) {
        self.running.dec();
        let code = record.ending.as_str();
        let (counted, timed) = self.tools.labels(&record.tool);
        self.calls.with_label_values(&[counted, code]).inc();
        let error = match record.ending {
            Ending::Ok => "",
            Ending::Failed(_) => "tool_error",
            Ending::Cancelled => "cancelled",
        };
        self.operation("tools/call", timed, error, record.took);
        for hop in &record.marks.hops {
            // `HopName::ALL` has them in the order of their declaration.
            if let Some(hops) = self.hops.get(hop.name as usize) {
                hops.observe(hop.took.as_secs_f64());
            }
        }
        let marks = &record.marks;
        let sessions = [marks.opened, marks.reused, marks.refused];
        for (counter, count) in self.sessions.iter().zip(sessions) {
            counter.inc_by(u64::from(count));
        }
        for (counter, count) in self.answers.iter().zip(marks.answers) {
            counter.inc_by(u64::from(count));
        }
        self.retries.inc_by(u64::from(marks.retries));
        self.repeated.inc_by(u64::from(record.is_repeated));
    }

    /// A request for a tool that the catalogue does not have was refused.
    pub fn unknown_tool(&self, took: Duration) {
        self.operation("tools/call", "", "-32602", took);
    }

    /// A request of this method, which is one of ours and no call, was answered.
    pub fn answered(&self, method: &'static str, took: Duration) {
        self.operation(method, "", "", took);
    }

    /// A stream is open until what is returned is dropped.
    #[must_use]
    pub fn stream(&self) -> OpenStream {
        self.streams.inc();
        OpenStream(self.streams.clone())
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> i64 {
        self.streams.get()
    }

    /// The public port answered with this status.
    pub fn http(&self, status: u16) {
        if status == 200 {
            return self.http_ok.inc();
        }
        let mut text = String::with_capacity(3);
        let _infallible = std::fmt::Write::write_fmt(&mut text, format_args!("{status}"));
        self.http.with_label_values(&[text.as_str()]).inc();
    }

    /// A token was refused for this reason, which is a word of ours.
    pub fn auth_failed(&self, reason: &'static str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// `WorkOS` was asked.
    pub fn looked_up(&self, how: LookUp, took: Duration) {
        let look_ups = self.look_ups.with_label_values(&[how.as_str()]);
        look_ups.observe(took.as_secs_f64());
    }

    /// Counts what becomes of spans.
    #[must_use]
    pub fn spans(&self) -> SpanCounts {
        self.spans.clone()
    }

    /// Calls that ended well, and all others.
    #[must_use]
    pub fn ended(&self) -> (u64, u64) {
        let mut ended = (0, 0);
        for family in self.calls.collect() {
            for metric in family.get_metric() {
                let is_ok = metric.get_label().iter().any(|it| it.value() == "ok");
                let count = metric.get_counter().get_value();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count of calls, which was an integer before"
                )]
                let count = count as u64;
                *(if is_ok { &mut ended.0 } else { &mut ended.1 }) += count;
            }
        }
        ended
    }

    /// Calls under way.
    #[must_use]
    pub fn running(&self) -> i64 {
        self.running.get()
    }

    /// Everything, as Prometheus reads it.
    ///
    /// # Errors
    /// None that is known: the encoder's.
    pub fn text(
        &self,
        standing: &Standing,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        self.forget_tools(&standing.tools);
        let _one_at_a_time = self.standing.set(standing);
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    fn operation(&self, method: &str, tool: &str, error: &str, took: Duration) {
        let operations = self.operations.with_label_values(&[method, tool, error]);
        operations.observe(took.as_secs_f64());
    }

    /// Tools that the catalogue has no longer leave their labels free.
    fn forget_tools(&self, named: &HashSet<String>) {
        let gone = self.tools.keep(named);
        forget(&self.calls, "tool", &gone);
        forget(&self.operations, "gen_ai_tool_name", &gone);
    }
}

/// How a session was come by.
const SESSIONS: [&str; 3] = ["opened", "reused", "refused"];

/// By the first digit of a status; 0 where there was none.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Takes the series of these tools out of the family.
fn forget<T: MetricVecBuilder>(family: &MetricVec<T>, label: &str, tools: &[String])
where
    MetricVec<T>: Collector,
    T::M: Metric,
{
    if tools.is_empty() {
        return;
    }
    for metrics in family.collect() {
        for metric in metrics.get_metric() {
            let labels: std::collections::HashMap<_, _> = metric
                .get_label()
                .iter()
                .map(|pair| (pair.name(), pair.value()))
                .collect();
            let is_gone = labels
                .get(label)
                .is_some_and(|tool| tools.iter().any(|gone| gone == tool));
            if is_gone {
                let _was_there = family.remove(&labels);
            }
        }
    }
}

/// The metrics of a family whose words are few and known, there from the start and looked for once.
fn each<T: MetricVecBuilder, const N: usize>(family: &MetricVec<T>, words: [&str; N]) -> [T::M; N] {
    words.map(|word| family.with_label_values(&[word]))
}

/// Entered in the registry.
fn kept<C: Collector + Clone + 'static>(
    registry: &Registry,
    family: Result<C, Error>,
) -> Result<C, Error> {
    let family = family?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, Error> {
    kept(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    kept(registry, HistogramVec::new(options, labels))
}
