//! `toolbridge audit`: whether files are an unbroken audit.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{Failed, say};
use crate::observe::audit::{self, Hash, Unproven};

/// Look at the audit of writes.
#[derive(Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check that no line was changed, taken out, put in or moved
    #[command(
        after_help = "Examples:\n  toolbridge audit verify audit.jsonl\n  toolbridge audit verify audit.jsonl*\n  toolbridge audit verify --older /var/lib/toolbridge/audit.jsonl\n  toolbridge audit verify --last 9c0e… audit.jsonl*\n\nAll files are checked as one chain; parts of one audit are put into their order by themselves. Lines that were cut off at\nthe end are missed only with --last: the log names the last hash at each new file and at the end, and so does this command.\n\nExit code 1 where a line is broken, and its place is named; 64 where a file cannot be read."
    )]
    Verify(Verify),
}

#[derive(Args)]
struct Verify {
    /// The audit's files (setting audit.file, and its older parts)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also the older parts beside each file, where no shell writes out `audit.jsonl*`
    #[arg(long)]
    older: bool,
    /// The hash of a line that must be there
    #[arg(long, value_name = "HASH", value_parser = Hash::parse)]
    last: Option<Hash>,
}

impl Audit {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let Command::Verify(Verify { files, older, last }) = self.command;
        let all = if older {
            audit::with_older(&files)
        } else {
            Ok(files)
        };
        match all.and_then(|files| audit::verify(&files, last)) {
            Ok(report) => say(&report.to_string()),
            Err(error @ Unproven::Unreadable { .. }) => Err(Failed::configuration(error)),
            Err(error) => Err(Failed::new(error)),
        }
    }
}
