//! `toolbridge doctor`: looks at an MCP URL as a client would, and at the settings found here as `serve` would.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use secrecy::SecretString;

use super::{Failed, in_runtime, say, serve::assignment};
use crate::{
    auth::development,
    clock,
    doctor::{self, Operator, Patience, Patient, workos_key},
    settings::{Environment, Settings, SettingsFile, Sources},
};

/// Where `serve` and `dev` listen unless told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8001/mcp";

/// Find out why a client cannot connect, and how to mend it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge doctor\n  toolbridge doctor https://acme.example.com/mcp\n  toolbridge doctor https://acme.example.com/mcp --token-file token --json\n  toolbridge doctor --config toolbridge.toml --token \"$(toolbridge token --sub you)\"\n\n✓ as it should be, ✗ breaks a rule, ! works but not for everybody, – skipped, with the reason. Exit code 1 where there is a ✗."
)]
pub(super) struct Doctor {
    /// The MCP URL as people type it; without it, the one of the settings, else that of `dev`
    url: Option<String>,
    /// A token, to look behind the door too
    #[arg(long, value_parser = secret, conflicts_with = "token_file")]
    token: Option<SecretString>,
    /// A file with the token, which keeps it out of the list of processes
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Settings file; without it, toolbridge.toml here, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting, as for `serve`; several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// How long one request may take
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let token = self.token()?;
        let operator = operator(self.config, self.set);
        let url = self.url.unwrap_or_else(|| configured_url(&operator));
        let patient = Patient {
            url,
            token,
            operator,
            now: clock::unix_now,
            patience: patience(self.timeout),
        };
        let report = in_runtime(async { doctor::examine(patient).await.map_err(Failed::new) })?;
        say(&if self.json {
            format!("{:#}\n", report.json())
        } else {
            report.to_string()
        })?;
        Ok(if report.is_healthy() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn token(&self) -> Result<Option<SecretString>, Failed> {
        let Some(file) = &self.token_file else {
            return Ok(self.token.clone());
        };
        let text = fs::read_to_string(file)
            .map_err(|error| Failed::new(format!("{} cannot be read: {error}", file.display())))?;
        Ok(Some(SecretString::from(text.trim())))
    }
}

/// A step makes a few requests, everything together a dozen.
fn patience(request: Duration) -> Patience {
    Patience {
        request,
        step: request.saturating_mul(3),
        overall: request.saturating_mul(12),
    }
}

/// The settings of this place. Where nothing is set at all, nobody operates a sidecar here, and nothing is wrong.
fn operator(config: Option<PathBuf>, set: Vec<(String, String)>) -> Operator {
    let is_asked_for = config.is_some() || !set.is_empty();
    let environment = Environment::of_process();
    let load = |sources: &Sources| Settings::load(sources, development::is_development_secret);
    let loaded = load(&Sources {
        file: SettingsFile::of_flag(config),
        environment,
        flags: set,
    });
    let error = match loaded {
        Ok(settings) => {
            let workos = workos_key(&settings.tenant);
            return Operator::Settings(Box::new(settings), workos);
        }
        Err(error) => error,
    };
    let nothing = load(&Sources {
        file: SettingsFile::None,
        environment: Environment::default(),
        flags: Vec::new(),
    });
    match nothing {
        Err(nothing) if !is_asked_for && nothing.problems() == error.problems() => {
            Operator::Absent(
                "nothing is set here: no toolbridge.toml, no variables (--config names a file)",
            )
        }
        _ => Operator::Refused(error),
    }
}

/// What the settings call the server, or where it listens.
fn configured_url(operator: &Operator) -> String {
    let Operator::Settings(settings, _) = operator else {
        return DEFAULT_URL.to_owned();
    };
    match &settings.server.public_url {
        Some(url) => format!("{}/mcp", url.as_str().trim_end_matches('/')),
        None => {
            let listen = settings.server.listen;
            if listen.ip().is_unspecified() {
                format!("http://127.0.0.1:{}/mcp", listen.port())
            } else {
                format!("http://{listen}/mcp")
            }
        }
    }
}
