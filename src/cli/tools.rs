//! `toolbridge tools`: the tools of a catalogue, as people or as clients see them.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{Failed, say};
use crate::catalogue::{Catalogue, tokens};

/// List the tools of a catalogue.
#[derive(Args)]
#[command(after_help = "Examples:\n  toolbridge tools\n  toolbridge tools --json | less\n  toolbridge tools my-tools.yaml")]
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

/// The catalogue of a file that was named, or the one that is meant without a name.
pub(super) fn catalogue(file: Option<PathBuf>) -> Result<Catalogue, Failed> {
    let here = Path::new("tools.yaml");
    let catalogue = match file {
        Some(file) => Catalogue::load(&file),
        None if here.exists() => Catalogue::load(here),
        None => Catalogue::shipped(),
    };
    catalogue.map_err(Failed::configuration)
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
