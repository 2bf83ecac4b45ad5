//! An issuer on a real socket that can misbehave, tokens that it signs, and a sidecar that believes it.

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{
    Algorithm, EncodingKey,
    crypto::{self, aws_lc},
    jwk::Jwk,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use toolbridge::{
    app::App,
    auth::development,
    clock,
    outgoing::{self, Timeouts},
    settings::{Settings, SettingsFile, Sources},
    shutdown::Shutdown,
};

/// The public name of the sidecar, and the resource that tokens are for.
pub(crate) const PUBLIC: &str = "https://acme.example.com";
pub(crate) const RESOURCE: &str = "https://acme.example.com/mcp";
/// Where whoever is refused at `/mcp` is sent.
pub(crate) const METADATA: &str =
    "https://acme.example.com/.well-known/oauth-protected-resource/mcp";

pub(crate) const OAUTH: &str = "/.well-known/oauth-authorization-server";
pub(crate) const OPENID: &str = "/.well-known/openid-configuration";
pub(crate) const MODERN: &str = "2026-07-28";

const RSA: &str = include_str!("../../keys/rsa.pem");
const OTHER: &str = include_str!("../../keys/rsa-other.pem");

/// What an issuer does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    Says(u16, String),
    RedirectsTo(String),
    /// Says nothing, ever.
    Stalls,
}

/// An authorization server: metadata and keys.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    scripts: BTreeMap<String, Script>,
    seen: Vec<String>,
}

impl Issuer {
    /// One that does what it should, its metadata being where RFC 8414 wants it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        tokio::spawn(serve(listener, Arc::clone(&state)));
        let issuer = Self { url, state };
        issuer.on(OAUTH, Script::Says(200, issuer.document().to_string()));
        issuer.on("/keys", Script::Says(200, key_set(&["rsa"])));
        issuer
    }

    /// Its metadata, with something in it that we know nothing of.
    pub(crate) fn document(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/keys", self.url),
            "authorization_endpoint": format!("{}/authorize", self.url),
            "x_unknown": [1, { "deep": null }],
        })
    }

    /// From now on, this path does this.
    pub(crate) fn on(&self, path: &str, script: Script) {
        let mut state = self.state.lock().unwrap();
        state.scripts.insert(path.to_owned(), script);
    }

    /// Paths that were asked for, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }

    /// A token that every check passes, `header` and `claims` put over it (`null` removes).
    pub(crate) fn token(&self, header: Value, claims: Value) -> String {
        let kid = header["kid"].as_str().unwrap_or("rsa");
        let pem = if kid == "other" { OTHER } else { RSA };
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        sign(&self.unsigned(header, claims), &key, Algorithm::RS256)
    }

    /// `header.payload` of such a token.
    pub(crate) fn unsigned(&self, header: Value, claims: Value) -> String {
        let now = clock::unix_now().as_secs();
        let good = json!({
            "iss": self.url, "sub": "alice", "aud": RESOURCE, "iat": now, "exp": now + 600,
        });
        let head = json!({ "alg": "RS256", "typ": "at+jwt", "kid": "rsa" });
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!(
            "{}.{}",
            encode(merged(head, header)),
            encode(merged(good, claims))
        )
    }
}

/// The set of keys with these ids: `rsa` and `other`.
pub(crate) fn key_set(kids: &[&str]) -> String {
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    let entry = |kid: &&str| {
        let pem = if *kid == "other" { OTHER } else { RSA };
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        let mut jwk = json!(Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap());
        jwk["kid"] = json!(kid);
        jwk
    };
    json!({ "keys": kids.iter().map(entry).collect::<Vec<_>>() }).to_string()
}

pub(crate) fn sign(unsigned: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    let signature = crypto::sign(unsigned.as_bytes(), key, algorithm).unwrap();
    format!("{unsigned}.{signature}")
}

