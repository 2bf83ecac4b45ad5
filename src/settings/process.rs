//! `log.*`, `connections.*`, `shutdown.*`: how the process itself behaves.

use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::{keys, parse, problem::Wrong, reader::Reader};

/// `log.*`: what is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important level that is logged.
    pub level: LevelFilter,
    /// How a line looks.
    pub format: LogFormat,
    /// How it calls the person of a call.
    pub person: LogPerson,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for a person.
    Pretty,
}

/// `log.person`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPerson {
    /// By digits that are the same everywhere, and no name.
    Hashed,
    /// By the `sub` of the token.
    Plain,
    /// Not at all.
    Off,
}

/// `connections.*`: MCP's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// At most so many open streams at once.
    pub max: usize,
    /// At most so many of one person.
    pub max_per_person: usize,
    /// A connection id is good for so long.
    pub lifetime: Duration,
    /// Whether an unknown id is answered as if its handshake had just been.
    pub heal: bool,
    /// A connection that is a stream itself (SSE) is ended when it is silent for so long.
    pub idle_timeout: Duration,
}

/// `shutdown.*`: how long stopping may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Running calls may finish for so long.
    pub grace: Duration,
    /// After so long the platform kills the process; always more than `grace`.
    pub kill_timeout: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

impl LogSettings {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let formats = [
            ("auto", LogFormat::Auto),
            ("json", LogFormat::Json),
            ("pretty", LogFormat::Pretty),
        ];
        let level = reader.text(&keys::LOG_LEVEL, level);
        let format = reader.text(&keys::LOG_FORMAT, |text| parse::one_of(text, &formats));
        let people = [
            ("hashed", LogPerson::Hashed),
            ("plain", LogPerson::Plain),
            ("off", LogPerson::Off),
        ];
        let person = reader.text(&keys::LOG_PERSON, |text| parse::one_of(text, &people));
        Some(Self {
            level: level?,
            format: format?,
            person: person?,
        })
    }
}

impl ConnectionSettings {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let max = reader.scalar(&keys::CONNECTIONS_MAX, parse::count);
        let max_per_person = reader.scalar(&keys::CONNECTIONS_MAX_PER_PERSON, parse::count);
        let bounds = Duration::from_secs(60)..=365 * 24 * HOUR;
        let lifetime = reader.duration(&keys::CONNECTIONS_LIFETIME, bounds);
        let heal = reader.boolean(&keys::CONNECTIONS_HEAL);
        let bounds = Duration::from_secs(1)..=30 * 24 * HOUR;
        let idle_timeout = reader.duration(&keys::CONNECTIONS_IDLE_TIMEOUT, bounds);
        Some(Self {
            max: max?,
            max_per_person: max_per_person?,
            lifetime: lifetime?,
            heal: heal?,
            idle_timeout: idle_timeout?,
        })
    }
}

impl ShutdownSettings {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let grace = reader.duration(&keys::SHUTDOWN_GRACE, Duration::ZERO..=HOUR);
        let kill_timeout =
            reader.duration(&keys::SHUTDOWN_KILL_TIMEOUT, Duration::from_secs(1)..=HOUR);
        let (grace, kill_timeout) = (grace?, kill_timeout?);
        if grace >= kill_timeout {
            let [grace, kill] = [grace, kill_timeout].map(humantime::format_duration);
            let what = format!(
                "{grace} is not below `shutdown.kill_timeout` ({kill}): running calls would be killed"
            );
            let hint =
                "shorten it, or raise `shutdown.kill_timeout` to what the platform really allows";
            reader.refuse(&keys::SHUTDOWN_GRACE, what, hint);
        }
        Some(Self {
            grace,
            kill_timeout,
        })
    }
}

/// A level in any case, with Python's names for two of them.
fn level(text: &str) -> Result<LevelFilter, Wrong> {
    let words = [
        ("trace", LevelFilter::TRACE),
        ("debug", LevelFilter::DEBUG),
        ("info", LevelFilter::INFO),
        ("warn", LevelFilter::WARN),
        ("error", LevelFilter::ERROR),
        ("off", LevelFilter::OFF),
    ];
    let word = match text.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" => "error".to_owned(),
        word => word.to_owned(),
    };
    parse::one_of(&word, &words)
}
