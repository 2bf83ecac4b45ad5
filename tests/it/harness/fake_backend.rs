//! A strict backend on a real socket. It refuses what a request must not have or must not lack: an unknown or doubled
//! header, a session that is used twice or belongs to another call, a wrong epoch, a wrong, old or repeated signature,
//! a foreign tenant. Each refusal is a complaint, and dropping the fake with complaints fails the test. Apart from
//! that it does what a [`Script`] says.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinHandle,
};
use toolbridge::clock;

use super::{Backend, TENANT, TENANT_SECRET, in_time};

const KNOWN_HEADERS: [&str; 14] = [
    "accept",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "if-match",
    "x-correlation-id",
    "traceparent",
    "x-sync-epoch",
    "x-sync-session",
    "x-tb-signature",
    "x-tb-tenant-id",
    "x-tb-timestamp",
];

const SESSIONS: &str = "/v1/sync/sessions";
const MEGABYTE: usize = 1024 * 1024;
const SKEW_MS: u128 = 60_000;

/// A uid of records that the fake makes up.
pub(crate) const UID: &str = "99999999-9999-4999-8999-999999999999";

/// What the fake does with a request that it finds in order.
#[derive(Clone, Debug, Default)]
pub(crate) enum Script {
    /// What a backend should.
    #[default]
    Well,
    /// This answer.
    Says {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Nothing, ever.
    Stalls,
    /// The head and half a body; then the connection ends.
    Truncates,
    /// The connection ends without an answer.
    HangsUp,
    /// 200 and so many megabytes.
    Floods(usize),
}

impl Script {
    /// A JSON error as the backend words it.
    pub(crate) fn status(status: u16) -> Self {
        Self::with(status, &[], r#"{"error":"no"}"#)
    }

    pub(crate) fn with(
        status: u16,
        headers: &[(&'static str, &str)],
        body: &(impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        Self::Says {
            status,
            headers: headers.iter().map(owned).collect(),
            body: body.as_ref().to_vec(),
        }
    }
}

/// A request as it arrived, headers in order of name.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    /// A header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn opens_session(&self) -> bool {
        self.target == SESSIONS
    }
}

pub(crate) struct FakeBackend {
    addr: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

/// A port that refuses connections and nobody else can take.
pub(crate) struct Down {
    addr: SocketAddr,
    socket: TcpSocket,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    /// Requests that met [`Script::Stalls`], and how many of them lost their connection since.
    stalled: watch::Sender<usize>,
    abandoned: watch::Sender<usize>,
    flooded: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    seen: Vec<Seen>,
    complaints: Vec<String>,
    /// Session id → epoch, correlation id and token it was opened with.
    sessions: HashMap<String, (String, String, String)>,
    signatures: HashSet<(String, String)>,
    opening: Script,
    entities: Script,
    opened: u32,
    /// Whether a session serves more than one call of its person.
    keeps_sessions: bool,
}

type Body = BoxBody<Bytes, io::Error>;

impl Down {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = socket.local_addr().unwrap();
        Self { addr, socket }
    }

    /// A backend starts there.
    pub(crate) fn recovers(self) -> FakeBackend {
        FakeBackend::on(self.socket.listen(1024).unwrap())
    }
}

impl Backend for Down {
    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Backend for FakeBackend {
    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl FakeBackend {
    pub(crate) fn start() -> Self {
        Down::new().recovers()
    }

    fn on(listener: TcpListener) -> Self {
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            addr,
            state,
            serving,
        }
    }

    /// Sessions serve any number of calls of their person.
    pub(crate) fn keeps_sessions(&self) {
        self.state.lock().keeps_sessions = true;
    }

    /// What entity requests meet from now on.
    pub(crate) fn does(&self, script: Script) {
        self.state.lock().entities = script;
    }

    /// What openings of sessions meet from now on.
    pub(crate) fn opens_sessions_with(&self, script: Script) {
        self.state.lock().opening = script;
    }

    /// Back to what a backend should do.
    pub(crate) fn recovers(&self) {
        let mut inner = self.state.lock();
        (inner.opening, inner.entities) = (Script::Well, Script::Well);
    }

    /// Everything that arrived, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// Everything that arrived since the last time, in order.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().seen)
    }

    /// Takes the complaints, for tests of the fake itself.
    pub(crate) fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().complaints)
    }

