//! `child.*`: the backend that `serve -- COMMAND` starts itself; without a command nothing here is used. Also: which
//! variables are ours alone, so that the child does not get them.

use std::time::Duration;

use super::{keys, parse, problem::Wrong, problem::shown, reader::Reader};

/// `child.*`: how the backend is started, and what happens when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSettings {
    /// The path that answers 200 once it is well; `None`: it is well once it takes connections.
    pub health: Option<String>,
    /// It may take so long to get well.
    pub start_timeout: Duration,
    /// So many starts in a row may fail before the first that succeeds.
    pub attempts: usize,
    /// Whether it is started again when it ends.
    pub restart: bool,
    /// The wait before the second start.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// What we are sent that it is sent too.
    pub forward: Vec<ChildSignal>,
}

/// A signal that can be passed on. Those that ask us to stop are not among them: they have an order of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildSignal {
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGQUIT.
    Quit,
    /// SIGWINCH.
    WindowChange,
}

const HOUR: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_millis(1);

impl ChildSettings {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let health = reader.text(&keys::CHILD_HEALTH, path);
        let start_timeout = reader.duration(&keys::CHILD_START_TIMEOUT, SHORTEST..=HOUR);
        let attempts = reader.scalar(&keys::CHILD_ATTEMPTS, parse::count);
        let restart = reader.boolean(&keys::CHILD_RESTART);
        let backoff = reader.duration(&keys::CHILD_BACKOFF, SHORTEST..=HOUR);
        let backoff_max = reader.duration(&keys::CHILD_BACKOFF_MAX, SHORTEST..=HOUR);
        let forward = reader.list(&keys::CHILD_FORWARD, signal);
        let (backoff, backoff_max) = (backoff?, backoff_max?);
        if backoff > backoff_max {
            let [least, most] = [backoff, backoff_max].map(humantime::format_duration);
            let what = format!("{least} is more than `child.backoff_max` ({most})");
            let hint = "the first wait is the shortest: lower it, or raise `child.backoff_max`";
            reader.refuse(&keys::CHILD_BACKOFF, what, hint);
        }
        Some(Self {
            health,
            start_timeout: start_timeout?,
            attempts: attempts?,
            restart: restart?,
            backoff,
            backoff_max,
            forward: forward?,
        })
    }

    /// Variables that the child does not get: they are ours alone, while it shares the other secrets with us.
    pub fn withheld() -> impl Iterator<Item = String> {
        let ours = [
            keys::SEAL_SECRET,
            keys::NEXT_SEAL_SECRET,
            keys::OPS_TOKEN,
            keys::EXCHANGE_CLIENT_SECRET,
            keys::LOCAL_TOKEN,
            keys::LIMITS_REDIS_URL,
        ];
        let names = ours.into_iter().chain(keys::MINT_KEY);
        names.flat_map(|name| [name.to_owned(), format!("{name}_FILE")])
    }
}

/// An absolute path, perhaps with a query.
fn path(text: &str) -> Result<String, Wrong> {
    let is_path = text.starts_with('/') && !text.starts_with("//");
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && is_visible && !text.contains(['#', '\\']) {
        return Ok(text.to_owned());
    }
    let what = format!("{} is not a path", shown(text));
    let hint = "write it like `/healthz`; host and port are those of `backend.url`";
    Err(Wrong::new(what, hint))
}

/// A signal's name, with or without `SIG`.
fn signal(text: &str) -> Result<ChildSignal, Wrong> {
    let words = [
        ("HUP", ChildSignal::Hangup),
        ("USR1", ChildSignal::User1),
        ("USR2", ChildSignal::User2),
        ("QUIT", ChildSignal::Quit),
        ("WINCH", ChildSignal::WindowChange),
    ];
    parse::one_of(text.strip_prefix("SIG").unwrap_or(text), &words)
}
