//! What the process is told: defaults ← `toolbridge.toml` ← environment ← command line, read key by key into typed
//! settings, or one error that lists everything wrong. In: [`Sources`]. Out: [`Settings`], whose parts `app` hands to
//! the modules they belong to. Nobody else reads the environment, and no secret is ever part of a message.
//!
//! The layers decide first: a variable beats the file, an alias such as `JWT_ISSUER` being a variable like any other.
//! Where the environment has both an alias and the key's own variable (`TOOLBRIDGE_AUTH__ISSUER`), the own one wins.

mod audit;
mod child;
mod environment;
mod file;
mod keys;
mod layers;
mod limits;
mod local;
mod ops_token;
mod outbound;
mod parse;
mod problem;
mod process;
mod reader;
mod sealing;
mod secrets;
mod services;
mod signature;
mod tenant;
mod tokens;
mod traces;
mod verifier;
mod writes;

pub use child::{ChildSettings, ChildSignal};
pub use environment::Environment;
pub use layers::{SettingsFile, Sources};
pub use limits::LimitSettings;
pub use local::LocalToken;
pub use outbound::OutboundSettings;
pub use problem::{Origin, Problem, SettingsError};
pub use process::{ConnectionSettings, LogFormat, LogPerson, LogSettings, ShutdownSettings};
pub use services::{BackendSettings, CatalogueSource, OpsSettings, ServerSettings, TcpSettings};
pub use tenant::{ChoiceSettings, RequiredRight, TenantSettings, WorkOsSettings};
pub use tokens::{
    AuthSettings, IssuerSettings, KeySetSettings, KeySetSource, TokenSettings, VerificationKeys,
};
pub use writes::{JournalPlace, WriteSettings};

use http::HeaderValue;
use secrecy::SecretString;

use crate::{
    guard::BreakerSettings,
    observe::{TraceSettings, audit::AuditSettings},
};
use layers::Layers;
use reader::Reader;
use secrets::Secret;
use tokens::JwtSecrets;

/// Everything the process is told, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the rules of production hold.
    pub environment: Stage,
    /// Where MCP is served, and to whom.
    pub server: ServerSettings,
    /// Where health, metrics and console are served.
    pub ops: OpsSettings,
    /// Opens console and log filter from other machines; `None`: nothing does.
    pub ops_token: Option<SecretString>,
    /// The REST backend.
    pub backend: BackendSettings,
    /// How writes happen once.
    pub writes: WriteSettings,
    /// Where each write leaves a line, if anywhere.
    pub audit: Option<AuditSettings>,
    /// What the tools are made of.
    pub catalogue: CatalogueSource,
    /// `catalogue.watch`: whether its file is read again when it changes.
    pub watch_catalogue: bool,
    /// How callers are recognized.
    pub auth: AuthSettings,
    /// For which tenant calls are made.
    pub tenant: TenantSettings,
    /// Signs the tenant headers (contract §4.1): the current or the next secret, as `signature.active` says; `None` where
    /// the backend does not ask for signatures.
    pub signing_secret: Option<SecretString>,
    /// The key id of that secret, if the operator gave it one.
    pub signing_key_id: Option<HeaderValue>,
    /// Which token the backend gets.
    pub outbound: OutboundSettings,
    /// Seal what clients carry for us from one request to the next, the one of now first; empty: only a key of this
    /// process's own does.
    pub seal_secrets: Vec<SecretString>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where spans of calls go; `None`: nowhere.
    pub traces: Option<TraceSettings>,
    /// How many connections are kept, and for how long.
    pub connections: ConnectionSettings,
    /// How often people may call, and how many calls at once.
    pub limits: LimitSettings,
    /// When the backend is left alone.
    pub breaker: BreakerSettings,
    /// How long stopping may take.
    pub shutdown: ShutdownSettings,
    /// The backend as a child of ours, where a command is given.
    pub child: ChildSettings,
}

/// `environment`: whether the rules of production hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All rules hold; the default.
    Production,
    /// `http` to other machines and short secrets are allowed.
    Development,
}

impl Stage {
    fn read(reader: &mut Reader) -> Option<Self> {
        let stages = [
            ("production", Self::Production),
            ("development", Self::Development),
        ];
        reader.text(&keys::ENVIRONMENT, |text| parse::one_of(text, &stages))
    }
}

