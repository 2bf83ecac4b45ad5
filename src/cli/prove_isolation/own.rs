//! A set-up of one's own: one sandbox that both tenants share, without limits, and two sidecars in front of it that
//! differ in tenant and audience. In: a catalogue. Out: two targets that answer until they are stopped.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use tokio::task::JoinHandle;
use url::Url;

use crate::{
    app::App,
    auth::{NewToken, development, mint},
    catalogue::Catalogue,
    cli::{Failed, beside::Beside, sandbox, start},
    clock,
    isolation::{Credentials, Target},
    sandbox::{Limits, Sandbox, SandboxSettings, Storage, TokenRules},
    settings::Settings,
    shutdown::Shutdown,
};

/// The tenants and their people.
const TENANTS: [(&str, [&str; 2]); 2] = [
    ("tenant-a", ["alice", "bob"]),
    ("tenant-b", ["carol", "dave"]),
];

/// Longer than any proof takes.
const TOKEN_LIFETIME: Duration = Duration::from_hours(2);

/// What runs.
pub(super) struct Own {
    pub(super) targets: [Target; 2],
    sidecars: Vec<JoinHandle<bool>>,
    shutdown: Shutdown,
    sandbox: Sandbox,
}

/// Starts everything.
pub(super) async fn start(
    file: Option<PathBuf>,
    catalogue: &Catalogue,
    leaks: bool,
) -> Result<Own, Failed> {
    let sandbox = backend(catalogue).await?;
    sandbox
        .faults()
        .change(|switches| switches.leak_foreign_records = leaks);
    let shutdown = Shutdown::new();
    let mut sidecars = Vec::new();
    let mut target = async |(tenant, people)| {
        let app = App::build(settings(tenant, file.clone(), &sandbox)?).await;
        let app = app.map_err(|error| start::failure(error, str::to_owned))?;
        let url = Url::parse(&app.mcp_url()).map_err(Failed::new)?;
        sidecars.push(tokio::spawn(app.run(shutdown.clone())));
        let [one, other] = people;
        Ok::<_, Failed>(Target {
            tenant: String::from(tenant),
            url,
            people: [person(tenant, one)?, person(tenant, other)?],
        })
    };
    let [a, b] = TENANTS;
    let targets = [target(a).await?, target(b).await?];
    Ok(Own {
        targets,
        sidecars,
        shutdown,
        sandbox,
    })
}

impl Own {
    /// Ends it all.
    pub(super) async fn stop(self) {
        self.shutdown.request();
        for sidecar in self.sidecars {
            // Whether it ended in good order is nothing the proof is about.
            let _ = sidecar.await;
        }
        self.sandbox.stop().await;
    }
}

/// The backend that is easiest to fool: it accepts both audiences, one signing secret for both tenants, and believes
/// `X-Debug-Sub` where there is no token.
async fn backend(catalogue: &Catalogue) -> Result<Sandbox, Failed> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = SandboxSettings {
        tokens: TokenRules {
            issuer: Some(development::ISSUER.to_owned()),
            audiences: TENANTS.map(|(tenant, _)| audience(tenant)).to_vec(),
            debug_subject_header: true,
            ..TokenRules::hs256(development::DEVELOPMENT_SECRET)
        },
        limits: Limits::off(),
        ..sandbox::settings(listen, Storage::Memory, catalogue)
    };
    let started = Sandbox::start(settings).await;
    started.map_err(|error| sandbox::failure(error, "nothing: its port is free to choose"))
}

fn audience(tenant: &str) -> String {
    format!("https://{tenant}.toolbridge.test/mcp")
}

fn settings(
    tenant: &str,
    catalogue: Option<PathBuf>,
    sandbox: &Sandbox,
) -> Result<Settings, Failed> {
    Beside {
        port: 0,
        ops_port: 0,
        backend_url: sandbox.url(),
        tenant: tenant.to_owned(),
        audience: audience(tenant),
        catalogue,
    }
    .settings()
}

fn person(tenant: &str, name: &str) -> Result<Credentials, Failed> {
    let token = NewToken {
        subject: name,
        issuer: development::ISSUER,
        audience: &audience(tenant),
        scopes: &[],
        issued_at: clock::unix_now(),
        lifetime: TOKEN_LIFETIME,
    };
    let secret = SecretString::from(development::DEVELOPMENT_SECRET);
    Ok(Credentials {
        name: name.to_owned(),
        token: mint(&secret, token).map_err(Failed::new)?,
    })
}
