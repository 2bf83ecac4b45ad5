//! Starting the child, so that it does not outlive us. In: a command. Out: its pid and its two pipes. On Linux we start
//! ourselves first (`become_command`): that process asks the kernel for its own death with ours, which only a process can
//! ask for itself, and then becomes the command. The kernel means our *thread*, so one thread starts them all and stays.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
};

use rustix::process::Pid;
use tokio::sync::oneshot;

/// Our own program, also where its file was moved or replaced.
const OURSELVES: &str = "/proc/self/exe";

/// The command of ours that becomes another.
pub const LAUNCH: &str = "__launch";

/// Starts children, from a thread that lives as long as this.
pub(super) struct Launcher(mpsc::Sender<oneshot::Sender<io::Result<Started>>>);

/// A process that runs.
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// The command cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("{command} cannot be run: {source} (the command behind `serve --`)")]
pub struct CannotRun {
    command: String,
    source: io::Error,
}

impl CannotRun {
    /// What a shell would end with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self.source.kind() {
            io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

impl Launcher {
    pub(super) fn new(command: &[OsString], withheld: &[String]) -> io::Result<Self> {
        let mut command = prepared(command)?;
        for variable in withheld {
            command.env_remove(variable);
        }
        let (wishes, queue) = mpsc::channel::<oneshot::Sender<io::Result<Started>>>();
        thread::Builder::new()
            .name("child".to_owned())
            .spawn(move || {
                for wish in queue {
                    let _ = wish.send(spawn(&mut command));
                }
            })?;
        Ok(Self(wishes))
    }

    /// Starts one.
    pub(super) async fn start(&self) -> io::Result<Started> {
        let (wish, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts children is gone");
        self.0.send(wish).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

/// The command in a group of its own: what a terminal sends (Ctrl-C) reaches us alone.
fn prepared(command: &[OsString]) -> io::Result<Command> {
    let [program, arguments @ ..] = command else {
        return Err(io::Error::other("there is no command"));
    };
    let is_launched = cfg!(target_os = "linux") && Path::new(OURSELVES).exists();
    let mut prepared = if is_launched {
        let mut launch = Command::new(OURSELVES);
        let pid = std::process::id().to_string();
        launch.args([LAUNCH, &pid, "--"]).arg(program);
        launch
    } else {
        Command::new(program)
    };
    prepared
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(prepared)
}

fn spawn(command: &mut Command) -> io::Result<Started> {
    let mut child = command.spawn()?;
    Ok(Started {
        pid: Pid::from_child(&child),
        stdout: child.stdout.take(),
        stderr: child.stderr.take(),
    })
}

/// Turns this process into the command, which dies when `parent` does. Returns only where that fails.
#[must_use]
pub fn become_command(parent: u32, program: &OsStr, arguments: &[OsString]) -> CannotRun {
    let source = match die_with(parent) {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    };
    CannotRun {
        command: program.to_string_lossy().into_owned(),
        source,
    }
}

#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before we asked.
    let is_alive = getppid().is_some_and(|pid| u32::try_from(pid.as_raw_pid()) == Ok(parent));
    if is_alive {
        return Ok(());
    }
    Err(io::Error::other("whoever started it is gone"))
}

#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> io::Result<()> {
    Ok(())
}
