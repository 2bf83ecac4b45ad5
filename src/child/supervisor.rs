//! The child's life, again and again: start, wait until it is well, pass signals on, see it end, wait, start. In: the wish
//! to stop, exits, signals. Out: a status at every turn, and the code at the end. One task does all of it, so that a
//! signal is never sent to a pid whose owner was reaped a moment ago.

use std::{os::fd::OwnedFd, pin::pin, time::Duration};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tokio::{
    net::unix::pipe::Receiver,
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    Plan, Restart, Status,
    end::End,
    launch::{Launcher, Started},
    output,
    reaper::Reaper,
    signals::Signals,
};
use crate::shutdown::Shutdown;

/// A child that never got well may take so long to end before it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// A killed process is gone, and its last lines are read, within this time; or it hangs in the kernel.
const BURIAL: Duration = Duration::from_secs(1);

/// Whoever looks after the child.
pub(super) struct Supervisor {
    pub(super) plan: Plan,
    pub(super) launcher: Launcher,
    pub(super) reaper: Reaper,
    pub(super) signals: Signals,
    pub(super) status: watch::Sender<Status>,
    /// By when the child must have ended, once it shall.
    pub(super) stop: watch::Receiver<Option<Instant>>,
    pub(super) shutdown: Shutdown,
    /// What reads its output.
    pub(super) output: TaskTracker,
}

/// How one life went.
enum Life {
    /// We were asked to stop, and this is our code.
    Stopped(u8),
    /// It ended, having been well for so long; `None`: it never was.
    Ended(End, Option<Duration>),
}

/// How often it was started in vain.
#[derive(Default)]
struct Failures {
    was_ever_well: bool,
    starts: usize,
    waits: u32,
}

impl Supervisor {
    /// Lives all its lives; the code that we end with.
    pub(super) async fn run(mut self) -> u8 {
        let mut failures = Failures::default();
        let code = loop {
            let (end, well) = match self.lives().await {
                Life::Stopped(code) => break code,
                Life::Ended(end, well) => (end, well),
            };
            if self.shutdown.is_requested() {
                // Some platforms ask every process there is.
                break end.code_when_asked(Signal::TERM.as_raw());
            }
            let Restart::WithBackoff {
                base,
                most,
                attempts,
            } = self.plan.restart
            else {
                tracing::warn!("the child {end}, so everything ends (child.restart = false)");
                break self.gives_up(end.code());
            };
            failures.count(well, most);
            if !failures.was_ever_well && failures.starts >= attempts {
                tracing::error!(
                    attempts,
                    "the child {end} and was never healthy: giving up (child.attempts); its lines above say why"
                );
                break self.gives_up(end.code_of_failure());
            }
            let wait = failures.wait(base, most);
            let again_in = humantime::format_duration(wait);
            tracing::warn!("the child {end}; it is started again in {again_in}");
            self.status.send_replace(Status::Gone(end.to_string()));
            if !self.waits(wait).await {
                break end.code();
            }
        };
        self.status.send_replace(Status::Over);
        self.output.close();
        let _ = timeout(BURIAL, self.output.wait()).await;
        code
    }

    /// Nobody asked to stop, but there is nothing left to serve.
    fn gives_up(&self, code: u8) -> u8 {
        if !self.shutdown.is_requested() {
            self.shutdown.request();
        }
        code
    }

    /// From a start to an end.
    async fn lives(&mut self) -> Life {
        self.status.send_replace(Status::Starting);
        let pid = match self.launcher.start().await {
            Ok(started) => self.listens_to(started),
            Err(error) => {
                tracing::error!(%error, "the child cannot be started");
                return Life::Ended(End::NotStarted, None);
            }
        };
        let mut appears = pin!(self.plan.health.clone().appears());
        let mut late = pin!(sleep(self.plan.start_timeout));
        let mut well_since: Option<Instant> = None;
        loop {
            let is_new = well_since.is_none();
            tokio::select! {
                (ended, end) = self.reaper.next() => if ended == pid {
                    // Whatever it started goes too, or the next one could not have its port.
                    let _ = kill_process_group(pid, Signal::KILL);
                    return Life::Ended(end, well_since.map(|since| since.elapsed()));
                },
                () = &mut appears, if is_new => {
                    tracing::info!("the child is healthy");
                    self.status.send_replace(Status::Well);
                    well_since = Some(Instant::now());
                }
                () = &mut late, if is_new => {
                    self.ends(pid, Instant::now() + FAREWELL).await;
                    return Life::Ended(End::NeverWell, None);
                }
                signal = self.signals.next() => {
                    tracing::info!(signal = signal.as_raw(), "passed on to the child");
                    let _ = kill_process(pid, signal);
                }
                deadline = wished(&mut self.stop) => {
                    let end = self.ends(pid, deadline).await;
                    tracing::info!("the child {end}");
                    return Life::Stopped(end.code_when_asked(Signal::TERM.as_raw()));
                }
            }
        }
    }

