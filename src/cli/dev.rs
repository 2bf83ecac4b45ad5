//! `toolbridge dev`: the main job on one machine: sandbox, sidecar, sample records, a token, and what to paste where.

mod banner;
mod samples;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tracing::level_filters::LevelFilter;

use super::{
    Failed,
    beside::Beside,
    call::DEVELOPER,
    in_runtime,
    sandbox::{self, Data, TENANT},
    say, start, token, tools,
};
use crate::{
    app::App,
    auth::development,
    catalogue::{Catalogue, Effect, Tool},
    sandbox::Sandbox,
    settings::Settings,
    shutdown::Shutdown,
    telemetry::Filter,
};

/// How long the printed token is good: a working day.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Run everything on this machine.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge dev\n  toolbridge dev --ephemeral\n  toolbridge dev --port 0 --ops-port 0 --backend-port 0 --json\n  toolbridge dev --catalogue my-tools.yaml"
)]
pub(super) struct Dev {
    /// Port of MCP; 0 takes a free one
    #[arg(long, default_value_t = 8001)]
    port: u16,
    /// Port of operations (health); 0 takes a free one
    #[arg(long, default_value_t = 9091)]
    ops_port: u16,
    /// Port of the embedded backend; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    backend_port: u16,
    /// The catalogue; without it, tools.yaml here, else the shipped one
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
    /// Print one line of JSON once everything is ready, and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// Log more: every request refused, every connection that broke
    #[arg(long, short)]
    verbose: bool,
}

/// What is running, for the banner.
pub(super) struct Running {
    pub(super) mcp_url: String,
    pub(super) ops_url: String,
    pub(super) backend_url: String,
    pub(super) token: SecretString,
    pub(super) records: String,
    /// A tool that reads and needs no arguments, to show how a call looks.
    pub(super) sample_tool: Option<String>,
    /// How this program is called from here.
    pub(super) program: String,
}

impl Dev {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let log = start::plain_logging(if self.verbose {
            LevelFilter::DEBUG
        } else {
            LevelFilter::INFO
        })?;
        in_runtime(self.serve(log))
    }

    async fn serve(self, log: Filter) -> Result<ExitCode, Failed> {
        let shutdown = Shutdown::on_signals()?;
        self.progress("starting the embedded backend")?;
        let sandbox = self.sandbox().await?;
        self.progress("starting the sidecar")?;
        let app = App::build(self.settings(&sandbox)?)
            .await
            .map_err(|error| {
                start::failure(error, |setting| match setting {
                    "ops.listen" => "--ops-port".to_owned(),
                    _ => "--port".to_owned(),
                })
            })?
            .on_lanes()?
            .logs_to(log);
        let seeded = samples::seed(&sandbox, &app.catalogue()).await;
        match seeded.map_err(Failed::new)? {
            0 => self.progress("sample records are there already")?,
            records => self.progress(&format!(
                "made {records} sample records for user `{DEVELOPER}`"
            ))?,
        }
        let running = Running {
            mcp_url: app.mcp_url(),
            ops_url: app.ops_url(),
            backend_url: sandbox.url(),
            token: token::development_token(DEVELOPER, TOKEN_LIFETIME)?,
            records: self.data.place(),
            sample_tool: sample_tool(&app.catalogue()),
            program: program(),
        };
        self.announce(&running)?;
        app.run(shutdown).await;
        sandbox.stop().await;
        self.progress("stopped")?;
        Ok(ExitCode::SUCCESS)
    }

    async fn sandbox(&self) -> Result<Sandbox, Failed> {
        let catalogue = tools::catalogue(self.catalogue.clone())?;
        let listen = SocketAddr::from(([127, 0, 0, 1], self.backend_port));
        let settings = sandbox::settings(listen, self.data.storage()?, &catalogue);
        Sandbox::start(settings)
            .await
            .map_err(|error| sandbox::failure(error, "--backend-port"))
    }

    fn settings(&self, sandbox: &Sandbox) -> Result<Settings, Failed> {
        Beside {
            port: self.port,
            ops_port: self.ops_port,
            backend_url: sandbox.url(),
            tenant: TENANT.to_owned(),
            audience: development::AUDIENCE.to_owned(),
            catalogue: self.catalogue.clone(),
        }
        .settings()
    }

    fn announce(&self, running: &Running) -> Result<(), Failed> {
        let text = if self.json {
            let line = json!({
                "mcp_url": running.mcp_url,
                "ops_url": running.ops_url,
                "backend_url": running.backend_url,
                "token": running.token.expose_secret(),
            });
            format!("{line}\n")
        } else {
            banner::text(running)
        };
        say(&text)?;
        Ok(())
    }

    fn progress(&self, what: &str) -> Result<(), Failed> {
        if !self.json {
            say(&format!("… {what}\n"))?;
        }
        Ok(())
    }
}

/// `list_notes` in the shipped catalogue.
fn sample_tool(catalogue: &Catalogue) -> Option<String> {
    let needs_nothing =
        |tool: &&Tool| tool.effect == Effect::Read && !tool.input_schema.contains_key("required");
    catalogue
        .tools()
        .iter()
        .find(needs_nothing)
        .map(|tool| tool.name.clone())
}

/// The path that was run, relative to here where it lies below: a fresh clone has no `toolbridge` on its `PATH`.
fn program() -> String {
    let fallback = || "toolbridge".to_owned();
    let (Ok(program), Ok(here)) = (std::env::current_exe(), std::env::current_dir()) else {
        return fallback();
    };
    program
        .strip_prefix(here)
        .map_or_else(|_| fallback(), |path| path.display().to_string())
}
