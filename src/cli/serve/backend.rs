//! The backend of `serve -- COMMAND`, where there is a command: settings in, a child beside the sidecar out. The exit code
//! of the whole is decided here: the child's, if there is one.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use tokio::time::Instant;

use super::super::Failed;
use crate::{app::App, settings::Settings, shutdown::Shutdown};
#[cfg(unix)]
use crate::{
    child::{Child, Forwarded, Health, Plan, Restart},
    settings::{BackendSettings, ChildSettings, ChildSignal},
};

/// We want to be gone so long before the platform kills us.
#[cfg(unix)]
const MARGIN: Duration = Duration::from_millis(500);

/// The backend that is to be started, if one is.
pub(super) struct Wanted {
    #[cfg(unix)]
    plan: Option<Plan>,
    kill_timeout: Duration,
}

/// The backend that was started, if one was.
pub(super) struct Beside {
    #[cfg(unix)]
    child: Option<Child>,
    kill_timeout: Duration,
}

#[cfg(unix)]
impl Wanted {
    pub(super) fn of(settings: &Settings, command: Vec<OsString>) -> Result<Self, Failed> {
        let plan = (!command.is_empty())
            .then(|| plan(&settings.child, &settings.backend, command))
            .transpose()?;
        Ok(Self {
            plan,
            kill_timeout: settings.shutdown.kill_timeout,
        })
    }

    /// Starts it; the sidecar is not ready before it is.
    pub(super) fn start(self, app: App, shutdown: &Shutdown) -> Result<(App, Beside), Failed> {
        let kill_timeout = self.kill_timeout;
        let Some(plan) = self.plan else {
            let child = None;
            return Ok((
                app,
                Beside {
                    child,
                    kill_timeout,
                },
            ));
        };
        let child = Child::start(plan, shutdown.clone())?;
        let app = app.needs("child", child.trouble());
        let child = Some(child);
        Ok((
            app,
            Beside {
                child,
                kill_timeout,
            },
        ))
    }
}

#[cfg(unix)]
impl Beside {
    /// Ends it, now that no call needs it any more; we were `asked` to stop at that time.
    pub(super) async fn ends(self, asked: Instant) -> ExitCode {
        let Some(child) = self.child else {
            return ExitCode::SUCCESS;
        };
        let deadline = asked + self.kill_timeout.saturating_sub(MARGIN);
        ExitCode::from(child.ends(deadline).await)
    }
}

#[cfg(unix)]
fn plan(
    settings: &ChildSettings,
    backend: &BackendSettings,
    command: Vec<OsString>,
) -> Result<Plan, Failed> {
    let health = match &settings.health {
        None => Health::connects(&backend.url),
        Some(path) => {
            let url = backend.url.join(path).map_err(Failed::configuration)?;
            Health::answers(url).map_err(Failed::new)?
        }
    };
    let restart = if settings.restart {
        Restart::WithBackoff {
            base: settings.backoff,
            most: settings.backoff_max,
            attempts: settings.attempts,
        }
    } else {
        Restart::Never
    };
    Ok(Plan {
        command,
        withheld: ChildSettings::withheld().collect(),
        health,
        start_timeout: settings.start_timeout,
        restart,
        forward: settings.forward.iter().map(|it| forwarded(*it)).collect(),
    })
}

#[cfg(unix)]
fn forwarded(signal: ChildSignal) -> Forwarded {
    match signal {
        ChildSignal::Hangup => Forwarded::Hangup,
        ChildSignal::User1 => Forwarded::User1,
        ChildSignal::User2 => Forwarded::User2,
        ChildSignal::Quit => Forwarded::Quit,
        ChildSignal::WindowChange => Forwarded::WindowChange,
    }
}

#[cfg(not(unix))]
impl Wanted {
    pub(super) fn of(settings: &Settings, command: Vec<OsString>) -> Result<Self, Failed> {
        if !command.is_empty() {
            let why = "`serve -- COMMAND` needs Linux or macOS: start the backend by itself, and `toolbridge serve` beside it";
            return Err(Failed::configuration(why));
        }
        Ok(Self {
            kill_timeout: settings.shutdown.kill_timeout,
        })
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "where there are children, starting one can fail"
    )]
    pub(super) fn start(self, app: App, _shutdown: &Shutdown) -> Result<(App, Beside), Failed> {
        let kill_timeout = self.kill_timeout;
        Ok((app, Beside { kill_timeout }))
    }
}

#[cfg(not(unix))]
impl Beside {
    #[expect(
        clippy::unused_async,
        reason = "where there are children, their end is waited for"
    )]
    pub(super) async fn ends(self, _asked: Instant) -> ExitCode {
        let _ = self.kill_timeout;
        ExitCode::SUCCESS
    }
}
