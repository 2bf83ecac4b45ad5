//! `toolbridge serve` as a process, with its memory. Its log goes nowhere but for the line that says where it serves.

use std::{fs, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::Mutex,
};

use super::people::{AUDIENCE, ISSUER, SECRET, TENANT_SECRET};

pub(super) struct Sidecar {
    /// Where MCP is served.
    pub(super) url: String,
    pid: u32,
    child: Mutex<Child>,
}

impl Sidecar {
    pub(super) async fn start(toolbridge: &str, backend: &str) -> Self {
        let settings = [
            ("server.listen", "127.0.0.1:0"),
            ("ops.listen", "127.0.0.1:0"),
            ("backend.url", backend),
            ("auth.issuer", ISSUER),
            ("auth.audience", AUDIENCE),
            ("tenant.id", "acme"),
            // People who never pause are no people.
            ("limits.profile", "development"),
        ];
        let mut command = Command::new(toolbridge);
        command.arg("serve").env_clear().stderr(Stdio::piped());
        command.envs([
            ("JWT_HS256_SECRET", SECRET),
            ("TENANT_HEADER_SECRET", TENANT_SECRET),
        ]);
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if let Some(mcp) = line["mcp"].as_str() {
                break mcp.to_owned();
            }
        };
        // Read on, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            url,
            pid: child.id().unwrap(),
            child: Mutex::new(child),
        }
    }

    /// The memory it has now.
    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    /// Asks it to end; whether it ended well.
    pub(super) async fn stops(&self) -> bool {
        let pid = self.pid.to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status().await;
        kill.unwrap().success() && self.child.lock().await.wait().await.unwrap().success()
    }
}
