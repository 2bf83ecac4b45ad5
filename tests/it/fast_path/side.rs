//! One of the two services that are compared: the product's handler and front, without its sockets. In: requests with a
//! verified caller. Out: everything that can be seen of an answer, beside what is random in it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, DiscoverResult,
        ListToolsResult, PaginatedRequestParams, ServerConfig, SubscriptionFilter, Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolbridge::{
    app::App,
    auth::{Caller, NewToken, mint},
    clock,
    delivery::Delivery,
    mcp::{
        Calls, ConnectionIds, ConnectionRules, Handler, HandlesMcp, ListQuestion, Lists,
        McpService, News, PlainCall, ReadyCall, Seal, SealKeys, ServiceSettings,
    },
    observe::Arrival,
};

use super::{
    backend::Stub,
    draft::{Draft, Fate},
};
use crate::harness::{
    AUDIENCE, ISSUER, SECRET, Setup, in_time,
    person::{MODERN, modern},
};

/// The longest body that is read.
pub(super) const MOST_BYTES: usize = 16 * 1024;

/// Who calls, with the scopes of their tokens.
const PEOPLE: [(&str, &[&str]); 2] = [("alice", &["notes:write", "other"]), ("bob", &[])];

pub(super) struct Side {
    service: McpService<Counted>,
    calls: Arc<Calls>,
    people: Vec<Caller>,
    backend: Stub,
    past_rmcp: Arc<AtomicU64>,
    records: u64,
}

/// What can be seen of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: Vec<String>,
    pub(super) body: String,
    /// What the backend was asked.
    pub(super) asked: Vec<String>,
    /// What the log says.
    pub(super) logged: Vec<String>,
    /// Whether the answer has the times of a call.
    pub(super) is_timed: bool,
}

impl Side {
    pub(super) async fn new(fast_path: bool, catalogue: &Path) -> Self {
        let backend = Stub::start().await;
        let setup = Setup::before(&backend)
            .set("catalogue.file", catalogue.to_str().unwrap())
            // Nothing may depend on how much time has passed.
            .set("breaker.failures", "1000")
            .set("breaker.after", "1h")
            .set("writes.keep", "1day");
        let settings = setup.load().unwrap();
        let verifier = settings.auth.verifier().unwrap();
        let keys = SealKeys::of(&settings.seal_secrets);
        let lifetime = settings.connections.lifetime;
        let calls = App::build(settings).await.unwrap().calls();
        let mut people = Vec::new();
        for (subject, scopes) in PEOPLE {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer(subject, scopes))]);
            let caller = verifier.caller(&headers, clock::unix_now()).await;
            people.push(caller.unwrap());
        }
        let past_rmcp = Arc::default();
        let handler = Counted {
            product: Handler::new(Arc::clone(&calls), Seal::of(&keys, clock::unix_now)),
            past_rmcp: Arc::clone(&past_rmcp),
        };
        let published = Arc::clone(&calls);
        let settings = ServiceSettings {
            connections: ConnectionRules {
                most_streams: 10,
                most_streams_per_person: 10,
                heal: false,
            },
            ids: Arc::new(ConnectionIds::new(&keys, lifetime, clock::unix_now).unwrap()),
            max_request_bytes: MOST_BYTES,
            fast_path,
            streams: CancellationToken::new(),
            lists: Lists {
                changes: calls.changes(),
                fingerprint: Arc::new(move || published.published().fingerprint()),
            },
            now: clock::unix_now,
        };
        Self {
            service: McpService::around(handler, settings),
            calls,
            people,
            backend,
            past_rmcp,
            records: 0,
        }
    }

    /// How many calls went past rmcp.
    pub(super) fn past_rmcp(&self) -> u64 {
        self.past_rmcp.load(Ordering::Relaxed)
    }

    pub(super) async fn answers(&mut self, draft: &Draft) -> Told {
        let mut request = Request::post("/mcp").body(Full::new(draft.body.clone()));
        let request = request.as_mut().unwrap();
        draft.headers.clone_into(request.headers_mut());
        let caller = self.people[draft.person].clone();
        let arrival = Arrival::verified(Instant::now());
        let delivery = Delivery::over(Arc::new(|| false));
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(arrival.clone());
        if draft.fate != Fate::Unseen {
            request.extensions_mut().insert(delivery.clone());
        }
        let request = std::mem::take(request);
        let (head, body) = in_time(self.service.handle(request)).await.into_parts();
        let Ok(body) = in_time(body.collect()).await;
        match draft.fate {
            Fate::Unseen => {}
            Fate::Received => {
                delivery.sent();
                delivery.received();
            }
            Fate::Lost => delivery.lost(),
        }
        Told {
            status: head.status.as_u16(),
            headers: written(&head.headers),
            body: without_chance(&String::from_utf8_lossy(&body.to_bytes())),
            asked: self.asked(),
            logged: self.logged(),
            is_timed: arrival.taken().is_some(),
        }
    }

    /// The body of the stream on which the first person is told of changes.
    pub(super) async fn listens(&self) -> impl Body<Data = Bytes> + Unpin + use<> {
        let method = "subscriptions/listen";
        let wish = json!({ "notifications": { "toolsListChanged": true } });
        let request = Request::post("/mcp")
            .header("content-type", "application/json")
            .header("host", "localhost")
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method)
            .extension(self.people[0].clone())
            .body(Full::new(Bytes::from(modern(method, wish).to_string())))
            .unwrap();
        let answer = self.service.handle(request).await;
        assert_eq!(answer.status(), 200);
        answer.into_body()
    }

    /// Since 1970.
    pub(super) fn token_ends(&self) -> Duration {
        Duration::from_secs(self.people[0].expires_at())
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.backend.take_asked();
        asked.iter().map(|text| without_chance(text)).collect()
    }

    /// The records of the calls since the last time; each is what a line of the log is made of.
    fn logged(&mut self) -> Vec<String> {
        let records = self.calls.observer().recent.after(self.records);
        let logged = records.into_iter().map(|(number, record)| {
            self.records = number;
            let who = (&record.caller, &record.tenant, &record.client);
            let what = (&record.tool, &record.alias, record.is_write);
            let how = (record.ending, record.is_repeated, &record.cause);
            let parent = (&record.parent, &record.protocol);
            without_chance(&format!("{who:?} {what:?} {how:?} {parent:?}"))
        });
        logged.collect()
    }

    /// The id of a new connection of this person, as a header's value.
    pub(super) async fn connects(&self, person: usize, hello: &str) -> http::HeaderValue {
        let request = Request::post("/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .extension(self.people[person].clone())
            .body(Full::new(Bytes::from(hello.to_owned())))
            .unwrap();
        let answer = self.service.handle(request).await;
        answer.headers()["mcp-session-id"].clone()
    }
}

