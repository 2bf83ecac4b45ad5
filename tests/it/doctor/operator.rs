//! What an operator can have wrong, one thing at a time, beside a client's world in good health.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use serde_json::json;
use toolbridge::{
    catalogue::Catalogue,
    doctor::{Operator, Verdict, WorkosKey},
    sandbox::{Failure, Fault, Requests, Sandbox, SandboxSettings, Switches, Tenants, TokenRules},
    settings::{Settings, Sources},
};

use super::world::{
    Says, Server, TENANT_SECRET, World, assert_named, assert_warned, impatience, operator, seen,
    sources, token,
};

/// A world, a backend that believes its tokens, and the settings that fit both.
struct Operated {
    world: World,
    backend: Sandbox,
    flags: Vec<(&'static str, String)>,
    secrets: Vec<(&'static str, &'static str)>,
}

impl Operated {
    async fn new() -> Self {
        let world = World::new().await;
        let backend = sandbox(&world.issuer.url).await;
        let flags = vec![
            ("backend.url", backend.url()),
            ("auth.issuer", world.issuer.url.clone()),
            ("auth.audience", world.url.clone()),
            ("auth.jwks_url", format!("{}/jwks", world.issuer.url)),
            ("server.public_url", world.server.url.clone()),
            ("tenant.id", "acme".to_owned()),
        ];
        Self {
            world,
            backend,
            flags,
            secrets: Vec::new(),
        }
    }

    fn set(mut self, key: &'static str, value: &str) -> Self {
        self.flags.push((key, value.to_owned()));
        self
    }

    fn sources(&self) -> Sources {
        let flags: Vec<_> = self
            .flags
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let mut sources = sources(&flags);
        for (name, value) in &self.secrets {
            sources.environment.insert_if_unset(name, *value);
        }
        sources
    }

