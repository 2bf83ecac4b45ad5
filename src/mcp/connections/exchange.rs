//! One request of a connection, run through rmcp on its own: what the client once said of itself is told to rmcp again
//! with each request, so no connection lives in memory. In: a request. Out: the messages that answer it, the last one
//! being the response. Requests of ours to the client get names of their own, so that a reply finds its exchange.

use std::{convert::Infallible, sync::Arc};

use rmcp::{
    RoleServer, ServerHandler,
    model::{
        ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, JsonRpcRequest, RequestId,
        ServerJsonRpcMessage,
    },
    service::serve_directly_with_ct,
    transport::Transport,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    id::Connection,
    live::{Live, Running},
};

/// The messages of an exchange, as they come; ends without a response where the client cancelled the request.
pub(super) type Messages = mpsc::UnboundedReceiver<ServerJsonRpcMessage>;

/// Begins an exchange. It runs to its end also when nobody receives the messages any more: losing the stream is no
/// cancellation in these revisions (protocol page A.6).
pub(super) fn begin<H: ServerHandler>(
    handler: H,
    connection: &Connection,
    request: JsonRpcRequest<ClientRequest>,
    live: &Arc<Live>,
) -> Messages {
    let (sender, messages) = mpsc::unbounded_channel();
    let (replies, replied) = mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    let running = live.runs(connection.key, &request.id, cancel.clone());
    let wire = Wire {
        request: Some(request),
        messages: sender,
        replies,
        replied,
        asked: Asked {
            connection: connection.clone(),
            live: Arc::clone(live),
            prefix: Uuid::new_v4().simple().to_string(),
            names: Vec::new(),
        },
        answered: CancellationToken::new(),
        cancelled: cancel.clone(),
        _running: running,
    };
    let peer = connection.peer.clone();
    let service = serve_directly_with_ct(handler, wire, Some(peer), cancel);
    tokio::spawn(async move {
        if let Err(error) = service.waiting().await {
            tracing::debug!(%error, "an exchange ended early");
        }
    });
    messages
}

/// The transport that rmcp sees: one request in, its messages out.
struct Wire {
    request: Option<JsonRpcRequest<ClientRequest>>,
    messages: mpsc::UnboundedSender<ServerJsonRpcMessage>,
    replies: mpsc::UnboundedSender<ClientJsonRpcMessage>,
    replied: mpsc::UnboundedReceiver<ClientJsonRpcMessage>,
    asked: Asked,
    answered: CancellationToken,
    cancelled: CancellationToken,
    _running: Running,
}

/// The requests of ours in this exchange; forgotten with it.
struct Asked {
    connection: Connection,
    live: Arc<Live>,
    prefix: String,
    names: Vec<String>,
}

impl Transport<RoleServer> for Wire {
    type Error = Infallible;

    fn send(
        &mut self,
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        match &mut message {
            JsonRpcMessage::Request(request) => {
                let name = self.asked.enter(request.id.clone(), self.replies.clone());
                request.id = RequestId::String(name.into());
                self.pass(message);
            }
            JsonRpcMessage::Notification(_) => self.pass(message),
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
                // A cancelled request is not answered (protocol page A.6).
                if !self.cancelled.is_cancelled() {
                    self.pass(message);
                }
                self.answered.cancel();
            }
        }
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        if let Some(request) = self.request.take() {
            return Some(JsonRpcMessage::Request(request));
        }
        tokio::select! {
            () = self.answered.cancelled() => None,
            reply = self.replied.recv() => reply,
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Infallible>> + Send {
        self.request.take();
        std::future::ready(Ok(()))
    }
}

impl Wire {
    /// Nobody may be there any more.
    fn pass(&self, message: ServerJsonRpcMessage) {
        let _ = self.messages.send(message);
    }
}

impl Asked {
    fn enter(
        &mut self,
        ours: RequestId,
        replies: mpsc::UnboundedSender<ClientJsonRpcMessage>,
    ) -> String {
        let name = format!("{}-{ours}", self.prefix);
        self.live.asks(self.connection.key, &name, ours, replies);
        self.names.push(name.clone());
        name
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.names.is_empty() {
            self.live.forget(self.connection.key, &self.names);
        }
    }
}
