//! The binary as people start it: what it prints, on which stream, with which exit code. Its environment is empty and its
//! working directory a new one, so that nothing of this machine joins in.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};
use toolbridge::{
    auth::{Verifier, development},
    catalogue::{operations, tokens},
    clock,
};

use crate::harness::{
    Backend, FakeBackend, Person, Setup, fake_backend::Down, in_time, shipped, token_for,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_toolbridge");

/// `dev` on free ports.
const FREE_PORTS: [&str; 7] = [
    "dev",
    "--port",
    "0",
    "--ops-port",
    "0",
    "--backend-port",
    "0",
];

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
async fn runs_in(folder: &Path, arguments: &[&str]) -> Ran {
    Ran::of(in_time(command(folder, arguments).output()).await.unwrap())
}

async fn runs(arguments: &[&str]) -> Ran {
    runs_in(TempDir::new().unwrap().path(), arguments).await
}

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What was printed by a command that succeeded.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What was said by a command that failed so; it printed nothing else.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

/// A running `dev --json`.
struct Dev {
    child: Child,
    out: BufReader<ChildStdout>,
    ready: Value,
}

impl Dev {
    async fn start(folder: &Path, more: &[&str]) -> Self {
        let arguments = [&FREE_PORTS[..], &["--json"], more].concat();
        Self::of(command(folder, &arguments)).await
    }

    async fn of(mut command: Command) -> Self {
        let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = started.unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        in_time(out.read_line(&mut line)).await.unwrap();
        Self {
            child,
            out,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    fn says(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap()
    }

    /// `toolbridge call` against it.
    async fn call(&self, arguments: &[&str]) -> Ran {
        let at = ["--url", self.says("mcp_url"), "--token", self.says("token")];
        runs(&[&["call"], arguments, &at].concat()).await
    }

    /// Ctrl-C; what else was printed, and the exit code.
    async fn interrupted(mut self) -> (String, Option<i32>) {
        signal(&self.child, "INT").await;
        let mut rest = String::new();
        in_time(self.out.read_to_string(&mut rest)).await.unwrap();
        let status = in_time(self.child.wait()).await.unwrap();
        (rest, status.code())
    }
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    let kill = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status();
    assert!(kill.await.unwrap().success());
}

#[tokio::test]
async fn dev_prints_one_line_that_a_script_can_go_on_with() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(folder.path(), &["--ephemeral"]).await;
    let keys: Vec<_> = dev.ready.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["mcp_url", "ops_url", "backend_url", "token"]);
    let made = dev
        .call(&["create_note", "title=Hi", "content=There"])
        .await;
    let made: Value = serde_json::from_str(&made.good()).unwrap();
    assert_eq!(made["payload"]["title"], "Hi");
    let listed = dev.call(&["list_notes", "limit=1000"]).await.good();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    assert_eq!(dev.interrupted().await, (String::new(), Some(0)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn no_proxy_of_the_environment_sees_a_token() {
    let folder = TempDir::new().unwrap();
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let arguments = [&FREE_PORTS[..], &["--json", "--ephemeral"]].concat();
    let mut behind_proxy = command(folder.path(), &arguments);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        behind_proxy.env(name, &url);
    }
    let dev = Dev::of(behind_proxy).await;
    dev.call(&["list_notes"]).await.good();
    let at = ["--url", dev.says("mcp_url"), "--token", dev.says("token")];
    let mut call = command(folder.path(), &[&["call", "list_notes"], &at[..]].concat());
    let call = in_time(call.env("http_proxy", &url).output())
        .await
        .unwrap();
    Ran::of(call).good();
    // Everything has been answered, so a connection to the proxy would be waiting by now.
    let visit = tokio::time::timeout(Duration::ZERO, proxy.accept()).await;
    assert!(visit.is_err(), "something went through the proxy");
    assert_eq!(dev.interrupted().await.1, Some(0));
}

#[tokio::test]
async fn a_tool_error_is_json_and_a_failure() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(folder.path(), &["--ephemeral"]).await;
    let ran = dev
        .call(&["get_note", "uid=3f2504e0-4f89-41d3-9a0c-0305e82c3399"])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let error: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(error["error"]["code"], "NOT_FOUND");
    let unknown = dev.call(&["get_nota"]).await.failed(1);
    assert!(unknown.contains("did you mean `get_note`?"), "{unknown}");
    let url = ["call", "list_notes", "--url", dev.says("mcp_url")];
    runs(&url).await.good();
    let refused = runs(&[&url[..], &["--token", "nonsense"]].concat())
        .await
        .failed(1);
    assert!(!refused.contains("nonsense"), "{refused}");
    assert_eq!(dev.interrupted().await.1, Some(0));
}

#[tokio::test]
async fn a_call_that_is_refused_before_mcp_says_what_to_do() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend);
    let setup = setup.set("limits.person.requests", "1");
    let setup = setup.set("limits.person.burst", "1");
    let sidecar = setup.set("limits.person.window", "1h").start().await;
    let url = format!("{}/mcp", sidecar.url);
    let call = async |token: &str| {
        runs(&["call", "list_notes", "--url", &url, "--token", token])
            .await
            .failed(1)
    };
    // Two requests are let through: the third one is the list of tools, the second message of the handshake, or the first.
    for (used, person) in ["alice", "bob", "carol"].into_iter().enumerate() {
        for _ in 0..used {
            let before = sidecar.person(person).asks("tools/list", json!({})).await;
            assert_eq!(before.status, 200, "{before:?}");
        }
        let said = call(&token_for(person)).await;
        assert!(
            said.starts_with("you call too often: try again in "),
            "{used}: {said}"
        );
        assert!(said.ends_with(&format!(" s (429 from {url})\n")), "{said}");
    }
    let stranger = call("nonsense").await;
    assert!(
        stranger.starts_with("the token is not accepted (401 from "),
        "{stranger}"
    );
}

