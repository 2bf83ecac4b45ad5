//! Telling clients that the tool list has changed: on `subscriptions/listen` (2026-07-28), and to the peer of a connection
//! of the older revisions that rmcp serves as a whole. In: the changes since the stream or connection began. Out:
//! notifications, one for any number of changes that a slow client missed. A stream ends when its token does.

use std::time::Duration;

use rmcp::{
    RoleServer,
    service::{Peer, SubscriptionContext},
};
use tokio::{sync::watch, time::sleep};

use super::Calls;
use crate::auth::Caller;

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
            if left(caller, calls.now()).is_zero() {
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
        () = sleep(left(caller, calls.now())) => {}
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

/// How long the caller's token is still good. The longest sleep there is stands for "forever".
fn left(caller: &Caller, now: Duration) -> Duration {
    Duration::from_secs(caller.expires_at()).saturating_sub(now)
}
