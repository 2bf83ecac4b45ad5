//! `toolbridge tools`: the tools of a catalogue, as people or as clients see them.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{Failed, say};
use crate::{
    app,
    catalogue::{Catalogue, tokens},
    settings::CatalogueSource,
};

/// List the tools of a catalogue.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge tools\n  toolbridge tools --json | less\n  toolbridge tools my-tools.yaml"
)]
pub(super) struct Tools {
    /// The catalogue; without it, tools.yaml here, else the shipped one
    file: Option<PathBuf>,
    /// Print what `tools/list` answers
    #[arg(long)]
    json: bool,
}

impl Tools {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let catalogue = catalogue(self.file)?;
        if self.json {
            return say(&format!("{:#}\n", listed(&catalogue)));
        }
        let mut text = String::new();
        for tool in catalogue.tools() {
            let _ = writeln!(text, "{}\n    {}", tool.name, tool.description);
        }
        say(&text)
    }
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

/// What `tools/list` answers.
fn listed(catalogue: &Catalogue) -> Value {
    let tools: Vec<_> = catalogue.tools().iter().map(tokens::listed).collect();
    json!({ "tools": tools })
}

/// What the whole list costs a model.
pub(super) fn list_tokens(catalogue: &Catalogue) -> usize {
    tokens::count(&listed(catalogue).to_string())
}
