//! Everything that is loaded: the stub, the naive server, and the sidecar with every check on.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bench_parts::{BACKEND_VARIABLE, SIGNING_SECRET, TENANT, TOKEN_VARIABLE, token};

use super::process::Process;

/// A server that does not listen after this long never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Itself.
    pub process: Process,
}

/// All of them, until this is dropped.
pub struct Servers {
    /// The backend.
    pub stub: Server,
    /// The line to beat.
    pub naive: Server,
    /// What is measured.
    pub sidecar: Server,
    /// The token of every call.
    pub token: String,
    /// The sidecar's binary.
    pub binary: PathBuf,
    key_set: PathBuf,
}

impl Servers {
    /// Starts all three.
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
        )?;
        let naive = started(
            Command::new(programs.join("naive"))
                .env_clear()
                .env(BACKEND_VARIABLE, format!("http://{}", stub.address)),
        )?;
        let sidecar = sidecar(binary, stub.address, &key_set)?;
        Ok(Self {
            stub,
            naive,
            sidecar,
            token,
            binary: binary.to_owned(),
            key_set,
        })
    }

    /// Another sidecar in front of the same backend; returns as soon as it accepts a connection.
    pub fn another_sidecar(&self) -> Result<Server> {
        sidecar(&self.binary, self.stub.address, &self.key_set)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // A file left in the temporary directory harms nobody.
        let _ = fs::remove_file(&self.key_set);
    }
}

fn started(command: &mut Command) -> Result<Server> {
    let (process, address) = Process::with_address(command)?;
    let address = address.parse().with_context(|| format!("{command:?}"))?;
    Ok(Server { address, process })
}

/// As in production: tokens checked against a key set, tenant headers signed, one log line a call at `info`. Only the
/// number of MCP connections is raised, so that ten thousand can be opened in one name.
fn sidecar(binary: &Path, backend: SocketAddr, key_set: &Path) -> Result<Server> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("TENANT_HEADER_SECRET", SIGNING_SECRET);
    command.arg("serve");
    for setting in [
        format!("server.listen={address}"),
        "ops.listen=127.0.0.1:0".to_owned(),
        format!("backend.url=http://{backend}"),
        format!("auth.issuer={}", token::ISSUER),
        format!("auth.audience={}", token::AUDIENCE),
        format!("auth.jwks_file={}", key_set.display()),
        format!("tenant.id={TENANT}"),
        "log.level=info".to_owned(),
        "connections.max=20000".to_owned(),
        "connections.max_per_person=20000".to_owned(),
        // One person makes all the calls there are.
        "limits.profile=development".to_owned(),
    ] {
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
    Ok(Server { address, process })
}
