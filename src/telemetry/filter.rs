//! What is logged, changeable while we run. In: a level, or a filter such as `info,toolbridge=debug`. Out: the
//! filter of the subscriber. Libraries that print foreign data stay at `WARN` whatever is asked for, also where they are
//! named; do not lift that cap, arguments and tokens would reach the log.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, registry::Registry, reload};

/// Crates that log foreign data or connection noise; prefixes of the target, so `hyper` is `hyper_util` too.
const CAPPED: &[&str] = &["rmcp", "hyper", "reqwest", "h2", "rustls", "tower"];

/// The target of what the child of `serve -- COMMAND` prints.
pub(super) const CHILD: &str = "child";

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub enum NoFilter {
    /// It cannot be read.
    #[error(
        "`{0}` is no filter: write a level (trace, debug, info, warn, error, off), or targets with levels, such as info,toolbridge=debug"
    )]
    Unreadable(String),
    /// The subscriber is gone.
    #[error("this process does not log")]
    Gone,
}

/// The filter of the subscriber; clones change the same one.
#[derive(Clone, Debug)]
pub struct Filter {
    handle: reload::Handle<Targets, Registry>,
    said: Arc<Mutex<String>>,
}

impl Filter {
    pub(super) fn new(level: LevelFilter) -> (reload::Layer<Targets, Registry>, Self) {
        let (layer, handle) = reload::Layer::new(capped(&Targets::new().with_default(level)));
        let said = Arc::new(Mutex::new(level.to_string().to_ascii_lowercase()));
        (layer, Self { handle, said })
    }

    /// What holds now, as it was said.
    #[must_use]
    pub fn current(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    /// Holds from now on.
    ///
    /// # Errors
    /// [`NoFilter`]; then nothing has changed.
    pub fn replace(&self, text: &str) -> Result<(), NoFilter> {
        let asked = parse(text)?;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle
            .reload(capped(&asked))
            .map_err(|_| NoFilter::Gone)?;
        text.clone_into(&mut said);
        Ok(())
    }
}

/// Levels and targets; spans and fields are not ours to filter by.
fn parse(text: &str) -> Result<Targets, NoFilter> {
    let unreadable = || {
        let plain = text.chars().filter(|c| !c.is_control()).take(64);
        NoFilter::Unreadable(plain.collect())
    };
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'=' | b',' | b'-');
    if text.is_empty() || !text.bytes().all(is_plain) {
        return Err(unreadable());
    }
    // A word alone that is no level would be a target, at every level: a level that was misspelt.
    let is_said = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if !text.split(',').all(is_said) {
        return Err(unreadable());
    }
    let targets: Targets = text.parse().map_err(|_| unreadable())?;
    Ok(match targets.default_level() {
        Some(_) => targets,
        None => targets.with_default(LevelFilter::INFO),
    })
}

/// What is asked for, at most `WARN` for the capped crates; the child's lines are its own affair and come through unless
/// nothing does.
fn capped(asked: &Targets) -> Targets {
    let default = asked.default_level().unwrap_or(LevelFilter::OFF);
    let child = if default == LevelFilter::OFF {
        default
    } else {
        default.max(LevelFilter::INFO)
    };
    let cap = default.min(LevelFilter::WARN);
    let named = asked.iter().map(|(target, level)| {
        let is_capped = CAPPED.iter().any(|prefix| target.starts_with(prefix));
        let level = if is_capped {
            level.min(LevelFilter::WARN)
        } else {
            level
        };
        (target.to_owned(), level)
    });
    // What is named by hand comes last, so that it holds; a shorter name holds for a capped crate only where none is longer.
    Targets::new()
        .with_default(default)
        .with_target(CHILD, child)
        .with_targets(CAPPED.iter().map(|target| (*target, cap)))
        .with_targets(named)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn filter(text: &str) -> Targets {
        capped(&parse(text).unwrap())
    }

    #[test]
    fn a_library_that_prints_arguments_cannot_be_made_to_talk() {
        for text in [
            "trace",
            "info,rmcp=trace",
            "rmcp::service=trace",
            "info,hyper_util::client=debug,reqwest=debug",
            "rmcp::transport::streamable_http_server::tower=trace,r=trace,rm=trace",
        ] {
            let filter = filter(text);
            for target in [
                "rmcp::service",
                "hyper_util::client",
                "reqwest::connect",
                "rmcp",
            ] {
                assert!(
                    !filter.would_enable(target, &Level::INFO),
                    "{text}: {target}"
                );
            }
        }
    }

    #[test]
    fn a_part_of_ours_can_be_looked_at_alone() {
        let filter = filter("warn,toolbridge::telemetry=trace");
        assert!(filter.would_enable("toolbridge::telemetry::filter", &Level::TRACE));
        assert!(!filter.would_enable("toolbridge", &Level::INFO));
        assert!(filter.would_enable("child", &Level::INFO));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "verbose",
            "info,debgu",
            "info,[span]=debug",
            "a=b",
            "info\nx",
            "info, debug",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
