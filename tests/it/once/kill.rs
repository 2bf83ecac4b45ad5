//! The sidecar is killed between the backend's commit and the answer, and the next process knows of it.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};
use toolbridge::sandbox::{Moment, Requests, Sandbox};

use super::retrying::{Retrying, titles};
use crate::harness::{
    AUDIENCE, ISSUER, Person, SECRET, TENANT, TENANT_SECRET, in_time, sandbox, token_for,
};

/// `toolbridge serve` as a process of its own, its journal in this folder.
struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Process {
    fn start(backend: &Sandbox, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
        // As systemd names it; "auto" finds it.
        command.arg("serve").env_clear().envs([
            ("JWT_HS256_SECRET", SECRET),
            ("TENANT_HEADER_SECRET", TENANT_SECRET),
            ("STATE_DIRECTORY", folder.to_str().unwrap()),
        ]);
        let backend = backend.url();
        let settings = [
            ("server.listen", "127.0.0.1:0"),
            ("ops.listen", "127.0.0.1:0"),
            ("backend.url", &backend),
            ("auth.issuer", ISSUER),
            ("auth.audience", AUDIENCE),
            ("tenant.id", TENANT),
        ];
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.current_dir(folder).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Where it serves, once it does.
    async fn url(&mut self) -> String {
        loop {
            let line = in_time(self.log.next_line()).await.unwrap().unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "serving" {
                let mcp = line["mcp"].as_str().unwrap();
                return mcp.trim_end_matches("/mcp").to_owned();
            }
        }
    }

    async fn dies(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_process_killed_after_the_commit_leaves_no_second_record_behind() {
    let backend = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let title = format!("round {round}");
        let mut first = Process::start(&backend, folder.path());
        let url = first.url().await;
        let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
        let client = Retrying::at(&url, "alice");
        let lost = tokio::spawn({
            let title = title.clone();
            async move { client.tries(&title).await }
        });
        in_time(hold.reached(1)).await;
        first.dies().await;
        assert!(in_time(lost).await.unwrap().is_none());
        hold.release();
        let mut second = Process::start(&backend, folder.path());
        let url = second.url().await;
        let (made, _) = Retrying::at(&url, "alice").creates(&title).await;
        assert_eq!(made["version"], 1);
        let alice = Person::at(&url).with_token(&token_for("alice"));
        assert_eq!(titles(&alice).await[&title], 1);
        // Its answer arrived: a further one is another wish, also after another kill.
        second.dies().await;
        let mut third = Process::start(&backend, folder.path());
        let alice = Person::at(&third.url().await).with_token(&token_for("alice"));
        let note = json!({ "title": title, "content": "of a client that retries" });
        alice.calls("create_note", note).await.good();
        assert_eq!(titles(&alice).await[&title], 2);
    }
}
