//! A sidecar in a process of its own, whose memory can be looked at, and whose log is read all the time so that it never
//! waits for a reader.

use std::{fs, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};

use crate::harness::{AUDIENCE, Backend, ISSUER, Person, SECRET, TENANT, TENANT_SECRET, in_time};

pub(super) struct Process {
    pub(super) url: String,
    child: Child,
    log: JoinHandle<Vec<String>>,
}

impl Process {
    /// `toolbridge serve` before this backend, with these settings beside the least.
    pub(super) async fn start(backend: &impl Backend, settings: &[(&str, String)]) -> Self {
        let least = [
            ("server.listen", "127.0.0.1:0".to_owned()),
            ("ops.listen", "127.0.0.1:0".to_owned()),
            ("backend.url", backend.url()),
            ("auth.issuer", ISSUER.to_owned()),
            ("auth.audience", AUDIENCE.to_owned()),
            ("tenant.id", TENANT.to_owned()),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
        command.arg("serve").env_clear().stderr(Stdio::piped());
        command.envs([
            ("JWT_HS256_SECRET", SECRET),
            ("TENANT_HEADER_SECRET", TENANT_SECRET),
        ]);
        for (key, value) in least.iter().chain(settings) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (told, serves) = oneshot::channel();
        let log = tokio::spawn(async move {
            let (mut told, mut odd) = (Some(told), Vec::new());
            while let Some(line) = lines.next_line().await.unwrap() {
                let Ok(line) = serde_json::from_str::<Value>(&line) else {
                    odd.push(line);
                    continue;
                };
                if let Some(mcp) = line["mcp"].as_str()
                    && let Some(told) = told.take()
                {
                    told.send(mcp.trim_end_matches("/mcp").to_owned()).unwrap();
                }
            }
            odd
        });
        Self {
            url: in_time(serves).await.unwrap(),
            child,
            log,
        }
    }

    /// Somebody without a token.
    pub(super) fn nobody(&self) -> Person {
        Person::at(&self.url)
    }

    /// The memory it has now.
    pub(super) fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most it ever had.
    pub(super) fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// Asks it to end, which it does well; the lines of its log that are no log lines.
    pub(super) async fn stops(&mut self) -> Vec<String> {
        let pid = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(kill.await.unwrap().success());
        assert!(in_time(self.child.wait()).await.unwrap().success());
        in_time(&mut self.log).await.unwrap()
    }
}