    /// Waits until so many requests stall.
    pub(crate) async fn stalls(&self, requests: usize) {
        reached(&self.state.stalled, requests).await;
    }

    /// Waits until so many stalled requests have lost their connection.
    pub(crate) async fn is_abandoned_by(&self, requests: usize) {
        reached(&self.state.abandoned, requests).await;
    }

    pub(crate) fn abandoned(&self) -> usize {
        *self.state.abandoned.borrow()
    }

    /// Megabytes that were taken of floods.
    pub(crate) fn flooded(&self) -> usize {
        *self.state.flooded.borrow()
    }
}

async fn reached(counter: &watch::Sender<usize>, count: usize) {
    let mut counter = counter.subscribe();
    let waiting = counter.wait_for(|reached| *reached >= count);
    in_time(waiting).await.unwrap();
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        self.serving.abort();
        let complaints = self.take_complaints();
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "the fake refused: {complaints:#?}");
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<Body>> {
    let seen = read(request).await;
    let verdict = {
        let mut inner = state.lock();
        inner.seen.push(seen.clone());
        inner.judge(&seen)
    };
    if let Err(complaint) = verdict {
        let complaint = format!("{complaint} in {} {}", seen.method, seen.target);
        let refusal = response(400, &[], &json!({ "error": complaint }).to_string());
        state.lock().complaints.push(complaint);
        return Ok(refusal);
    }
    // Within one call no two requests may share a millisecond, or a repeated signature could not be told from a fresh one.
    let stamp: u128 = seen.header("x-tb-timestamp").parse().unwrap_or_default();
    while clock::unix_now().as_millis() <= stamp {
        tokio::task::yield_now().await;
    }
    let script = {
        let inner = state.lock();
        let scripts = (&inner.opening, &inner.entities);
        if seen.opens_session() {
            scripts.0.clone()
        } else {
            scripts.1.clone()
        }
    };
    match script {
        Script::Well => Ok(state.lock().well(&seen)),
        Script::Says {
            status,
            headers,
            body,
        } => Ok(response(status, &headers, &body)),
        Script::Stalls => {
            let _gone = Leaving(Arc::clone(&state));
            state.stalled.send_modify(|count| *count += 1);
            std::future::pending().await
        }
        Script::Truncates => Ok(truncated()),
        Script::HangsUp => Err(io::Error::other("hung up")),
        Script::Floods(megabytes) => Ok(flood(megabytes, state)),
    }
}

/// Counts a connection that went away under a stalled request.
struct Leaving(Arc<State>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.abandoned.send_modify(|count| *count += 1);
    }
}

