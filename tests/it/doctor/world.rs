//! A sidecar and an authorization server made of canned answers, in perfect health until a test replaces one of them;
//! and the questions that every test asks of a report.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use toolbridge::{
    auth::development,
    clock,
    doctor::{self, Operator, Patience, Patient, Report, Severity, Verdict},
    settings::{Settings, SettingsFile, Sources},
};

const KEY: &[u8] = include_bytes!("../../keys/rsa.pem");
pub(crate) const TENANT_SECRET: &str = "tenant-secret-of-the-doctor-tests-0123456789";
pub(crate) const JWT_SECRET: &str = "jwt-secret-of-the-doctor-tests-0123456789abc";

/// One canned answer.
#[derive(Clone)]
pub(crate) struct Says {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// Nothing at all comes.
    is_held: bool,
}

impl Says {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", &body.to_string())
    }

    pub(crate) fn html(status: u16) -> Self {
        Self::of(status, "text/html", "<html><h1>It works!</h1></html>")
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::of(status, "text/plain", "")
    }

    pub(crate) fn of(status: u16, kind: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", kind.to_owned())],
            body: body.to_owned(),
            is_held: false,
        }
    }

    /// Nothing comes, and the connection stays.
    pub(crate) fn nothing() -> Self {
        Self {
            is_held: true,
            ..Self::status(200)
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status.try_into().unwrap();
        for (name, value) in self.headers {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_str(&value).unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A server of canned answers; what it has none for is 404.
pub(crate) struct Server {
    pub(crate) url: String,
    answers: Arc<Mutex<HashMap<String, Says>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(HashMap::<String, Says>::new()));
        let shared = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&shared);
                let service = service_fn(move |request| respond(Arc::clone(&answers), request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { url, answers }
    }

    /// From now on: `GET /path`, or for MCP `initialize`, `tools/list` …, and `nobody` for messages without a token.
    pub(crate) fn says(&self, to: &str, answer: Says) {
        self.answers.lock().unwrap().insert(to.to_owned(), answer);
    }
}

async fn respond(
    answers: Arc<Mutex<HashMap<String, Says>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut key = format!("{} {}", head.method, head.uri);
    let body = body.collect().await.map(|body| body.to_bytes());
    let message: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    if let Some(method) = message["method"].as_str() {
        key = if head.headers.contains_key(header::AUTHORIZATION) {
            method.to_owned()
        } else {
            "nobody".to_owned()
        };
    }
    let answer = answers.lock().unwrap().get(&key).cloned();
    let mut answer = answer.unwrap_or_else(|| Says::status(404));
    if answer.is_held {
        std::future::pending::<()>().await;
    }
    // An echo, where a test wants one.
    let authorization = head.headers.get(header::AUTHORIZATION);
    let authorization = authorization.map_or("", |value| value.to_str().unwrap());
    answer.body = answer.body.replace("{authorization}", authorization);
    for (_, value) in &mut answer.headers {
        *value = value.replace("{authorization}", authorization);
    }
    if let (Some(id), Ok(mut body)) = (
        message.get("id"),
        serde_json::from_str::<Value>(&answer.body),
    ) && body.get("jsonrpc").is_some()
    {
        body["id"] = id.clone();
        answer.body = body.to_string();
    }
    Ok(answer.response())
}

/// A sidecar, an authorization server and a token, all in good health.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) issuer: Server,
    /// What is typed.
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) operator: Operator,
    pub(crate) patience: Patience,
    /// The Unix time of the one who examines.
    pub(crate) now: fn() -> Duration,
}

pub(crate) fn result(result: &Value) -> Says {
    Says::json(200, &json!({ "jsonrpc": "2.0", "result": result }))
}

impl World {
    pub(crate) async fn new() -> Self {
        let (server, issuer) = (Server::start().await, Server::start().await);
        let url = format!("{}/mcp", server.url);
        let world = Self {
            token: Some(token(&issuer.url, &url, 3600)),
            server,
            issuer,
            url,
            operator: Operator::Absent("no settings in this test"),
            now: clock::unix_now,
            patience: Patience::default(),
        };
        world.metadata(&world.url, &[&world.issuer.url]);
        world.challenge(&format!(
            "Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"",
            world.server.url
        ));
        healthy_issuer(&world.issuer);
        world.mcp();
        world
    }

    /// The protected-resource document, at both places.
    pub(crate) fn metadata(&self, resource: &str, issuers: &[&str]) {
        let document = json!({ "resource": resource, "authorization_servers": issuers, "bearer_methods_supported": ["header"] });
        let answer = Says::json(200, &document)
            .with("cache-control", "public, max-age=3600")
            .with("access-control-allow-origin", "*");
        let place = "GET /.well-known/oauth-protected-resource";
        self.server.says(place, answer.clone());
        self.server.says(&format!("{place}/mcp"), answer);
    }

    pub(crate) fn challenge(&self, header: &str) {
        let answer = Says::json(401, &json!({ "error": "unauthorized" }));
        self.server
            .says("nobody", answer.with("www-authenticate", header));
    }

