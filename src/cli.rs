//! The command line: one file a command. In: arguments. Out: text on standard output, failures on standard error, an
//! exit code: 0 done, 1 failed, 2 wrong usage (clap), 64 wrong configuration.

mod audit;
mod beside;
mod call;
mod check;
mod dev;
mod doctor;
mod health;
mod prove_isolation;
mod sandbox;
mod serve;
mod start;
mod stdio;
mod token;
mod tools;

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};

use crate::catalogue::{self, operations};
#[cfg(unix)]
use crate::child;

/// Exit code of wrong configuration (`EX_USAGE` of sysexits).
const CONFIGURATION: u8 = 64;

/// toolbridge: MCP in front of your REST backend, from one tools.yaml.
#[derive(Parser)]
#[command(
    name = "toolbridge",
    after_help = "Examples:\n  toolbridge dev\n  toolbridge check tools.yaml\n  toolbridge serve --catalogue tools.yaml\n  toolbridge call list_notes",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: an embedded backend, the sidecar, sample records and a token
    Dev(dev::Dev),
    /// Run the sidecar in front of your backend
    Serve(serve::Serve),
    /// Serve one local client over standard input and output
    Stdio(stdio::Stdio),
    /// Run the embedded backend alone
    Sandbox(sandbox::Sandbox),
    /// Check a catalogue: every problem, or a table of its tools with their cost in tokens
    Check(check::Check),
    /// List the tools of a catalogue
    Tools(tools::Tools),
    /// Call one tool of a running sidecar, as an MCP client
    Call(call::Call),
    /// Print a token for development
    Token(token::Token),
    /// Print the JSON Schema of tools.yaml, for editors
    #[command(after_help = "Examples:\n  toolbridge schema > tools.schema.json")]
    Schema,
    /// Print the built-in operations, as data
    #[command(
        after_help = "Examples:\n  toolbridge operations | less\n\nA catalogue changes them, or adds to them, under its own `operations:`."
    )]
    Operations,
    /// Find out why a client cannot connect, and how to mend it
    Doctor(doctor::Doctor),
    /// Ask a running sidecar whether it lives; for container health checks
    Health(health::Health),
    /// Look at the audit of writes
    Audit(audit::Audit),
    /// Try to cross tenants and people with every tool, and report what came of it
    ProveIsolation(prove_isolation::ProveIsolation),
    /// Become a command that dies with us: how `serve -- COMMAND` starts its child
    #[cfg(unix)]
    #[command(name = child::LAUNCH, hide = true)]
    Launch(serve::Launch),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  source <(toolbridge completions bash)\n  toolbridge completions fish > ~/.config/fish/completions/toolbridge.fish"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// How a command failed.
struct Failed {
    code: u8,
    message: String,
}

impl Failed {
    /// It could not be done.
    fn new(message: impl Display) -> Self {
        Self {
            code: 1,
            message: message.to_string(),
        }
    }

    /// What it was told is wrong.
    fn configuration(message: impl Display) -> Self {
        Self {
            code: CONFIGURATION,
            message: message.to_string(),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

/// Runs the command the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version are "errors" that go to standard output and succeed.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    match cli.command.run() {
        Ok(code) => code,
        Err(failed) => {
            let _ = writeln!(io::stderr(), "{}", failed.message.trim_end());
            ExitCode::from(failed.code)
        }
    }
}

impl Command {
    fn run(self) -> Result<ExitCode, Failed> {
        match self {
            Self::Dev(dev) => dev.run(),
            Self::Serve(serve) => serve.run(),
            Self::Stdio(stdio) => stdio.run(),
            Self::Sandbox(sandbox) => sandbox.run(),
            Self::Check(check) => check.run(),
            Self::Tools(tools) => tools.run(),
            Self::Call(call) => call.run(),
            Self::Token(token) => token.run(),
            Self::Schema => say(catalogue::SCHEMA),
            Self::Operations => say(operations::BUILT_IN),
            Self::Doctor(doctor) => doctor.run(),
            Self::Health(health) => health.run(),
            Self::Audit(audit) => audit.run(),
            Self::ProveIsolation(prove) => prove.run(),
            #[cfg(unix)]
            Self::Launch(launch) => Err(launch.run()),
            Self::Completions { shell } => completions(shell),
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failed> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "toolbridge", &mut text);
    say(&String::from_utf8_lossy(&text))
}

/// Writes to standard output. A reader that closed early (`| head`) is no failure.
fn say(text: &str) -> Result<ExitCode, Failed> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Runs a command that waits for the network.
fn in_runtime<T>(command: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
