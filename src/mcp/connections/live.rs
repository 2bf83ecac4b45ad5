//! What this process has in hand for connections: calls that run, requests of ours that wait for a reply, streams that
//! are open, answers that may be asked for again. In: connection keys. Out: guards that take themselves out again. A
//! connection for which nothing runs and no stream is open is not in here at all, so an idle one costs nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{ConnectionRules, id::ConnectionKey, replay::Replay};
use crate::auth::Caller;

/// So many ends are remembered, so that an ended connection is unknown until its id is too old anyway, or a restart.
const REMEMBERED_ENDS: usize = 10_000;
/// So many answers, and so many bytes of them, wait to be asked for again, of all connections.
const KEPT_ANSWERS: usize = 1_000;
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// And each of them for so long.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// Shared by all requests.
pub(super) struct Live {
    rules: ConnectionRules,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    counter: u64,
    running: HashMap<(ConnectionKey, RequestId), (u64, CancellationToken)>,
    asked: HashMap<(ConnectionKey, String), Asked>,
    streams: HashMap<u64, Stream>,
    /// How many of them each person holds: with ten thousand open, nobody looks at all of them.
    held: HashMap<Arc<Person>, usize>,
    /// Those of each connection, the newest last.
    of_connections: HashMap<ConnectionKey, Vec<u64>>,
    /// The answers that are still coming.
    coming: Vec<Arc<Replay>>,
    /// The answers that may be asked for again, oldest first.
    answers: VecDeque<Arc<Replay>>,
    answers_size: usize,
    ended: HashSet<ConnectionKey>,
    /// The same, oldest first.
    ends: VecDeque<ConnectionKey>,
}

/// A request of ours, waiting: rmcp's number for it, and the way back into the exchange.
struct Asked {
    ours: RequestId,
    replies: mpsc::UnboundedSender<ClientJsonRpcMessage>,
}

struct Stream {
    /// None: of a revision without connections.
    connection: Option<ConnectionKey>,
    owner: Arc<Person>,
    end: CancellationToken,
}

/// Who holds a stream.
#[derive(PartialEq, Eq, Hash)]
struct Person {
    issuer: String,
    subject: String,
}

/// Why a stream is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::mcp) enum TooMany {
    #[error("you have as many open streams as one person may have: close one")]
    Yours,
    #[error("this server has as many open streams as it may have: try again later")]
    All,
}

/// A call that runs; cancelled by its connection's `notifications/cancelled`.
pub(super) struct Running {
    live: Arc<Live>,
    call: (ConnectionKey, RequestId),
    number: u64,
}

/// A stream that is open.
pub(in crate::mcp) struct OpenStream {
    live: Arc<Live>,
    number: u64,
    connection: Option<ConnectionKey>,
    /// Fires when its connection is ended.
    pub(super) end: CancellationToken,
}

impl Live {
    pub(super) fn new(rules: ConnectionRules) -> Arc<Self> {
        Arc::new(Self {
            rules,
            table: Mutex::default(),
        })
    }

    /// Enters a call, until what is returned is dropped.
    pub(super) fn runs(
        self: &Arc<Self>,
        connection: ConnectionKey,
        id: &RequestId,
        cancel: CancellationToken,
    ) -> Running {
        let mut table = self.table();
        let number = table.next();
        let call = (connection, id.clone());
        table.running.insert(call.clone(), (number, cancel));
        Running {
            live: Arc::clone(self),
            call,
            number,
        }
    }

    /// The client does not want this answer any more.
    pub(super) fn cancel(&self, connection: ConnectionKey, id: &RequestId) {
        let mut table = self.table();
        if let Some((_, cancel)) = table.running.remove(&(connection, id.clone())) {
            cancel.cancel();
        }
    }

    /// Enters a request of ours under the name that the client sees.
    pub(super) fn asks(
        &self,
        connection: ConnectionKey,
        name: &str,
        ours: RequestId,
        replies: mpsc::UnboundedSender<ClientJsonRpcMessage>,
    ) {
        let asked = Asked { ours, replies };
        let mut table = self.table();
        table.asked.insert((connection, name.to_owned()), asked);
    }

    /// Hands a client's reply to the exchange that asked for it; whether there is one.
    pub(super) fn replied(
        &self,
        connection: ConnectionKey,
        mut reply: ClientJsonRpcMessage,
    ) -> bool {
        let id = match &mut reply {
            JsonRpcMessage::Response(response) => &mut response.id,
            JsonRpcMessage::Error(error) => match &mut error.id {
                Some(id) => id,
                None => return false,
            },
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => return false,
        };
        let RequestId::String(name) = &*id else {
            return false;
        };
        let asked = self.table().asked.remove(&(connection, name.to_string()));
        let Some(asked) = asked else {
            return false;
        };
        *id = asked.ours;
        asked.replies.send(reply).is_ok()
    }