fn bearer(subject: &str, scopes: &[&str]) -> http::HeaderValue {
    let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let token = NewToken {
        subject,
        issuer: ISSUER,
        audience: AUDIENCE,
        scopes: &scopes,
        // The same token on both sides, and good for as long as any comparison takes.
        issued_at: Duration::from_secs(clock::unix_now().as_secs() / 3600 * 3600),
        lifetime: Duration::from_secs(24 * 3600),
    };
    let token = mint(&SecretString::from(SECRET), token).unwrap();
    let value = format!("Bearer {}", token.expose_secret());
    value.parse().unwrap()
}

fn written(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}

/// The text without the ids that are new in each answer: uuids that are no marker of ours, and names of streams.
fn without_chance(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("aaaaaaaa-") {
            None
        } else {
            [36, 32].into_iter().find(|length| is_random(rest, *length))
        };
        match length {
            Some(length) => {
                plain.push('*');
                rest = &rest[length..];
            }
            None => {
                plain.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    plain
}

/// Whether it begins with a uuid of this length.
fn is_random(text: &str, length: usize) -> bool {
    if !text.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return false;
    }
    let version = if length == 36 { 14 } else { 12 };
    text.as_bytes().get(version) == Some(&b'4')
        && text
            .get(..length)
            .is_some_and(|text| uuid::Uuid::try_parse(text).is_ok())
}

/// The product's handler, which counts what goes past rmcp.
#[derive(Clone)]
struct Counted {
    product: Handler,
    past_rmcp: Arc<AtomicU64>,
}

impl HandlesMcp for Counted {
    fn prepared_list(&self, question: &ListQuestion<'_>) -> Option<Bytes> {
        self.product.prepared_list(question)
    }

    fn ready(&self, call: PlainCall<'_>) -> Option<ReadyCall> {
        let ready = self.product.ready(call);
        self.past_rmcp
            .fetch_add(ready.is_some().into(), Ordering::Relaxed);
        ready
    }

    fn news(&self, caller: &Caller, wish: &SubscriptionFilter) -> Option<News> {
        self.product.news(caller, wish)
    }
}

impl ServerHandler for Counted {
    fn get_info(&self) -> ServerConfig {
        self.product.get_info()
    }

    async fn discover(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        self.product.discover(context).await
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.product.list_tools(request, context).await
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.product.get_tool(name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.product.call_tool(request, context).await
    }

    fn accepted_subscription_filter(
        &self,
        wish: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.product.accepted_subscription_filter(wish)
    }

    async fn listen(&self, stream: SubscriptionContext) -> Result<(), ErrorData> {
        self.product.listen(stream).await
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.product.on_initialized(context).await;
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.product.on_custom_request(request, context).await
    }
}
