//! What only a process of its own shows: the signal, and the log.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use super::file::{CatalogueFile, names, names_of, numbered};
use crate::harness::{
    AUDIENCE, Backend, FakeBackend, ISSUER, Person, SECRET, TENANT, TENANT_SECRET, in_time,
    token_for,
};

pub(super) struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Process {
    /// `toolbridge serve` with this catalogue, which it does not watch.
    pub(super) fn start(backend: &FakeBackend, file: &CatalogueFile) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
        command.arg("serve").env_clear().envs([
            ("JWT_HS256_SECRET", SECRET),
            ("TENANT_HEADER_SECRET", TENANT_SECRET),
        ]);
        let (backend, catalogue) = (backend.url(), file.path());
        let settings = [
            ("server.listen", "127.0.0.1:0"),
            ("ops.listen", "127.0.0.1:0"),
            ("backend.url", &backend),
            ("auth.issuer", ISSUER),
            ("auth.audience", AUDIENCE),
            ("tenant.id", TENANT),
            ("catalogue.file", catalogue.to_str().unwrap()),
            ("catalogue.watch", "false"),
        ];
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.current_dir(file.folder()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Where it serves, once it does.
    pub(super) async fn url(&mut self) -> String {
        let serving = self.says("serving").await;
        let mcp = serving["mcp"].as_str().unwrap();
        mcp.trim_end_matches("/mcp").to_owned()
    }

    /// The next line of the log that says this.
    pub(super) async fn says(&mut self, what: &str) -> Value {
        loop {
            let line = in_time(self.log.next_line()).await.unwrap().unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"].as_str().unwrap().starts_with(what) {
                return line;
            }
        }
    }

    async fn hangs_up(&self) {
        let pid = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(kill.await.unwrap().success());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_hangup_reads_the_file_again_and_the_log_says_what_came_of_it() {
    let file = CatalogueFile::with(&numbered(1));
    let backend = FakeBackend::start();
    let mut process = Process::start(&backend, &file);
    let url = process.url().await;
    let alice = Person::at(&url).with_token(&token_for("alice"));

    file.replace(&numbered(2));
    process.hangs_up().await;
    let said = process.says("the catalogue was replaced").await;
    assert_eq!(
        (&said["generation"], &said["tools"]),
        (&2.into(), &32.into())
    );
    assert_eq!(names(&alice).await, names_of(2));

    process.hangs_up().await;
    process.says("the catalogue's file has not changed").await;

    let broken = numbered(3).replace("[list, get]", "[list, gett]");
    file.replace(&broken);
    process.hangs_up().await;
    let said = process.says("the catalogue's file cannot be served").await;
    let (level, said) = (&said["level"], said["message"].as_str().unwrap());
    assert_eq!(level, "ERROR");
    let place = format!("{}:13:24: unknown operation `gett`", file.path().display());
    assert!(said.contains(&place), "{said}");
    assert!(said.contains("hint: did you mean `get`?"), "{said}");
    assert_eq!(names(&alice).await, names_of(2));
}