async fn read(request: Request<Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect();
    headers.sort();
    let body = body.collect().await.unwrap().to_bytes();
    Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

impl Inner {
    fn judge(&mut self, seen: &Seen) -> Result<(), String> {
        for (at, (name, _)) in seen.headers.iter().enumerate() {
            if !KNOWN_HEADERS.contains(&name.as_str()) {
                return Err(format!("unknown header {name}"));
            }
            if at > 0 && seen.headers[at - 1].0 == *name {
                return Err(format!("{name} is there twice"));
            }
        }
        if !seen.header("authorization").starts_with("Bearer ey") {
            return Err("no bearer token".to_owned());
        }
        let call = seen.header("x-correlation-id");
        if uuid::Uuid::parse_str(call).is_err() {
            return Err(format!("{call:?} is no correlation id"));
        }
        self.judge_signature(seen, call)?;
        if seen.opens_session() {
            return match seen.header("x-sync-session") {
                "" => Ok(()),
                id => Err(format!("session {id} opens a session")),
            };
        }
        self.judge_session(seen, call)
    }

    fn judge_signature(&mut self, seen: &Seen, call: &str) -> Result<(), String> {
        let (tenant, stamp) = (seen.header("x-tb-tenant-id"), seen.header("x-tb-timestamp"));
        if tenant != TENANT {
            return Err(format!("tenant {tenant:?}"));
        }
        let now = clock::unix_now().as_millis();
        let old = |stamp: u128| now.abs_diff(stamp) > SKEW_MS;
        if stamp.parse().map_or(true, old) {
            return Err(format!("timestamp {stamp:?}"));
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(TENANT_SECRET.as_bytes()).unwrap();
        mac.update(format!("{tenant}:{stamp}").as_bytes());
        let signature = seen.header("x-tb-signature").to_owned();
        if signature != hex::encode(mac.finalize().into_bytes()) {
            return Err("a wrong signature".to_owned());
        }
        if !self.signatures.insert((call.to_owned(), signature)) {
            return Err("a repeated signature".to_owned());
        }
        Ok(())
    }

    /// A session serves one request of the call and the person that opened it; of the person alone, where it is kept.
    fn judge_session(&mut self, seen: &Seen, call: &str) -> Result<(), String> {
        let id = seen.header("x-sync-session");
        let session = match self.keeps_sessions {
            true => self.sessions.get(id).cloned(),
            false => self.sessions.remove(id),
        };
        let Some((epoch, opened_by, token)) = session else {
            return Err(format!("session {id:?} is unknown or used up"));
        };
        if seen.header("x-sync-epoch") != epoch {
            return Err(format!("epoch {:?}", seen.header("x-sync-epoch")));
        }
        let is_of_call = self.keeps_sessions || opened_by == call;
        if !is_of_call || token != seen.header("authorization") {
            return Err(format!("session {id} is another call's"));
        }
        Ok(())
    }

    /// What a backend should answer.
    fn well(&mut self, seen: &Seen) -> Response<Body> {
        if seen.opens_session() {
            self.opened += 1;
            let (id, epoch) = (uuid::Uuid::new_v4().to_string(), self.opened);
            let by = |name| seen.header(name).to_owned();
            let opened = (
                epoch.to_string(),
                by("x-correlation-id"),
                by("authorization"),
            );
            self.sessions.insert(id.clone(), opened);
            let body = json!({ "id": id, "epoch": epoch });
            return response(201, &[], &body.to_string());
        }
        let path = seen.target.split('?').next().unwrap_or_default();
        let is_collection = path.matches('/').count() == 2;
        let (status, body) = match (seen.method.as_str(), is_collection) {
            ("GET", true) => (200, json!({ "items": [record(UID)], "nextCursor": "next" })),
            ("POST", true) => (201, record(UID)),
            _ => (200, record(path.split('/').nth(3).unwrap_or_default())),
        };
        response(status, &[], &body.to_string())
    }
}

fn record(uid: &str) -> Value {
    json!({
        "uid": uid,
        "version": 7,
        "updatedAt": "2026-01-02T03:04:05.678Z",
        "deletedAt": null,
        "payload": { "title": "made up" },
    })
}

fn response(
    status: u16,
    headers: &[(&'static str, String)],
    body: &(impl AsRef<[u8]> + ?Sized),
) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(body.as_ref()));
    let mut response = Response::builder().status(status);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        response = response.header("content-type", "application/json");
    }
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    let body = body.map_err(|never: Infallible| match never {});
    response.body(body.boxed()).unwrap()
}

/// Says more than it sends.
fn truncated() -> Response<Body> {
    let first = Bytes::from_static(br#"{"uid":"9"#);
    let frames = stream::iter([Ok(Frame::data(first)), Err(io::Error::other("cut"))]);
    streamed(frames)
}

/// One JSON text of this size, made as it is taken.
fn flood(megabytes: usize, state: Arc<State>) -> Response<Body> {
    let chunk = Bytes::from(vec![b'x'; MEGABYTE]);
    let start = stream::iter([Ok(Frame::data(Bytes::from_static(br#"{"uid":""#)))]);
    let middle = stream::iter(0..megabytes).map(move |_| {
        state.flooded.send_modify(|count| *count += 1);
        Ok(Frame::data(chunk.clone()))
    });
    let end = stream::iter([Ok(Frame::data(Bytes::from_static(br#""}"#)))]);
    streamed(start.chain(middle).chain(end))
}

fn streamed(
    frames: impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send + Sync + 'static,
) -> Response<Body> {
    let body = BodyExt::boxed(StreamBody::new(frames));
    let mut response = Response::new(body);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}
