//! Sidecars with a mistake: good ones, with a proxy in front that does what a careless implementation would.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use toolbridge::{
    app::App,
    auth::{NewToken, development, mint},
    catalogue::Catalogue,
    clock,
    isolation::{Credentials, Target},
    outgoing::{self, Timeouts},
    sandbox::{Sandbox, SandboxSettings, TokenRules},
    server::{
        self, Body,
        connection::{Door, Limits, RequestBytes},
        lanes::Lanes,
    },
    settings::{Settings, SettingsFile, Sources},
    shutdown::Shutdown,
};

const SECRET: &str = "jwt-secret-of-the-isolation-tests-0123456789";

/// What is wrong.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Flaw {
    /// A note that is not found is answered with the last one anybody read.
    LastNote,
    /// Everybody's calls are made with one person's token.
    OneForAll,
    /// A delete that is refused is done in the owner's name, and still answered as refused.
    DeletesForAnybody,
    /// Refusals of a delete get lost behind a gateway.
    DropsSomeAnswers,
}

/// Two flawed sidecars before one sandbox.
pub(crate) struct Flawed {
    pub(crate) targets: [Target; 2],
    stop: CancellationToken,
    shutdown: Shutdown,
    _sandbox: Sandbox,
}

impl Drop for Flawed {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shutdown.request();
    }
}

/// One proxy.
struct Proxy {
    flaw: Flaw,
    to: String,
    client: reqwest::Client,
    everybody: Vec<String>,
    last: Mutex<Option<Value>>,
}

impl Flawed {
    pub(crate) async fn start(flaw: Flaw, file: &Path, catalogue: &Catalogue) -> Self {
        let settings = SandboxSettings::for_tests(catalogue.entities().to_vec());
        let tokens = TokenRules::hs256(SECRET);
        let sandbox = Sandbox::start(SandboxSettings { tokens, ..settings })
            .await
            .unwrap();
        let (stop, shutdown) = (CancellationToken::new(), Shutdown::new());
        let people = ["alice", "bob", "carol", "dave"].map(person);
        let everybody = people
            .each_ref()
            .map(|person| person.token.expose_secret().to_owned());
        let [alice, bob, carol, dave] = people;
        let mut targets = Vec::new();
        for (tenant, people) in [("tenant-a", [alice, bob]), ("tenant-b", [carol, dave])] {
            let app = App::build(sidecar(tenant, file, &sandbox)).await.unwrap();
            let proxy = Arc::new(Proxy {
                flaw,
                to: app.mcp_url(),
                client: outgoing::client(Timeouts {
                    connect: Duration::from_secs(5),
                    request: Duration::from_secs(60),
                })
                .unwrap(),
                everybody: everybody.to_vec(),
                last: Mutex::default(),
            });
            tokio::spawn(app.run(shutdown.clone()));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/mcp", listener.local_addr().unwrap());
            let answer: server::Answer = Arc::new(move |request| {
                let proxy = Arc::clone(&proxy);
                Box::pin(async move { proxy.answer(request).await })
            });
            tokio::spawn(server::accept(
                listener,
                answer,
                Door::new(Limits::OPERATIONS),
                Lanes::here(),
                stop.clone(),
            ));
            targets.push(Target {
                tenant: tenant.to_owned(),
                url: url.parse().unwrap(),
                people,
            });
        }
        Self {
            targets: targets.try_into().unwrap(),
            stop,
            shutdown,
            _sandbox: sandbox,
        }
    }
}

impl Proxy {
    async fn answer(&self, request: Request<RequestBytes>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        parts.headers.remove("host");
        let named = |tool: &str| {
            parts
                .headers
                .get("mcp-name")
                .is_some_and(|name| name == tool)
        };
        let (is_get, is_delete) = (named("get_note"), named("delete_note"));
        if self.flaw == Flaw::OneForAll && parts.headers.contains_key(AUTHORIZATION) {
            parts
                .headers
                .insert(AUTHORIZATION, bearer(&self.everybody[0]));
        }
        let send = async |headers: http::HeaderMap| {
            let request = self.client.request(parts.method.clone(), &self.to);
            request
                .headers(headers)
                .body(body.clone())
                .send()
                .await
                .unwrap()
        };
        let answer = send(parts.headers.clone()).await;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if parts.method == http::Method::GET {
            // A stream never ends.
            return response(status, &headers, Bytes::new());
        }
        let mut bytes = answer.bytes().await.unwrap();
        let message: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let is_refused = message["result"]["isError"] == json!(true);
        match self.flaw {
            Flaw::LastNote if is_get => {
                let mut last = self.last.lock().unwrap();
                match &*last {
                    Some(note) if is_refused => bytes = note.to_string().into(),
                    _ if message["result"].is_object() && !is_refused => *last = Some(message),
                    _ => {}
                }
            }
            Flaw::DeletesForAnybody if is_delete && is_refused => {
                for token in &self.everybody {
                    let mut headers = parts.headers.clone();
                    headers.insert(AUTHORIZATION, bearer(token));
                    send(headers).await;
                }
            }
            Flaw::DropsSomeAnswers if is_delete && is_refused => {
                return response(
                    http::StatusCode::BAD_GATEWAY,
                    &http::HeaderMap::new(),
                    Bytes::new(),
                );
            }
            _ => {}
        }
        response(status, &headers, bytes)
    }
}

fn response(status: http::StatusCode, headers: &http::HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = status;
    for name in ["content-type", "mcp-session-id"] {
        if let Some(value) = headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn bearer(token: &str) -> HeaderValue {
    format!("Bearer {token}").parse().unwrap()
}

fn person(name: &str) -> Credentials {
    let token = NewToken {
        subject: name,
        issuer: "issuer",
        audience: "both",
        scopes: &[],
        issued_at: clock::unix_now(),
        lifetime: Duration::from_secs(3600),
    };
    Credentials {
        name: name.to_owned(),
        token: mint(&SecretString::from(SECRET), token).unwrap(),
    }
}

fn sidecar(tenant: &str, file: &Path, sandbox: &Sandbox) -> Settings {
    let flags = [
        ("environment", "development"),
        ("server.listen", "127.0.0.1:0"),
        ("ops.listen", "127.0.0.1:0"),
        ("backend.url", &sandbox.url()),
        ("auth.issuer", "issuer"),
        ("auth.audience", "both"),
        ("tenant.id", tenant),
        ("catalogue.file", file.to_str().unwrap()),
    ];
    let sources = Sources {
        file: SettingsFile::None,
        environment: [("JWT_HS256_SECRET", SECRET)].into_iter().collect(),
        flags: flags
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    };
    Settings::load(&sources, development::is_development_secret).unwrap()
}
