//! The whole sidecar on real sockets, and the people who call it: `Sidecar::before(&backend).await.alice()`. Ports are
//! 0; ready means bound, so nothing waits for a log line. The rules of production hold, with secrets of their own.

pub(crate) mod cutting_proxy;
pub(crate) mod fake_backend;
pub(crate) mod legacy;
pub(crate) mod local;
pub(crate) mod person;
#[cfg(unix)]
pub(crate) mod process;
pub(crate) mod sse;

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;
use toolbridge::{
    app::App,
    auth::{NewToken, development, mint},
    catalogue::Catalogue,
    clock,
    mcp::{Calls, Handler},
    reload::Reload,
    sandbox::{Sandbox, SandboxSettings, Tenants, TokenRules},
    server::connection::Door,
    settings::{Settings, SettingsError, SettingsFile, Sources},
    shutdown::Shutdown,
};

pub(crate) use fake_backend::{FakeBackend, Script};
pub(crate) use person::{Answer, Ended, Person};

/// Signs tokens.
pub(crate) const SECRET: &str = "jwt-secret-of-the-integration-tests-0123456789";
/// Signs tenant headers.
pub(crate) const TENANT_SECRET: &str = "tenant-secret-of-the-integration-tests-0123456789";
pub(crate) const ISSUER: &str = "issuer-of-tests";
pub(crate) const AUDIENCE: &str = "audience-of-tests";
pub(crate) const TENANT: &str = "acme";

/// Longer than anything takes; only for what would otherwise hang a failing test forever.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a sidecar is told, before it starts.
pub(crate) struct Setup {
    flags: Vec<(String, String)>,
    secrets: Vec<(&'static str, &'static str)>,
    heartbeat: Option<Duration>,
}

/// A running sidecar.
pub(crate) struct Sidecar {
    /// `http://127.0.0.1:port`, MCP being at `/mcp`.
    pub(crate) url: String,
    pub(crate) ops_url: String,
    pub(crate) shutdown: Shutdown,
    pub(crate) reload: Reload,
    pub(crate) calls: Arc<Calls>,
    pub(crate) door: Arc<Door>,
    running: JoinHandle<bool>,
}

/// Whether calls may go past rmcp: `scripts/test` runs everything once with, once without.
fn fast_path() -> &'static str {
    #[expect(clippy::disallowed_methods, reason = "the tests are no product")]
    match std::env::var("TESTS_WITHOUT_FAST_PATH") {
        Ok(_) => "false",
        Err(_) => "true",
    }
}

/// Something that listens where a sidecar looks for its backend.
pub(crate) trait Backend {
    fn url(&self) -> String;
}

impl Backend for Sandbox {
    fn url(&self) -> String {
        Self::url(self)
    }
}

/// By its URL.
impl Backend for str {
    fn url(&self) -> String {
        self.to_owned()
    }
}

impl Setup {
    pub(crate) fn before(backend: &(impl Backend + ?Sized)) -> Self {
        let setup = Self {
            flags: Vec::new(),
            secrets: vec![
                ("JWT_HS256_SECRET", SECRET),
                ("TENANT_HEADER_SECRET", TENANT_SECRET),
            ],
            heartbeat: None,
        };
        setup
            .set("server.listen", "127.0.0.1:0")
            .set("ops.listen", "127.0.0.1:0")
            .set("backend.url", &backend.url())
            .set("auth.issuer", ISSUER)
            .set("auth.audience", AUDIENCE)
            .set("tenant.id", TENANT)
            .set("backend.retry.base", "1ms")
            .set("writes.journal", "off")
            .set("limits.profile", "development")
            .set("server.fast_path", fast_path())
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn secret(mut self, name: &'static str, value: &'static str) -> Self {
        self.secrets.push((name, value));
        self
    }

    /// Leaves this to its default.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.flags.retain(|(other, _)| other != key);
        self
    }

    /// Says this often that a call runs.
    pub(crate) fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Leaves only key sets to check tokens with.
    pub(crate) fn without_jwt_secret(mut self) -> Self {
        self.secrets.retain(|(name, _)| *name != "JWT_HS256_SECRET");
        self
    }

