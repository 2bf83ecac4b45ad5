//! A connection that lasts, as rmcp serves it: what `/sse` and standard input share. In: decoded messages, each with the
//! request or caller it came from. Out: the answers as JSON, in a short queue. It cannot grow: only so many requests may
//! be unanswered at once, and a connection whose reader stops reading is ended.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream, sink, stream};
use http::request::Parts;
use rmcp::{
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, JsonRpcMessage, RequestId,
        ServerJsonRpcMessage,
    },
    service::serve_server_with_ct,
    transport::sink_stream::SinkStreamTransport,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    HandlesMcp,
    envelope::{self, Malformed, Posted},
};

/// Requests that may be unanswered at once; more than any client has been seen to send.
const MOST_UNANSWERED: usize = 64;

/// Messages that wait in a queue before whoever sends more has to wait too.
const QUEUE: usize = 8;

/// Marks messages of a connection that lasts: its client can be asked something while a call waits.
#[derive(Clone, Copy)]
pub(super) struct Lasting;

/// The way in.
pub(super) struct Pipe {
    inbox: mpsc::Sender<ClientJsonRpcMessage>,
    /// Weak, because the queue ends with rmcp's own end of it.
    outbox: mpsc::WeakSender<Bytes>,
    unanswered: Unanswered,
    /// Whether the client has begun in either era's way. rmcp ends a connection that begins with something else.
    begun: AtomicBool,
    ended: CancellationToken,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("{MOST_UNANSWERED} requests of this connection are unanswered: wait for some of them")]
    TooMany,
    #[error("a request with this id is unanswered: give each request an id of its own")]
    Twice,
    #[error("the connection has ended")]
    Ended,
}

/// Nobody reads the answers any more.
#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
struct Ended;

impl Pipe {
    /// A connection that lasts until `ended`, which it also fires itself when it is over: because nobody can send any
    /// more, or because an answer waited for its reader longer than `patience`. The queue of answers ends after it.
    pub(super) fn open(
        handler: impl HandlesMcp,
        ended: CancellationToken,
        patience: Duration,
    ) -> (Self, mpsc::Receiver<Bytes>) {
        let (inbox, messages) = mpsc::channel(QUEUE);
        let (outbox, answers) = mpsc::channel(QUEUE);
        let unanswered = Unanswered::default();
        let weak = outbox.downgrade();
        let sink = answering(outbox, unanswered.clone(), ended.clone(), patience);
        let transport = SinkStreamTransport::new(sink, arriving(messages));
        let ending = ended.clone();
        tokio::spawn(async move {
            // Its error may show a whole message, arguments included, so it is not logged.
            match serve_server_with_ct(handler, transport, ending.clone()).await {
                Ok(running) => drop(running.waiting().await),
                Err(_) => tracing::debug!("a connection ended before it was opened"),
            }
            ending.cancel();
        });
        let pipe = Self {
            inbox,
            outbox: weak,
            unanswered,
            begun: AtomicBool::new(false),
            ended,
        };
        (pipe, answers)
    }

