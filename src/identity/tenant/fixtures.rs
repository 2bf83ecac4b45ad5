//! WorkOS as the tests of this module meet it: on a real socket, strict about what it is asked, with faults on demand.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use url::Url;

use super::{Members, TenantSource, members::POSITIVE};
use crate::{auth::Caller, identity::Identities};

pub(super) const KEY: &str = "sk_test_of_the_tests";
pub(super) const ISSUER: &str = "https://issuer.test";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What goes wrong.
#[derive(Clone, PartialEq)]
pub(super) enum Fault {
    None,
    Status(u16, Option<u64>),
    /// Takes the request and never answers.
    Silent,
    /// Five megabytes.
    Huge,
    /// The connection ends within the body.
    Cut,
    /// Not JSON.
    Html,
    /// The cursor of the first page, on every page.
    Loop,
    /// A new cursor on every page.
    Endless,
    /// Rows of somebody else.
    Foreign,
    /// Somewhere else, with our key.
    Redirect(String),
}

#[derive(Clone)]
pub(super) struct Row {
    organization: String,
    name: Option<String>,
    status: &'static str,
}

/// A membership that counts.
pub(super) fn active(organization: &str) -> Row {
    with_status(organization, "active")
}

pub(super) fn with_status(organization: &str, status: &'static str) -> Row {
    Row {
        organization: organization.to_owned(),
        name: Some(format!("Team {organization}")),
        status,
    }
}

struct State {
    members: Mutex<BTreeMap<String, Vec<Row>>>,
    fault: Mutex<Fault>,
    asked: AtomicUsize,
    odd: Mutex<Vec<String>>,
    has_come: Notify,
    whole_rows: bool,
}

pub(super) struct FakeWorkOs {
    pub(super) url: Url,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl FakeWorkOs {
    pub(super) async fn start() -> Self {
        Self::serving(true).await
    }

    /// Rows without what the emulator (npm `workos` 0.14) leaves out.
    pub(super) async fn start_like_the_emulator() -> Self {
        Self::serving(false).await
    }

    async fn serving(whole_rows: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            members: Mutex::default(),
            fault: Mutex::new(Fault::None),
            asked: AtomicUsize::new(0),
            odd: Mutex::default(),
            has_come: Notify::new(),
            whole_rows,
        });
        Self {
            url: url.parse().unwrap(),
            serving: tokio::spawn(serve(listener, Arc::clone(&state))),
            state,
        }
    }

    pub(super) fn set(&self, subject: &str, rows: &[Row]) {
        let mut members = self.state.members.lock().unwrap();
        members.insert(subject.to_owned(), rows.to_vec());
    }

    pub(super) fn fault(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = fault;
    }

    /// How many requests came; fails on one that WorkOS would not understand, or that carries too much.
    pub(super) fn asked(&self) -> usize {
        let odd = self.state.odd.lock().unwrap();
        assert!(odd.is_empty(), "{odd:?}");
        self.state.asked.load(Ordering::SeqCst)
    }

    /// Waits for the next request.
    pub(super) async fn has_come(&self) {
        self.state.has_come.notified().await;
    }

    /// Gone from one moment to the next.
    pub(super) fn dies(&self) {
        self.fault(Fault::Cut);
        self.serving.abort();
    }

    pub(super) fn members(&self) -> Members {
        self.believed_for(POSITIVE)
    }

    pub(super) fn believed_for(&self, cache: Duration) -> Members {
        Members::of_workos(&self.url, &SecretString::from(KEY), cache).unwrap()
    }

    /// Identities of people who choose among their organizations.
    pub(super) fn identities(&self, default: Option<&str>) -> Identities {
        let source = TenantSource::Memberships {
            members: self.members(),
            default: default.map(|id| id.parse().unwrap()),
            choice_lifetime: Duration::from_secs(3600),
        };
        Identities::new(source, None)
    }
}

/// Somebody with a token.
pub(super) fn person(subject: &str) -> Caller {
    Caller::for_tests(ISSUER, subject, Some("header.payload.signature"))
}

