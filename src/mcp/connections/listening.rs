//! The stream of a connection that answers no request (GET): here it tells that the tool list has changed. In: the
//! fingerprint of the list, as it changes. Out: events. Their ids carry the fingerprint, so that who comes back, to this
//! process or to the next one, learns at once of a change in between.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Connection, Connections, events, knows_priming, live::OpenStream};
use crate::{
    auth::Caller,
    mcp::{
        HandlesMcp,
        response::{self, Answer, INVALID_REQUEST},
    },
};

/// What the ids of these events begin with.
const LIST: &str = "list-";

/// A timer that far away never fires.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The fingerprint in an event id of such a stream.
pub(super) fn list_of(event_id: &str) -> Option<u64> {
    u64::from_str_radix(event_id.strip_prefix(LIST)?, 16).ok()
}

/// Which tool list there is, and when it changes.
#[derive(Clone)]
pub struct Lists {
    /// Signals each replacement.
    pub changes: watch::Receiver<u64>,
    /// The same for the same list in every process.
    pub fingerprint: Arc<dyn Fn() -> u64 + Send + Sync>,
}

struct Listening {
    open: OpenStream,
    lists: Lists,
    /// What the client has been told.
    told: u64,
    /// To be sent before anything else.
    first: Option<Bytes>,
    /// When its token ends, and the stream with it.
    ends: Instant,
    ending: CancellationToken,
}

impl<H: HandlesMcp> Connections<H> {
    /// Opens the stream; `seen` is the list that the client was told of last.
    pub(super) fn listen(
        &self,
        connection: &Connection,
        caller: &Caller,
        seen: Option<u64>,
    ) -> Answer {
        let open = match self.live.opens(Some(connection.key), caller) {
            Ok(open) => open,
            Err(too_many) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                return response::refusal(status, INVALID_REQUEST, &too_many.to_string());
            }
        };
        let lists = self.lists.clone();
        let list = (lists.fingerprint)();
        // Made by a process before this one, which may have had another list.
        let is_older = connection.since.as_secs() < self.began.as_secs();
        let told = match seen {
            Some(seen) => seen,
            None if is_older => !list,
            None => list,
        };
        let left = Duration::from_secs(caller.expires_at()).saturating_sub((self.now)());
        let listening = Listening {
            open,
            lists,
            told,
            first: knows_priming(connection).then(|| events::priming(&id_of(told))),
            ends: Instant::now() + left.min(NEVER),
            ending: self.streams.clone(),
        };
        events::response(stream::unfold(listening, Listening::next))
    }
}

impl Listening {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(first) = self.first.take() {
            return Some((first, self));
        }
        loop {
            self.lists.changes.borrow_and_update();
            let list = (self.lists.fingerprint)();
            if list != self.told {
                self.told = list;
                if self.open.is_newest() {
                    let changed = json!({
                        "jsonrpc": "2.0",
                        "method": "notifications/tools/list_changed",
                    });
                    let event = events::message(Some(&id_of(list)), &changed);
                    return Some((event, self));
                }
            }
            tokio::select! {
                changed = self.lists.changes.changed() => {
                    // Whoever changes lists is gone: so is the process, soon.
                    changed.ok()?;
                }
                () = sleep(events::SIGN_OF_LIFE) => return Some((events::ALIVE, self)),
                () = sleep_until(self.ends) => return None,
                () = self.open.end.cancelled() => return None,
                () = self.ending.cancelled() => return None,
            }
        }
    }
}

fn id_of(list: u64) -> String {
    format!("{LIST}{list:016x}")
}
