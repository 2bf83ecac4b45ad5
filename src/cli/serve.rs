//! `toolbridge serve`: the sidecar in front of somebody's backend, told by settings; with a command, which is that backend,
//! the two live and end as one.

mod backend;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::time::Instant;

use super::{Failed, in_runtime, start};
#[cfg(unix)]
use crate::child;
use crate::{
    app::App,
    auth::development,
    settings::{Environment, Settings, SettingsFile, Sources},
    shutdown::Shutdown,
    telemetry::Filter,
};

/// Run the sidecar.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge serve --config toolbridge.toml\n  TOOLBRIDGE_BACKEND__URL=http://127.0.0.1:8080 toolbridge serve --catalogue tools.yaml\n  toolbridge serve --set server.listen=127.0.0.1:0 --set log.level=debug\n  toolbridge serve --set child.health=/healthz -- /usr/local/bin/backend --port 8080\n\nEvery setting is explained in toolbridge.example.toml. SIGTERM or Ctrl-C: calls finish, then exit code 0, with a COMMAND its own (128 + N where signal N ended it; 0 where our SIGTERM did); a second one does not wait. Exit code 64 where a setting is wrong."
)]
pub(super) struct Serve {
    #[command(flatten)]
    told: Told,
    /// The backend, which is started first, started again when it ends, and ended last (settings child.*)
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What `serve -- COMMAND` starts in its child's place.
#[cfg(unix)]
#[derive(Args)]
pub(super) struct Launch {
    /// Whom to die with
    parent: u32,
    /// What to become
    program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[cfg(unix)]
impl Launch {
    /// Comes back only where it fails.
    pub(super) fn run(self) -> Failed {
        let error = child::become_command(self.parent, &self.program, &self.arguments);
        Failed {
            code: error.code(),
            message: error.to_string(),
        }
    }
}

/// What a command is told about the settings.
#[derive(Args)]
pub(super) struct Told {
    /// Settings file; without it, toolbridge.toml here, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The catalogue (setting catalogue.file)
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Any setting, such as server.listen=127.0.0.1:0; several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let settings = self.told.settings()?;
        let log = start::logging(settings.log)?;
        in_runtime(serve(settings, self.command, log))
    }
}

impl Told {
    pub(super) fn settings(self) -> Result<Settings, Failed> {
        let mut flags = self.set;
        if let Some(catalogue) = self.catalogue {
            flags.push((
                "catalogue.file".to_owned(),
                catalogue.to_string_lossy().into_owned(),
            ));
        }
        let sources = Sources {
            file: SettingsFile::of_flag(self.config),
            environment: Environment::of_process(),
            flags,
        };
        Settings::load(&sources, development::is_development_secret).map_err(Failed::configuration)
    }
}

async fn serve(
    settings: Settings,
    command: Vec<OsString>,
    log: Filter,
) -> Result<ExitCode, Failed> {
    let backend = backend::Wanted::of(&settings, command)?;
    let app = App::build(settings)
        .await
        .map_err(|error| start::failure(error, |setting| format!("the setting {setting}")))?
        .on_lanes()?
        .logs_to(log);
    let catalogue = app.catalogue();
    let lints = catalogue.lints();
    if !lints.is_empty() {
        tracing::warn!(
            lints = lints.list().len(),
            "the catalogue could be better: see `toolbridge check`"
        );
    }
    let shutdown = Shutdown::on_signals()?;
    app.reload().on_hangup()?;
    let (app, backend) = backend.start(app, &shutdown)?;
    tracing::info!(
        mcp = app.mcp_url(),
        operations = app.ops_url(),
        tools = catalogue.tools().len(),
        "serving"
    );
    let asked = async {
        shutdown.requested().await;
        Instant::now()
    };
    let (finished, asked) = tokio::join!(app.run(shutdown.clone()), asked);
    let code = backend.ends(asked).await;
    tracing::info!(finished, "stopped");
    Ok(code)
}

/// `key=value`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