    /// Forgets the requests of ours that no exchange waits for any more.
    pub(super) fn forget(&self, connection: ConnectionKey, names: &[String]) {
        let mut table = self.table();
        for name in names {
            table.asked.remove(&(connection, name.clone()));
        }
    }

    /// Enters a stream, until what is returned is dropped.
    pub(super) fn opens(
        self: &Arc<Self>,
        connection: Option<ConnectionKey>,
        caller: &Caller,
    ) -> Result<OpenStream, TooMany> {
        let owner = Person {
            issuer: caller.issuer().to_owned(),
            subject: caller.subject().to_owned(),
        };
        let mut table = self.table();
        if table.streams.len() >= self.rules.most_streams {
            return Err(TooMany::All);
        }
        let own = table.held.get_key_value(&owner);
        let own = own.map(|(owner, count)| (Arc::clone(owner), *count));
        let (owner, count) = own.unwrap_or_else(|| (Arc::new(owner), 0));
        if count >= self.rules.most_streams_per_person {
            return Err(TooMany::Yours);
        }
        table.held.insert(Arc::clone(&owner), count + 1);
        let number = table.next();
        if let Some(connection) = connection {
            table
                .of_connections
                .entry(connection)
                .or_default()
                .push(number);
        }
        let end = CancellationToken::new();
        let stream = Stream {
            connection,
            owner,
            end: end.clone(),
        };
        table.streams.insert(number, stream);
        Ok(OpenStream {
            live: Arc::clone(self),
            number,
            connection,
            end,
        })
    }

    /// Knows an answer that is coming, so that it can be asked for again.
    pub(super) fn awaits(&self, answer: Arc<Replay>) {
        self.table().coming.push(answer);
    }

    /// The answer has come; it is kept while there is room, and not for long.
    pub(super) fn keeps(&self, answer: Arc<Replay>) {
        let mut table = self.table();
        table.coming.retain(|it| !Arc::ptr_eq(it, &answer));
        table.answers_size += answer.size();
        table.answers.push_back(answer);
        while let Some(oldest) = table.answers.front() {
            let is_old = oldest
                .ended()
                .is_some_and(|ended| ended.elapsed() > KEPT_FOR);
            let is_full = table.answers.len() > KEPT_ANSWERS || table.answers_size > KEPT_BYTES;
            if !is_old && !is_full {
                break;
            }
            table.answers_size -= oldest.size();
            table.answers.pop_front();
        }
    }

    /// The answer of that connection under that name, if it is still known.
    pub(super) fn answer(&self, connection: ConnectionKey, name: &str) -> Option<Arc<Replay>> {
        let table = self.table();
        let mut answers = table.coming.iter().chain(&table.answers);
        let known = answers.find(|it| it.connection == connection && it.name == name);
        known.cloned()
    }

    /// The client ended this connection: its id is unknown from now on, and what it had running ends.
    pub(super) fn ends(&self, connection: ConnectionKey) {
        let mut table = self.table();
        if table.ends.len() >= REMEMBERED_ENDS
            && let Some(oldest) = table.ends.pop_front()
        {
            table.ended.remove(&oldest);
        }
        if table.ended.insert(connection) {
            table.ends.push_back(connection);
        }
        let running = table.running.iter();
        let own = running.filter(|((of, _), _)| *of == connection);
        own.for_each(|(_, (_, cancel))| cancel.cancel());
        // Its answers stay where they are: nobody can name the connection any more.
        let streams = table.of_connections.get(&connection).into_iter().flatten();
        for stream in streams.filter_map(|number| table.streams.get(number)) {
            stream.end.cancel();
        }
    }

    pub(super) fn has_ended(&self, connection: ConnectionKey) -> bool {
        self.table().ended.contains(&connection)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut table = self.live.table();
        let entered = table.running.get(&self.call);
        // A client may have used the same id again meanwhile.
        if entered.is_some_and(|(number, _)| *number == self.number) {
            table.running.remove(&self.call);
        }
    }
}

impl OpenStream {
    /// Whether this is the connection's newest stream: each message goes to one stream (protocol page A.6).
    pub(super) fn is_newest(&self) -> bool {
        let table = self.live.table();
        let streams = self.connection.map(|it| table.of_connections.get(&it));
        let newest = streams.flatten().and_then(|numbers| numbers.last());
        newest.is_none_or(|newest| *newest == self.number)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut table = self.live.table();
        let Some(stream) = table.streams.remove(&self.number) else {
            return;
        };
        if let Some(count) = table.held.get_mut(&stream.owner) {
            *count -= 1;
            if *count == 0 {
                table.held.remove(&stream.owner);
            }
        }
        if let Some(connection) = stream.connection
            && let Some(numbers) = table.of_connections.get_mut(&connection)
        {
            numbers.retain(|number| *number != self.number);
            if numbers.is_empty() {
                table.of_connections.remove(&connection);
            }
        }
    }
}