    /// Hands a message over; `parts` is what it came in, and what its handler sees.
    pub(super) async fn take(
        &self,
        mut message: ClientJsonRpcMessage,
        mut parts: Parts,
    ) -> Result<(), NotTaken> {
        parts.extensions.insert(Lasting);
        message.insert_extension(parts);
        match &message {
            JsonRpcMessage::Request(request) => {
                // A subscription is answered when it ends, so nobody waits for that.
                let is_awaited = !matches!(
                    request.request,
                    ClientRequest::SubscriptionsListenRequest(_)
                );
                self.unanswered.enter(&request.id, is_awaited)?;
                if !matches!(
                    request.request,
                    ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_)
                ) {
                    self.begun.store(true, Ordering::Relaxed);
                }
            }
            _ if !self.begun.load(Ordering::Relaxed) => return Ok(()),
            JsonRpcMessage::Notification(it) => {
                if let ClientNotification::CancelledNotification(it) = &it.notification
                    && let Some(id) = &it.params.request_id
                {
                    // rmcp answers it no more.
                    self.unanswered.leave(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        tokio::select! {
            sent = self.inbox.send(message) => sent.map_err(|_| NotTaken::Ended),
            () = self.ended.cancelled() => Err(NotTaken::Ended),
        }
    }

    /// Says something beside what rmcp answers.
    pub(super) async fn says(&self, message: ServerJsonRpcMessage) {
        let line = serde_json::to_vec(&message);
        if let (Some(outbox), Ok(line)) = (self.outbox.upgrade(), line) {
            // It fails where nobody reads any more.
            let _ = outbox.send(line.into()).await;
        }
    }

    /// Waits until every request is answered.
    pub(super) async fn answered(&self) {
        self.unanswered.none().await;
    }
}

/// One message as its sender wrote it: these transports have no batches.
pub(super) fn decoded(text: &[u8]) -> Result<ClientJsonRpcMessage, Malformed> {
    match envelope::read(text)? {
        Posted::One(_) => serde_json::from_slice(text).map_err(|_| Malformed::NotJsonRpc),
        Posted::Batch(_) => Err(Malformed::NotJsonRpc),
    }
}

/// The requests that wait for their answer, by id, and whether somebody waits for it.
#[derive(Clone, Default)]
struct Unanswered(Arc<watch::Sender<HashMap<RequestId, bool>>>);

impl Unanswered {
    fn enter(&self, id: &RequestId, is_awaited: bool) -> Result<(), NotTaken> {
        let mut entered = Ok(());
        self.0.send_if_modified(|ids| {
            entered = if ids.contains_key(id) {
                Err(NotTaken::Twice)
            } else if ids.len() >= MOST_UNANSWERED {
                Err(NotTaken::TooMany)
            } else {
                ids.insert(id.clone(), is_awaited);
                Ok(())
            };
            entered.is_ok()
        });
        entered
    }

    fn leave(&self, id: &RequestId) {
        self.0.send_if_modified(|ids| ids.remove(id).is_some());
    }

    async fn none(&self) {
        let mut ids = self.0.subscribe();
        let none_awaited = |ids: &HashMap<_, _>| !ids.values().any(|is_awaited| *is_awaited);
        // The sender is ours, so it is there.
        let _ = ids.wait_for(none_awaited).await;
    }
}

/// The messages as rmcp takes them.
fn arriving(
    messages: mpsc::Receiver<ClientJsonRpcMessage>,
) -> impl Stream<Item = ClientJsonRpcMessage> + Send + Unpin + 'static {
    Box::pin(stream::unfold(messages, async |mut messages| {
        let message = messages.recv().await?;
        Some((message, messages))
    }))
}

/// Where rmcp puts its messages: each is written out once. An answer counts as given when it is in the queue.
fn answering(
    outbox: mpsc::Sender<Bytes>,
    unanswered: Unanswered,
    ended: CancellationToken,
    patience: Duration,
) -> impl Sink<ServerJsonRpcMessage, Error = Ended> + Send + Unpin + 'static {
    let state = (outbox, unanswered, ended);
    let sink = sink::unfold(
        state,
        move |state, message: ServerJsonRpcMessage| async move {
            let (outbox, unanswered, ended) = state;
            let answered = match &message {
                JsonRpcMessage::Response(response) => Some(response.id.clone()),
                JsonRpcMessage::Error(error) => error.id.clone(),
                JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
            };
            let line = serde_json::to_vec(&message).map_err(|_| Ended)?;
            match timeout(patience, outbox.send(line.into())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Ended),
                Err(_) => {
                    tracing::info!("a connection was ended: its client does not read");
                    ended.cancel();
                    return Err(Ended);
                }
            }
            if let Some(id) = answered {
                unanswered.leave(&id);
            }
            Ok((outbox, unanswered, ended))
        },
    );
    Box::pin(sink)
}