/// Lets time pass for everything that measures it with tokio's clock, without waiting.
pub(super) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, io::Error> {
    state.asked.fetch_add(1, Ordering::SeqCst);
    state.has_come.notify_one();
    let odd = oddities(&request);
    let is_odd = !odd.is_empty();
    state.odd.lock().unwrap().extend(odd);
    let fault = state.fault.lock().unwrap().clone();
    let (status, body) = match &fault {
        _ if is_odd => (400, full("odd")),
        Fault::Silent => std::future::pending().await,
        Fault::Status(status, _) => (*status, full(r#"{"message":"canary: no"}"#)),
        Fault::Redirect(_) => (307, full("")),
        Fault::Huge => (200, full(&" ".repeat(5 << 20))),
        Fault::Html => (200, full("<html>canary</html>")),
        Fault::Cut => (200, cut()),
        Fault::None | Fault::Loop | Fault::Endless | Fault::Foreign => {
            (200, full(&state.page(&request, &fault).to_string()))
        }
    };
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    if let Fault::Status(_, Some(seconds)) = fault {
        response = response.header("retry-after", seconds);
    } else if let Fault::Redirect(to) = fault {
        response = response.header("location", to);
    }
    Ok(response.body(body).unwrap())
}

fn full(text: &str) -> Body {
    let body = Full::from(text.to_owned());
    body.map_err(|never| match never {}).boxed_unsync()
}

fn cut() -> Body {
    let half = Ok(Frame::data(Bytes::from_static(b"{\"data\":[")));
    let end = Err(io::Error::other("cut"));
    StreamBody::new(stream::iter([half, end])).boxed_unsync()
}

/// What WorkOS would not expect of us.
fn oddities(request: &Request<Incoming>) -> Vec<String> {
    let mut odd = Vec::new();
    let mut expect = |what: &str, is: bool| {
        if !is {
            odd.push(format!("{what}: {} {:?}", request.uri(), request.headers()));
        }
    };
    let path = request.uri().path();
    expect("path", path == "/user_management/organization_memberships");
    expect("method", request.method() == "GET");
    let authorization = request.headers().get_all("authorization");
    let authorization: Vec<_> = authorization.iter().collect();
    expect("key", authorization == [&format!("Bearer {KEY}")]);
    for name in request.headers().keys() {
        let known = [
            "authorization",
            "user-agent",
            "accept",
            "host",
            "content-length",
        ];
        expect("header", known.contains(&name.as_str()));
    }
    let query = query(request);
    let is = |name: &str, value: &str| query.get(name).is_some_and(|it| it == value);
    expect("limit", is("limit", "100"));
    expect("order", is("order", "desc"));
    expect("statuses", is("statuses", "active"));
    expect(
        "user",
        query.get("user_id").is_some_and(|id| !id.is_empty()),
    );
    odd
}

fn query(request: &Request<Incoming>) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

impl State {
    /// A hundred rows after the cursor, newest first; the filter of statuses is ignored, as the emulator does.
    fn page(&self, request: &Request<Incoming>, fault: &Fault) -> Value {
        let query = query(request);
        let user = &query["user_id"];
        let members = self.members.lock().unwrap();
        let rows = members.get(user).map_or(&[][..], Vec::as_slice);
        let after = query.get("after");
        let start: usize =
            after.map_or(0, |after| after.trim_start_matches("om_").parse().unwrap());
        let end = rows.len().min(start.min(rows.len()) + 100);
        let shown = rows.get(start..end).unwrap_or_default();
        let owner = if *fault == Fault::Foreign {
            "user_other"
        } else {
            user
        };
        let data: Vec<_> = shown.iter().map(|row| self.row(row, owner)).collect();
        let next = match fault {
            Fault::Loop => Some("om_1".to_owned()),
            Fault::Endless => Some(format!("om_{}", start + 1)),
            _ => (end < rows.len()).then(|| format!("om_{end}")),
        };
        json!({ "object": "list", "data": data, "list_metadata": { "before": null, "after": next } })
    }

    fn row(&self, row: &Row, user: &str) -> Value {
        let time = "2026-11-01T00:00:00.000Z";
        let mut shown = json!({
            "object": "organization_membership", "id": "om_01", "user_id": user,
            "organization_id": row.organization, "status": row.status,
            "role": { "slug": "member" }, "created_at": time, "updated_at": time,
        });
        if self.whole_rows {
            shown["organization_name"] = json!(row.name);
            shown["directory_managed"] = json!(false);
            shown["roles"] = json!([{ "slug": "member" }]);
            shown["user"] = json!({
                "object": "user", "id": user, "email": "canary@example.com", "email_verified": true,
                "metadata": { "a": "b" }, "created_at": time, "updated_at": time,
            });
        }
        shown
    }
}