#[tokio::test]
async fn records_are_kept_in_a_directory_and_not_in_memory() {
    let folder = TempDir::new().unwrap();
    let titles = async |dev: &Dev| {
        let page = dev.call(&["list_notes"]).await.good();
        let page: Value = serde_json::from_str(&page).unwrap();
        let items = page["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .map(|item| item["payload"]["title"].clone())
            .collect::<Vec<_>>()
    };
    for (place, kept) in [
        (&["--data-dir", "kept"][..], true),
        (&["--ephemeral"][..], false),
    ] {
        let dev = Dev::start(folder.path(), place).await;
        dev.call(&["create_note", "title=mine", "content=x"])
            .await
            .good();
        assert!(titles(&dev).await.contains(&json!("mine")));
        assert_eq!(dev.interrupted().await.1, Some(0));
        let dev = Dev::start(folder.path(), place).await;
        assert_eq!(titles(&dev).await.contains(&json!("mine")), kept);
        assert_eq!(dev.interrupted().await.1, Some(0));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--port", "--ops-port", "--backend-port"] {
        let mut arguments = FREE_PORTS;
        let at = arguments
            .iter()
            .position(|argument| *argument == flag)
            .unwrap();
        arguments[at + 1] = &port;
        let ran = runs(&[&arguments[..], &["--ephemeral", "--json"]].concat()).await;
        let said = ran.failed(1);
        let expected = format!("port {port} is in use: choose another with {flag},");
        assert!(said.contains(&expected), "{said}");
    }
}

#[tokio::test]
async fn the_banner_has_what_a_person_pastes() {
    let folder = TempDir::new().unwrap();
    let mut child = command(folder.path(), &[&FREE_PORTS[..], &["--ephemeral"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut banner = String::new();
    while !banner.contains("Ctrl-C") {
        assert_ne!(
            in_time(out.read_line(&mut banner)).await.unwrap(),
            0,
            "{banner}"
        );
    }
    signal(&child, "INT").await;
    in_time(out.read_to_string(&mut banner)).await.unwrap();
    for part in [
        "/mcp",
        "curl",
        "mcp-remote",
        ".vscode/mcp.json",
        "inspector",
        "serve",
    ] {
        assert!(banner.contains(part), "{part} is missing: {banner}");
    }
}

#[tokio::test]
async fn serve_without_settings_says_everything_that_is_missing() {
    let said = runs(&["serve"]).await.failed(64);
    for setting in ["auth.issuer", "auth.audience", "auth.mode", "tenant.id"] {
        assert!(said.contains(setting), "{setting} is missing: {said}");
    }
}

/// `serve` that lacks nothing but what a test takes away.
fn serve(folder: &Path, secret: &str, more: &[&str]) -> Command {
    let set = [
        "server.listen=127.0.0.1:0",
        "ops.listen=127.0.0.1:0",
        "auth.issuer=i",
        "auth.audience=a",
        "tenant.id=t",
    ];
    let flags: Vec<_> = set.iter().flat_map(|set| ["--set", set]).collect();
    let mut command = command(folder, &[&["serve"], &flags[..], more].concat());
    command.env("JWT_HS256_SECRET", secret);
    command
}

#[tokio::test]
async fn serve_refuses_the_secret_of_development() {
    let folder = TempDir::new().unwrap();
    let secret = development::DEVELOPMENT_SECRET;
    let ran = in_time(serve(folder.path(), secret, &[]).output())
        .await
        .unwrap();
    let said = Ran::of(ran).failed(64);
    assert!(
        said.contains("JWT_HS256_SECRET") && !said.contains(secret),
        "{said}"
    );
}

#[tokio::test]
async fn serve_answers_and_ends_on_a_signal() {
    let folder = TempDir::new().unwrap();
    let mut child = serve(
        folder.path(),
        "a-secret-of-more-than-32-characters-0123",
        &[],
    )
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = loop {
        let line = in_time(log.next_line()).await.unwrap().unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "serving" {
            break line;
        }
    };
    assert_eq!(serving["tools"], 40);
    let ops = serving["operations"].as_str().unwrap();
    runs(&["health", "--url", ops]).await.good();
    let unready = runs(&["health", "--ready", "--url", ops]).await.failed(1);
    assert!(unready.contains("backend"), "{unready}");
    signal(&child, "TERM").await;
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(0));
}

const BROKEN: &str = "version: 1
entities:
  note:
    path: /v1/notes
    description: a note.
    operations: [list, gett]
    fields:
      title: { type: strin }
";

#[tokio::test]
async fn a_broken_catalogue_is_shown_with_its_places() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bad.yaml"), BROKEN).unwrap();
    let secret = "a-secret-of-more-than-32-characters-0123";
    let more = ["--catalogue", "bad.yaml"];
    let served = in_time(serve(folder.path(), secret, &more).output())
        .await
        .unwrap();
    let served = Ran::of(served).failed(64);
    let checked = runs_in(folder.path(), &["check", "bad.yaml"])
        .await
        .failed(64);
    assert_eq!(served, checked);
    for place in ["bad.yaml:6:24", "bad.yaml:8:22"] {
        assert!(checked.contains(place), "{place} is missing: {checked}");
    }
    let missing = runs(&["check", "nothing.yaml"]).await.failed(64);
    assert!(missing.contains("nothing.yaml"), "{missing}");
}

#[tokio::test]
async fn check_shows_what_forty_tools_cost() {
    let table = runs(&["check"]).await.good();
    assert_eq!(table.lines().count(), 42);
    let last = table.lines().last().unwrap();
    let tokens = last
        .strip_prefix("40 tools, ")
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert!(tokens.parse::<u32>().unwrap() <= 6_000, "{last}");
    for tool in shipped().tools() {
        assert!(
            table.contains(&format!("\n{} ", tool.name)),
            "{}",
            tool.name
        );
    }
}

#[tokio::test]
async fn the_printed_tools_schema_and_operations_are_those_of_the_product() {
    let tools: Value = serde_json::from_str(&runs(&["tools", "--json"]).await.good()).unwrap();
    let listed: Value = shipped().tools().iter().map(tokens::listed).collect();
    assert_eq!(tools, json!({ "tools": listed }));
    assert_eq!(runs(&["operations"]).await.good(), operations::BUILT_IN);
    let schema = runs(&["schema"]).await.good();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools.schema.json");
    match fs::read_to_string(file) {
        Ok(shipped) => assert_eq!(schema, shipped),
        Err(_) => assert!(serde_json::from_str::<Value>(&schema).unwrap().is_object()),
    }
}

#[tokio::test]
async fn the_tools_can_be_seen_as_one_client_is_sent_them() {
    let gemini = runs(&["tools", "--client", "gemini-cli", "--json"])
        .await
        .good();
    assert!(
        !gemini.contains("outputSchema") && !gemini.contains("\"format\""),
        "{gemini}"
    );
    let vscode = runs(&["tools", "--client", "vscode", "--json"])
        .await
        .good();
    assert_eq!(vscode, runs(&["tools", "--json"]).await.good());
    let names = runs(&["tools", "--client", "cursor"]).await.good();
    assert!(names.starts_with("list_notes\n    Lists notes"), "{names}");
}

#[tokio::test]
async fn the_known_clients_are_told_with_dates_and_sources_and_an_unknown_one_is_not_guessed() {
    let list = runs(&["tools", "--client", "list"]).await.good();
    for dialect in toolbridge::catalogue::dialect::built_in() {
        assert!(list.contains(&format!("{}: {}\n", dialect.name, dialect.title)));
    }
    let rule = "every array has items\n        2025-04-08 https://github.com/microsoft/vscode/issues/246119\n";
    assert!(list.contains(rule), "{list}");
    let refused = runs(&["tools", "--client", "vscod"]).await.failed(1);
    assert!(refused.contains("did you mean `vscode`?"), "{refused}");
}

#[tokio::test]
async fn a_printed_token_is_accepted_by_the_rules_of_development() {
    let token = runs(&["token", "--sub", "alice", "--scope", "a b"])
        .await
        .good();
    let verifier = Verifier::new(vec![development::rules()]).unwrap();
    let bearer = format!("Bearer {}", token.trim_end()).parse().unwrap();
    let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)]);
    let caller = verifier.caller(&headers, clock::unix_now()).await.unwrap();
    assert_eq!(caller.subject(), "alice");
    assert!(caller.scopes().contains("a") && caller.scopes().contains("b"));
}

