//! `toolbridge serve` as a platform starts it: a process with variables, signals in, log lines and an exit code out.

use std::{collections::VecDeque, ffi::OsString, process::Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use super::{Setup, in_time};

/// A running `serve`.
pub(crate) struct Served {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Every line of the log that was read so far.
    pub(crate) said: Vec<Value>,
    unread: VecDeque<Value>,
    pub(crate) url: String,
    pub(crate) ops_url: String,
    folder: TempDir,
}

impl Setup {
    /// Starts one that is told so, with this command behind `--`.
    pub(crate) async fn serves(self, command: &[&str]) -> Served {
        self.serves_by(&[], command).await
    }

    /// The same with another program before ours, which ends in running what follows.
    pub(crate) async fn serves_by(self, before: &[&str], command: &[&str]) -> Served {
        let mut served = self.begins_to_serve(before, command);
        let serving = served.says("serving").await;
        let mcp = serving["mcp"].as_str().unwrap();
        served.url = mcp.trim_end_matches("/mcp").to_owned();
        served.ops_url = serving["operations"].as_str().unwrap().to_owned();
        served
    }

    /// Starts one that ends by itself: what it said.
    pub(crate) async fn start_fails(self) -> String {
        let (code, said) = self.begins_to_serve(&[], &[]).ends().await;
        assert_eq!(code, Some(64), "{said:#?}");
        said.iter()
            .map(|line| format!("{}\n", line["message"]))
            .collect()
    }

    fn begins_to_serve(self, before: &[&str], command: &[&str]) -> Served {
        let folder = TempDir::new().unwrap();
        let ours = env!("CARGO_BIN_EXE_toolbridge");
        let mut words: Vec<OsString> = before.iter().chain(&[ours]).map(Into::into).collect();
        words.push("serve".into());
        for (key, value) in &self.flags {
            words.extend(["--set".into(), format!("{key}={value}").into()]);
        }
        if !command.is_empty() {
            words.push("--".into());
            words.extend(command.iter().map(Into::into));
        }
        let mut process = Command::new(&words[0]);
        process
            .args(&words[1..])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(self.secrets.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = process.spawn().unwrap();
        Served {
            log: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
            said: Vec::new(),
            unread: VecDeque::new(),
            url: String::new(),
            ops_url: String::new(),
            folder,
        }
    }
}

impl Served {
    /// Where it runs.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The next line of our log that begins so.
    pub(crate) async fn says(&mut self, what: &str) -> Value {
        self.hears(|line| line["target"] != "child" && begins(line, what))
            .await
    }

    /// The next line that the child printed and that begins so.
    pub(crate) async fn prints(&mut self, what: &str) -> Value {
        self.hears(|line| line["target"] == "child" && begins(line, what))
            .await
    }

    /// The pid of the next child that is started.
    pub(crate) async fn starts_child(&mut self) -> u32 {
        let started = self.says("the child was started").await;
        u32::try_from(started["child.pid"].as_u64().unwrap()).unwrap()
    }

    /// The first unread line that is so; those before it stay unread for others.
    async fn hears(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&is_it) {
            return self.unread.remove(at).unwrap();
        }
        loop {
            let Some(line) = self.reads().await else {
                panic!("it ended, having said {:#?}", self.said);
            };
            if is_it(&line) {
                return line;
            }
            self.unread.push_back(line);
        }
    }

    async fn reads(&mut self) -> Option<Value> {
        let line = in_time(self.log.next_line()).await.unwrap()?;
        let line: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| serde_json::json!({ "target": "plain", "message": line }));
        self.said.push(line.clone());
        Some(line)
    }

    pub(crate) async fn is_told(&self, signal: &str) {
        sends(signal, self.pid()).await;
    }

    /// Waits for its end: the exit code (`None`: a signal), and what it had said by then.
    pub(crate) async fn ends(mut self) -> (Option<i32>, Vec<Value>) {
        while self.reads().await.is_some() {}
        let status = in_time(self.child.wait()).await.unwrap();
        (status.code(), self.said)
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn stops(self) -> Option<i32> {
        self.is_told("TERM").await;
        self.ends().await.0
    }
}

fn begins(line: &Value, what: &str) -> bool {
    let message = line["message"].as_str();
    message.is_some_and(|message| message.starts_with(what))
}

pub(crate) async fn sends(signal: &str, pid: u32) {
    let kill = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(kill.await.unwrap().success());
}
