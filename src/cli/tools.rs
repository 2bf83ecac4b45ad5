//! `toolbridge tools`: the tools of a catalogue, as people or as clients see them, each client its own way.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Failed, say};
use crate::{
    app,
    catalogue::{
        Catalogue, Dialect,
        dialect::{self, Evidence, Ground},
        tokens,
    },
    nearest,
    settings::CatalogueSource,
};

/// List the tools of a catalogue.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge tools\n  toolbridge tools --json | less\n  toolbridge tools my-tools.yaml\n  toolbridge tools --client list\n  toolbridge tools --client vscode --json"
)]
pub(super) struct Tools {
    /// The catalogue; without it, tools.yaml here, else the shipped one
    file: Option<PathBuf>,
    /// Print what `tools/list` answers
    #[arg(long)]
    json: bool,
    /// As this client is sent them; `list` tells which are known, and what is changed for each and why
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
}

impl Tools {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        if self.client.as_deref() == Some("list") {
            return say(&known_clients());
        }
        let dialect = match &self.client {
            Some(client) => dialect::named(client).ok_or_else(|| unknown_client(client))?,
            None => dialect::default(),
        };
        let catalogue = catalogue(self.file)?;
        let tools = shown(&catalogue, dialect);
        if self.json {
            return say(&format!("{:#}\n", json!({ "tools": tools })));
        }
        let mut text = String::new();
        for tool in &tools {
            let said = |key| tool.get(key).and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(text, "{}\n    {}", said("name"), said("description"));
        }
        say(&text)
    }
}

/// Which clients are known, and what is changed for each: a sentence, then where that comes from.
fn known_clients() -> String {
    let mut text = String::new();
    for dialect in dialect::built_in() {
        let _ = writeln!(text, "{}: {}", dialect.name, dialect.title);
        let Some(known) = &dialect.known else {
            let _ = writeln!(text, "    the catalogue as it is\n");
            continue;
        };
        let names = dialect.clients.join(", ");
        let before = dialect.before.as_ref();
        let before = before.map_or(String::new(), |end| format!(", before version {end}"));
        let _ = writeln!(
            text,
            "    calls itself {names}{before}\n        {}",
            told(known)
        );
        for rule in &dialect.rules {
            let _ = writeln!(
                text,
                "    {}\n        {}",
                rule.change,
                told(&rule.evidence)
            );
        }
        text.push('\n');
    }
    text
}

fn told(evidence: &Evidence) -> String {
    let date = &evidence.date;
    match &evidence.ground {
        Ground::Source(address) => format!("{date} {address}"),
        Ground::Precaution(reason) => format!("{date} as a precaution: {reason}"),
    }
}

fn unknown_client(name: &str) -> Failed {
    let known = || dialect::built_in().iter().map(|it| it.name.as_str());
    let help = match nearest::nearest(name, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known().collect::<Vec<_>>().join(", ")),
    };
    Failed::new(format!("no client is known as `{name}`; {help}"))
}

/// The file that is meant: the one that was named, else a tools.yaml here; `None` means the shipped catalogue.
pub(super) fn file(named: Option<PathBuf>) -> Option<PathBuf> {
    let here = Path::new("tools.yaml");
    named.or_else(|| here.exists().then(|| here.to_owned()))
}

/// The catalogue of that file.
pub(super) fn catalogue(named: Option<PathBuf>) -> Result<Catalogue, Failed> {
    let source = file(named).map_or(CatalogueSource::Shipped, CatalogueSource::File);
    app::catalogue(&source).map_err(Failed::configuration)
}

/// The tools that `tools/list` answers with to a client of this dialect.
fn shown(catalogue: &Catalogue, dialect: &Dialect) -> Vec<Map<String, Value>> {
    let listed = catalogue.tools().iter().map(tokens::listed);
    let objects = listed.filter_map(|tool| match tool {
        Value::Object(tool) => Some(tool),
        _ => None,
    });
    let shown = objects.map(|tool| catalogue.shown(dialect, &tool).unwrap_or(tool));
    shown.collect()
}

/// The whole list, as a model reads it.
pub(super) fn list_text(catalogue: &Catalogue) -> String {
    let tools = shown(catalogue, dialect::default());
    json!({ "tools": tools }).to_string()
}