#[tokio::test]
async fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = runs(&["completions", shell]).await.good();
        assert!(
            script.contains("toolbridge") && script.contains("sandbox"),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn every_commands_help_has_examples_where_it_takes_arguments() {
    for name in [
        "dev", "serve", "sandbox", "check", "tools", "call", "token", "health",
    ] {
        let help = runs(&[name, "--help"]).await.good();
        assert!(
            help.contains("Examples:") && help.contains("toolbridge "),
            "{help}"
        );
    }
    let help = runs(&["--help"]).await.good();
    for name in ["dev", "schema", "operations", "completions"] {
        assert!(help.contains(name), "{help}");
    }
    assert!(runs(&["--version"]).await.good().starts_with("toolbridge "));
    assert_eq!(runs(&["devv"]).await.code, Some(2));
}

#[tokio::test]
async fn health_is_told_by_the_exit_code() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(folder.path(), &["--ephemeral"]).await;
    let ops = dev.says("ops_url").to_owned();
    for more in [&[][..], &["--ready"]] {
        runs(&[&["health", "--url", &ops], more].concat())
            .await
            .good();
    }
    assert_eq!(Person::at(&ops).gets("/healthz").await.status, 200);
    assert_eq!(dev.interrupted().await.1, Some(0));
    let down = Down::new();
    runs(&["health", "--url", &down.url()]).await.failed(1);
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_no_failure() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        "tools",
        "tools --json",
        "schema",
        "check",
        "completions bash",
    ] {
        let script = format!("set -o pipefail; '{PROGRAM}' {arguments} | head -c 1 >/dev/null");
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(folder.path())
            .output();
        let ran = Ran::of(in_time(output).await.unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments}");
    }
}