fn merged(mut base: Value, changes: Value) -> Value {
    let object = base.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    base
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request: Request<Incoming>| {
            let script = {
                let mut state = state.lock().unwrap();
                let path = request.uri().path().to_owned();
                state.seen.push(path.clone());
                state.scripts.get(&path).cloned()
            };
            let missing = Script::Says(404, "{}".to_owned());
            perform(script.unwrap_or(missing))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn perform(script: Script) -> Result<Response<Full<Bytes>>, http::Error> {
    match script {
        Script::Says(status, body) => Response::builder()
            .status(status)
            .body(Full::new(Bytes::from(body))),
        Script::RedirectsTo(place) => Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, place)
            .body(Full::default()),
        Script::Stalls => future::pending().await,
    }
}

/// What a sidecar is told before it starts.
pub(crate) struct Setup {
    flags: Vec<(String, String)>,
    variables: Vec<(&'static str, String)>,
}

/// A running sidecar whose backend is not there.
pub(crate) struct Sidecar {
    pub(crate) url: String,
    pub(crate) ops_url: String,
    http: reqwest::Client,
    shutdown: Shutdown,
    _running: JoinHandle<bool>,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

impl Setup {
    /// A sidecar that knows nothing of its issuer but its name.
    pub(crate) fn trusting(issuer: &Issuer) -> Self {
        Self::bare().set("auth.issuer", &issuer.url)
    }

    /// A sidecar that knows no issuer yet.
    pub(crate) fn bare() -> Self {
        let setup = Self {
            flags: Vec::new(),
            variables: Vec::new(),
        };
        setup
            .set("server.listen", "127.0.0.1:0")
            .set("server.public_url", PUBLIC)
            .set("ops.listen", "127.0.0.1:0")
            .set("backend.url", "http://127.0.0.1:9")
            .set("tenant.id", "acme")
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.flags.retain(|(flag, _)| flag != key);
        self
    }

    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    pub(crate) async fn start(self) -> Sidecar {
        let sources = Sources {
            file: SettingsFile::None,
            environment: self.variables.into_iter().collect(),
            flags: self.flags,
        };
        let settings = Settings::load(&sources, development::is_development_secret);
        let app = App::build(settings.map_err(|error| error.to_string()).unwrap()).await;
        let app = app.map_err(|error| error.to_string()).unwrap();
        let shutdown = Shutdown::new();
        let wait = Duration::from_secs(60);
        let timeouts = Timeouts {
            connect: wait,
            request: wait,
        };
        Sidecar {
            url: app.mcp_url().trim_end_matches("/mcp").to_owned(),
            ops_url: app.ops_url(),
            http: outgoing::client(timeouts).unwrap(),
            _running: tokio::spawn(app.run(shutdown.clone())),
            shutdown,
        }
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Sidecar {
    /// Any request.
    pub(crate) async fn sends(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let method = method.parse().unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url));
        let add = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let request = headers.iter().fold(request, add).body(body.to_owned());
        answer(request).await
    }

    pub(crate) async fn gets(&self, path: &str) -> Answer {
        self.sends("GET", path, &[], "").await
    }

    /// `/readyz`.
    pub(crate) async fn readiness(&self) -> Answer {
        answer(self.http.get(format!("{}/readyz", self.ops_url))).await
    }

    /// One message to MCP with these headers, beside those that every message has.
    pub(crate) async fn posts(&self, headers: &[(&str, &str)], message: &Value) -> Answer {
        let own = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let headers = [headers, &own].concat();
        self.sends("POST", "/mcp", &headers, &message.to_string())
            .await
    }

    /// One request of the 2026-07-28 revision.
    pub(crate) async fn asks(&self, token: &str, method: &str, params: Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let name = params["name"].as_str().map(str::to_owned);
        let mut headers = vec![
            ("authorization", &*bearer),
            ("mcp-protocol-version", MODERN),
            ("mcp-method", method),
        ];
        headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
        self.posts(&headers, &modern(method, params)).await
    }

    /// The tool list, which everybody with a good token gets.
    pub(crate) async fn lists(&self, token: &str) -> Answer {
        self.asks(token, "tools/list", json!({})).await
    }
}

/// A message of the 2026-07-28 revision.
pub(crate) fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "it", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.text().await.unwrap(),
    }
}
