//! Every exit status of this process's children, the adopted ones too: no zombie stays, also as PID 1. In: SIGCHLD. Out:
//! who ended, and how. It takes statuses away from everybody else, so there is one of it, and `tokio::process` is banned.

use std::io;

use rustix::{
    io::Errno,
    process::{Pid, WaitOptions, WaitStatus, wait},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::end::End;

/// Learns of every end.
pub(super) struct Reaper {
    something_ended: Signal,
}

impl Reaper {
    /// From now on nothing is missed. What our children leave behind comes to us and not to PID 1, where that can be had.
    pub(super) fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::debug!(%error, "orphans of the child are left to PID 1");
        }
        Ok(Self {
            something_ended: signal(SignalKind::child())?,
        })
    }

    /// The next one that ends. Nothing is lost where this is dropped half-way.
    pub(super) async fn next(&mut self) -> (Pid, End) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(end) = end_of(status) {
                        return (pid, end);
                    }
                }
                Err(Errno::INTR) => {}
                // One signal may stand for several ends, so that one waits only when nobody is left.
                Ok(None) | Err(_) => {
                    self.something_ended.recv().await;
                }
            }
        }
    }
}

/// `None` where it did not end, but paused.
fn end_of(status: WaitStatus) -> Option<End> {
    let code = status.exit_status().map(End::Code);
    code.or_else(|| status.terminating_signal().map(End::Signal))
}
