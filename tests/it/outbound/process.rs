//! A sidecar in a process of its own, because a log that belongs to one test needs a process that does.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
};

use crate::harness::{AUDIENCE, Backend, ISSUER, Person, SECRET, TENANT, TENANT_SECRET};

/// A running process.
pub(crate) struct Process {
    url: String,
    child: Child,
    log: BufReader<ChildStderr>,
    first_lines: String,
}

impl Process {
    /// `toolbridge serve` before this backend, with these settings and secrets beside the least.
    pub(crate) async fn start(
        backend: &impl Backend,
        flags: &[(&str, &str)],
        secrets: &[(&str, &str)],
    ) -> Self {
        let backend = backend.url();
        let least = [
            ("server.listen", "127.0.0.1:0"),
            ("ops.listen", "127.0.0.1:0"),
            ("backend.url", backend.as_str()),
            ("auth.issuer", ISSUER),
            ("auth.audience", AUDIENCE),
            ("tenant.id", TENANT),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
        command.arg("serve").env_clear().stderr(Stdio::piped());
        command.envs([
            ("JWT_HS256_SECRET", SECRET),
            ("TENANT_HEADER_SECRET", TENANT_SECRET),
        ]);
        command.envs(secrets.iter().copied());
        for (key, value) in least.iter().chain(flags) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut first_lines = String::new();
        let url = loop {
            let begins = first_lines.len();
            assert_ne!(
                log.read_line(&mut first_lines).await.unwrap(),
                0,
                "{first_lines}"
            );
            let line: Value = serde_json::from_str(&first_lines[begins..]).unwrap();
            if let Some(mcp) = line["mcp"].as_str() {
                break mcp.trim_end_matches("/mcp").to_owned();
            }
        };
        Self {
            url,
            child,
            log,
            first_lines,
        }
    }

    /// Somebody without a token.
    pub(crate) fn person(&self) -> Person {
        Person::at(&self.url)
    }

    /// Ends the process; everything it logged.
    pub(crate) async fn log(mut self) -> String {
        self.child.kill().await.unwrap();
        let mut log = self.first_lines;
        self.log.read_to_string(&mut log).await.unwrap();
        log
    }
}
