//! `toolbridge health`: one request to the operations port, for container health checks.

use std::{net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{Failed, in_runtime, say};
use crate::{
    outgoing::{self, Timeouts},
    settings::{Environment, Settings, SettingsFile, Sources},
};

/// More than a health page ever says.
const MAX_BYTES: usize = 64 * 1024;

/// Ask a running sidecar whether it lives.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge health\n  toolbridge health --ready\n  toolbridge health --url http://127.0.0.1:9091\n\nExit code 0 where it is well, 1 otherwise."
)]
pub(super) struct Health {
    /// The operations address; without it, the one of the settings
    #[arg(long)]
    url: Option<String>,
    /// Settings file; without it, toolbridge.toml here, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask whether it can serve calls, not only whether it lives
    #[arg(long)]
    ready: bool,
}

impl Health {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let base = match self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => configured(self.config)?,
        };
        let path = if self.ready { "/readyz" } else { "/healthz" };
        in_runtime(ask(format!("{base}{path}")))
    }
}

async fn ask(url: String) -> Result<ExitCode, Failed> {
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        request: Duration::from_secs(3),
    };
    let client = outgoing::client(timeouts).map_err(Failed::new)?;
    let unwell = |what: &dyn std::fmt::Display| Failed::new(format!("not healthy: {what}"));
    let response = client.get(url).send().await;
    let response = response.map_err(|error| unwell(&error))?;
    let status = response.status();
    let body = outgoing::read_at_most(response, MAX_BYTES).await;
    let body = body.map_err(|error| unwell(&error))?;
    let text = String::from_utf8_lossy(&body);
    if status.is_success() {
        say(&text)
    } else {
        Err(unwell(&text))
    }
}

/// The operations address of the settings; one that listens everywhere is asked on loopback.
fn configured(config: Option<PathBuf>) -> Result<String, Failed> {
    let sources = Sources {
        file: SettingsFile::of_flag(config),
        environment: Environment::of_process(),
        flags: Vec::new(),
    };
    let mut addr = Settings::operations(&sources)
        .map_err(Failed::configuration)?
        .listen;
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        });
    }
    Ok(format!("http://{addr}"))
}
