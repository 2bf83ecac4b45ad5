//! `serve -- COMMAND`: the backend is started first and ended last, comes back when it ends, and leaves nothing behind.
//! Every test is the real program with a real child; what they wait for is a line of the log or a change in `/proc`.

mod ends;
mod processes;

use serde_json::json;
use toolbridge::auth::development::{AUDIENCE, DEVELOPMENT_SECRET, ISSUER};

use crate::harness::{
    Claims, FakeBackend, Person, Setup, fake_backend::Down, process::Served, process::sends,
};

/// Does nothing, as a backend that is somewhere else.
const IDLE: [&str; 2] = ["sleep", "infinity"];

/// A child that is no backend: what takes the connections is the test's own.
fn before(backend: &FakeBackend) -> Setup {
    Setup::before(backend)
        .set("child.backoff", "1ms")
        .set("child.backoff_max", "1ms")
}

/// `sh -c` with this script.
fn script(text: &str) -> [&str; 3] {
    ["sh", "-c", text]
}

async fn readiness(served: &Served) -> (u16, String) {
    let answer = Person::at(&served.ops_url).gets("/readyz").await;
    (answer.status, answer.body)
}

/// Its line, and whether we are ready.
async fn line_of_child(served: &Served) -> (u16, String) {
    let (status, body) = readiness(served).await;
    (status, body.lines().next().unwrap().to_owned())
}

#[tokio::test]
async fn the_sidecar_is_ready_when_its_child_takes_connections() {
    let down = Down::new();
    let mut served = Setup::before(&down).serves(&IDLE).await;
    let waiting = (503, "child: starting, and not yet healthy".to_owned());
    assert_eq!(line_of_child(&served).await, waiting);
    let live = Person::at(&served.url).gets("/healthz").await;
    assert_eq!(live.status, 200);
    let _backend = down.recovers();
    served.says("the child is healthy").await;
    assert_eq!(line_of_child(&served).await, (200, "child: ok".to_owned()));
    assert_eq!(served.stops().await, Some(0));
}

#[tokio::test]
async fn a_path_that_answers_200_can_be_what_makes_it_healthy() {
    let sandbox = crate::harness::sandbox().await;
    let mut served = Setup::before(&sandbox)
        .set("child.health", "/healthz")
        .serves(&IDLE)
        .await;
    served.says("the child is healthy").await;
    assert_eq!(served.stops().await, Some(0));
    let served = Setup::before(&sandbox)
        .set("child.health", "/no-such-path")
        .set("child.start_timeout", "50ms")
        .set("child.attempts", "1")
        .serves(&IDLE)
        .await;
    assert_eq!(served.ends().await.0, Some(1));
}

#[tokio::test]
async fn a_real_backend_is_started_called_and_ended() {
    // An address that nobody else uses, so that its port can be a fixed one.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.77.{high}.{low}:8080");
    let ours = env!("CARGO_BIN_EXE_toolbridge");
    let sandbox = [
        "sandbox",
        "--ephemeral",
        "--tenants",
        "off",
        "--listen",
        &address,
    ];
    let mut served = Setup::before(&*format!("http://{address}"))
        .without_jwt_secret()
        .secret("JWT_HS256_SECRET", DEVELOPMENT_SECRET)
        .set("environment", "development")
        .set("auth.issuer", ISSUER)
        .set("auth.audience", AUDIENCE)
        .set("child.health", "/healthz")
        .serves(&[&[ours][..], &sandbox].concat())
        .await;
    served.says("the child is healthy").await;
    let token = Claims {
        issuer: ISSUER,
        audience: AUDIENCE,
        secret: DEVELOPMENT_SECRET,
        ..Claims::of("dev")
    };
    let dev = Person::at(&served.url).with_token(&token.signed());
    let note = json!({ "title": "kept by the child", "content": "" });
    dev.calls("create_note", note).await.good();
    let listed = dev.calls("list_notes", json!({})).await.good();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    served.prints("The sandbox listens on").await;
    assert_eq!(served.stops().await, Some(0));
}

