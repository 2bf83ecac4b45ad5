//! The sandbox: the backend's whole REST contract over SQLite, for trying, developing and testing. In: settings and
//! the catalogue's entities. Out: a listener that answers as the original does, and switches that make it fail.
//! Nothing but `dev`, `sandbox` and tests may import it; it knows nothing of the rest but entities.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{catalogue::entity::Entity, clock::unix_now};

mod control;
mod entities;
mod exchange;
mod faults;
mod json;
mod jwks;
mod kinds;
mod limits;
mod payload;
mod pipeline;
mod records;
mod reply;
mod routes;
mod serve;
mod sessions;
mod stamp;
mod store;
mod sync;
mod tenants;
mod token;
mod wire;
mod writes;

pub use faults::{Failure, Fault, Faults, Hold, Latency, Moment, Requests, Switches};
pub use limits::{Bucket, Limits};
pub use store::{Storage, StoreError};
pub use tenants::{Organization, Organizations, Tenants};
pub use token::TokenRules;

use kinds::kinds;
use limits::Limiter;
use pipeline::Pipeline;
use routes::Routes;
use sessions::Sessions;
use store::Store;
use token::Tokens;

/// Everything a sandbox is started with.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Port 0 takes a free one. The fault switches answer to loopback connections only.
    pub listen: SocketAddr,
    /// Where records, users and epochs are kept.
    pub storage: Storage,
    /// The collections; `task_list` and `task_list_category` are added where they are missing.
    pub entities: Vec<Entity>,
    /// Which tokens are accepted.
    pub tokens: TokenRules,
    /// How requests prove their tenant.
    pub tenants: Tenants,
    /// Rate limits per user.
    pub limits: Limits,
    /// Whether entity requests need a session and its epoch, as in the original. A catalogue without `backend.session`
    /// describes a backend that knows no sessions.
    pub demands_sessions: bool,
    /// Absolute lifetime of a session; 30 minutes in the original.
    pub session_lifetime: Duration,
    /// What the sandbox takes for the time.
    pub clock: Clock,
}

/// Where the sandbox reads the time: the machine's clock, or what a test says.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

/// Why a sandbox could not start or be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Nothing can listen on the address: another program does, or it is not this machine's.
    #[error("cannot listen on {addr}: {source}; choose another port")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The database cannot be opened or used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client that fetches the JWKS cannot be made.
    #[error("the sandbox cannot fetch keys: {0}")]
    Keys(reqwest::Error),
    /// A token was wanted, but there is no secret to sign it with.
    #[error("the sandbox has no HS256 secret to sign a token with")]
    NoSecret,
    /// A record to seed is not acceptable.
    #[error("cannot seed this `{entity}`: unknown entity, not an object, or its parent is missing")]
    Seed {
        /// The entity that was named.
        entity: String,
    },
}

/// A running sandbox. Dropping it cuts every connection, as [`Sandbox::kill`] does.
pub struct Sandbox {
    addr: SocketAddr,
    pipeline: Arc<Pipeline>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Opens the database, takes the port and serves until stopped, killed or dropped.
    ///
    /// # Errors
    /// [`SandboxError::Bind`] for a port that is taken, [`SandboxError::Store`] for a file that cannot be used.
    pub async fn start(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let bind = |source| SandboxError::Bind {
            addr: settings.listen,
            source,
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let resolves_tenants = matches!(settings.tenants, Tenants::Organizations(_));
        let pipeline = Arc::new(Pipeline {
            routes: Routes::new(kinds(settings.entities), resolves_tenants),
            tokens: Tokens::new(settings.tokens).map_err(SandboxError::Keys)?,
            tenants: settings.tenants,
            sessions: Sessions::new(settings.session_lifetime),
            demands_sessions: settings.demands_sessions,
            limiter: Limiter::new(settings.limits),
            store: Store::open(settings.storage).await?,
            faults: Faults::default(),
            clock: settings.clock,
        });
        let stop = CancellationToken::new();
        let serving = serve::serve(listener, Arc::clone(&pipeline), stop.clone());
        Ok(Self {
            addr,
            pipeline,
            stop,
            serving: Some(tokio::spawn(serving)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL, `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The switches that make it fail.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.pipeline.faults
    }

    /// Ends every open session of everybody at once.
    pub fn expire_sessions(&self) {
        self.pipeline.sessions.clear();
    }

    /// A token for a subject that this sandbox accepts, good for an hour, with its issuer and first audience.
    ///
    /// # Errors
    /// [`SandboxError::NoSecret`] when the rules have no HS256 secret.
    pub fn token_for(&self, subject: &str) -> Result<String, SandboxError> {
        let now = self.pipeline.clock.now();
        let token = self.pipeline.tokens.issue_for(subject, now);
        token.ok_or(SandboxError::NoSecret)
    }

    /// Stores a record for a subject, as a create would: the answer is its uid. With a `uid` in the payload it can
    /// be repeated.
    ///
    /// # Errors
    /// [`SandboxError::Seed`] for what a create would refuse, [`SandboxError::Store`] for the database.
    pub async fn seed(
        &self,
        subject: &str,
        entity: &str,
        payload: Value,
    ) -> Result<String, SandboxError> {
        let refused = || SandboxError::Seed {
            entity: entity.to_owned(),
        };
        let kinds = self.pipeline.routes.kinds();
        let kind = kinds.iter().find(|kind| kind.name() == entity);
        let kind = Arc::clone(kind.ok_or_else(refused)?);
        let Value::Object(payload) = payload else {
            return Err(refused());
        };
        let write = writes::Write {
            owner: self.pipeline.store.owner(subject).await?,
            kind,
            now_ms: stamp::millis(self.pipeline.clock.now()),
            change: writes::Change::Create {
                body: json::Document::Object(payload),
            },
        };
        let store = &self.pipeline.store;
        let done = store
            .run(move |connection| Ok(write.run(connection)))
            .await?;
        done.map(|record| record.uid).map_err(|_| refused())
    }

    /// Whether a subject has no record at all, tombstones included.
    ///
    /// # Errors
    /// [`SandboxError::Store`] for the database.
    pub async fn is_empty(&self, subject: &str) -> Result<bool, SandboxError> {
        let store = &self.pipeline.store;
        let owner = store.owner(subject).await?;
        Ok(store.is_empty(owner).await?)
    }

    /// Takes no more connections, lets running requests finish (5 seconds at most) and closes the database.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.end().await;
    }

    /// Cuts every connection at once, as a crash does. When this returns the port is free and the file closed.
    pub async fn kill(mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
        self.end().await;
    }

    async fn end(&mut self) {
        if let Some(serving) = self.serving.take() {
            // An aborted task says so; nothing else is in it.
            let _ = serving.await;
        }
        self.pipeline.store.close().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Clock {
    /// A clock that reads this function: the time since 1970.
    pub fn new(read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(unix_now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl SandboxSettings {
    /// For tests: a free loopback port, memory, no tenants, no limits, tokens signed with a fixed secret.
    #[must_use]
    pub fn for_tests(entities: Vec<Entity>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            storage: Storage::Memory,
            entities,
            tokens: TokenRules::hs256("a-secret-that-only-tests-of-the-sandbox-know"),
            tenants: Tenants::Off,
            limits: Limits::off(),
            demands_sessions: true,
            session_lifetime: Self::SESSION_LIFETIME,
            clock: Clock::default(),
        }
    }

    /// The original's session lifetime.
    pub const SESSION_LIFETIME: Duration = Duration::from_mins(30);
}
