//! `toolbridge stdio` as a client starts it: a process, a line in for a message, a line out for an answer.

use std::{collections::VecDeque, process::Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    Setup, in_time,
    person::{Ended, modern},
};

/// A running server of one local client.
pub(crate) struct Local {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    unheard: VecDeque<Value>,
    _folder: TempDir,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) code: Option<i32>,
    /// The lines that nobody had read.
    pub(crate) said: Vec<Value>,
    pub(crate) log: String,
}

impl Setup {
    /// Starts one that is told so, with these variables beside.
    pub(crate) fn locally(self, variables: &[(&str, &str)]) -> Local {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
        command
            .arg("stdio")
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (key, value) in &self.flags {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.envs(self.secrets.iter().copied());
        command.envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        Local {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            unheard: VecDeque::new(),
            _folder: folder,
        }
    }
}

impl Local {
    pub(crate) async fn writes(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_bytes()).await.unwrap();
        input.write_all(b"\n").await.unwrap();
    }

    pub(crate) async fn begins(&mut self, id: u64, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.writes(&message.to_string()).await;
    }

    pub(crate) async fn notifies(&mut self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.writes(&message.to_string()).await;
    }

    /// The handshake of the older revisions.
    pub(crate) async fn initializes(&mut self, version: &str) -> Value {
        let params = json!({
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": { "name": "it", "version": "1" },
        });
        let opened = self.asks(0, "initialize", params).await;
        self.notifies("notifications/initialized", json!({})).await;
        opened["result"].clone()
    }

    pub(crate) async fn asks(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.begins(id, method, params).await;
        self.answer_to(id).await
    }

    /// A request of the 2026-07-28 revision.
    pub(crate) async fn asks_modern(&mut self, id: u64, method: &str, params: Value) -> Value {
        let params = modern(method, params)["params"].clone();
        self.asks(id, method, params).await
    }

    pub(crate) async fn begins_call(&mut self, id: u64, tool: &str, arguments: Value) {
        let params = json!({ "name": tool, "arguments": arguments });
        self.begins(id, "tools/call", params).await;
    }

    pub(crate) async fn calls(&mut self, id: u64, tool: &str, arguments: Value) -> Ended {
        self.begins_call(id, tool, arguments).await;
        Ended::of(&self.answer_to(id).await["result"])
    }

    /// The answer to this request; other messages before it are kept.
    pub(crate) async fn answer_to(&mut self, id: u64) -> Value {
        let mut passed = VecDeque::new();
        let answer = loop {
            let message = self.hears().await;
            if message["id"] == id && message.get("method").is_none() {
                break message;
            }
            passed.push_back(message);
        };
        self.unheard = passed;
        answer
    }

    /// The next message of any kind.
    pub(crate) async fn hears(&mut self) -> Value {
        if let Some(message) = self.unheard.pop_front() {
            return message;
        }
        let mut line = String::new();
        in_time(self.output.read_line(&mut line)).await.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line:?}"))
    }

    /// Closes its input.
    pub(crate) fn closes(&mut self) {
        self.input = None;
    }

    pub(crate) async fn is_told(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let signal = format!("-{signal}");
        let sent = Command::new("kill").args([signal, pid]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, the input as it is; what it left.
    pub(crate) async fn ends(mut self) -> Left {
        let mut rest = String::new();
        in_time(self.output.read_to_string(&mut rest))
            .await
            .unwrap();
        let mut log = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        in_time(errors.read_to_string(&mut log)).await.unwrap();
        let status = in_time(self.child.wait()).await.unwrap();
        let lines = rest.lines().map(|line| serde_json::from_str(line).unwrap());
        Left {
            code: status.code(),
            said: self.unheard.drain(..).chain(lines).collect(),
            log,
        }
    }

    /// Closes its input and waits for its end.
    pub(crate) async fn leaves(mut self) -> Left {
        self.closes();
        self.ends().await
    }
}