#[tokio::test]
async fn a_catalogue_without_sessions_is_tried_on_a_backend_without_them() {
    let folder = TempDir::new().unwrap();
    let catalogue = "version: 1\nentities:\n  book:\n    path: /api/books\n    description: a book.\n    \
                     operations: [list, create]\n    fields:\n      title: { type: string, required: true }\n";
    std::fs::write(folder.path().join("tools.yaml"), catalogue).unwrap();
    let dev = Dev::start(folder.path(), &["--ephemeral"]).await;
    dev.call(&["create_book", "title=Dune"]).await.good();
    let listed = dev.call(&["list_books"]).await.good();
    assert!(listed.contains("Dune"), "{listed}");
    assert_eq!(dev.interrupted().await.1, Some(0));
}

#[tokio::test]
async fn health_asks_the_operations_port_that_is_set_and_needs_no_other_setting() {
    let folder = TempDir::new().unwrap();
    let dev = Dev::start(folder.path(), &["--ephemeral"]).await;
    let port = dev.says("ops_url").rsplit_once(':').unwrap().1.to_owned();
    let mut health = command(folder.path(), &["health"]);
    health.env("TOOLBRIDGE_OPS__LISTEN", format!("0.0.0.0:{port}"));
    Ran::of(in_time(health.output()).await.unwrap()).good();
    assert_eq!(dev.interrupted().await.1, Some(0));
}
