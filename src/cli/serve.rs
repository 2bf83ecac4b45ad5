//! `toolbridge serve`: the sidecar in front of somebody's backend, told by settings.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Failed, in_runtime, start};
use crate::{
    app::App,
    auth::development,
    settings::{Environment, Settings, SettingsFile, Sources},
    shutdown::Shutdown,
};

/// Run the sidecar.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge serve --config toolbridge.toml\n  TOOLBRIDGE_BACKEND__URL=http://127.0.0.1:8080 toolbridge serve --catalogue tools.yaml\n  toolbridge serve --set server.listen=127.0.0.1:0 --set log.level=debug\n\nEvery setting is explained in toolbridge.example.toml. Exit code 64 where a setting is wrong."
)]
pub(super) struct Serve {
    #[command(flatten)]
    told: Told,
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
        start::logging(settings.log)?;
        in_runtime(serve(settings))
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

async fn serve(settings: Settings) -> Result<ExitCode, Failed> {
    let app = App::build(settings)
        .await
        .map_err(|error| start::failure(error, |setting| format!("the setting {setting}")))?;
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
    tracing::info!(
        mcp = app.mcp_url(),
        operations = app.ops_url(),
        tools = catalogue.tools().len(),
        "serving"
    );
    let finished = app.run(shutdown).await;
    tracing::info!(finished, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// `key=value`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
