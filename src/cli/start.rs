//! What `serve`, `dev` and `sandbox` share at their start: logging, and words for a start that fails.

use std::{io, net::SocketAddr};

use tracing::level_filters::LevelFilter;

use super::Failed;
use crate::{
    app::StartError,
    identity::CannotAsk,
    settings::{LogFormat, LogPerson, LogSettings},
    telemetry::{self, Filter, Format},
};

/// Logs to standard error.
pub(super) fn logging(settings: LogSettings) -> Result<Filter, Failed> {
    let format = match settings.format {
        LogFormat::Json => Format::Json,
        LogFormat::Pretty => Format::Pretty { colour: false },
        LogFormat::Auto => Format::for_standard_error(),
    };
    telemetry::init(settings.level, format, io::stderr).map_err(Failed::new)
}

/// The same for commands without settings of their own.
pub(super) fn plain_logging(level: LevelFilter) -> Result<Filter, Failed> {
    logging(LogSettings {
        level,
        format: LogFormat::Auto,
        person: LogPerson::Hashed,
    })
}

/// A failed start; `knob` names what changes a listener's address, per setting.
pub(super) fn failure(error: StartError, knob: impl Fn(&str) -> String) -> Failed {
    match error {
        StartError::Bind {
            setting,
            addr,
            source,
        } => taken(addr, &source, &knob(setting)),
        StartError::Client(_)
        | StartError::Connections(_)
        | StartError::Seal(_)
        | StartError::Members(CannotAsk::Client(_)) => Failed::new(error),
        StartError::Catalogue(_)
        | StartError::ReservedTool(_)
        | StartError::Keys(_)
        | StartError::Secret(_)
        | StartError::LimitStore(_)
        | StartError::Members(CannotAsk::Key)
        | StartError::Journal(_)
        | StartError::Audit(_)
        | StartError::Backend(_) => Failed::configuration(error),
    }
}

/// A port that cannot be had.
pub(super) fn taken(addr: SocketAddr, source: &io::Error, knob: &str) -> Failed {
    if source.kind() == io::ErrorKind::AddrInUse {
        return Failed::new(format!(
            "port {} is in use: choose another with {knob}, or let the system choose with port 0",
            addr.port()
        ));
    }
    Failed::new(format!("{addr} cannot be listened on: {source} ({knob})"))
}