    pub(crate) fn load(self) -> Result<Settings, SettingsError> {
        let sources = Sources {
            file: SettingsFile::None,
            environment: self.secrets.into_iter().collect(),
            flags: self.flags,
        };
        Settings::load(&sources, development::is_development_secret)
    }

    /// What is wrong with these settings; empty where a sidecar would start.
    pub(crate) fn problems(self) -> String {
        self.load()
            .map_or_else(|error| error.to_string(), |_| String::new())
    }

    pub(crate) async fn start(self) -> Sidecar {
        let heartbeat = self.heartbeat;
        let around = move |handler: Handler| match heartbeat {
            Some(heartbeat) => handler.with_heartbeat(heartbeat),
            None => handler,
        };
        let settings = self.load();
        let settings = settings.unwrap_or_else(|error| panic!("{error}"));
        let app = App::build(settings).await;
        let app = app.unwrap_or_else(|error| panic!("{error}"));
        let shutdown = Shutdown::new();
        Sidecar {
            url: app.mcp_url().trim_end_matches("/mcp").to_owned(),
            ops_url: app.ops_url(),
            reload: app.reload(),
            calls: app.calls(),
            door: app.door(),
            running: tokio::spawn(app.run_with(shutdown.clone(), around)),
            shutdown,
        }
    }
}

impl Sidecar {
    /// In front of this backend, with nothing special about it.
    pub(crate) async fn before(backend: &impl Backend) -> Self {
        Setup::before(backend).start().await
    }

    pub(crate) fn alice(&self) -> Person {
        self.person("alice")
    }

    pub(crate) fn bob(&self) -> Person {
        self.person("bob")
    }

    /// Somebody with a valid token.
    pub(crate) fn person(&self, subject: &str) -> Person {
        self.nobody().with_token(&token_for(subject))
    }

    /// Somebody whose token is for another service of the same issuer.
    pub(crate) fn mallory(&self) -> Person {
        let claims = Claims {
            audience: "another-tenants-sidecar",
            ..Claims::of("mallory")
        };
        self.nobody().with_token(&claims.signed())
    }

    /// Somebody without a token.
    pub(crate) fn nobody(&self) -> Person {
        Person::at(&self.url)
    }

    /// Whether everything that ran could finish; asks the sidecar to stop first.
    pub(crate) async fn stops(self) -> bool {
        self.shutdown.request();
        self.ended().await
    }

    /// Whether everything that ran could finish, once somebody asked the sidecar to stop.
    pub(crate) async fn ended(self) -> bool {
        in_time(self.running).await.unwrap()
    }
}

/// What a token says.
#[derive(Clone, Copy)]
pub(crate) struct Claims<'a> {
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    /// The token was made so long ago, and is good for an hour.
    pub(crate) age: Duration,
    pub(crate) secret: &'a str,
}

impl<'a> Claims<'a> {
    /// A good token.
    pub(crate) fn of(subject: &'a str) -> Self {
        Self {
            subject,
            issuer: ISSUER,
            audience: AUDIENCE,
            age: Duration::ZERO,
            secret: SECRET,
        }
    }

    pub(crate) fn signed(self) -> String {
        let token = NewToken {
            subject: self.subject,
            issuer: self.issuer,
            audience: self.audience,
            scopes: &[],
            issued_at: clock::unix_now() - self.age,
            lifetime: Duration::from_secs(3600),
        };
        let token = mint(&SecretString::from(self.secret), token).unwrap();
        token.expose_secret().to_owned()
    }
}

pub(crate) fn token_for(subject: &str) -> String {
    Claims::of(subject).signed()
}

/// The shipped catalogue.
pub(crate) fn shipped() -> Catalogue {
    Catalogue::shipped().unwrap()
}

/// A sandbox with the shipped entities that believes the tokens and signatures of these tests.
pub(crate) async fn sandbox() -> Sandbox {
    let settings = SandboxSettings {
        tokens: TokenRules {
            issuer: Some(ISSUER.to_owned()),
            audiences: vec![AUDIENCE.to_owned()],
            ..TokenRules::hs256(SECRET)
        },
        tenants: Tenants::Signed {
            secret: TENANT_SECRET.into(),
            next: None,
        },
        ..SandboxSettings::for_tests(shipped().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

/// Fails a test that would hang.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.expect("this takes forever")
}
