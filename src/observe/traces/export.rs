//! The task that sends spans: gathers the calls that have ended for a moment, sends them as one batch, tries again for a
//! while where that may help. In: records. Out: requests to the collector, counts, and one line in the log when the
//! collector goes away and one when it is back.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{metrics::SpanCounts, record::CallRecord},
    link::{ExportError, Link},
    spans,
};

/// Calls in one batch.
const MOST_AT_ONCE: usize = 256;
/// A call's spans wait so long for others to go with them.
const GATHERING: Duration = Duration::from_secs(1);
/// Before each further try of a batch.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Sends what calls leave in [`super::Traces`].
#[derive(Debug)]
pub struct Exporter {
    link: Link,
    waiting: mpsc::Receiver<Arc<CallRecord>>,
    counts: SpanCounts,
    resource: spans::Process,
    collector: Collector,
}

/// How the collector was the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collector {
    There,
    Away,
}

impl Exporter {
    pub(super) fn new(
        link: Link,
        waiting: mpsc::Receiver<Arc<CallRecord>>,
        counts: SpanCounts,
    ) -> Self {
        Self {
            link,
            waiting,
            counts,
            resource: spans::Process::new(),
            collector: Collector::There,
        }
    }

    /// Sends until `stop`, and then what is left, each batch tried once.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let batch = self.gather(&stop).await;
            if batch.is_empty() {
                return;
            }
            self.deliver(&batch, &stop).await;
        }
    }

    /// The next batch; empty where nothing is left after `stop`.
    async fn gather(&mut self, stop: &CancellationToken) -> Vec<Arc<CallRecord>> {
        let mut batch = Vec::new();
        let first = tokio::select! {
            biased;
            first = self.waiting.recv() => first,
            () = stop.cancelled() => None,
        };
        batch.extend(first);
        let end = Instant::now() + GATHERING;
        while !batch.is_empty() && batch.len() < MOST_AT_ONCE {
            let next = tokio::select! {
                biased;
                next = self.waiting.recv() => next,
                () = stop.cancelled() => None,
                () = sleep_until(end) => None,
            };
            let Some(next) = next else { break };
            batch.push(next);
        }
        batch
    }

    async fn deliver(&mut self, batch: &[Arc<CallRecord>], stop: &CancellationToken) {
        let message = self.resource.message(batch);
        let made = batch.iter().map(|record| spans::count(record)).sum();
        let mut pauses = PAUSES.into_iter();
        loop {
            let is_last = stop.is_cancelled();
            let why = match self.link.send(&message).await {
                Ok(refused) => {
                    let refused = refused.min(made);
                    self.counts.exported(made - refused);
                    self.counts.dropped(refused);
                    self.is_there();
                    return;
                }
                Err(why) => why,
            };
            self.is_away(why);
            let pause = pauses.next().filter(|_| why.may_pass() && !is_last);
            let Some(pause) = pause else {
                self.counts.dropped(made);
                return;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn is_away(&mut self, error: ExportError) {
        if self.collector == Collector::There {
            self.collector = Collector::Away;
            tracing::warn!(
                %error,
                "the collector takes no spans, calls go on without: check `traces.*` and the collector"
            );
        }
    }

    fn is_there(&mut self) {
        if self.collector == Collector::Away {
            self.collector = Collector::There;
            tracing::info!("the collector takes spans again");
        }
    }
}
