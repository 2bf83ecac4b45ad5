//! Real sidecars in front of real sandboxes: in good health there is nothing to say, with and without OAuth.

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use toolbridge::{
    app::App,
    auth::{NewToken, development, mint},
    catalogue::Catalogue,
    clock,
    doctor::{Operator, Patience, Patient, Report, Verdict},
    sandbox::{Sandbox, SandboxSettings, Tenants, TokenRules},
    settings::{Settings, Sources},
    shutdown::Shutdown,
};

use super::world::{
    JWT_SECRET, Server, TENANT_SECRET, assert_named, examine, healthy_issuer, operator, seen,
    sources, token,
};

/// A sidecar and its backend, running until dropped.
struct Running {
    mcp_url: String,
    _backend: Sandbox,
    sidecar: JoinHandle<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sidecar.abort();
    }
}

async fn start(sources: &Sources, backend: Sandbox) -> Running {
    let settings = Settings::load(sources, development::is_development_secret);
    let app = App::build(settings.unwrap()).await.unwrap();
    Running {
        mcp_url: app.mcp_url(),
        _backend: backend,
        sidecar: tokio::spawn(app.run(Shutdown::new())),
    }
}

async fn sandbox(tokens: TokenRules) -> Sandbox {
    let settings = SandboxSettings {
        tokens,
        tenants: Tenants::Signed {
            secret: TENANT_SECRET.into(),
            next: None,
        },
        ..SandboxSettings::for_tests(Catalogue::shipped().unwrap().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

async fn report(url: &str, token: &str, operator: Operator) -> Report {
    examine(Patient {
        url: url.to_owned(),
        token: Some(SecretString::from(token)),
        operator,
        now: clock::unix_now,
        patience: Patience::default(),
    })
    .await
}

#[track_caller]
fn assert_nothing_to_say(report: &Report) {
    for step in report.steps() {
        let is_well = matches!(step.verdict, Verdict::Passed | Verdict::Skipped);
        assert!(is_well && step.findings.is_empty(), "{report}");
    }
}

#[track_caller]
fn assert_skipped(report: &Report, steps: &[&str]) {
    let skipped = report
        .steps()
        .iter()
        .filter(|step| step.verdict == Verdict::Skipped);
    let skipped: Vec<_> = skipped.map(|step| step.name).collect();
    assert_eq!(skipped, steps, "{report}");
}

/// What stands in front of a sidecar: its own address is what people type.
async fn relay(to: impl Future<Output = String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let to = to.await;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move { drop(copy_bidirectional(&mut client, &mut server).await) });
        }
    });
    url
}

#[tokio::test]
async fn a_whole_set_up_with_oauth_has_nothing_to_mend() {
    let issuer = Server::start().await;
    healthy_issuer(&issuer);
    let (tell, told) = tokio::sync::oneshot::channel::<String>();
    let origin = relay(async { told.await.unwrap() }).await;
    let url = format!("{origin}/mcp");
    let backend = sandbox(TokenRules {
        jwks_url: format!("{}/jwks", issuer.url).parse().ok(),
        issuer: Some(issuer.url.clone()),
        audiences: vec![url.clone()],
        ..TokenRules::hs256("")
    })
    .await;
    let sources = sources(&[
        ("server.listen", "127.0.0.1:0"),
        ("ops.listen", "127.0.0.1:0"),
        ("server.public_url", &origin),
        ("backend.url", &backend.url()),
        ("auth.issuer", &issuer.url),
        ("auth.audience", &url),
        ("auth.jwks_url", &format!("{}/jwks", issuer.url)),
        ("tenant.id", "acme"),
    ]);
    let running = start(&sources, backend).await;
    let address = running
        .mcp_url
        .trim_start_matches("http://")
        .trim_end_matches("/mcp");
    tell.send(address.to_owned()).unwrap();
    let report = report(&url, &token(&issuer.url, &url, 600), operator(&sources)).await;
    assert_nothing_to_say(&report);
    assert_skipped(&report, &["tls", "workos"]);
    assert_eq!(seen(&report, "tools").1, "40 tools");
}

#[tokio::test]
async fn a_set_up_whose_operator_hands_out_tokens_skips_oauth_and_is_healthy() {
    let backend = sandbox(TokenRules::hs256(JWT_SECRET)).await;
    let sources = sources(&[
        ("server.listen", "127.0.0.1:0"),
        ("ops.listen", "127.0.0.1:0"),
        ("backend.url", &backend.url()),
        ("auth.issuer", "issuer-of-tests"),
        ("auth.audience", "audience-of-tests"),
        ("tenant.id", "acme"),
    ]);
    let running = start(&sources, backend).await;
    let token = hs256();
    let report = report(&running.mcp_url, &token, operator(&sources)).await;
    assert_nothing_to_say(&report);
    assert_skipped(
        &report,
        &[
            "tls",
            "metadata",
            "issuer",
            "jwks",
            "registration",
            "workos",
        ],
    );
    assert!(
        seen(&report, "metadata").1.contains("the issuer is no URL"),
        "{report}"
    );
}

#[tokio::test]
async fn a_host_that_the_sidecar_does_not_serve_is_named() {
    let backend = sandbox(TokenRules::hs256(JWT_SECRET)).await;
    let sources = sources(&[
        ("server.listen", "0.0.0.0:0"),
        ("ops.listen", "127.0.0.1:0"),
        ("backend.url", &backend.url()),
        ("auth.issuer", "issuer-of-tests"),
        ("auth.audience", "audience-of-tests"),
        ("tenant.id", "acme"),
    ]);
    let running = start(&sources, backend).await;
    let url = running.mcp_url.replace("0.0.0.0", "127.0.0.2");
    let report = report(&url, &hs256(), Operator::Absent("")).await;
    assert_named(
        &report,
        "answers",
        "the server does not answer to this host name (403)",
    );
}

fn hs256() -> String {
    let token = NewToken {
        subject: "alice",
        issuer: "issuer-of-tests",
        audience: "audience-of-tests",
        scopes: &[],
        issued_at: clock::unix_now(),
        lifetime: std::time::Duration::from_secs(600),
    };
    let token = mint(&SecretString::from(JWT_SECRET), token).unwrap();
    token.expose_secret().to_owned()
}
