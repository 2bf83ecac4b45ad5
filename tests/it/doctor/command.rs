//! The command itself: what it prints, and how it ends.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use super::{
    tls,
    world::{Says, World},
};

fn toolbridge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
    command.env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

async fn doctor(arguments: Vec<String>) -> Output {
    let run = move || toolbridge().arg("doctor").args(arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn a_healthy_server_ends_it_with_0_and_its_json_says_the_same() {
    let world = World::new().await;
    let token = world.token.clone().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{token}\n")).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let arguments = vec![
        world.url.clone(),
        "--json".to_owned(),
        "--token-file".to_owned(),
        path,
    ];
    let output = doctor(arguments).await;
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["healthy"], true, "{report}");
    assert_eq!(report["url"], world.url);
    assert_eq!(report["steps"][0]["step"], "url");
    assert!(!report.to_string().contains(&token));
}

#[tokio::test]
async fn a_mistake_ends_it_with_1_and_says_what_which_rule_and_how_to_mend_it() {
    let world = World::new().await;
    world.server.says("nobody", Says::status(401));
    let output = doctor(vec![world.url.clone()]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "✓ tcp ",
        "✗ challenge ",
        "    what: 401 comes",
        "    rule: RFC 9110",
        "    mend: ",
        "– token ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn settings_are_examined_where_there_are_any() {
    let world = World::new().await;
    let output = doctor(vec![
        world.url.clone(),
        "--set".to_owned(),
        "tenant.id=acme".to_owned(),
    ])
    .await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("✗ settings ") && text.contains("`auth.issuer` (not set)"),
        "{text}"
    );
    let output = doctor(vec![world.url.clone()]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("– settings      nothing is set here"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_behind_tls_is_healthy_where_its_authority_is_trusted_and_only_there() {
    let world = World::new().await;
    let url = tls::in_front_of(&world.server, tls::SIGNED).await;
    world.metadata(&url, &[&world.issuer.url]);
    let origin = url.trim_end_matches("/mcp");
    world.challenge(&format!(
        "Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\""
    ));
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
    for (trusted, verdict) in [("self-signed", "✓ tls "), ("localhost", "✗ tls ")] {
        let authority = format!("{keys}/{trusted}.cert.pem");
        let url = url.clone();
        let run = move || {
            let mut command = toolbridge();
            command
                .env("SSL_CERT_FILE", authority)
                .arg("doctor")
                .arg(url);
            command.output().unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(verdict), "{text}");
        assert_eq!(output.status.success(), verdict.starts_with('✓'), "{text}");
    }
}

/// `toolbridge dev`, stopped when the test ends.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn dev_is_healthy() {
    let ports = ["--port", "0", "--ops-port", "0", "--backend-port", "0"];
    let mut dev = toolbridge();
    dev.arg("dev").args(ports).args(["--ephemeral", "--json"]);
    let mut dev = Dev(dev
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap());
    let mut line = String::new();
    let stdout = dev.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let running: Value = serde_json::from_str(&line).unwrap();
    let text = |key: &str| running[key].as_str().unwrap().to_owned();
    let output = doctor(vec![text("mcp_url"), "--token".to_owned(), text("token")]).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert!(!report.contains('✗') || report.contains(" 0 ✗"), "{report}");
    assert!(
        report.contains("0 ! (warnings)") && report.contains("✓ read "),
        "{report}"
    );
    assert!(
        report.contains("– metadata      no authorization server is named"),
        "{report}"
    );
}