#[tokio::test]
async fn a_child_that_ends_is_started_again() {
    let backend = FakeBackend::start();
    let mut served = before(&backend).serves(&IDLE).await;
    let first = served.starts_child().await;
    served.says("the child is healthy").await;
    sends("KILL", first).await;
    served
        .says("the child ended by signal 9; it is started again in 1ms")
        .await;
    let second = served.starts_child().await;
    assert_ne!(first, second);
    served.says("the child is healthy").await;
    assert_eq!(line_of_child(&served).await, (200, "child: ok".to_owned()));
    assert_eq!(served.stops().await, Some(0));
}

#[tokio::test]
async fn the_sidecar_is_not_ready_while_its_child_is_gone() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("child.backoff", "1h")
        .set("child.backoff_max", "1h");
    let mut served = setup.serves(&IDLE).await;
    let child = served.starts_child().await;
    served.says("the child is healthy").await;
    sends("KILL", child).await;
    served
        .says("the child ended by signal 9; it is started again in 1h")
        .await;
    let gone = (
        503,
        "child: ended by signal 9; it is started again".to_owned(),
    );
    assert_eq!(line_of_child(&served).await, gone);
    let bare = Person::at(&served.url).gets("/readyz").await;
    assert_eq!((bare.status, &*bare.body), (503, "not ready\n"));
    // It did not end because we asked, and nobody waits an hour to say so.
    assert_eq!(served.stops().await, Some(137));
}

#[tokio::test]
async fn what_the_child_prints_is_our_log_whatever_it_is() {
    let backend = FakeBackend::start();
    let prints = r"printf 'one\n'; printf 'two\n' >&2; printf '\377\033[2J\000\n';
        head -c 20000 /dev/zero | tr '\0' x; echo; printf unfinished; exec sleep infinity";
    let mut served = before(&backend).serves(&script(prints)).await;
    let one = served.prints("one").await;
    assert_eq!(
        (&one["child.stream"], &one["level"]),
        (&"stdout".into(), &"INFO".into())
    );
    let two = served.prints("two").await;
    assert_eq!(two["child.stream"], "stderr");
    let binary = served.prints("\u{fffd}").await;
    assert_eq!(binary["message"], "\u{fffd}\\u{1b}[2J\\u{0}");
    let long = served.prints("xxx").await;
    assert_eq!(long["message"].as_str().unwrap().len(), 8 * 1024);
    assert_eq!(long["child.dropped_bytes"], 20_000 - 8 * 1024);
    served.is_told("TERM").await;
    let (code, said) = served.ends().await;
    assert_eq!(code, Some(0));
    assert!(
        said.iter().any(|line| line["message"] == "unfinished"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn secrets_that_are_ours_alone_are_kept_from_the_child() {
    let backend = FakeBackend::start();
    let secret = "a-secret-of-forty-characters-0123456789!";
    let setup = before(&backend)
        .secret("SEAL_SECRET", secret)
        .secret(
            "SEAL_SECRET_NEXT",
            "another-secret-of-forty-characters-01234",
        )
        .secret("OPS_TOKEN", secret)
        .secret("IDENTITY_MINT_KEY", secret)
        .secret("WORKOS_API_KEY", secret)
        .secret("THE_BACKENDS_OWN", "1")
        .set("identity.token", "mint")
        .set("identity.mint.algorithm", "HS256")
        .set("identity.mint.audience", "b")
        .set("tenant.require_membership", "workos");
    let names = "env | cut -d= -f1 | sort | tr '\\n' ' '; echo; exec sleep infinity";
    let mut served = setup.serves(&script(names)).await;
    let said = served.prints("").await;
    let got = said["message"].as_str().unwrap().to_owned();
    let got: Vec<_> = got.split_whitespace().collect();
    for shared in [
        "JWT_HS256_SECRET",
        "TENANT_HEADER_SECRET",
        "WORKOS_API_KEY",
        "THE_BACKENDS_OWN",
    ] {
        assert!(got.contains(&shared), "{shared}: {got:?}");
    }
    let ours = |name: &&&str| {
        let starts = ["SEAL_", "IDENTITY_", "OPS_"];
        starts.iter().any(|start| name.starts_with(start))
    };
    assert_eq!(got.iter().find(ours), None);
    assert_eq!(served.stops().await, Some(0));
}
