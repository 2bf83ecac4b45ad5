//! The backend as a child of this process (`serve -- COMMAND …`): started first, looked after, ended last. In: a plan and
//! the wish to stop. Out: what `/readyz` says of it, and the code that the process ends with. This is the only place that
//! starts processes, and its reaper takes every exit status there is: nothing else may wait for a child.

mod end;
mod health;
mod launch;
mod output;
mod reaper;
mod signals;
mod supervisor;

use std::{ffi::OsString, io, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

use crate::shutdown::Shutdown;

pub use self::{
    health::Health,
    launch::{CannotRun, LAUNCH, become_command},
    signals::Forwarded,
};
use self::{launch::Launcher, reaper::Reaper, signals::Signals, supervisor::Supervisor};

/// What is started, and how it is looked after.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Variables that it does not get.
    pub withheld: Vec<String>,
    /// How it is seen that it can serve.
    pub health: Health,
    /// It may take so long until then.
    pub start_timeout: Duration,
    /// What happens when it ends.
    pub restart: Restart,
    /// What we are sent that it is sent too.
    pub forward: Vec<Forwarded>,
}

/// What happens when the child ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// We end too.
    Never,
    /// It is started again.
    WithBackoff {
        /// The first wait; it doubles each time.
        base: Duration,
        /// The longest wait; whoever was well for so long begins with the first one again.
        most: Duration,
        /// So many failed starts in a row, with none before that succeeded, are enough.
        attempts: usize,
    },
}

/// Where the child is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// On its way, or there and not yet well.
    Starting,
    /// It was well when that was asked.
    Well,
    /// It is gone, for this reason, and comes again.
    Gone(String),
    /// It is gone for good.
    Over,
}

/// The child, looked after by a task of the current runtime. Dropped without [`ends`](Self::ends) it dies with us.
pub struct Child {
    status: watch::Receiver<Status>,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<u8>,
}

impl Child {
    /// Starts it. When it is gone for good by itself, `shutdown` is requested.
    ///
    /// # Errors
    /// When the operating system refuses a signal handler or a thread.
    pub fn start(plan: Plan, shutdown: Shutdown) -> io::Result<Self> {
        // Before anything is started: no exit and no signal is missed.
        let reaper = Reaper::new()?;
        let signals = Signals::new(&plan.forward)?;
        let launcher = Launcher::new(&plan.command, &plan.withheld)?;
        let (status, seen) = watch::channel(Status::Starting);
        let (stop, wish) = watch::channel(None);
        let supervisor = Supervisor {
            plan,
            launcher,
            reaper,
            signals,
            status,
            stop: wish,
            shutdown,
            output: TaskTracker::new(),
        };
        Ok(Self {
            status: seen,
            stop,
            task: tokio::spawn(supervisor.run()),
        })
    }

    /// What is wrong with it at the moment, asked as often as one likes.
    pub fn trouble(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let status = self.status.clone();
        move || match &*status.borrow() {
            Status::Starting => Some("starting, and not yet healthy".to_owned()),
            Status::Well => None,
            Status::Gone(why) => Some(format!("{why}; it is started again")),
            Status::Over => Some("gone for good".to_owned()),
        }
    }

    /// Asks it to end (SIGTERM), kills what is left at `deadline`, and returns the code that we should end with: 0 where
    /// it ended because we asked, otherwise its own.
    pub async fn ends(self, deadline: Instant) -> u8 {
        let _ = self.stop.send(Some(deadline));
        self.task.await.unwrap_or(1)
    }
}
