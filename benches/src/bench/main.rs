//! Measures the sidecar against the budgets of the design, or against another MCP server: starts the stub, the naive
//! server, the floor and the sidecar, loads them in interleaved rounds, prints a table. It judges nothing: a missed budget
//! is a cross in the table, and the exit code says only whether the measurement itself worked.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bench_parts::NOTE;
use clap::Parser;

mod against;
mod budgets;
mod calls;
mod direct;
mod endpoint;
mod load;
mod memory;
mod process;
mod report;
mod requests;
mod rounds;
mod scale;
mod servers;
mod spread;
mod wire;
mod wrk;

/// Print what the budgets say beside what was measured.
#[derive(Parser)]
struct Options {
    /// The release build of the sidecar
    #[arg(long)]
    sidecar: PathBuf,
    /// The directory of the stub, the naive server and the floor; this program's own without it
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Fewer and shorter rounds, fewer connections
    #[arg(long)]
    quick: bool,
    /// Only load the sidecar, as the short rounds do, and let it end in order: for `scripts/profile`
    #[arg(long, conflicts_with = "against")]
    only_load: bool,
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with this MCP server instead of the budgets
    #[arg(long, value_name = "BASE_URL")]
    against: Option<String>,
    /// The bearer token that the other server takes
    #[arg(long, default_value = "", requires = "against")]
    token: String,
    /// The tool of the other server
    #[arg(long, default_value = "get_note", requires = "against")]
    tool: String,
    /// What it is called with, a JSON object
    #[arg(long, value_name = "JSON", default_value_t = format!("{{\"uid\":\"{NOTE}\"}}"), requires = "against")]
    arguments: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let against = match &options.against {
        Some(url) => Some(other(&options, url).await?),
        None => None,
    };
    let machine = report::Machine::before();
    let mut servers = servers::Servers::start(&options.sidecar, options.programs.as_deref())?;
    if options.only_load {
        rounds::run(&servers, None, true).await?;
        return servers.sidecar.process.ends();
    }
    let lines = rounds::run(&servers, against.as_ref(), options.quick).await?;
    let mut report = report::Report::new(machine, &lines, options.quick);
    if let Some(other) = &against {
        report.other = Some(&other.url);
    } else {
        let footprint = memory::measure(&servers, options.quick).await?;
        let scale = scale::measure(&servers, options.quick).await?;
        report.budgets = budgets::all(&lines, &footprint, &scale);
        report.checked = wrk::measure(&servers, options.quick).await?;
    }
    drop(servers);
    print!("{}", report.text());
    if let Some(file) = options.json {
        std::fs::write(file, report.json())?;
    }
    Ok(())
}

async fn other(options: &Options, url: &str) -> Result<against::Against> {
    let arguments = serde_json::from_str(&options.arguments).context("--arguments")?;
    against::Against::find(url, &options.token, &options.tool, arguments).await
}
