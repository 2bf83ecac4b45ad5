//! Spans of calls for a collector, by OTLP. In: where a call stands in its trace when it begins, and its record when it has
//! ended. Out: batches of spans, sent by a task beside the calls. A call never waits here: where the queue is full its
//! spans are dropped, and counted.

mod export;
mod link;
mod spans;

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::mpsc;
use url::Url;

use super::{
    metrics::SpanCounts,
    record::CallRecord,
    traceparent::{SpanId, TraceContext, TraceId},
};

pub use export::Exporter;

/// Calls whose spans wait for their turn.
const MOST_WAITING: usize = 2_048;

/// Where spans go, and of which calls.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector.
    pub endpoint: Url,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// What each request to it carries, such as a key; marked as sensitive.
    pub headers: HeaderMap,
    /// Of which calls.
    pub sampling: Sampling,
}

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

/// Of which calls spans are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of so many among all traces, 0 to 1.
    pub ratio: f64,
    /// Whose word counts.
    pub parent: ParentFlag,
}

/// What the sampled flag of a client's trace context is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentFlag {
    /// Nothing: anybody can set it.
    Ignored,
    /// It decides, because a proxy of ours sets it.
    Trusted,
}

impl Sampling {
    /// Whether spans are made. Every process decides alike for the same trace.
    fn takes(self, trace: TraceId, parent: Option<TraceContext>) -> bool {
        if let (ParentFlag::Trusted, Some(parent)) = (self.parent, parent) {
            return parent.is_sampled;
        }
        let [.., a, b, c, d] = trace.0;
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.ratio * (f64::from(u32::MAX) + 1.0)
    }
}

/// Where calls leave their spans.
#[derive(Debug)]
pub struct Traces {
    sampling: Sampling,
    queue: mpsc::Sender<Arc<CallRecord>>,
    counts: SpanCounts,
}

impl Traces {
    /// And the task's part, which sends what is left here.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(
        settings: &TraceSettings,
        counts: SpanCounts,
    ) -> Result<(Self, Exporter), reqwest::Error> {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let link = link::Link::new(settings)?;
        let exporter = Exporter::new(link, waiting, counts.clone());
        let traces = Self {
            sampling: settings.sampling,
            queue,
            counts,
        };
        Ok((traces, exporter))
    }

    /// The span of a call that begins: in the trace of its parent, or in a new one.
    #[must_use]
    pub fn begin(&self, parent: Option<TraceContext>) -> TraceContext {
        let trace = parent.map_or_else(TraceId::random, |parent| parent.trace);
        TraceContext {
            trace,
            span: SpanId::random(),
            is_sampled: self.sampling.takes(trace, parent),
        }
    }

    /// That call has ended.
    pub(super) fn call_ended(&self, record: &Arc<CallRecord>) {
        if record.trace.is_some_and(|trace| trace.is_sampled)
            && self.queue.try_send(Arc::clone(record)).is_err()
        {
            self.counts.dropped(spans::count(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{metrics::Standing, record::Ending, trail::Marks},
        *,
    };

    fn parent(is_sampled: bool) -> Option<TraceContext> {
        Some(TraceContext {
            trace: TraceId([0xff; 16]),
            span: SpanId([1; 8]),
            is_sampled,
        })
    }

    fn share(sampling: Sampling) -> usize {
        let traces = (0..1_000).map(|_| TraceId::random());
        traces.filter(|trace| sampling.takes(*trace, None)).count()
    }

    #[tokio::test]
    async fn a_queue_that_nobody_empties_stays_bounded_and_what_is_lost_is_counted() {
        let metrics = crate::observe::Metrics::default();
        let settings = TraceSettings {
            endpoint: Url::parse("http://127.0.0.1:1").unwrap(),
            protocol: Protocol::Http,
            headers: HeaderMap::new(),
            sampling: Sampling {
                ratio: 1.0,
                parent: ParentFlag::Ignored,
            },
        };
        let (traces, _exporter) = Traces::new(&settings, metrics.spans()).unwrap();
        let record = |trace| {
            Arc::new(CallRecord {
                tool: "list_notes".to_owned(),
                alias: None,
                is_write: false,
                caller: None,
                tenant: None,
                correlation: String::new(),
                trace,
                parent: None,
                client: None,
                protocol: None,
                began_at: Duration::ZERO,
                took: Duration::ZERO,
                marks: Marks::default(),
                ending: Ending::Ok,
                is_repeated: false,
                cause: None,
            })
        };
        let sampled = record(Some(traces.begin(None)));
        for _ in 0..MOST_WAITING + 3 {
            traces.call_ended(&sampled);
            traces.call_ended(&record(parent(false)));
            traces.call_ended(&record(None));
        }
        let text = metrics.text(&Standing::default()).unwrap();
        let line = "toolbridge_spans_total{result=\"dropped\"} 3\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_ratio_takes_its_share_and_the_same_traces_each_time() {
        let with = |ratio| Sampling {
            ratio,
            parent: ParentFlag::Ignored,
        };
        assert_eq!(share(with(0.0)), 0);
        assert_eq!(share(with(1.0)), 1_000);
        let half = share(with(0.5));
        assert!((300..700).contains(&half), "{half}");
        let trace = TraceId::random();
        let taken = [0; 10].map(|_| with(0.5).takes(trace, None));
        assert!(taken.iter().all(|it| *it == taken[0]));
    }

    #[test]
    fn a_clients_flag_decides_only_where_it_is_trusted() {
        let with = |ratio, parent| Sampling { ratio, parent };
        for flag in [true, false] {
            let parent = parent(flag);
            let trace = parent.unwrap().trace;
            assert!(with(1.0, ParentFlag::Ignored).takes(trace, parent));
            assert!(!with(0.0, ParentFlag::Ignored).takes(trace, parent));
            assert_eq!(with(1.0, ParentFlag::Trusted).takes(trace, parent), flag);
            assert_eq!(with(0.0, ParentFlag::Trusted).takes(trace, parent), flag);
        }
    }
}
