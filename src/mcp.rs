//! MCP as rmcp speaks it: what the server is, which tools it has, and the hand-over of calls. rmcp's types stay in this
//! module (and in the client of `toolbridge call`). In: HTTP requests whose extensions hold a `Caller`. Out: HTTP
//! responses. Only tools are offered, so every other capability's method is "not found", also where rmcp's default
//! would answer with an empty success (protocol page E.3).

pub mod call;
pub mod outcome;
pub mod present;
pub mod presented;
pub mod published;
pub mod service;
pub mod sse;
pub mod stdio;
pub mod workspace;

mod body;
mod choosing;
mod connections;
mod envelope;
mod fast_path;
mod held;
mod last_message;
mod limit;
mod listing;
mod news;
mod pieces;
mod pipe;
mod prepared;
mod progress;
mod question;
mod repeated;
mod response;
mod seal;
mod write_name;
mod writes;
mod written;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{header::USER_AGENT, request::Parts};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod,
        CompleteRequestParams, CompleteResult, ContentBlock, CustomRequest, CustomResult,
        DiscoverResult, ErrorCode, ListPromptsRequestMethod, ListPromptsResult,
        ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
        ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ServerConfig, SubscriptionFilter, Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    auth::Caller,
    catalogue::{Called, Dialect, dialect},
    observe::traceparent::TRACEPARENT,
};

pub use call::{CallParts, Calls, Incoming, NoOutcome, Seen};
pub use fast_path::{PlainCall, ReadyCall};
pub use limit::Limit;
pub use news::News;
pub use outcome::Outcome;
pub use prepared::ListQuestion;
pub use published::Published;
pub use question::Seal;
pub use seal::SealKeys;
pub use service::{ConnectionIds, ConnectionRules, Lists, McpService, NoKeys, ServiceSettings};
pub use sse::{SseLimits, SseService, SseSettings};
pub use stdio::{NoCaller, StdioService, WhoSends};
pub use writes::{CannotKeep, Journal, WriteRules, Writes};

use call::Sight;
use choosing::{Brought, Reply};
use held::OnlyOpened;
use listing::Era;
use progress::Heartbeat;
use workspace::WorkspaceTool;

/// How long a client may keep the tool list or the server's description, in milliseconds.
const TTL_MS: u64 = 60_000;

/// Where results say who answers.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Methods of ours whose parameters rmcp could not decode arrive as custom requests (protocol page E.9).
const OURS: [&str; 5] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
];

/// What rmcp can talk to; cheap to clone, because rmcp asks for one per request.
pub trait HandlesMcp: ServerHandler + Clone {
    /// The JSON of the result of `tools/list`, where it is at hand; else rmcp asks for it.
    fn prepared_list(&self, _question: &ListQuestion<'_>) -> Option<Bytes> {
        None
    }

    /// The same call, ready to run without rmcp; `None`, where it has to be rmcp's.
    fn ready(&self, _call: PlainCall<'_>) -> Option<ReadyCall> {
        None
    }

    /// What a stream has to tell that rmcp need not hold; `None`, where rmcp has to.
    fn news(&self, _caller: &Caller, _wish: &SubscriptionFilter) -> Option<News> {
        None
    }
}

/// The handler of the product. Each clone is the handler of one request or one connection: it knows what has changed
/// since that began, and when it is over.
pub struct Handler {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    over: OnceLock<DropGuard>,
}

struct Shared {
    calls: Arc<Calls>,
    seal: Seal,
    heartbeat: Duration,
}

impl Shared {
    /// Counts a request that is no call. That of the old handshake is rmcp's own, and is not among them.
    fn answered(&self, method: &'static str, begun: Instant) {
        let metrics = &self.calls.observer().metrics;
        metrics.answered(method, begun.elapsed());
    }
}

impl Handler {
    /// Offers the tools of `calls`; `seal` is for what clients carry for us.
    #[must_use]
    pub fn new(calls: Arc<Calls>, seal: Seal) -> Self {
        Self::of(Arc::new(Shared {
            calls,
            seal,
            heartbeat: progress::INTERVAL,
        }))
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self {
            changes: shared.calls.changes(),
            over: OnceLock::new(),
            shared,
        }
    }

    /// The same with another time between the signs of life of a call that runs.
    #[must_use]
    pub fn with_heartbeat(self, heartbeat: Duration) -> Self {
        Self::of(Arc::new(Shared {
            calls: Arc::clone(&self.shared.calls),
            seal: self.shared.seal.clone(),
            heartbeat,
        }))
    }
}

impl Clone for Handler {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }
}

