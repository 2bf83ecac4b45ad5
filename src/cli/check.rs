//! `toolbridge check`: all problems of a catalogue, or what its tools are and cost.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Failed, say, tools};
use crate::catalogue::{Catalogue, Effect, tokens};

/// Check a catalogue.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge check\n  toolbridge check tools.yaml\n\nExit code 64 where the catalogue has problems; lints count as problems here, though `serve` starts with them."
)]
pub(super) struct Check {
    /// The catalogue; without it, tools.yaml here, else the shipped one
    file: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let catalogue = tools::catalogue(self.file)?;
        if !catalogue.lints().is_empty() {
            return Err(Failed::configuration(catalogue.lints()));
        }
        say(&table(&catalogue))
    }
}

/// A line a tool: name, effect, scopes, tokens; then the sum.
fn table(catalogue: &Catalogue) -> String {
    let tools = catalogue.tools().iter();
    let mut texts: Vec<_> = tools.map(|tool| tokens::listed(tool).to_string()).collect();
    texts.push(tools::list_text(catalogue));
    let counts = tokens::count_each(&texts);
    let whole = counts.last().copied().unwrap_or(0);
    let rows: Vec<_> = catalogue
        .tools()
        .iter()
        .zip(counts)
        .map(|(tool, tokens)| {
            let effect = match tool.effect {
                Effect::Read => "read",
                Effect::Write if tool.annotations.destructive => "write, destructive",
                Effect::Write => "write",
            };
            let scopes = match tool.scopes.as_slice() {
                [] => "-".to_owned(),
                scopes => scopes.join(" "),
            };
            (tool.name.as_str(), effect, scopes, tokens)
        })
        .collect();
    let width = |of: fn(&(&str, &str, String, usize)) -> usize, least: usize| {
        rows.iter().map(of).max().unwrap_or(0).max(least)
    };
    let names = width(|row| row.0.len(), 4);
    let effects = width(|row| row.1.len(), 6);
    let scopes = width(|row| row.2.len(), 6);
    let mut table = format!(
        "{:names$}  {:effects$}  {:scopes$}  tokens\n",
        "tool", "effect", "scopes"
    );
    for (name, effect, scope, tokens) in &rows {
        let _ = writeln!(
            table,
            "{name:names$}  {effect:effects$}  {scope:scopes$}  {tokens:6}"
        );
    }
    for (name, tool) in catalogue.aliases() {
        let _ = writeln!(table, "alias {name} of {tool}");
    }
    for (name, instead) in catalogue.removed() {
        let _ = writeln!(table, "removed {name}: {instead}");
    }
    let _ = writeln!(
        table,
        "{} tools, {whole} tokens as one tool list (o200k); the budget is 6000 for 40",
        rows.len()
    );
    table
}
