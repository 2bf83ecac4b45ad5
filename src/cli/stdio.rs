//! `toolbridge stdio`: MCP over standard input and output, for clients that start their servers themselves. Standard
//! output belongs to MCP, so everything else is said on standard error.

use std::{
    io::{stdin, stdout},
    process::ExitCode,
};

use clap::Args;

use super::{Failed, in_runtime, serve::Told, start};
use crate::{
    app::stdio::Local,
    settings::{Environment, LocalToken, Settings},
    shutdown::Shutdown,
};

/// Serve one local client over standard input and output.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  TOOLBRIDGE_TOKEN_FILE=~/.toolbridge/token toolbridge stdio --config /etc/toolbridge.toml\n  npx @modelcontextprotocol/inspector toolbridge stdio --config toolbridge.toml\n\nThe same settings as `serve`; the ports are not used. The token comes from TOOLBRIDGE_TOKEN, or from the file that TOOLBRIDGE_TOKEN_FILE names, which is read again for each request. Ends with its input."
)]
pub(super) struct Stdio {
    #[command(flatten)]
    told: Told,
}

impl Stdio {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let settings = self.told.settings()?;
        start::logging(settings.log)?;
        let token = LocalToken::of(&Environment::of_process()).map_err(Failed::configuration)?;
        in_runtime(serve(settings, token))
    }
}

async fn serve(settings: Settings, token: Option<LocalToken>) -> Result<ExitCode, Failed> {
    let local = Local::build(settings, token)
        .map_err(|error| start::failure(error, |setting| format!("the setting {setting}")))?;
    local.check_token().await.map_err(Failed::configuration)?;
    let shutdown = Shutdown::on_signals()?;
    tracing::info!(
        tools = local.catalogue().tools().len(),
        "serving on standard input"
    );
    let finished = local.run(stdin(), stdout(), shutdown).await;
    tracing::info!(finished, "stopped");
    Ok(ExitCode::SUCCESS)
}