impl HandlesMcp for Handler {
    fn prepared_list(&self, question: &ListQuestion<'_>) -> Option<Bytes> {
        let dialect = dialect::of_client(question.client, question.user_agent);
        let begun = Instant::now();
        let published = self.shared.calls.published();
        let page = published
            .listing
            .page(dialect, question.era, question.caller, question.cursor);
        let page = page.ok()?;
        self.shared.answered("tools/list", begun);
        Some(page)
    }

    fn ready(&self, call: PlainCall<'_>) -> Option<ReadyCall> {
        let calls = &self.shared.calls;
        let published = calls.published();
        // A choice between organizations may have to be asked for, and has tools of its own.
        let may_ask = calls.identities().offers_selection();
        if may_ask
            && (question::shows_forms(Some(call.capabilities))
                || WorkspaceTool::named(&call.tool).is_some())
        {
            return None;
        }
        let tool = published.catalogue.called(&call.tool)?.tool();
        let name = tool.map_or(&*call.tool, |tool| tool.name.as_str());
        if call.era == Era::Modern && published.listing.repeats_arguments(name) {
            return None;
        }
        let headers = &call.parts.headers;
        let sight = Sight {
            parts: Some(call.parts),
            traceparent: call.said.traceparent.as_ref(),
            client: call.client,
            protocol: Some(call.protocol),
        };
        let incoming = Incoming {
            catalogue: Arc::clone(&published.catalogue),
            caller: call.caller.clone(),
            limit: Limit::of(Some(headers), call.said.timeout.as_ref()).ok()?,
            write_name: write_name::of(Some(headers), call.said.write_name.as_ref()).ok()?,
            delivery: call.parts.extensions.get().cloned(),
            seen: Seen::of(sight),
            tool: call.tool.into_owned(),
            arguments: call.arguments,
        };
        Some(ReadyCall {
            calls: Arc::clone(calls),
            published,
            incoming,
            era: call.era,
        })
    }

    fn news(&self, caller: &Caller, wish: &SubscriptionFilter) -> Option<News> {
        Some(News::of(&self.shared.calls, caller, wish))
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.shared.calls.published().description.clone()
    }

    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let begun = Instant::now();
        let versions = self.supported_protocol_versions().into_owned();
        self.shared.answered("server/discover", begun);
        Ok(DiscoverResult::from_server_info(versions, self.get_info())
            .with_ttl_ms(TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let begun = Instant::now();
        let caller = caller_of(&context)?;
        let era = era_of(&context);
        let cursor = request.and_then(|request| request.cursor);
        let published = self.shared.calls.published();
        let dialect = dialect_of(&context);
        let page = published
            .listing
            .typed_page(dialect, era, &caller, cursor.as_deref())?;
        self.shared.answered("tools/list", begun);
        Ok(page)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let published = self.shared.calls.published();
        // Under a former name, too: rmcp compares the headers of a call with the schema it finds here.
        let renamed = published.catalogue.called(name).and_then(Called::tool);
        let name = renamed.map_or(name, |tool| tool.name.as_str());
        published.listing.annotated(name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let published = self.shared.calls.published();
        let meta = published.answers.introduction(era_of(&context));
        let headers = context.extensions.get::<Parts>().map(|it| &it.headers);
        let begun = Instant::now();
        let name = request.name.clone();
        if let Some(nobody) = extension::<NoCaller>(&context) {
            let mut result = result_of(stdio::refused(&name, &nobody));
            result.meta = meta;
            return Ok(result.into());
        }
        let call = Incoming {
            catalogue: Arc::clone(&published.catalogue),
            caller: caller_of(&context)?,
            tool: request.name.into_owned(),
            arguments: request.arguments.unwrap_or_default(),
            limit: Limit::of(headers, context.meta.get(limit::META))?,
            write_name: write_name::of(headers, context.meta.get(write_name::META))?,
            delivery: extension(&context),
            seen: seen_of(&context),
        };
        let brought = Brought {
            state: request.request_state,
            responses: request.input_responses,
        };
        let heartbeat = Heartbeat::of(&context, &name, self.shared.heartbeat);
        // In a box, because rmcp carries the whole of this from task to task.
        let call = Box::pin(self.call(call, brought, context));
        match heartbeat.during(call).await {
            Ok(Reply::Ended(outcome)) => {
                let mut result = result_of(outcome);
                result.meta = meta;
                Ok(result.into())
            }
            Ok(Reply::Asks(mut question)) => {
                question.meta = meta;
                Ok(question.into())
            }
            // The specification's code for an unknown tool is "invalid params" (protocol page B.5).
            Err(NoOutcome::UnknownTool) => {
                let took = begun.elapsed();
                self.shared.calls.observer().metrics.unknown_tool(took);
                let name: String = name.chars().take(64).collect();
                let message = format!("unknown tool: {name}");
                Err(ErrorData::invalid_params(message, None))
            }
            Err(NoOutcome::ClientGone | NoOutcome::Lost) => Err(abandoned()),
        }
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // rmcp leaves in it what we advertise, which is the tool list.
        Some(requested.clone())
    }

    async fn listen(&self, stream: SubscriptionContext) -> Result<(), ErrorData> {
        if extension::<OnlyOpened>(stream.request_context()).is_some() {
            return Ok(());
        }
        let caller = caller_of(stream.request_context())?;
        news::tell_stream(&self.shared.calls, self.changes.clone(), &caller, &stream).await;
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let guard = || CancellationToken::new().drop_guard();
        let over = self.over.get_or_init(guard).token().clone();
        let leaving = self.shared.calls.leaving().clone();
        let telling = news::tell_peer(self.changes.clone(), context.peer);
        tokio::spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = leaving.cancelled() => {}
                () = telling => {}
            }
        });
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<
            ListResourceTemplatesRequestMethod,
        >())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // The revisions without connections have no handshake, however it is written (protocol page A.8, point 7).
        let is_removed = request.method == "initialize" && is_modern(&context);
        if OURS.contains(&request.method.as_str()) && !is_removed {
            let message = format!("the parameters of {} cannot be read", request.method);
            return Err(ErrorData::invalid_params(message, None));
        }
        Err(ErrorData::new(
            ErrorCode::METHOD_NOT_FOUND,
            request.method,
            None,
        ))
    }
}

