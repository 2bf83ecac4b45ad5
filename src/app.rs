//! The wiring, and nothing else: makes every part from `Settings`, hands each one only what it needs, takes the ports
//! early so that their addresses are known. The only module that sees all settings; nobody imports it but `cli`.

pub mod stdio;

mod console;
mod operations;
mod parts;
mod readiness;
mod scopes;
mod spans;
mod standing;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    auth::{KeyError, Verifier},
    backend::{Backend, CannotConnect, ClockSkew, InvalidBackendUrl},
    catalogue::{Catalogue, Problems},
    clock,
    guard::{Guard, InvalidStore},
    identity::{CannotAsk, Identities, InvalidSecret, Outbound},
    in_place,
    mcp::{
        CallParts, Calls, CannotKeep, ConnectionIds, ConnectionRules, Handler, HandlesMcp, Lists,
        McpService, NoKeys, Seal, SealKeys, ServiceSettings, SseLimits, SseService, SseSettings,
        Writes, workspace::ReservedName,
    },
    observe::{Exporter, audit::CannotAudit},
    reload::{self, Reload},
    server::{
        self, Answer, Open,
        connection::{Door, Limits},
        gate::Gate,
        health::{self, Checks},
        lanes::Lanes,
        leaving::{self, LAST_REQUESTS},
        metadata::ResourceMetadata,
        public::{McpAnswer, Public, TooOften},
    },
    settings::{AuthSettings, CatalogueSource, Settings},
    shutdown::Shutdown,
    telemetry::Filter,
};

pub use parts::catalogue;

use readiness::{Need, Readiness, address_of};
use scopes::CatalogueScopes;
use spans::Sending;

/// After the calls are done, their last bytes may take this long to leave.
const FLUSH: Duration = Duration::from_millis(500);

/// Everybody may ask the public port whether we are ready, and so often we look.
const PUBLIC_LOOKS: Duration = Duration::from_secs(1);

/// A sidecar with its ports taken, not yet answering.
pub struct App {
    public: Port,
    ops: Port,
    checks: Checks,
    core: Core,
    connection_ids: Arc<ConnectionIds>,
    door: Arc<Door>,
    settings: Settings,
    streams: CancellationToken,
    lanes: Lanes,
    log: Option<Filter>,
}

/// What answers calls, whichever way they come.
struct Core {
    verifier: Arc<Verifier>,
    calls: Arc<Calls>,
    seal: Seal,
    outbound: Arc<Outbound>,
    clock_skew: Arc<ClockSkew>,
    running: TaskTracker,
    reload: Reload,
    exporter: Option<Exporter>,
}

struct Port {
    listener: TcpListener,
    addr: SocketAddr,
}

