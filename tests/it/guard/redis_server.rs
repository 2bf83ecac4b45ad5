//! A real Redis (or Valkey) of a test's own, on a socket in a temporary directory, without persistence. It can be killed
//! and started again.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub(super) struct RedisServer {
    program: &'static str,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// `None`, said loudly, where there is no such program and nobody insists.
    pub(super) fn start() -> Option<Self> {
        let exists = |program: &&str| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let Some(program) = ["redis-server", "valkey-server"].into_iter().find(exists) else {
            missing();
            return None;
        };
        let mut server = Self {
            program,
            directory: TempDir::new().unwrap(),
            process: None,
        };
        server.starts();
        Some(server)
    }

    /// Returns as soon as it takes connections.
    pub(super) fn starts(&mut self) {
        let mut command = Command::new(self.program);
        command.current_dir(self.directory.path());
        command.args(["--port", "0", "--save", "", "--appendonly", "no"]);
        command.arg("--unixsocket").arg(self.socket());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        self.process = Some(process);
        let mut lines = said.lines().map_while(Result::ok);
        let is_ready = lines.any(|line| line.contains("eady to accept connections"));
        assert!(is_ready, "{} ended", self.program);
        // It says little more, and what it says must not fill the pipe or break it.
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// `kill -9`.
    pub(super) fn is_killed(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    pub(super) fn url(&self) -> &'static str {
        // Settings of tests are static; there are few of them.
        format!("unix://{}", self.socket().display()).leak()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.is_killed();
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a test that does nothing has to say so"
)]
fn missing() {
    let insisted = ["CI", "TOOLBRIDGE_TEST_REQUIRE_REDIS"]
        .into_iter()
        .any(|name| env::var_os(name).is_some_and(|value| value == "true" || value == "1"));
    assert!(!insisted, "no redis-server or valkey-server: install one");
    eprintln!("SKIPPED: no redis-server or valkey-server here, so shared limits were not tested");
}
