//! Nothing secret and nothing private is ever said: calls that work and calls that fail in every way, logged at TRACE, and
//! then every log line, answer and health page searched for tokens, secrets, signatures, arguments and bodies.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use serde_json::json;
use toolbridge::telemetry::{self, Format};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    canonical_calls::NOTE,
    harness::{
        Claims, FakeBackend, Person, SECRET, Script, Setup, TENANT_SECRET, fake_backend::Seen,
        token_for,
    },
};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

const ARGUMENT: &str = "canary-of-an-argument";
const BODY: &str = "canary-of-a-body";

/// All that happened, as text: what clients were told, and what the backend saw.
#[derive(Default)]
struct Story {
    answers: String,
    seen: Vec<Seen>,
    tokens: Vec<String>,
}

/// What a backend may do to a call.
fn scripts() -> Vec<Script> {
    let private = format!(r#"{{"uid":"{NOTE}","version":1,"payload":{{"content":"{BODY}"}}}}"#);
    vec![
        Script::Well,
        Script::with(200, &[], &private),
        Script::with(200, &[], &format!("{{\"uid\":5,\"x\":\"{BODY}\"}}")),
        Script::with(200, &[], BODY),
        Script::with(409, &[], r#"{"error":"epoch_mismatch"}"#),
        Script::status(401),
        Script::status(404),
        Script::with(500, &[("x-internal", BODY)], "stack trace"),
        Script::with(307, &[("location", "http://canary-of-a-body.test/")], ""),
        Script::Truncates,
        Script::HangsUp,
        Script::Stalls,
    ]
}

async fn story() -> Story {
    let mut story = Story::default();
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("backend.request_timeout", "100ms")
        .set("backend.max_response_bytes", "1 MiB");
    let sidecar = setup.start().await;
    let token = token_for("alice");
    let alice = sidecar.nobody().with_token(&token);
    let note = json!({ "uid": NOTE, "title": ARGUMENT, "content": ARGUMENT });
    for script in scripts() {
        let is_private = matches!(&script, Script::Says { status: 200, .. });
        backend.does(script);
        let read = alice.calls("get_note", json!({ "uid": NOTE })).await.result;
        // The caller reads its own records; nobody else does.
        if !is_private {
            story.answers.push_str(&read.to_string());
        }
        alice.calls("update_note", note.clone()).await;
        backend.opens_sessions_with(Script::status(500));
        alice.calls("get_note", json!({ "uid": NOTE })).await;
        backend.recovers();
    }
    let connection = alice.connects().await;
    connection.calls("update_note", note).await.good();
    let wrong = json!({ "uid": ARGUMENT, "tilte": ARGUMENT });
    alice.calls("update_note", wrong).await;
    let expired = Claims {
        secret: "another-secret-of-the-integration-tests",
        ..Claims::of("eve")
    };
    for bad in [expired.signed(), format!("{token}x"), ARGUMENT.to_owned()] {
        let refused = sidecar
            .nobody()
            .with_token(&bad)
            .asks("tools/list", json!({}))
            .await;
        assert_eq!(refused.status, 401);
        story.answers.push_str(&format!("{refused:?}"));
        story.tokens.push(bad);
    }
    let ops = Person::at(&sidecar.ops_url);
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        story
            .answers
            .push_str(&format!("{:?}", ops.gets(path).await));
    }
    story.tokens.push(token);
    story.seen = backend.seen();
    assert!(sidecar.stops().await);
    story
}

/// The parts of what must not be said: each whole, and each piece of twelve characters of the secret ones.
fn canaries(story: &Story) -> Vec<String> {
    let pieces = |text: &str| -> Vec<String> {
        let text: Vec<_> = text.chars().collect();
        text.chunks_exact(12)
            .map(|piece| piece.iter().collect())
            .collect()
    };
    let mut canaries = vec![ARGUMENT.to_owned(), BODY.to_owned()];
    canaries.extend(pieces(SECRET));
    canaries.extend(pieces(TENANT_SECRET));
    for token in story.tokens.iter().filter(|token| token.contains('.')) {
        // Every token begins alike; what is its own are claims and signature.
        let parts = token.split('.').skip(1);
        canaries.extend(parts.flat_map(&pieces));
    }
    for seen in &story.seen {
        canaries.extend(pieces(seen.header("x-tb-signature")));
        let session = seen.header("x-sync-session");
        canaries.extend((!session.is_empty()).then(|| session.to_owned()));
    }
    canaries
}

#[track_caller]
fn holds_none(what: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        for line in text.lines() {
            assert!(
                !line.contains(canary.as_str()),
                "{what} has {canary}: {line}"
            );
        }
    }
}

/// Runs everything in a thread whose log is captured.
fn logged_story(format: Format) -> (Story, String) {
    let log = Log::default();
    // While there is but one subscriber, `tracing` asks the thread that comes first to a line whether somebody wants it: a
    // test in another thread, where nobody does, would keep that line from this log.
    let second = telemetry::subscriber(LevelFilter::TRACE, Format::Json, std::io::sink);
    let _second = tracing::Dispatch::new(second);
    let subscriber = telemetry::subscriber(LevelFilter::TRACE, format, log.clone());
    let story = tracing::subscriber::with_default(subscriber, || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(story())
    });
    (story, log.text())
}

#[test]
fn nothing_secret_or_private_is_logged_or_told() {
    let (story, log) = logged_story(Format::Json);
    let canaries = canaries(&story);
    assert!(canaries.len() > 100 && story.seen.len() > 30);
    let calls = log
        .lines()
        .filter(|line| line.contains("\"tool call\""))
        .count();
    assert!(calls > 30, "{calls} calls were logged: {log}");
    for logged in [
        "\"TIMEOUT\"",
        "\"VALIDATION_ERROR\"",
        "bad_signature",
        "malformed",
    ] {
        assert!(log.contains(logged), "{logged} is missing: {log}");
    }
    holds_none("the log", &log, &canaries);
    holds_none("an answer", &story.answers, &canaries);
}

#[test]
fn every_call_is_logged_once_under_the_id_that_the_backend_knows() {
    let (story, log) = logged_story(Format::Json);
    let calls: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains("\"tool call\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for seen in &story.seen {
        let id = seen.header("x-correlation-id");
        let lines = calls.iter().filter(|line| line["request.id"] == id).count();
        assert_eq!(lines, 1, "{id}");
    }
}