impl Settings {
    /// Reads and checks all settings. `is_development_secret` knows the published JWT secret of development, which
    /// production refuses.
    ///
    /// # Errors
    /// Everything that is wrong, in one error.
    pub fn load(
        sources: &Sources,
        is_development_secret: impl Fn(&str) -> bool,
    ) -> Result<Self, SettingsError> {
        let mut problems = Vec::new();
        let layers = Layers::merge(sources, &mut problems);
        let mut reader = Reader { layers, problems };
        let settings = Self::read(&mut reader, &sources.environment, &is_development_secret);
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(SettingsError::new(reader.problems)),
        }
    }

    /// Only the operations address: a health check has to work with nothing else set.
    ///
    /// # Errors
    /// What is wrong with that one setting.
    pub fn operations(sources: &Sources) -> Result<OpsSettings, SettingsError> {
        let mut unrelated = Vec::new();
        let layers = Layers::merge(sources, &mut unrelated);
        let mut reader = Reader {
            layers,
            problems: Vec::new(),
        };
        OpsSettings::read(&mut reader).ok_or_else(|| SettingsError::new(reader.problems))
    }

    /// Every part is read before any of them is missed, so that all problems are found.
    fn read(
        reader: &mut Reader,
        environment: &Environment,
        is_development_secret: &dyn Fn(&str) -> bool,
    ) -> Option<Self> {
        let stage = Stage::read(reader);
        let rules = stage.unwrap_or(Stage::Production);
        let server = ServerSettings::read(reader, rules);
        let ops = OpsSettings::read(reader);
        let ops_token = ops_token::read(reader, environment);
        let backend = BackendSettings::read(reader);
        let writes = WriteSettings::read(reader, environment);
        let audit = audit::read(reader);
        let catalogue = CatalogueSource::read(reader);
        let watch_catalogue = reader.boolean(&keys::CATALOGUE_WATCH);
        let jwt_secrets = jwt_secrets(reader, environment, is_development_secret);
        let auth = tokens::read(reader, rules, &jwt_secrets);
        let tenant = tenant(reader, environment);
        let seal_secrets = sealing::read(reader, environment, rules);
        let secrets = outbound_secrets(reader, environment, is_development_secret);
        let outbound = outbound::read(reader, rules, secrets);
        services::check_exposure(reader, rules);
        services::check_subjects(reader, auth.as_ref());
        let signature = signature::read(reader, environment, rules);
        let log = LogSettings::read(reader);
        let traces = traces(reader, environment, rules);
        let connections = ConnectionSettings::read(reader);
        let limits = limits(reader, environment);
        let breaker = limits::breaker(reader);
        let shutdown = ShutdownSettings::read(reader);
        let child = ChildSettings::read(reader);
        Some(Self {
            environment: stage?,
            server: server?,
            ops: ops?,
            ops_token,
            backend: backend?,
            writes: writes?,
            audit: audit?,
            catalogue,
            watch_catalogue: watch_catalogue?,
            auth: auth?,
            tenant: tenant?,
            seal_secrets,
            signing_secret: signature.secret,
            signing_key_id: signature.key_id,
            outbound: outbound?,
            log: log?,
            traces: traces?,
            connections: connections?,
            limits: limits?,
            breaker: breaker?,
            shutdown: shutdown?,
            child: child?,
        })
    }
}

fn jwt_secrets<'a>(
    reader: &mut Reader,
    environment: &'a Environment,
    is_development: &'a dyn Fn(&str) -> bool,
) -> JwtSecrets<'a> {
    JwtSecrets {
        own: secret(reader, environment, &[keys::JWT_SECRET]),
        environment,
        is_development,
    }
}

/// `tenant.*`, and the key to ask `WorkOS` with.
fn tenant(reader: &mut Reader, environment: &Environment) -> Option<TenantSettings> {
    let workos_key = secret(reader, environment, &[keys::WORKOS_KEY]);
    let workos_key = workos_key.map(|key| key.map(|key| key.value));
    TenantSettings::read(reader, workos_key)
}

/// `traces.*`, and what the collector wants to be sent along, which is a secret.
fn traces(
    reader: &mut Reader,
    environment: &Environment,
    rules: Stage,
) -> Option<Option<TraceSettings>> {
    let headers = secret(reader, environment, &keys::TRACES_HEADERS);
    traces::read(reader, rules, headers)
}

fn outbound_secrets<'a>(
    reader: &mut Reader,
    environment: &Environment,
    is_development: &'a dyn Fn(&str) -> bool,
) -> outbound::Secrets<'a> {
    outbound::Secrets {
        client: secret(reader, environment, &[keys::EXCHANGE_CLIENT_SECRET]),
        key: secret(reader, environment, &keys::MINT_KEY),
        is_development,
    }
}

/// `limits.*`, and the address of their store, which is a secret.
fn limits(reader: &mut Reader, environment: &Environment) -> Option<LimitSettings> {
    let store = secret(reader, environment, &[keys::LIMITS_REDIS_URL]);
    LimitSettings::read(reader, store)
}

/// A secret, or `Err` where its problem is reported.
fn secret(
    reader: &mut Reader,
    environment: &Environment,
    names: &[&str],
) -> Result<Option<Secret>, ()> {
    secrets::read(environment, names).map_err(|problem| reader.problems.push(problem))
}

#[cfg(test)]
mod tests;
