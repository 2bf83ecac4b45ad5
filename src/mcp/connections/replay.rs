//! The events of one answer, kept while they may be asked for again: a client that lost the stream comes back with the
//! id of the last event it saw (`Last-Event-ID`, 2025-03-26 to 2025-11-25). In: messages, once each. Out: events, from
//! any place on, as often as somebody asks. An event's id tells the stream, the place and the request, so that even a
//! process that never saw the stream can end the client's wait with an error instead of an empty success.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use rmcp::model::{RequestId, ServerJsonRpcMessage};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{events, id::ConnectionKey};
use crate::delivery::Delivery;

/// What the request was.
const CALL: &str = "c";
const OTHER: &str = "r";

/// An answer has so many events at most that are kept: older progress is of no use to who comes back.
const KEPT_EVENTS: usize = 64;

/// One answer.
pub(super) struct Replay {
    pub(super) connection: ConnectionKey,
    /// Nobody can guess it, and it is no secret.
    pub(super) name: String,
    request: Asked,
    /// The way on which it left first.
    delivery: Option<Delivery>,
    events: Mutex<Events>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Events {
    /// With the place of each.
    kept: VecDeque<(u64, Bytes)>,
    next: u64,
    ended: Option<Instant>,
}

/// The request that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    /// Whether it calls a tool: its failures are results then (protocol page B.5).
    pub(super) is_call: bool,
}

/// Where in which answer a client stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) seen: u64,
    pub(super) request: Asked,
}

/// The place of who has been told that there is no answer.
const END: u64 = u64::MAX;

impl Replay {
    pub(super) fn new(
        connection: ConnectionKey,
        request: Asked,
        delivery: Option<Delivery>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            name: Uuid::new_v4().simple().to_string(),
            request,
            delivery,
            events: Mutex::default(),
            changed: watch::Sender::new(()),
        })
    }

    /// An event without a message, whose id a client can come back with.
    pub(super) fn prime(&self) {
        self.push(events::priming, false);
    }

    pub(super) fn add(&self, message: &ServerJsonRpcMessage) {
        self.push(|id| events::message(Some(id), message), false);
    }

    /// The message after which nothing more is coming: whoever reads it finds the end too.
    pub(super) fn add_last(&self, message: &ServerJsonRpcMessage) {
        self.push(|id| events::message(Some(id), message), true);
    }

    /// The same where it is written already.
    pub(super) fn add_written(&self, message: &[u8]) {
        self.push(|id| events::written(Some(id), message), true);
    }

    /// It leaves on this way too.
    pub(super) fn leaves_again_over(&self, way: Option<&Delivery>) {
        if let (Some(first), Some(way)) = (&self.delivery, way) {
            first.again_over(way);
        }
    }

    /// Nothing more is coming.
    pub(super) fn end(&self) {
        self.events().ended = Some(Instant::now());
        self.changed.send_replace(());
    }

    /// Since when nothing more is coming.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.events().ended
    }

    /// The bytes of what is kept.
    pub(super) fn size(&self) -> usize {
        self.events()
            .kept
            .iter()
            .map(|(_, event)| event.len())
            .sum()
    }

    /// Whether who stands there has seen everything that will ever come.
    pub(super) fn is_over(&self, seen: u64) -> bool {
        let events = self.events();
        events.ended.is_some() && seen >= events.next
    }

    /// The next event after this place, when there is one; `None` when nothing more is coming.
    pub(super) async fn after(&self, seen: u64) -> Option<(u64, Bytes)> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let events = self.events();
                let mut kept = events.kept.iter();
                if let Some((place, event)) = kept.find(|(place, _)| *place > seen) {
                    return Some((*place, event.clone()));
                }
                if events.ended.is_some() {
                    return None;
                }
            }
            // The sender is a field of ours, so it is never gone.
            let _ = changed.changed().await;
        }
    }

    fn push(&self, written: impl FnOnce(&str) -> Bytes, is_last: bool) {
        let mut events = self.events();
        // Places begin at 1, so that 0 is "nothing seen".
        events.next += 1;
        let place = events.next;
        let id = Place {
            name: self.name.clone(),
            seen: place,
            request: self.request.clone(),
        };
        if events.kept.len() >= KEPT_EVENTS {
            events.kept.pop_front();
        }
        events.kept.push_back((place, written(&id.written())));
        if is_last {
            events.ended = Some(Instant::now());
        }
        drop(events);
        self.changed.send_replace(());
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        // Every change leaves the events whole, so a panic elsewhere does not spoil them.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The place after the last event of an answer that is known no more.
    pub(super) fn end(&self) -> String {
        let end = Self {
            name: self.name.clone(),
            seen: END,
            request: self.request.clone(),
        };
        end.written()
    }

    pub(super) fn is_end(&self) -> bool {
        self.seen == END
    }

    /// As the id of an event.
    fn written(&self) -> String {
        let kind = if self.request.is_call { CALL } else { OTHER };
        let id = self.request.id.clone().into_json_value().to_string();
        let id = URL_SAFE_NO_PAD.encode(id);
        format!("{}.{}.{kind}.{id}", self.name, self.seen)
    }

    /// What a client names; `None` where that is no event id of ours.
    pub(super) fn read(id: &str) -> Option<Self> {
        let mut parts = id.split('.');
        let (name, seen) = (parts.next()?, parts.next()?);
        let (kind, id) = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let id = URL_SAFE_NO_PAD.decode(id).ok()?;
        let request = Asked {
            id: serde_json::from_slice(&id).ok()?,
            is_call: match kind {
                CALL => true,
                OTHER => false,
                _ => return None,
            },
        };
        Some(Self {
            name: name.to_owned(),
            seen: seen.parse().ok()?,
            request,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_tells_where_a_client_stands() {
        for (id, is_call) in [
            (RequestId::Number(7), true),
            (RequestId::String("a.b\n\"c".into()), false),
            (RequestId::Number(-1), true),
        ] {
            let place = Place {
                name: "stream".to_owned(),
                seen: 3,
                request: Asked { id, is_call },
            };
            assert!(Place::read(&place.end()).is_some_and(|end| end.is_end()));
            let written = place.written();
            assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(Place::read(&written), Some(place));
        }
        for id in [
            "",
            "0",
            "a.b",
            "a.b.c",
            "a.1.c.!",
            "a.1.c.bnVsbA",
            "a.1.x.MQ",
            "a.1.c.MQ.x",
        ] {
            assert_eq!(Place::read(id), None, "{id}");
        }
    }
}
