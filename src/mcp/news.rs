//! Telling clients that the tool list has changed: on `subscriptions/listen` (2026-07-28), and to the peer of a connection
//! of the older revisions that rmcp serves as a whole. In: the changes since the stream or connection began. Out:
//! notifications, one for any number of changes that a slow client missed. A stream ends when its token does.

use std::{sync::Arc, time::Duration};

use rmcp::{
    RoleServer,
    model::SubscriptionFilter,
    service::{Peer, SubscriptionContext},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::Calls;
use crate::auth::Caller;

/// A timer that far away never fires.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The changes since it was made, for a stream that is held without rmcp.
pub struct News {
    calls: Arc<Calls>,
    changes: watch::Receiver<u64>,
    /// Whether its client wants to hear of them.
    is_wanted: bool,
    /// When the caller's token ends: by the Unix time, and by our timers.
    expires_at: u64,
    ends: Instant,
}

impl News {
    pub(super) fn of(calls: &Arc<Calls>, caller: &Caller, wish: &SubscriptionFilter) -> Self {
        let changes = calls.changes();
        let accepted = wish.supported_by(&calls.published().description.capabilities);
        Self {
            changes,
            is_wanted: accepted.tools_list_changed == Some(true),
            expires_at: caller.expires_at(),
            ends: Instant::now() + left(caller.expires_at(), calls.now()).min(NEVER),
            calls: Arc::clone(calls),
        }
    }

    /// When it is over at the latest.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Returns when there is something to tell; `false`: it is over.
    pub(super) async fn come(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.calls.leaving().cancelled() => false,
            changed = self.changes.changed(), if self.is_wanted => {
                // A machine that slept does not notice by its timers how late it is.
                changed.is_ok() && !left(self.expires_at, self.calls.now()).is_zero()
            }
        }
    }
}

/// Tells one stream until its client goes away, its token expires or the sidecar stops. Returning says goodbye: rmcp
/// then sends the final result.
pub(super) async fn tell_stream(
    calls: &Calls,
    changes: watch::Receiver<u64>,
    caller: &Caller,
    stream: &SubscriptionContext,
) {
    let telling = async {
        if stream.accepted().tools_list_changed != Some(true) {
            std::future::pending::<()>().await;
        }
        tell(changes, || async {
            // A machine that slept does not notice by its timers how late it is.
            if left(caller.expires_at(), calls.now()).is_zero() {
                return Err(());
            }
            let told = stream.sink().notify_tool_list_changed().await;
            told.map_err(drop)
        })
        .await;
    };
    tokio::select! {
        () = stream.cancelled() => {}
        () = calls.leaving().cancelled() => {}
        () = sleep(left(caller.expires_at(), calls.now())) => {}
        () = telling => {}
    }
}

/// Tells one peer until it is gone.
pub(super) async fn tell_peer(changes: watch::Receiver<u64>, peer: Peer<RoleServer>) {
    tell(changes, || peer.notify_tool_list_changed()).await;
}

/// Ends when nobody can be told any more, or nothing will change any more.
async fn tell<F, E>(mut changes: watch::Receiver<u64>, notify: impl Fn() -> F)
where
    F: Future<Output = Result<(), E>>,
{
    while changes.changed().await.is_ok() {
        if notify().await.is_err() {
            return;
        }
    }
}

/// How long a token is still good. The longest sleep there is stands for "forever".
fn left(expires_at: u64, now: Duration) -> Duration {
    Duration::from_secs(expires_at).saturating_sub(now)
}
