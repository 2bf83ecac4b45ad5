//! How the process ends: the wish to stop as a value that is handed in, and the three steps of stopping.
//! In: SIGTERM and SIGINT, or a call of `request`. Out: two futures (stop; stop at once) and `drain`. Nobody else
//! listens to these signals, and nothing here ends the process: `main` does, with what it got back.

use std::{io, time::Duration};

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The wish to stop. Clones are one and the same wish.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// A wish that nobody has had yet; a test calls [`request`](Self::request) where the process gets a signal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A wish that SIGTERM and SIGINT (Ctrl-C) express: the first asks, the second insists. It listens from now on,
    /// in a task of the current runtime.
    ///
    /// # Errors
    /// When the operating system refuses the signal handlers.
    pub fn on_signals() -> io::Result<Self> {
        let mut signals = Signals::new()?;
        let shutdown = Self::new();
        let wish = shutdown.clone();
        tokio::spawn(async move {
            while !wish.forced.is_cancelled() {
                let name = signals.next().await;
                tracing::info!(signal = name, "asked to stop");
                wish.request();
            }
        });
        Ok(shutdown)
    }

    /// Asks to stop; asked twice, insists.
    pub fn request(&self) {
        if self.requested.is_cancelled() {
            self.forced.cancel();
        }
        self.requested.cancel();
    }

    /// Ends when somebody asked to stop: accept nothing new and [`drain`].
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Ends when somebody asked twice: do not wait for anything.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Whether somebody asked twice.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.forced.is_cancelled()
    }
}

/// Stops in three steps: no new calls, let the running ones finish for at most `grace`, then end the streams, which
/// otherwise hold a graceful stop forever. Whether all calls finished. Safe to drop at any point (a second signal
/// does): then the caller cancels `streams` itself.
pub async fn drain(calls: &TaskTracker, streams: &CancellationToken, grace: Duration) -> bool {
    calls.close();
    let finished = timeout(grace, calls.wait()).await.is_ok();
    streams.cancel();
    finished
}

/// The two signals that ask a process to stop.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Elsewhere there is only Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;

    const GRACE: Duration = Duration::from_secs(7);

    #[tokio::test(start_paused = true)]
    async fn a_running_call_finishes_before_the_streams_end() {
        let (calls, streams) = (TaskTracker::new(), CancellationToken::new());
        let open = streams.clone();
        let call = calls.spawn(async move {
            sleep(Duration::from_secs(3)).await;
            !open.is_cancelled()
        });
        let started = Instant::now();
        assert!(drain(&calls, &streams, GRACE).await);
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        assert!(call.await.unwrap(), "the streams ended under the call");
        assert!(streams.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_holds_the_stop_for_the_grace_period_only() {
        let (calls, streams) = (TaskTracker::new(), CancellationToken::new());
        calls.spawn(pending::<()>());
        let started = Instant::now();
        assert!(!drain(&calls, &streams, GRACE).await);
        assert_eq!(started.elapsed(), GRACE);
        assert!(streams.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_do_is_done_at_once() {
        let (calls, streams) = (TaskTracker::new(), CancellationToken::new());
        let started = Instant::now();
        assert!(drain(&calls, &streams, GRACE).await);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_request_ends_the_wait_of_the_first() {
        let (calls, streams) = (TaskTracker::new(), CancellationToken::new());
        calls.spawn(pending::<()>());
        let shutdown = Shutdown::new();
        shutdown.request();
        shutdown.requested().await;
        assert!(!shutdown.is_forced());
        let second = shutdown.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            second.request();
        });
        let drained = tokio::select! {
            finished = drain(&calls, &streams, GRACE) => Some(finished),
            () = shutdown.forced() => None,
        };
        assert_eq!(drained, None);
        assert!(shutdown.is_requested());
    }

    #[cfg(unix)]
    async fn send_to_this_process(signal: &str) {
        let kill = format!("kill -{signal} {}", std::process::id());
        let status = tokio::process::Command::new("sh")
            .args(["-c", &kill])
            .status()
            .await;
        assert!(status.unwrap().success());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn sigterm_asks_and_ctrl_c_after_it_insists() {
        let shutdown = Shutdown::on_signals().unwrap();
        send_to_this_process("TERM").await;
        shutdown.requested().await;
        assert!(!shutdown.is_forced());
        send_to_this_process("INT").await;
        shutdown.forced().await;
    }
}
