//! The open connections of `/sse`, by their ids: whose each is, and how long it may last. Another person's id is as
//! unknown as an invented one. A place is held until the client's stream is gone, so that no stalled client has two.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::Caller,
    mcp::{pipe::Pipe, sse::SseLimits},
};

/// The connections and how many there may be.
pub(super) struct Table {
    limits: SseLimits,
    open: Mutex<HashMap<String, Arc<Connection>>>,
}

/// An open connection.
pub(super) struct Connection {
    pub(super) pipe: Pipe,
    pub(super) ended: CancellationToken,
    issuer: String,
    subject: String,
    life: Mutex<Life>,
}

#[derive(Clone, Copy)]
struct Life {
    last_used: Instant,
    /// When the person's newest token ends; `None`: never.
    expires: Option<Instant>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error(
        "you have too many connections open here: close some, or ask the operator for more (connections.max_per_person)"
    )]
    OfPerson,
    #[error(
        "this server has too many connections open: try again later, or ask the operator for more (connections.max)"
    )]
    InAll,
}

/// A place in the table, free again when this is dropped; the connection ends then too.
pub(super) struct Place {
    table: Arc<Table>,
    pub(super) id: String,
    pub(super) connection: Arc<Connection>,
}

impl Connection {
    /// `token_left`: how long the caller's token is still good.
    pub(super) fn new(
        pipe: Pipe,
        ended: CancellationToken,
        caller: &Caller,
        token_left: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            pipe,
            ended,
            issuer: caller.issuer().to_owned(),
            subject: caller.subject().to_owned(),
            life: Mutex::new(Life {
                last_used: now,
                expires: now.checked_add(token_left),
            }),
        }
    }

    fn is_of(&self, caller: &Caller) -> bool {
        self.issuer == caller.issuer() && self.subject == caller.subject()
    }

    /// The client sent something, with a token that is good for so long: a newer one lets the stream last longer.
    pub(super) fn used(&self, token_left: Duration) {
        let now = Instant::now();
        let mut life = self.life();
        life.last_used = now;
        life.expires = match (life.expires, now.checked_add(token_left)) {
            (Some(old), Some(new)) => Some(old.max(new)),
            (None, _) | (_, None) => None,
        };
    }

    /// The client was sent something.
    pub(super) fn answered(&self) {
        self.life().last_used = Instant::now();
    }

    /// Ends the connection when it has been silent for `idle`, or when its person's last token ends.
    pub(super) async fn watch(self: Arc<Self>, idle: Duration) {
        loop {
            let life = *self.life();
            let silent = life.last_used.checked_add(idle);
            let Some(end) = silent.into_iter().chain(life.expires).min() else {
                return self.ended.cancelled().await;
            };
            if Instant::now() >= end {
                self.ended.cancel();
                return;
            }
            tokio::select! {
                () = sleep_until(end) => {}
                () = self.ended.cancelled() => return,
            }
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    pub(super) fn new(limits: SseLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            open: Mutex::default(),
        })
    }

    /// A place for a new connection of this person, if there is one.
    pub(super) fn enter(
        self: &Arc<Self>,
        caller: &Caller,
        connect: impl FnOnce() -> Connection,
    ) -> Result<Place, Full> {
        let mut open = self.open();
        if open.values().filter(|it| it.is_of(caller)).count() >= self.limits.most_per_person {
            return Err(Full::OfPerson);
        }
        if open.len() >= self.limits.most {
            return Err(Full::InAll);
        }
        // Two random UUIDs: whoever has seen many ids cannot guess another.
        let [one, other] = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        let id = hex::encode([one, other].concat());
        let connection = Arc::new(connect());
        open.insert(id.clone(), Arc::clone(&connection));
        tokio::spawn(Arc::clone(&connection).watch(self.limits.idle));
        Ok(Place {
            table: Arc::clone(self),
            id,
            connection,
        })
    }

    /// The connection with this id, if it is this person's and has not ended.
    pub(super) fn of(&self, id: &str, caller: &Caller) -> Option<Arc<Connection>> {
        let open = self.open();
        let found = open.get(id).filter(|it| it.is_of(caller));
        let found = found.filter(|it| !it.ended.is_cancelled());
        found.cloned()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.ended.cancel();
        self.table.open().remove(&self.id);
    }
}