fn abandoned() -> ErrorData {
    ErrorData::internal_error("the call was abandoned", None)
}

fn era_of(context: &RequestContext<RoleServer>) -> Era {
    if is_modern(context) {
        Era::Modern
    } else {
        Era::Legacy
    }
}

/// What is only looked at of this call.
fn seen_of(context: &RequestContext<RoleServer>) -> Seen {
    // Without a handshake rmcp would name itself where the client says nothing.
    let info = if is_modern(context) {
        context.meta.client_info()
    } else {
        context.client_info()
    };
    let client = info.as_ref();
    let protocol = context.protocol_version();
    Seen::of(Sight {
        parts: context.extensions.get::<Parts>(),
        traceparent: context.meta.get(TRACEPARENT),
        client: client.map(|it| (it.name.as_str(), it.version.as_str())),
        protocol: protocol.as_ref().map(ProtocolVersion::as_str),
    })
}

/// Who sent the HTTP request this message came in; the server puts it there after it has verified the token.
fn caller_of(context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
    extension(context).ok_or_else(|| match extension::<NoCaller>(context) {
        Some(nobody) => ErrorData::invalid_request(nobody.to_string(), None),
        None => ErrorData::internal_error("the request has no verified caller", None),
    })
}

/// What was put beside the HTTP request that this message came in.
fn extension<T: Clone + Send + Sync + 'static>(context: &RequestContext<RoleServer>) -> Option<T> {
    let parts = context.extensions.get::<Parts>()?;
    parts.extensions.get().cloned()
}

/// What this client is shown of the catalogue; nothing else depends on who it says it is.
fn dialect_of(context: &RequestContext<RoleServer>) -> &'static Dialect {
    let info = context.client_info();
    let info = info
        .as_ref()
        .map(|it| (it.name.as_str(), it.version.as_str()));
    let parts = context.extensions.get::<Parts>();
    let agent = parts.and_then(|parts| parts.headers.get(USER_AGENT)?.to_str().ok());
    dialect::of_client(info, agent)
}

/// Whether the message came in the revision without connections, or a later one: the HTTP headers say so, or, where
/// messages have none (standard input), the message itself.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let parts = context.extensions.get::<Parts>();
    parts.is_some_and(|parts| service::is_modern(&parts.headers))
        || context.protocol_version() >= Some(ProtocolVersion::V_2026_07_28)
}

fn result_of(outcome: Outcome) -> CallToolResult {
    match outcome {
        Outcome::Success(text) => {
            let mut result = CallToolResult::structured(text.value());
            // As the backend wrote it, where numbers would lose digits on the way through a value.
            let said = String::from_utf8_lossy(text.as_bytes());
            result.content = vec![ContentBlock::text(said)];
            result
        }
        Outcome::Failure(failure) => {
            let text = ContentBlock::text(failure.message.clone());
            let mut result = CallToolResult::error(vec![text]);
            result.structured_content = Some(failure.structured());
            result
        }
    }
}