    async fn examine(mut self) -> toolbridge::doctor::Report {
        self.world.operator = operator(&self.sources());
        self.world.examine().await
    }
}

async fn sandbox(issuer: &str) -> Sandbox {
    let settings = SandboxSettings {
        tokens: TokenRules {
            jwks_url: format!("{issuer}/jwks").parse().ok(),
            ..TokenRules::hs256("")
        },
        tenants: Tenants::Signed {
            secret: TENANT_SECRET.into(),
            next: None,
        },
        ..SandboxSettings::for_tests(Catalogue::shipped().unwrap().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

#[tokio::test]
async fn a_healthy_operator_has_nothing_to_mend() {
    let report = Operated::new().await.examine().await;
    for step in report.steps().iter().filter(|step| step.side == "operator") {
        assert!(
            step.verdict == Verdict::Passed || step.name == "workos",
            "{report}"
        );
    }
    assert!(report.is_healthy(), "{report}");
}

/// A backend that takes no token but those made for it, and a sidecar that signs such ones.
async fn minting() -> Operated {
    let mut operated = Operated::new().await;
    let key = "key-that-signs-what-the-backend-takes-0123456789";
    operated.secrets.push(("IDENTITY_MINT_KEY", key));
    operated.backend = Sandbox::start(SandboxSettings {
        tokens: TokenRules {
            issuer: Some("toolbridge-mcp".to_owned()),
            audiences: vec!["notes-backend".to_owned()],
            ..TokenRules::hs256(key)
        },
        ..SandboxSettings::for_tests(Catalogue::shipped().unwrap().entities().to_vec())
    })
    .await
    .unwrap();
    let url = operated.backend.url();
    operated
        .set("backend.url", &url)
        .set("identity.mint.algorithm", "HS256")
        .set("identity.mint.audience", "notes-backend")
}

#[tokio::test]
async fn the_backend_is_asked_with_the_token_that_the_sidecar_would_use() {
    let report = minting()
        .await
        .set("identity.token", "mint")
        .examine()
        .await;
    assert_eq!(seen(&report, "session").0, Verdict::Passed, "{report}");
    // With the caller's own token, this backend opens none.
    let report = minting().await.examine().await;
    assert_named(&report, "session", "the backend refuses the token (401)");
}

#[tokio::test]
async fn a_token_endpoint_that_does_not_answer_is_named() {
    let operated = Operated::new()
        .await
        .set("identity.token", "exchange")
        .set("identity.exchange.url", "http://127.0.0.1:9/token")
        .set("identity.exchange.audience", "notes-backend");
    let report = operated.examine().await;
    assert_named(&report, "signature", "the token endpoint is not available");
}

#[tokio::test]
async fn settings_that_serve_would_refuse_are_named_all_of_them() {
    let operated = Operated::new()
        .await
        .set("tenant.mode", "fixd")
        .set("log.level", "loud");
    let report = operated.examine().await;
    assert_named(&report, "settings", "`tenant.mode` (command line)");
    assert_named(&report, "settings", "`log.level` (command line)");
    assert_eq!(
        seen(&report, "backend"),
        (Verdict::Skipped, "because `settings` failed")
    );
}

#[tokio::test]
async fn a_public_url_that_is_not_the_one_examined_is_named() {
    let operated = Operated::new().await;
    let mut world = World::new().await;
    world.token = None;
    world.url = "https://nowhere.invalid/mcp".to_owned();
    world.patience = impatience();
    world.operator = operator(&operated.sources());
    let report = world.examine().await;
    let step = report
        .steps()
        .iter()
        .find(|step| step.name == "addresses")
        .unwrap();
    assert!(
        step.findings[0]
            .what
            .contains("but `https://nowhere.invalid/mcp` is examined"),
        "{report}"
    );
}

#[tokio::test]
async fn a_server_for_others_that_does_not_know_its_own_url_is_named() {
    let mut operated = Operated::new().await.set("server.listen", "0.0.0.0:8001");
    operated
        .flags
        .retain(|(key, _)| *key != "server.public_url");
    assert_named(
        &operated.examine().await,
        "addresses",
        "`server.public_url` is not set",
    );
}

#[tokio::test]
async fn an_audience_that_no_client_asks_for_is_a_warning() {
    let mut operated = Operated::new().await.set("auth.audience", "client_01");
    operated.world.token = None;
    assert_warned(
        &operated.examine().await,
        "addresses",
        "`auth.audience` accepts only `client_01`",
    );
}

#[tokio::test]
async fn a_catalogue_with_a_lint_is_a_warning_and_a_broken_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tools.yaml");
    let path = file.to_str().unwrap().to_owned();
    let text = "version: 1\nserver: { name: x }\ntools:\n  look:\n    request: GET /look\n    effect: read\n";
    std::fs::write(&file, text).unwrap();
    let operated = Operated::new().await.set("catalogue.file", &path);
    assert_warned(&operated.examine().await, "catalogue", "description");
    std::fs::write(&file, text.replace("GET", "GETT")).unwrap();
    let operated = Operated::new().await.set("catalogue.file", &path);
    assert_named(&operated.examine().await, "catalogue", "line 5");
}

#[tokio::test]
async fn a_backend_that_is_down_is_named() {
    let operated = Operated::new().await;
    let url = operated.backend.url();
    operated.backend.kill().await;
    let mut world = operated.world;
    let flags: Vec<_> = operated
        .flags
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    world.operator = operator(&sources(&flags));
    let report = world.examine().await;
    assert_named(
        &report,
        "backend",
        &format!("the backend at `{url}/` cannot be reached"),
    );
    assert_eq!(
        seen(&report, "session"),
        (Verdict::Skipped, "because `backend` failed")
    );
}

#[tokio::test]
async fn a_backend_with_another_signing_secret_is_named() {
    let mut operated = Operated::new().await;
    let mut sources = operated.sources();
    sources.environment = [(
        "TENANT_HEADER_SECRET",
        "another-secret-of-the-doctor-tests-0123456789",
    )]
    .into_iter()
    .collect();
    operated.world.operator = operator(&sources);
    let report = operated.world.examine().await;
    assert_named(
        &report,
        "signature",
        "the backend refuses the signature: its secret is another one",
    );
    assert!(!report.to_string().contains("another-secret"), "{report}");
}

#[tokio::test]
async fn a_missing_signing_secret_is_named() {
    let mut operated = Operated::new().await;
    let mut sources = operated.sources();
    sources.environment = toolbridge::settings::Environment::default();
    operated.world.operator = operator(&sources);
    let report = operated.world.examine().await;
    assert_named(&report, "signature", "there is no secret to sign with");
}

#[tokio::test]
async fn a_session_that_is_refused_is_named() {
    let operated = Operated::new().await;
    let failure = Failure::Status {
        code: 403,
        retry_after_s: None,
    };
    operated.backend.faults().set(Switches {
        faults: vec![Fault {
            on: Requests::Sessions,
            when: toolbridge::sandbox::Moment::Arrival,
            times: None,
            does: failure,
        }],
        ..Switches::default()
    });
    let report = operated.examine().await;
    assert_named(
        &report,
        "session",
        "the backend refuses this person for this tenant (403)",
    );
}

#[tokio::test]
async fn a_backend_that_does_not_believe_the_token_is_named() {
    let mut operated = Operated::new().await;
    operated.backend = sandbox("http://127.0.0.1:1").await;
    let url = operated.backend.url();
    let report = operated.set("backend.url", &url).examine().await;
    assert_named(&report, "session", "the backend refuses the token (401)");
}

#[tokio::test]
async fn a_clock_ten_minutes_off_is_named_and_two_minutes_are_a_warning() {
    let mut world = World::new().await;
    world.now = stopped;
    late(&world.issuer, 600);
    assert_named(
        &world.examine().await,
        "clock",
        "the clock of the issuer is 600 s ahead",
    );
    let mut world = World::new().await;
    world.now = stopped;
    late(&world.issuer, 120);
    assert_warned(
        &world.examine().await,
        "clock",
        "the clock of the issuer is 120 s ahead",
    );
}

/// A clock that stands still: a second that passes between the writing of a `Date` and its reading changes nothing.
fn stopped() -> Duration {
    static NOW: OnceLock<Duration> = OnceLock::new();
    *NOW.get_or_init(toolbridge::clock::unix_now)
}

/// The issuer's clock is ahead.
fn late(server: &Server, seconds: u64) {
    let then = SystemTime::UNIX_EPOCH + stopped() + Duration::from_secs(seconds);
    let then = time::OffsetDateTime::from(then);
    let format = &time::format_description::well_known::Rfc2822;
    let date = then.format(format).unwrap().replace("+0000", "GMT");
    let document = json!({
        "issuer": server.url,
        "authorization_endpoint": "https://x/a", "token_endpoint": "https://x/t",
        "registration_endpoint": "https://x/r", "jwks_uri": format!("{}/jwks", server.url),
        "code_challenge_methods_supported": ["S256"],
    });
    let answer = Says::json(200, &document).with("date", &date);
    server.says("GET /.well-known/oauth-authorization-server", answer);
}

#[tokio::test]
async fn a_signature_refused_because_of_the_clock_is_not_blamed_on_the_secret() {
    let mut operated = Operated::new().await;
    let backend = Server::start().await;
    let past = "Sat, 21 Nov 2020 00:00:00 GMT";
    backend.says("GET /healthz", Says::status(200).with("date", past));
    let refusal = Says::of(401, "text/plain", "Unauthorized: invalid tenant headers\n");
    backend.says("POST /v1/sync/sessions", refusal);
    operated.world.token = Some(token(&operated.world.issuer.url, &operated.world.url, 600));
    let url = backend.url.clone();
    let report = operated.set("backend.url", &url).examine().await;
    let failed: Vec<_> = report
        .steps()
        .iter()
        .filter(|step| step.verdict == Verdict::Failed)
        .map(|step| step.name)
        .collect();
    assert_eq!(failed, ["clock", "signature"], "{report}");
    assert!(
        report
            .to_string()
            .contains("the backend refuses the signature: its clock is"),
        "{report}"
    );
}

#[tokio::test]
async fn a_workos_key_is_tried_where_tenants_are_looked_up_and_a_refused_one_is_named() {
    for (status, verdict) in [(200, Verdict::Passed), (401, Verdict::Failed)] {
        let mut operated = Operated::new().await;
        let workos = Server::start().await;
        workos.says(
            "GET /organizations?limit=1",
            Says::json(status, &json!({ "data": [] })),
        );
        let key = WorkosKey {
            key: SecretString::from("sk_canary"),
            base: workos.url.parse().unwrap(),
        };
        let settings = Settings::load(&operated.sources(), |_| false).unwrap();
        operated.world.operator = Operator::Settings(Box::new(settings), Some(key));
        let report = operated.world.examine().await;
        assert_eq!(seen(&report, "workos").0, verdict, "{report}");
        if verdict == Verdict::Failed {
            assert_named(&report, "workos", "WorkOS refuses the key (401)");
        }
        assert!(
            !format!("{report}{}", report.json()).contains("sk_canary"),
            "{report}"
        );
    }
}
