//! A sidecar whose callers have organizations, the sandbox that knows them, and people who call with and without forms.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
        ElicitationAction, ElicitationCapability, Implementation, ProtocolVersion,
    },
    service::{RequestContext, RunningService},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};
use toolbridge::{
    app::App,
    auth::development,
    catalogue::Catalogue,
    clock,
    outgoing::{self, Timeouts},
    sandbox::{Organization, Organizations, Sandbox, SandboxSettings, Tenants, TokenRules},
    settings::{Settings, SettingsError, SettingsFile, Sources},
    shutdown::Shutdown,
};

const SECRET: &str = "jwt-secret-of-the-organization-tests-0123456789";
const ISSUER: &str = "issuer-of-tests";
const AUDIENCE: &str = "audience-of-tests";
/// Longer than anything takes, also where a test lets a minute pass.
const WAIT: Duration = Duration::from_secs(600);

/// Alice is in two organizations, bob in the same two, carol in one, nobody knows dave.
pub(crate) async fn sandbox() -> Sandbox {
    believing(TokenRules::hs256(SECRET)).await
}

/// The same, with other tokens than those of the people.
pub(crate) async fn believing(tokens: TokenRules) -> Sandbox {
    let of = |(id, name): (&str, &str)| Organization {
        id: id.to_owned(),
        name: name.to_owned(),
    };
    let (acme, beta) = (of(("org_acme", "Acme")), of(("org_beta", "Beta GmbH")));
    let members = BTreeMap::from([
        ("alice".to_owned(), vec![acme.clone(), beta.clone()]),
        ("bob".to_owned(), vec![acme.clone(), beta]),
        ("carol".to_owned(), vec![acme]),
    ]);
    let settings = SandboxSettings {
        tokens,
        tenants: Tenants::Organizations(Organizations {
            members,
            ..Organizations::default()
        }),
        ..SandboxSettings::for_tests(Catalogue::shipped().unwrap().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

/// What a sidecar is told.
pub(crate) struct Setup {
    flags: Vec<(String, String)>,
    secrets: Vec<(&'static str, &'static str)>,
}

impl Setup {
    /// In front of this backend, which says the tenants.
    pub(crate) fn before(backend: &str) -> Self {
        let setup = Self {
            flags: Vec::new(),
            secrets: vec![("JWT_HS256_SECRET", SECRET)],
        };
        setup
            .set("server.listen", "127.0.0.1:0")
            .set("ops.listen", "127.0.0.1:0")
            .set("backend.url", backend)
            .set("auth.issuer", ISSUER)
            .set("auth.audience", AUDIENCE)
            .set("tenant.mode", "backend")
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn secret(mut self, name: &'static str, value: &'static str) -> Self {
        self.secrets.push((name, value));
        self
    }

    fn settings(self) -> Result<Settings, SettingsError> {
        let sources = Sources {
            file: SettingsFile::None,
            environment: self.secrets.into_iter().collect(),
            flags: self.flags,
        };
        Settings::load(&sources, development::is_development_secret)
    }

    /// Why it does not start.
    pub(crate) async fn fails(self) -> String {
        let started = App::build(self.settings().unwrap()).await;
        started.err().map(|error| error.to_string()).unwrap()
    }

    /// Its MCP endpoint; it runs until the test ends.
    pub(crate) async fn start(self) -> String {
        let settings = self.settings().unwrap();
        let app = App::build(settings).await.unwrap();
        let url = app.mcp_url();
        tokio::spawn(app.run(Shutdown::new()));
        url
    }
}

/// A token with these claims besides the usual ones.
pub(crate) fn token(subject: &str, more: &Value) -> String {
    let now = clock::unix_now().as_secs();
    let mut claims =
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600 });
    let more = more.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(more);
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = encode(&json!({ "alg": "HS256", "typ": "JWT" }));
    let signed = format!("{header}.{}", encode(&claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

/// Somebody who speaks 2026-07-28 over plain HTTP.
#[derive(Clone)]
pub(crate) struct Person {
    url: String,
    token: String,
    capabilities: Value,
}

impl Person {
    /// With a client that shows forms.
    pub(crate) fn named(url: &str, subject: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: token(subject, &json!({})),
            capabilities: json!({ "elicitation": {} }),
        }
    }

    pub(crate) fn without_forms(&self) -> Self {
        let capabilities = json!({});
        Self {
            capabilities,
            ..self.clone()
        }
    }

    /// With a token for one organization.
    pub(crate) fn in_organization(&self, subject: &str, id: &str) -> Self {
        let token = token(subject, &json!({ "org_id": id }));
        Self {
            token,
            ..self.clone()
        }
    }

    /// At another sidecar.
    pub(crate) fn at(&self, url: &str) -> Self {
        let url = url.to_owned();
        Self {
            url,
            ..self.clone()
        }
    }

    /// The result of one request.
    pub(crate) async fn asks(&self, method: &str, mut params: Value) -> Value {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        let wait = Timeouts {
            connect: WAIT,
            request: WAIT,
        };
        let request = outgoing::client(wait)
            .unwrap()
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method)
            .header("mcp-name", params["name"].as_str().unwrap_or_default());
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = request.body(message.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["result"].is_object(), "{text}");
        answer["result"].clone()
    }

    pub(crate) async fn calls(&self, tool: &str, arguments: &Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        self.asks("tools/call", params).await
    }

    /// The same call again, with what a question brought.
    pub(crate) async fn repeats(
        &self,
        tool: &str,
        arguments: &Value,
        state: &str,
        answer: Value,
    ) -> Value {
        let params = json!({
            "name": tool, "arguments": arguments,
            "requestState": state, "inputResponses": { "organization": answer },
        });
        self.asks("tools/call", params).await
    }

    /// The titles of all notes that there are in the chosen organization.
    pub(crate) async fn notes(&self) -> Vec<String> {
        let listed = self.calls("list_notes", &json!({})).await;
        let items = listed["structuredContent"]["items"].as_array().unwrap();
        let title = |item: &Value| item["payload"]["title"].as_str().unwrap().to_owned();
        items.iter().map(title).collect()
    }
}

/// The answer that chooses this organization.
pub(crate) fn choosing(id: &str) -> Value {
    json!({ "action": "accept", "content": { "organization": id } })
}

/// The code of a tool's error.
#[track_caller]
pub(crate) fn code(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    result["structuredContent"]["error"]["code"]
        .as_str()
        .unwrap()
}

/// What a person says to a question.
pub(crate) type Reply = fn() -> Option<ElicitResult>;

/// A client of the older revisions that answers questions like this.
pub(crate) struct Legacy {
    /// `None`: never.
    answer: Reply,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) has_come: Arc<Notify>,
    version: ProtocolVersion,
    has_forms: bool,
}

impl Legacy {
    pub(crate) fn answering(answer: Reply) -> Self {
        Self {
            answer,
            asked: Arc::default(),
            has_come: Arc::default(),
            version: ProtocolVersion::V_2025_11_25,
            has_forms: true,
        }
    }

    pub(crate) fn of(self, version: ProtocolVersion) -> Self {
        Self { version, ..self }
    }

    pub(crate) fn without_forms(self) -> Self {
        let has_forms = false;
        Self { has_forms, ..self }
    }

    pub(crate) async fn connects(
        self,
        url: &str,
        subject: &str,
    ) -> RunningService<RoleClient, Self> {
        let wait = Timeouts {
            connect: WAIT,
            request: WAIT,
        };
        let config = StreamableHttpClientTransportConfig::with_uri(url)
            .auth_header(token(subject, &json!({})));
        let http = outgoing::client(wait).unwrap();
        let transport = StreamableHttpClientTransport::with_client(http, config);
        self.serve(transport).await.unwrap()
    }
}

impl ClientHandler for Legacy {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = self.has_forms.then(ElicitationCapability::new);
        ClientConfig::new(capabilities, Implementation::new("it", "1"))
            .with_protocol_version(self.version.clone())
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let form = serde_json::to_value(request).unwrap();
        let choice = &form["requestedSchema"]["properties"]["organization"];
        let (ids, titles) = if self.version >= ProtocolVersion::V_2025_11_25 {
            let options = choice["oneOf"].as_array().unwrap();
            let all = |name: &str| options.iter().map(|it| it[name].clone()).collect();
            (all("const"), all("title"))
        } else {
            (choice["enum"].clone(), choice["enumNames"].clone())
        };
        assert_eq!(ids, json!(["org_acme", "org_beta"]));
        assert_eq!(titles, json!(["Acme", "Beta GmbH"]));
        self.has_come.notify_one();
        match (self.answer)() {
            Some(answer) => Ok(answer),
            None => std::future::pending().await,
        }
    }
}

/// The person picks Beta.
pub(crate) fn picks_beta() -> Option<ElicitResult> {
    picks("org_beta")
}

pub(crate) fn picks(id: &str) -> Option<ElicitResult> {
    let content = json!({ "organization": id });
    Some(ElicitResult::new(ElicitationAction::Accept).with_content(content))
}

/// The result of a call on a connection.
pub(crate) async fn calls(
    client: &RunningService<RoleClient, Legacy>,
    tool: &'static str,
    arguments: Value,
) -> Value {
    let arguments = arguments.as_object().unwrap().clone();
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    serde_json::to_value(client.call_tool(params).await.unwrap()).unwrap()
}

/// Something that answers every request with this, in place of WorkOS; and how often it was asked.
pub(crate) async fn answering(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = vec![0; 8 * 1024];
            let _read = stream.read(&mut request).await;
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}
