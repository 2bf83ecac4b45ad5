//! A strict backend on a real socket: it refuses what a request must not have (unknown or doubled headers, a session
//! used twice, a timestamp used twice, a wrong signature) and otherwise gives the answers a test put in line.
//! A refusal is kept as a complaint; every test ends with [`Fake::finish`], which wants none.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::Notify};

use crate::identity::Signer;

pub(super) const TOKEN: &str = "Bearer canary.jwt.token";
pub(super) const TENANT: &str = "tenant-123";
pub(super) const SECRET: &str = "canary-signing-secret";

/// What the backend says to one request.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Script,
}

/// The body of an answer, well-behaved or not.
#[derive(Clone)]
pub(super) enum Script {
    Whole(Vec<u8>),
    /// The connection is cut after these bytes.
    Cut(Vec<u8>),
    /// The connection is cut.
    Severed,
    /// These bytes, and then nothing more.
    Stalled(Vec<u8>),
    /// Up to so many bytes, as fast as they are taken.
    Flood(usize),
    /// Not even a head: silence.
    Silence,
    /// Not even a head: the connection is cut.
    HangUp,
}

impl Answer {
    pub(super) fn json(status: u16, body: &str) -> Self {
        Self::of(status, "application/json", body)
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::of(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn of(status: u16, kind: &str, body: impl AsRef<[u8]>) -> Self {
        Self::script(status, Script::Whole(body.as_ref().to_vec())).with("content-type", kind)
    }

    pub(super) fn script(status: u16, body: Script) -> Self {
        let headers = Vec::new();
        Self {
            status,
            headers,
            body,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// One request as it arrived.
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Default)]
struct State {
    openings: Mutex<VecDeque<Answer>>,
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
    complaints: Mutex<Vec<String>>,
    sessions: Mutex<HashSet<String>>,
    timestamps: Mutex<HashSet<String>>,
    flooded: Arc<AtomicUsize>,
    arrived: Notify,
}

pub(super) struct Fake {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state }
    }

    /// The next opening of a session gets this; without one in line, a session.
    pub(super) fn opens_with(&self, answer: Answer) {
        self.state.openings.lock().unwrap().push_back(answer);
    }

    /// The next call gets this; without one in line, `200 {"ok":true}`.
    pub(super) fn answers_with(&self, answer: Answer) {
        self.state.answers.lock().unwrap().push_back(answer);
    }

    /// Waits for a request that has arrived since the last wait.
    pub(super) async fn arrival(&self) {
        self.state.arrived.notified().await;
    }

    /// How many bytes of a flood were taken.
    pub(super) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }

    /// Every request in order, once it is sure that there was nothing to complain about.
    pub(super) fn finish(&self) -> Vec<Seen> {
        let complaints = self.state.complaints.lock().unwrap();
        assert!(complaints.is_empty(), "{complaints:?}");
        std::mem::take(&mut self.state.seen.lock().unwrap())
    }

    /// The requests as `METHOD target`, in order.
    pub(super) fn lines(&self) -> Vec<String> {
        let seen = self.finish();
        seen.iter()
            .map(|seen| format!("{} {}", seen.method, seen.target))
            .collect()
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async { drop(connection.await) });
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Scripted>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let seen = Seen {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: body.unwrap_or_default(),
    };
    let kind = Kind::of(&seen);
    let complaints = state.complaints_about(kind, &seen);
    state.seen.lock().unwrap().push(seen);
    state.arrived.notify_one();
    if complaints.is_empty() {
        return state.next(kind).respond(&state).await;
    }
    state.complaints.lock().unwrap().extend(complaints);
    Answer::text(418, "complaint").respond(&state).await
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Opening,
    Closing,
    Call,
}

impl Kind {
    fn of(seen: &Seen) -> Self {
        match (seen.method.as_str(), seen.target.as_str()) {
            ("POST", "/v1/sync/sessions") => Self::Opening,
            ("DELETE", target) if target.starts_with("/v1/sync/sessions/") => Self::Closing,
            _ => Self::Call,
        }
    }
}

