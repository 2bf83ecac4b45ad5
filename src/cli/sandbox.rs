//! `toolbridge sandbox`: the embedded backend alone, for trying a catalogue or pointing another client at it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use tracing::level_filters::LevelFilter;
use url::Url;

use super::{Failed, in_runtime, say, start, tools};
use crate::{
    auth::development,
    catalogue::Catalogue,
    sandbox::{
        Clock, Limits, Sandbox as Backend, SandboxError, SandboxSettings, Storage, Tenants,
        TokenRules,
    },
    shutdown::Shutdown,
};

/// The tenant whose headers are signed with [`TENANT_SECRET`].
pub(super) const TENANT: &str = "dev-tenant";

/// Signs tenant headers between the sidecar and the sandbox of `dev`; as public as the JWT secret of development.
pub(super) const TENANT_SECRET: &str = "insecure-tenant-header-secret-of-toolbridge-development";

/// Where the data is kept unless somebody says otherwise.
pub(super) const DATA_DIR: &str = ".toolbridge";

/// Run the embedded backend.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge sandbox\n  toolbridge sandbox --listen 127.0.0.1:0 --ephemeral --tenants off\n\nIt accepts tokens from `toolbridge token` and, while it runs, fault switches: PUT /_sandbox/faults."
)]
pub(super) struct Sandbox {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The catalogue whose entities it serves; without it, tools.yaml here, else the shipped one
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
    /// How requests prove their tenant
    #[arg(long, value_enum, default_value = "signed")]
    tenants: TenantProof,
    /// Check tenant signatures with the secret in this file instead
    #[arg(long, value_name = "FILE")]
    tenant_secret_file: Option<PathBuf>,
    /// Accept tenant signatures of the secret in this file as well
    #[arg(long, value_name = "FILE")]
    next_tenant_secret_file: Option<PathBuf>,
    #[command(flatten)]
    tokens: Tokens,
    /// Without the original's rate limits
    #[arg(long)]
    no_limits: bool,
}

/// Where a sandbox keeps its records.
#[derive(Args)]
pub(super) struct Data {
    /// Keep records in this directory
    #[arg(long, value_name = "DIR", default_value = DATA_DIR, conflicts_with = "ephemeral")]
    data_dir: PathBuf,
    /// Keep records in memory; they end with the process
    #[arg(long)]
    ephemeral: bool,
}

/// Whose tokens a sandbox accepts, beside those of its own token exchange.
#[derive(Args)]
struct Tokens {
    /// Accept tokens of this issuer
    #[arg(long, value_name = "ISSUER", default_value = development::ISSUER)]
    issuer: String,
    /// Accept tokens for this audience; several times
    #[arg(long, value_name = "AUDIENCE", default_value = development::AUDIENCE)]
    audience: Vec<String>,
    /// Where the issuer's RSA keys are; without it, only tokens signed with the secret of development are accepted
    #[arg(long, value_name = "URL")]
    jwks_url: Option<Url>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TenantProof {
    /// Tenant headers are ignored
    Off,
    /// Tenant headers must be signed, with the secret `dev` uses
    Signed,
}

impl Sandbox {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        start::plain_logging(LevelFilter::INFO)?;
        let catalogue = tools::catalogue(self.catalogue.clone())?;
        in_runtime(self.serve(&catalogue))
    }

    async fn serve(self, catalogue: &Catalogue) -> Result<ExitCode, Failed> {
        let settings = SandboxSettings {
            tenants: match self.tenants {
                TenantProof::Off => Tenants::Off,
                TenantProof::Signed => self.signed_tenants()?,
            },
            tokens: self.tokens.rules(),
            limits: if self.no_limits {
                Limits::off()
            } else {
                Limits::default()
            },
            ..settings(self.listen, self.data.storage()?, catalogue)
        };
        let shutdown = Shutdown::on_signals()?;
        let backend = Backend::start(settings)
            .await
            .map_err(|error| failure(error, "--listen"))?;
        let url = backend.url();
        say(&format!(
            "The sandbox listens on {url}; records: {}\n",
            self.data.place()
        ))?;
        shutdown.requested().await;
        backend.stop().await;
        Ok(ExitCode::SUCCESS)
    }

    fn signed_tenants(&self) -> Result<Tenants, Failed> {
        let current = self.tenant_secret_file.as_deref().map(secret_in);
        let next = self.next_tenant_secret_file.as_deref().map(secret_in);
        Ok(Tenants::Signed {
            secret: current.transpose()?.unwrap_or_else(|| TENANT_SECRET.into()),
            next: next.transpose()?,
        })
    }
}

/// The secret in a file, without the newline at its end: what the sidecar takes from the same file.
fn secret_in(file: &Path) -> Result<SecretString, Failed> {
    let failed = |why: String| Failed::new(format!("{} {why}", file.display()));
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| failed(format!("cannot be read: {error}")))?;
    let newline = ["\r\n", "\n"].into_iter();
    let secret = newline.filter_map(|end| text.strip_suffix(end)).next();
    let secret = secret.unwrap_or(&text);
    if secret.is_empty() {
        return Err(failed("is empty".to_owned()));
    }
    Ok(SecretString::from(secret))
}

impl Tokens {
    fn rules(self) -> TokenRules {
        TokenRules {
            issuer: Some(self.issuer),
            audiences: self.audience,
            jwks_url: self.jwks_url,
            ..TokenRules::hs256(development::DEVELOPMENT_SECRET)
        }
    }
}

impl Data {
    /// The store, its directory made where it is missing.
    pub(super) fn storage(&self) -> Result<Storage, Failed> {
        if self.ephemeral {
            return Ok(Storage::Memory);
        }
        let dir: &Path = &self.data_dir;
        std::fs::create_dir_all(dir).map_err(|error| {
            Failed::new(format!(
                "{} cannot be made: {error} (--data-dir, or --ephemeral)",
                dir.display()
            ))
        })?;
        Ok(Storage::File(dir.join("sandbox.sqlite")))
    }

    /// Where the records are, in words.
    pub(super) fn place(&self) -> String {
        if self.ephemeral {
            "in memory, gone at the end".to_owned()
        } else {
            self.data_dir.join("sandbox.sqlite").display().to_string()
        }
    }
}

/// A sandbox as `dev` runs it: development tokens, signed tenants, the original's limits.
pub(super) fn settings(
    listen: SocketAddr,
    storage: Storage,
    catalogue: &Catalogue,
) -> SandboxSettings {
    SandboxSettings {
        listen,
        storage,
        entities: catalogue.entities().to_vec(),
        tokens: TokenRules {
            issuer: Some(development::ISSUER.to_owned()),
            audiences: vec![development::AUDIENCE.to_owned()],
            ..TokenRules::hs256(development::DEVELOPMENT_SECRET)
        },
        tenants: signed_tenants(),
        limits: Limits::default(),
        demands_sessions: catalogue.session().is_some(),
        session_lifetime: SandboxSettings::SESSION_LIFETIME,
        clock: Clock::default(),
    }
}

fn signed_tenants() -> Tenants {
    Tenants::Signed {
        secret: TENANT_SECRET.into(),
        next: None,
    }
}

/// A sandbox that cannot start; `knob` names what changes its address.
pub(super) fn failure(error: SandboxError, knob: &str) -> Failed {
    match error {
        SandboxError::Bind { addr, source } => start::taken(addr, &source, knob),
        other => Failed::new(other),
    }
}