    fn mcp(&self) {
        let server = &self.server;
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "fake", "version": "1" } });
        server.says("initialize", result(&hello).with("mcp-session-id", "c1"));
        server.says("notifications/initialized", Says::status(202));
        let discovered = json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 1, "cacheScope": "public" });
        server.says("server/discover", result(&discovered));
        self.tools(&[tool("list_notes")]);
        server.says(
            "tools/call",
            result(&json!({ "content": [], "structuredContent": {} })),
        );
        server.says("GET /mcp", Says::of(200, "text/event-stream", ""));
        server.says("DELETE /mcp", Says::status(204));
    }

    pub(crate) fn tools(&self, tools: &[Value]) {
        self.server
            .says("tools/list", result(&json!({ "tools": tools })));
    }

    /// The issuer's document with some of it replaced; `null` removes.
    pub(crate) fn issuer_says(&self, changes: Value) {
        let mut document = issuer_document(&self.issuer.url);
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        document
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        self.issuer.says(
            "GET /.well-known/oauth-authorization-server",
            Says::json(200, &document),
        );
    }

    pub(crate) async fn examine(self) -> Report {
        examine(Patient {
            url: self.url,
            token: self.token.map(SecretString::from),
            operator: self.operator,
            now: self.now,
            patience: self.patience,
        })
        .await
    }
}

pub(crate) async fn examine(patient: Patient) -> Report {
    doctor::examine(patient).await.unwrap()
}

fn issuer_document(url: &str) -> Value {
    json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "registration_endpoint": format!("{url}/register"),
        "jwks_uri": format!("{url}/jwks"),
        "code_challenge_methods_supported": ["S256"],
    })
}

/// Gives an authorization server its document and its key.
pub(crate) fn healthy_issuer(server: &Server) {
    let document = Says::json(200, &issuer_document(&server.url));
    server.says("GET /.well-known/oauth-authorization-server", document);
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let key = EncodingKey::from_rsa_pem(KEY).unwrap();
    let key = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    let mut key = serde_json::to_value(key).unwrap();
    key["kid"] = json!("k1");
    key["use"] = json!("sig");
    server.says("GET /jwks", Says::json(200, &json!({ "keys": [key] })));
}

/// A token of this issuer for this audience, good for so many seconds.
pub(crate) fn token(issuer: &str, audience: &str, seconds: i64) -> String {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let now = i64::try_from(clock::unix_now().as_secs()).unwrap();
    let claims = json!({ "iss": issuer, "aud": audience, "sub": "alice", "iat": now - 7200, "exp": now + seconds });
    let header = Header {
        kid: Some("k1".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    let key = EncodingKey::from_rsa_pem(KEY).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

/// A tool that reads and needs nothing.
pub(crate) fn tool(name: &str) -> Value {
    json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } })
}

/// Settings in the place of a `toolbridge.toml`, with the secrets of these tests.
pub(crate) fn sources(flags: &[(&str, &str)]) -> Sources {
    let secrets = [
        ("JWT_HS256_SECRET", JWT_SECRET),
        ("TENANT_HEADER_SECRET", TENANT_SECRET),
    ];
    Sources {
        file: SettingsFile::None,
        environment: secrets.into_iter().collect(),
        flags: flags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

pub(crate) fn operator(sources: &Sources) -> Operator {
    match Settings::load(sources, development::is_development_secret) {
        Ok(settings) => Operator::Settings(Box::new(settings), None),
        Err(error) => Operator::Refused(error),
    }
}

/// Exactly this step fails, with these words, a rule and a way to mend it; nothing else is even doubtful.
#[track_caller]
pub(crate) fn assert_named(report: &Report, step: &str, words: &str) {
    assert_verdict(report, step, words, Verdict::Failed);
}

/// The same for a warning.
#[track_caller]
pub(crate) fn assert_warned(report: &Report, step: &str, words: &str) {
    assert_verdict(report, step, words, Verdict::Warned);
}

#[track_caller]
fn assert_verdict(report: &Report, step: &str, words: &str, verdict: Verdict) {
    let unwell: Vec<_> = report
        .steps()
        .iter()
        .filter(|step| matches!(step.verdict, Verdict::Failed | Verdict::Warned))
        .map(|step| step.name)
        .collect();
    assert_eq!(unwell, [step], "{report}");
    let step = report.steps().iter().find(|it| it.name == step).unwrap();
    assert_eq!(step.verdict, verdict, "{report}");
    let wanted = match verdict {
        Verdict::Warned => Severity::Warning,
        _ => Severity::Wrong,
    };
    let finding = step.findings.iter().find(|it| it.what.contains(words));
    assert!(finding.is_some(), "nothing says `{words}`:\n{report}");
    let finding = finding.unwrap();
    assert_eq!(finding.severity, wanted, "{report}");
    assert!(
        !finding.rule.is_empty() && !finding.mend.is_empty(),
        "{report}"
    );
}

/// How a step ended, and what was seen.
#[track_caller]
pub(crate) fn seen<'a>(report: &'a Report, step: &str) -> (Verdict, &'a str) {
    let step = report.steps().iter().find(|it| it.name == step).unwrap();
    (step.verdict, &step.seen)
}

/// Short, for what never answers.
pub(crate) fn impatience() -> Patience {
    Patience {
        request: Duration::from_millis(500),
        ..Patience::default()
    }
}
