//! The task that sends spans, from the start to the end of the process. In: what `observe` made, if anything. Out: nothing; at
//! the end what is left is sent, and nobody waits long for that.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::FLUSH;
use crate::observe::Exporter;

/// A collector that hangs holds up the end of the process no longer than this.
const LONGEST: Duration = Duration::from_secs(5);

/// Spans on their way.
pub(super) struct Sending {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Sending {
    pub(super) fn begin(exporter: Option<Exporter>) -> Self {
        let stop = CancellationToken::new();
        let task = exporter.map(|exporter| tokio::spawn(exporter.run(stop.clone())));
        Self { stop, task }
    }

    /// Sends what is left, in what is left of the grace.
    pub(super) async fn end(self, left: Duration) {
        self.stop.cancel();
        let Some(mut task) = self.task else { return };
        if timeout(left.clamp(FLUSH, LONGEST), &mut task)
            .await
            .is_err()
        {
            task.abort();
        }
    }
}