/// Why a sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalogue has problems.
    #[error("{0}")]
    Catalogue(Problems),
    /// The catalogue has a tool of ours.
    #[error(transparent)]
    ReservedTool(#[from] ReservedName),
    /// The keys of `auth.*` cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// `TENANT_HEADER_SECRET` cannot be used.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// `backend.url` cannot be used.
    #[error("backend.url: {0}")]
    Backend(#[from] InvalidBackendUrl),
    /// Nobody can be asked for memberships.
    #[error(transparent)]
    Members(#[from] CannotAsk),
    /// Connection ids cannot be sealed.
    #[error(transparent)]
    Seal(#[from] NoKeys),
    /// The store of the rate limits cannot be used.
    #[error(transparent)]
    LimitStore(#[from] InvalidStore),
    /// A port cannot be taken.
    #[error("{setting} = {addr} cannot be taken: {source}")]
    Bind {
        /// Which listener.
        setting: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The folder of `writes.journal` cannot be used.
    #[error("writes.journal: {0}")]
    Journal(#[from] CannotKeep),
    /// The file of `audit.file` cannot be used.
    #[error("audit.file: {0}")]
    Audit(#[from] CannotAudit),
    /// No HTTP client for spans.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// No connections to the backend.
    #[error(transparent)]
    Connections(#[from] CannotConnect),
}

impl Core {
    fn of(settings: &Settings, keys: &SealKeys) -> Result<Self, StartError> {
        let catalogue = catalogue(&settings.catalogue).map_err(StartError::Catalogue)?;
        parts::warn_of_foreign_audiences(&settings.auth);
        let verifier = Arc::new(settings.auth.verifier()?);
        let running = TaskTracker::new();
        let (observer, exporter) = parts::observer(settings)?;
        let slots = parts::slots(settings);
        let guard = Guard::new(&parts::guard(settings), slots.clone())?;
        let backend = Backend::new(parts::backend(settings, slots)?, running.clone())?;
        let clock_skew = backend.clock_skew();
        let outbound = Arc::new(parts::outbound(settings)?);
        let identities = Identities::new(
            parts::tenant(settings, &outbound, &observer)?,
            parts::signer(settings)?,
        )
        .with_outbound(Arc::clone(&outbound), clock::unix_now);
        let calls = Calls::new(CallParts {
            catalogue: Arc::new(catalogue),
            identities,
            backend,
            guard,
            writes: Writes::new(parts::writes(settings)?),
            audit: parts::audit(settings)?,
            running: running.clone(),
            observer,
        })?;
        Ok(Self {
            verifier,
            calls: Arc::new(calls),
            seal: Seal::of(keys, clock::unix_now),
            outbound,
            clock_skew,
            running,
            reload: Reload::default(),
            exporter,
        })
    }

    /// Keeps what is served equal to the catalogue's file, for as long as this is polled.
    fn keep_catalogue(&self, settings: &Settings) -> impl Future<Output = ()> + use<> {
        let file = match &settings.catalogue {
            CatalogueSource::Shipped => None,
            CatalogueSource::File(path) => Some(reload::File {
                path: path.clone(),
                watch: settings.watch_catalogue,
                now: clock::unix_now,
            }),
        };
        self.reload.clone().keep(file, Arc::clone(&self.calls))
    }
}

impl App {
    /// Makes every part and takes both ports.
    ///
    /// # Errors
    /// [`StartError`]: what stands in the way, and whose setting it is.
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        let keys = SealKeys::of(&settings.seal_secrets);
        let core = Core::of(&settings, &keys)?;
        let readiness = Readiness {
            verifier: Arc::clone(&core.verifier),
            backend: address_of(&settings.backend.url).into(),
            patience: settings.backend.connect_timeout,
            clock_skew: Arc::clone(&core.clock_skew),
            is_signed: settings.signing_secret.is_some(),
            calls: Arc::clone(&core.calls),
            reload: core.reload.record(),
        };
        let lifetime = settings.connections.lifetime;
        Ok(Self {
            public: bind("server.listen", settings.server.listen).await?,
            ops: bind("ops.listen", settings.ops.listen).await?,
            checks: readiness.checks(),
            core,
            door: Door::new(parts::limits(&settings.server.tcp)),
            connection_ids: Arc::new(ConnectionIds::new(&keys, lifetime, clock::unix_now)?),
            settings,
            streams: CancellationToken::new(),
            lanes: Lanes::here(),
            log: None,
        })
    }

    /// Whose filter the operations port may change.
    #[must_use]
    pub fn logs_to(mut self, log: Filter) -> Self {
        self.log = Some(log);
        self
    }

    /// Connections to MCP live on threads of their own, one for each processor, and no longer where this was built.
    ///
    /// # Errors
    /// Where the system has no such thread.
    pub fn on_lanes(mut self) -> std::io::Result<Self> {
        self.lanes = Lanes::one_a_processor()?;
        Ok(self)
    }

    /// Not ready while `trouble` says something, which `/readyz` shows under this name, before everything else.
    #[must_use]
    pub fn needs(
        mut self,
        name: &'static str,
        trouble: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let trouble = Box::new(trouble);
        self.checks = readiness::behind(Need { name, trouble }, self.checks);
        self
    }

    /// Where MCP will answer.
    #[must_use]
    pub fn mcp_url(&self) -> String {
        format!("http://{}/mcp", self.public.addr)
    }

    /// Where health will answer.
    #[must_use]
    pub fn ops_url(&self) -> String {
        format!("http://{}", self.ops.addr)
    }

    /// The catalogue being served.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.core.calls.catalogue()
    }

    /// What runs the calls and counts them.
    #[must_use]
    pub fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.core.calls)
    }

    /// What lets connections in to MCP, and counts them.
    #[must_use]
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// With which the catalogue's file is read again, once this runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.core.reload.clone()
    }

    /// Answers until `shutdown`, then stops in order: no new connections, running calls finish, streams end. Whether
    /// everything that ran could finish.
    pub async fn run(self, shutdown: Shutdown) -> bool {
        self.run_with(shutdown, |handler| handler).await
    }

    /// The same, with something around the product's handler: so that what is tested there has the whole front before it.
    pub async fn run_with<H: HandlesMcp>(
        mut self,
        shutdown: Shutdown,
        around: impl FnOnce(Handler) -> H,
    ) -> bool {
        let grace = self.settings.shutdown.grace;
        let seldom = health::seldom(Arc::clone(&self.checks), PUBLIC_LOOKS);
        let bare = readiness::until_stopping(seldom, shutdown.clone());
        let stop = CancellationToken::new();
        let answer = self.public_answer(around, bare);
        let answer = leaving::until_the_last(answer, self.core.running.clone(), stop.clone());
        // Beside everything else: an issuer that is slow must not hold up the start, and whoever comes before the keys
        // waits for the same fetch.
        let verifier = Arc::clone(&self.core.verifier);
        tokio::spawn(async move { verifier.warm().await });
        let reloads = tokio::spawn(self.core.keep_catalogue(&self.settings));
        let spans = Sending::begin(self.core.exporter.take());
        let checks = readiness::until_stopping(Arc::clone(&self.checks), shutdown.clone());
        let operations = self.operations(checks);
        // To the end: whoever sends calls here must be able to read that we are stopping.
        let always = CancellationToken::new();
        // With a door of its own, which no crowd at the public one can fill.
        let door = Door::new(Limits::OPERATIONS);
        let ops = tokio::spawn(server::accept(
            self.ops.listener,
            operations,
            door,
            Lanes::here(),
            always,
        ));
        let accepting = server::accept(
            self.public.listener,
            answer,
            self.door,
            self.lanes.clone(),
            stop.clone(),
        );
        let public = tokio::spawn(accepting);
        shutdown.requested().await;
        stop.cancel();
        reloads.abort();
        // First, so that whoever waits for news can go elsewhere while the calls finish.
        self.core.calls.leaving().cancel();
        let Ok(open) = public.await else {
            ops.abort();
            return false;
        };
        let orderly = async {
            let begun = Instant::now();
            let finished = wind_down(open, &self.core.running, &self.streams, grace).await;
            spans.end(grace.saturating_sub(begun.elapsed())).await;
            finished
        };
        let finished = tokio::select! {
            finished = orderly => finished,
            () = shutdown.forced() => false,
        };
        // What was cut says so: the audit's last line comes after that.
        drop(self.lanes);
        self.core.calls.audit_ends().await;
        ops.abort();
        finished
    }

    /// What answers on the public port.
    fn public_answer<H: HandlesMcp>(
        &self,
        around: impl FnOnce(Handler) -> H,
        checks: Checks,
    ) -> Answer {
        let server = &self.settings.server;
        let connections = &self.settings.connections;
        let handler = around(Handler::new(
            Arc::clone(&self.core.calls),
            self.core.seal.clone(),
        ));
        let sse = server.sse.then(|| self.sse(handler.clone()));
        let published = Arc::clone(&self.core.calls);
        let mcp = Arc::new(McpService::around(
            handler,
            ServiceSettings {
                connections: ConnectionRules {
                    most_streams: connections.max,
                    most_streams_per_person: connections.max_per_person,
                    heal: connections.heal,
                },
                ids: Arc::clone(&self.connection_ids),
                max_request_bytes: server.max_request_bytes,
                fast_path: server.fast_path,
                streams: self.streams.clone(),
                lists: Lists {
                    changes: self.core.calls.changes(),
                    fingerprint: Arc::new(move || published.published().fingerprint()),
                },
                now: clock::unix_now,
            },
        ));
        let public = Arc::new(Public {
            gate: Gate::new(
                server.public_url.as_ref(),
                &server.allowed_hosts,
                &server.allowed_origins,
            ),
            checks,
            verifier: Arc::clone(&self.core.verifier),
            metadata: self.metadata(),
            issuer_metadata: self.core.verifier.issuer_metadata(),
            scopes: Arc::new(CatalogueScopes::of(Arc::clone(&self.core.calls))),
            max_request_bytes: server.max_request_bytes,
            too_often: self.too_often(),
            key_set: self.core.outbound.key_set(),
            mcp: Arc::new(move |request| {
                let mcp = Arc::clone(&mcp);
                in_place::boxed(|| async move { mcp.handle(request).await })
            }),
            sse,
            observer: Arc::clone(self.core.calls.observer()),
            now: clock::unix_now,
        });
        Arc::new(move |request| {
            let public = Arc::clone(&public);
            in_place::boxed(|| async move { public.answer(request).await })
        })
    }

    fn too_often(&self) -> TooOften {
        let calls = Arc::clone(&self.core.calls);
        Arc::new(move |caller| calls.guard().request(caller).err())
    }

    /// What answers clients of revision 2024-11-05.
    fn sse<H: HandlesMcp>(&self, handler: H) -> McpAnswer {
        let connections = &self.settings.connections;
        let settings = SseSettings {
            limits: SseLimits {
                most: connections.max,
                most_per_person: connections.max_per_person,
                idle: connections.idle_timeout,
            },
            max_request_bytes: self.settings.server.max_request_bytes,
            streams: self.streams.clone(),
            now: clock::unix_now,
        };
        let sse = Arc::new(SseService::new(handler, settings));
        Arc::new(move |request| {
            let sse = Arc::clone(&sse);
            in_place::boxed(|| async move { sse.handle(request).await })
        })
    }

    fn metadata(&self) -> Option<ResourceMetadata> {
        let AuthSettings::Tokens(tokens) = &self.settings.auth else {
            return None;
        };
        let listen = Url::parse(&format!("http://{}", self.public.addr)).ok();
        let server = &self.settings.server;
        let base = server.public_url.clone().or(listen)?;
        let issuers = tokens.issuers.iter().map(|issuer| issuer.issuer.as_str());
        let catalogue = self.catalogue();
        let name = &catalogue.server().name;
        ResourceMetadata::new(&base, issuers, name, server.documentation_url.as_ref())
    }
}

/// Lets whoever is connected send what is on its way already, and running calls finish, together for at most `grace`, and
/// their answers leave; then ends the streams, which would otherwise stay forever. A write outlives the connection it came
/// on, so that having none left is no reason to go. Whether every call finished.
async fn wind_down(
    open: Open,
    running: &TaskTracker,
    streams: &CancellationToken,
    grace: Duration,
) -> bool {
    let deadline = Instant::now() + grace;
    running.close();
    open.rests(LAST_REQUESTS.min(grace)).await;
    // As long as there is something to wait for, idle connections are not closed under a request that is on its way.
    let _ = timeout_at(deadline, running.wait()).await;
    let mut ended = tokio::spawn(open.end());
    loop {
        let finished = timeout_at(deadline, running.wait()).await.is_ok();
        if timeout(FLUSH, &mut ended).await.is_ok() {
            return finished && timeout_at(deadline, running.wait()).await.is_ok();
        }
        // A request that had arrived may have become a call only now.
        if !finished || running.is_empty() {
            streams.cancel();
            // Whoever does not read the end of a stream does not hold up ours.
            let _ = timeout(FLUSH, ended).await;
            return finished;
        }
    }
}

async fn bind(setting: &'static str, addr: SocketAddr) -> Result<Port, StartError> {
    let bound = async {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Port { listener, addr })
    };
    bound.await.map_err(|source| StartError::Bind {
        setting,
        addr,
        source,
    })
}
