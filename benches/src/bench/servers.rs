//! Everything that is loaded: the stub, the naive server, the floor, and the sidecar with every check on.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bench_parts::{BACKEND_VARIABLE, SIGNING_SECRET, TENANT, TOKEN_VARIABLE, token};

use super::{endpoint::Endpoint, process::Process};

/// A server that does not listen after this long never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Itself.
    pub process: Process,
}

/// All of them, until this is dropped.
pub struct Servers {
    /// The backend.
    pub stub: Server,
    /// The line to beat.
    pub naive: Server,
    /// What is attainable.
    pub floor: Server,
    /// What is measured.
    pub sidecar: Server,
    /// The sidecar's binary.
    pub binary: PathBuf,
    token: String,
    key_set: PathBuf,
}

impl Servers {
    /// Starts all of them.
    pub fn start(binary: &Path, programs: Option<&Path>) -> Result<Self> {
        let own = std::env::current_exe()?;
        let programs = programs.or_else(|| own.parent()).context("no directory")?;
        let token = token::signed()?;
        let key_set = std::env::temp_dir().join(format!("bench-keys-{}.json", std::process::id()));
        fs::write(&key_set, token::key_set()?)?;
        let stub = started(
            Command::new(programs.join("stub_backend"))
                .env_clear()
                .env(TOKEN_VARIABLE, &token),
            &token,
        )?;
        let behind = |program: &str| {
            let backend = format!("http://{}", stub.endpoint.address);
            let mut command = Command::new(programs.join(program));
            command.env_clear().env(BACKEND_VARIABLE, backend);
            started(command.env(TOKEN_VARIABLE, &token), &token)
        };
        let (naive, floor) = (behind("naive")?, behind("floor")?);
        let sidecar = sidecar(binary, &settings(&stub, &key_set), &token)?;
        Ok(Self {
            stub,
            naive,
            floor,
            sidecar,
            binary: binary.to_owned(),
            token,
            key_set,
        })
    }

    /// Another sidecar in front of the same backend; returns as soon as it accepts a connection.
    pub fn another_sidecar(&self) -> Result<Server> {
        self.sidecar_of(&self.binary, None)
    }

    /// The same of another file, or with a catalogue of its own.
    pub fn sidecar_of(&self, binary: &Path, catalogue: Option<&Path>) -> Result<Server> {
        let mut settings = settings(&self.stub, &self.key_set);
        settings.extend(catalogue.map(|file| format!("catalogue.file={}", file.display())));
        sidecar(binary, &settings, &self.token)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // A file left in the temporary directory harms nobody.
        let _ = fs::remove_file(&self.key_set);
    }
}

fn started(command: &mut Command, token: &str) -> Result<Server> {
    let (process, address) = Process::with_address(command)?;
    let address = address.parse().with_context(|| format!("{command:?}"))?;
    let endpoint = Endpoint::ours(address, token);
    Ok(Server { endpoint, process })
}

/// As in production: tokens checked against a key set, tenant headers signed, one log line a call at `info`. Only the
/// number of connections is raised, so that ten thousand can be opened in one name.
fn settings(backend: &Server, key_set: &Path) -> Vec<String> {
    vec![
        "ops.listen=127.0.0.1:0".to_owned(),
        format!("backend.url=http://{}", backend.endpoint.address),
        format!("auth.issuer={}", token::ISSUER),
        format!("auth.audience={}", token::AUDIENCE),
        format!("auth.jwks_file={}", key_set.display()),
        format!("tenant.id={TENANT}"),
        "log.level=info".to_owned(),
        "server.max_connections=12000".to_owned(),
        "connections.max=20000".to_owned(),
        "connections.max_per_person=20000".to_owned(),
        // One person makes all the calls there are.
        "limits.profile=development".to_owned(),
    ]
}

fn sidecar(binary: &Path, settings: &[String], token: &str) -> Result<Server> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("TENANT_HEADER_SECRET", SIGNING_SECRET);
    command.arg("serve");
    command.args(["--set", &format!("server.listen={address}")]);
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    let mut process = Process::start(&mut command)?;
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if process.has_ended()? || begun.elapsed() > PATIENCE {
            bail!("the sidecar does not listen; try it by hand: {command:?}");
        }
        thread::sleep(Duration::from_micros(200));
    }
    let endpoint = Endpoint::ours(address, token);
    Ok(Server { endpoint, process })
}
