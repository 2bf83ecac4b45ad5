//! `toolbridge token`: a token signed with a shared secret: the one of the environment, else the published one of
//! development, which `dev` accepts and `serve` refuses in production.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::{Failed, say};
use crate::{
    auth::{NewToken, development, mint},
    clock,
    settings::{AuthSettings, Environment, Settings, SettingsFile, Sources, VerificationKeys},
};

/// Print a token for development.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge token --sub alice\n  toolbridge token --sub alice --expires 15m\n  curl -H \"Authorization: Bearer $(toolbridge token --sub alice)\" …\n\nWith JWT_HS256_SECRET, JWT_ISSUER and JWT_AUDIENCE set it signs with those; without, with the fixed development\nsecret that `toolbridge dev` uses and `toolbridge serve` refuses."
)]
pub(super) struct Token {
    /// The person (`sub`)
    #[arg(long)]
    sub: String,
    /// How long it is good
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Scopes to grant, several times or with spaces
    #[arg(long)]
    scope: Vec<String>,
}

/// What a token is signed with and says.
struct Signing {
    secret: SecretString,
    issuer: String,
    audience: String,
}

impl Token {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let scopes: Vec<String> = self
            .scope
            .iter()
            .flat_map(|scopes| scopes.split_whitespace())
            .map(str::to_owned)
            .collect();
        let token = signed(&signing()?, &self.sub, self.expires, &scopes)?;
        say(&format!("{}\n", token.expose_secret()))
    }
}

/// A development token for one person, as `dev` and `call` use it.
pub(super) fn development_token(subject: &str, lifetime: Duration) -> Result<SecretString, Failed> {
    signed(&development_signing(), subject, lifetime, &[])
}

fn signed(
    signing: &Signing,
    subject: &str,
    lifetime: Duration,
    scopes: &[String],
) -> Result<SecretString, Failed> {
    let token = NewToken {
        subject,
        issuer: &signing.issuer,
        audience: &signing.audience,
        scopes,
        issued_at: clock::unix_now(),
        lifetime,
    };
    mint(&signing.secret, token).map_err(Failed::configuration)
}

fn development_signing() -> Signing {
    Signing {
        secret: SecretString::from(development::DEVELOPMENT_SECRET),
        issuer: development::ISSUER.to_owned(),
        audience: development::AUDIENCE.to_owned(),
    }
}

/// The settings' secret where one is set, the development one otherwise.
fn signing() -> Result<Signing, Failed> {
    let environment = Environment::of_process();
    let is_set = ["JWT_HS256_SECRET", "JWT_HS256_SECRET_FILE"]
        .iter()
        .any(|name| environment.get(name).is_some());
    if !is_set {
        return Ok(development_signing());
    }
    let sources = Sources {
        file: SettingsFile::of_flag(None),
        environment,
        flags: Vec::new(),
    };
    let settings = Settings::load(&sources, development::is_development_secret)
        .map_err(Failed::configuration)?;
    let AuthSettings::Tokens(tokens) = settings.auth else {
        return Err(Failed::configuration(
            "auth.mode is none: no token is needed",
        ));
    };
    let with_secret = tokens.issuers.into_iter().find_map(|issuer| {
        let (VerificationKeys::Secret(secret) | VerificationKeys::Both(secret, _)) = issuer.keys
        else {
            return None;
        };
        Some(Signing {
            secret,
            issuer: issuer.issuer,
            audience: issuer.audiences.into_iter().next().unwrap_or_default(),
        })
    });
    with_secret.ok_or_else(|| {
        Failed::configuration(
            "the settings accept no HS256 tokens: your identity provider makes the tokens",
        )
    })
}