    /// Logs what it prints.
    fn listens_to(&self, started: Started) -> Pid {
        let pid = started.pid;
        tracing::info!(child.pid = pid.as_raw_pid(), "the child was started");
        let stdout = started.stdout.map(|pipe| ("stdout", OwnedFd::from(pipe)));
        let stderr = started.stderr.map(|pipe| ("stderr", OwnedFd::from(pipe)));
        for (stream, pipe) in stdout.into_iter().chain(stderr) {
            match Receiver::from_owned_fd(pipe) {
                Ok(pipe) => drop(self.output.spawn(output::log(stream, pipe))),
                Err(error) => tracing::error!(%error, "the child's {stream} cannot be read"),
            }
        }
        pid
    }

    /// Asks it and all it started to end, and kills what is left at the deadline, or when somebody insists.
    async fn ends(&mut self, pid: Pid, deadline: Instant) -> End {
        let _ = kill_process_group(pid, Signal::TERM);
        let mut end = None;
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = self.all_end(pid, &mut end) => {}
            () = sleep_until(deadline) => {
                tracing::warn!("the child did not end in time: it is killed (shutdown.kill_timeout)");
            }
            () = shutdown.forced() => {}
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = timeout(BURIAL, self.all_end(pid, &mut end)).await;
        end.unwrap_or(End::Signal(Signal::KILL.as_raw()))
    }

    /// Returns when nobody is left of its group. Where orphans do not come to us, nobody would tell of their end: the
    /// child's own is enough there.
    async fn all_end(&mut self, pid: Pid, end: &mut Option<End>) {
        let remains = || cfg!(target_os = "linux") && test_kill_process_group(pid).is_ok();
        while end.is_none() || remains() {
            let (ended, how) = self.reaper.next().await;
            if ended == pid {
                *end = Some(how);
            }
        }
    }

    /// Whether to start again: waits for that long, unless we are to stop.
    async fn waits(&mut self, wait: Duration) -> bool {
        let mut over = pin!(sleep(wait));
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                () = &mut over => return true,
                () = shutdown.requested() => return false,
                _ = wished(&mut self.stop) => return false,
                _ = self.reaper.next() => {}
                // There is nobody to pass it on to.
                _ = self.signals.next() => {}
            }
        }
    }
}

impl Failures {
    /// A life is over in which the child was well for so long.
    fn count(&mut self, well: Option<Duration>, a_while: Duration) {
        self.was_ever_well |= well.is_some();
        self.starts += 1;
        if well.is_some_and(|well| well >= a_while) {
            self.waits = 0;
        }
    }

    /// The wait before the next one.
    fn wait(&mut self, base: Duration, most: Duration) -> Duration {
        let factor = 2_u32.saturating_pow(self.waits);
        self.waits = self.waits.saturating_add(1);
        base.saturating_mul(factor).min(most)
    }
}

/// Ends when the child shall end, with the time by which.
async fn wished(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => (*deadline).unwrap_or_else(Instant::now),
        // Whoever could wish it is gone.
        Err(_) => Instant::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(30);

    fn waits(failures: &mut Failures, lives: &[Option<u64>]) -> Vec<u64> {
        let wait = |well: &Option<u64>| {
            failures.count(well.map(Duration::from_secs), MOST);
            failures.wait(BASE, MOST).as_secs()
        };
        lives.iter().map(wait).collect()
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let lives = [None; 8];
        assert_eq!(
            waits(&mut Failures::default(), &lives),
            [1, 2, 4, 8, 16, 30, 30, 30]
        );
        let mut worn = Failures {
            waits: u32::MAX,
            ..Failures::default()
        };
        assert_eq!(waits(&mut worn, &lives[..2]), [30, 30]);
    }

    #[test]
    fn whoever_was_well_for_a_while_begins_with_the_first_wait() {
        let lives = [None, Some(29), Some(30), None];
        assert_eq!(waits(&mut Failures::default(), &lives), [1, 2, 1, 2]);
    }

    #[test]
    fn one_good_start_is_remembered() {
        let mut failures = Failures::default();
        waits(&mut failures, &[None, Some(0), None]);
        assert!(failures.was_ever_well);
        assert_eq!(failures.starts, 3);
    }
}
