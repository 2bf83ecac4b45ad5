//! The backend of the bench: the two requests of a call, answered from memory. Strict, so that no short cut can win:
//! every request needs the token and a fresh signature, every entity request a session that nobody has used yet.
//! Prints its address; runs until it is killed. One thread, because its work is the same for everybody measured.

use std::{cell::RefCell, collections::HashSet, convert::Infallible, rc::Rc};

use anyhow::{Context, Result};
use bench_parts::{EPOCH, NOTE, TENANT, TOKEN_VARIABLE, answers, now_ms, signature::Signer};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::LocalSet};

const SESSIONS: &str = "/v1/sync/sessions";
const NOTES: &str = "/v1/notes";

/// Sessions that were opened and never used; more than any load leaves behind.
const MOST_SESSIONS: usize = 100_000;

struct Stub {
    bearer: String,
    signer: Signer,
    sessions: RefCell<Sessions>,
    note: Bytes,
    short_list: Bytes,
    long_list: Bytes,
}

#[derive(Default)]
struct Sessions {
    opened: u64,
    unused: HashSet<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let token = std::env::var(TOKEN_VARIABLE).context(TOKEN_VARIABLE)?;
    let stub = Rc::new(Stub {
        bearer: format!("Bearer {token}"),
        signer: Signer::new()?,
        sessions: RefCell::default(),
        note: answers::note().into(),
        short_list: answers::page(answers::SHORT_LIST).into(),
        long_list: answers::page(answers::LONG_LIST).into(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    LocalSet::new().run_until(serve(listener, stub)).await
}

async fn serve(listener: TcpListener, stub: Rc<Stub>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let stub = Rc::clone(&stub);
        let service = service_fn(move |request| {
            let stub = Rc::clone(&stub);
            async move { Ok::<_, Infallible>(stub.answer(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::task::spawn_local(connection);
    }
}

impl Stub {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return plain(StatusCode::BAD_REQUEST, "no body");
        };
        if let Err(complaint) = self.admits(&head.headers) {
            return plain(StatusCode::UNAUTHORIZED, complaint);
        }
        let path = head.uri.path();
        if head.method == Method::POST && path == SESSIONS {
            return self.open();
        }
        if !self.takes_session(&head.headers) {
            return plain(StatusCode::PRECONDITION_REQUIRED, "no unused session");
        }
        let id = path.strip_prefix(NOTES).unwrap_or("?");
        match (&head.method, id.strip_prefix('/')) {
            (&Method::GET, Some(NOTE)) => json(StatusCode::OK, &self.note),
            (&Method::GET, None) if id.is_empty() => match head.uri.query() {
                Some("limit=10") => json(StatusCode::OK, &self.short_list),
                Some("limit=1000") => json(StatusCode::OK, &self.long_list),
                _ => plain(
                    StatusCode::BAD_REQUEST,
                    "a limit that no answer is made for",
                ),
            },
            (&Method::POST, None) if id.is_empty() && is_note(&body.to_bytes()) => {
                json(StatusCode::CREATED, &self.note)
            }
            _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    /// Token, tenant and a fresh signature.
    fn admits(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let bearer = text(headers, "authorization");
        if !same(bearer.as_bytes(), self.bearer.as_bytes()) {
            return Err("unauthorized");
        }
        let tenant = text(headers, "x-tb-tenant-id");
        let timestamp = text(headers, "x-tb-timestamp");
        let signature = text(headers, "x-tb-signature");
        let is_signed = self.signer.admits(tenant, timestamp, signature, now_ms());
        if tenant != TENANT || !is_signed {
            return Err("tenant or signature");
        }
        Ok(())
    }

    fn open(&self) -> Response<Full<Bytes>> {
        let mut sessions = self.sessions.borrow_mut();
        if sessions.unused.len() > MOST_SESSIONS {
            sessions.unused.clear();
        }
        sessions.opened += 1;
        let number = sessions.opened;
        sessions.unused.insert(number);
        let body = format!(
            r#"{{"id":"5e55{:04x}-0000-4000-8000-{:012x}","userId":"3f0e8f3c-3a56-4a41-8d6b-6b8f8c1f0a11","createdAt":"2026-01-17T12:00:00.10011466Z","expiresAt":"2026-01-17T12:30:00.10011466Z","epoch":{EPOCH}}}"#,
            number & 0xffff,
            number,
        );
        let mut response = json(StatusCode::CREATED, &Bytes::from(body));
        let epoch = HeaderValue::from_static(EPOCH);
        response.headers_mut().insert("x-sync-epoch", epoch);
        response
    }

    /// The session's number stands at the end of its id.
    fn takes_session(&self, headers: &HeaderMap) -> bool {
        let id = text(headers, "x-sync-session");
        let number = id.rsplit('-').next().unwrap_or_default();
        text(headers, "x-sync-epoch") == EPOCH
            && u64::from_str_radix(number, 16)
                .is_ok_and(|number| self.sessions.borrow_mut().unused.remove(&number))
    }
}

/// What `create_note` has to bring.
fn is_note(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|note| note.get("title").is_some() && note.get("content").is_some())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).map(HeaderValue::to_str);
    value.and_then(Result::ok).unwrap_or_default()
}

/// Takes as long for every text of the right length.
fn same(left: &[u8], right: &[u8]) -> bool {
    let differences = left.iter().zip(right).fold(0, |sum, (l, r)| sum | (l ^ r));
    left.len() == right.len() && differences == 0
}

fn json(status: StatusCode, body: &Bytes) -> Response<Full<Bytes>> {
    answer(status, "application/json", body.clone())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert("content-type", kind);
    response
}
