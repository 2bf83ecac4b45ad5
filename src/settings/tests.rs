//! What people set, and what they are told. Everything goes through `Settings::load` with a map as environment.

use std::{fs, time::Duration};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

mod example;
mod issuers;
mod layering;
mod outbound;
mod refusals;
mod secret;
mod signature;
mod tenant;
mod traces;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const DEVELOPMENT_SECRET: &str = "dev-secret-change-in-production-0123";

/// The least that makes a process start.
const MATERIAL: [(&str, &str); 4] = [
    ("JWT_HS256_SECRET", SECRET),
    ("JWT_ISSUER", "toolbridge-api"),
    ("JWT_AUDIENCE", "https://acme.example.com/mcp"),
    ("TOOLBRIDGE_TENANT_ID", "acme"),
];

/// Sources as a test writes them.
#[derive(Clone, Default)]
struct Given {
    variables: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    file: Option<String>,
}

/// Just these variables.
fn environment(variables: &[(&str, &str)]) -> Given {
    Given::default().with(variables)
}

/// These variables over the least that makes a process start.
fn material(variables: &[(&str, &str)]) -> Given {
    environment(&MATERIAL).with(variables)
}

impl Given {
    fn with(mut self, variables: &[(&str, &str)]) -> Self {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables.extend(owned);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(variable, _)| variable != name);
        self
    }

    fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    fn load(self) -> Result<Settings, SettingsError> {
        let directory = TempDir::new().unwrap();
        let file = match self.file {
            Some(text) => {
                let path = directory.path().join("toolbridge.toml");
                fs::write(&path, text).unwrap();
                SettingsFile::Required(path)
            }
            None => SettingsFile::None,
        };
        let sources = Sources {
            file,
            environment: self.variables.into_iter().collect(),
            flags: self.flags,
        };
        Settings::load(&sources, |secret| secret == DEVELOPMENT_SECRET)
    }

    #[track_caller]
    fn settings(self) -> Settings {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The whole message, without the temporary directory.
    #[track_caller]
    fn refused(self) -> String {
        let text = match self.load() {
            Ok(settings) => panic!("accepted: {settings:?}"),
            Err(error) => error.to_string(),
        };
        let words = text
            .split('(')
            .map(|part| match part.split_once("/toolbridge.toml") {
                Some((directory, rest)) if directory.starts_with('/') => {
                    format!("toolbridge.toml{rest}")
                }
                _ => part.to_owned(),
            });
        words.collect::<Vec<_>>().join("(")
    }
}

#[track_caller]
fn tokens(settings: Settings) -> TokenSettings {
    match settings.auth {
        AuthSettings::Tokens(tokens) => tokens,
        AuthSettings::None => panic!("no tokens are checked"),
    }
}

#[track_caller]
fn first_issuer(settings: Settings) -> IssuerSettings {
    tokens(settings).issuers.remove(0)
}

#[track_caller]
fn fixed_tenant(settings: &Settings) -> String {
    match &settings.tenant {
        TenantSettings::Fixed(id) => id.to_string(),
        tenant => panic!("not fixed: {tenant:?}"),
    }
}