impl State {
    fn next(&self, kind: Kind) -> Answer {
        let scripted = match kind {
            Kind::Opening => self.openings.lock().unwrap().pop_front(),
            Kind::Call => self.answers.lock().unwrap().pop_front(),
            Kind::Closing => None,
        };
        scripted.unwrap_or_else(|| match kind {
            Kind::Opening => {
                let id = uuid::Uuid::new_v4().to_string();
                let body = format!(r#"{{"id":"{id}","userId":"u","epoch":3}}"#);
                self.sessions.lock().unwrap().insert(id);
                Answer::json(201, &body)
            }
            Kind::Call => Answer::json(200, r#"{"ok":true}"#),
            Kind::Closing => Answer::script(204, Script::Whole(Vec::new())),
        })
    }

    fn complaints_about(&self, kind: Kind, seen: &Seen) -> Vec<String> {
        let mut complaints = header_complaints(kind, seen);
        let text = |name: &str| Some(seen.headers.get(name)?.to_str().unwrap());
        let mut expect = |is_right: bool, what: &str| {
            if !is_right {
                complaints.push(format!("{} {}: {what}", seen.method, seen.target));
            }
        };
        expect(
            text("authorization").is_none_or(|value| value == TOKEN),
            "authorization",
        );
        expect(text("x-tb-tenant-id") == Some(TENANT), "tenant");
        expect(text("accept") == Some("application/json"), "accept");
        expect(
            text("x-correlation-id").is_some_and(|id| id.len() == 36),
            "correlation id",
        );
        if let Some(timestamp) = text("x-tb-timestamp") {
            let signer = Signer::new(&SecretString::from(SECRET)).unwrap();
            let signature = signer.sign(&TENANT.parse().unwrap(), &seen.headers["x-tb-timestamp"]);
            expect(
                text("x-tb-signature") == signature.to_str().ok(),
                "signature",
            );
            let is_new = self.timestamps.lock().unwrap().insert(timestamp.to_owned());
            expect(is_new, "timestamp used twice");
        }
        if let Some(session) = text("x-sync-session") {
            let is_known = self.sessions.lock().unwrap().remove(session);
            expect(is_known, "session unknown or used twice");
            expect(text("x-sync-epoch") == Some("3"), "epoch");
        }
        complaints
    }
}

fn header_complaints(kind: Kind, seen: &Seen) -> Vec<String> {
    let mut allowed = vec![
        "host",
        "authorization",
        "accept",
        "x-correlation-id",
        "x-tb-tenant-id",
        "x-tb-timestamp",
        "x-tb-signature",
    ];
    if kind == Kind::Call {
        allowed.extend(["x-sync-session", "x-sync-epoch", "if-match"]);
    }
    if !seen.body.is_empty() {
        allowed.extend(["content-type", "content-length"]);
    }
    seen.headers
        .keys()
        .filter(|name| !allowed.contains(&name.as_str()))
        .filter(|name| **name != CONTENT_LENGTH || seen.headers[*name] != "0")
        .map(|name| format!("unknown header {name}"))
        .chain(
            seen.headers
                .keys()
                .filter(|name| seen.headers.get_all(*name).iter().count() > 1)
                .map(|name| format!("doubled header {name}")),
        )
        .collect()
}

impl Answer {
    async fn respond(self, state: &State) -> Result<Response<Scripted>, std::io::Error> {
        match self.body {
            Script::Silence => std::future::pending().await,
            Script::HangUp => return Err(std::io::Error::other("hung up")),
            _ => {}
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = Scripted {
            script: self.body,
            flooded: Arc::clone(&state.flooded),
        };
        Ok(response.body(body).unwrap())
    }
}

struct Scripted {
    script: Script,
    flooded: Arc<AtomicUsize>,
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        const CHUNK: usize = 64 * 1024;
        match &mut self.script {
            Script::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Script::Cut(bytes) if bytes.is_empty() => {
                // One turn for the server to write what it has.
                self.script = Script::Severed;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Script::Severed => Poll::Ready(Some(Err(std::io::Error::other("cut")))),
            Script::Stalled(bytes) if bytes.is_empty() => Poll::Pending,
            Script::Whole(bytes) | Script::Cut(bytes) | Script::Stalled(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
            }
            Script::Flood(left) if *left == 0 => Poll::Ready(None),
            Script::Flood(left) => {
                *left = left.saturating_sub(CHUNK);
                self.flooded.fetch_add(CHUNK, Ordering::SeqCst);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; CHUNK])))))
            }
            Script::Silence | Script::HangUp => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.script {
            Script::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// A socket that counts who comes: for addresses nobody may contact.
pub(super) async fn tripwire() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let visits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&visits);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, visits)
}
