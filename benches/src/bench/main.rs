//! Measures the sidecar against the budgets of the design: starts the stub, the naive server and the sidecar, loads
//! them in interleaved rounds, prints a table. It judges nothing: a missed budget is a cross in the table, and the
//! exit code says only whether the measurement itself worked.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

mod budgets;
mod calls;
mod load;
mod memory;
mod process;
mod report;
mod rounds;
mod servers;
mod spread;
mod wire;

/// Print what the budgets say beside what was measured.
#[derive(Parser)]
struct Options {
    /// The release build of the sidecar
    #[arg(long)]
    sidecar: PathBuf,
    /// The directory of the stub and the naive server; this program's own without it
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Fewer and shorter rounds, fewer connections
    #[arg(long)]
    quick: bool,
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let machine = report::Machine::before();
    let servers = servers::Servers::start(&options.sidecar, options.programs.as_deref())?;
    let lines = rounds::run(&servers, options.quick).await?;
    let footprint = memory::measure(&servers, options.quick).await?;
    drop(servers);
    let report = report::Report::new(machine, &lines, &footprint, options.quick);
    print!("{}", report.text());
    if let Some(file) = options.json {
        std::fs::write(file, report.json())?;
    }
    Ok(())
}
