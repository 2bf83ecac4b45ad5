//! What the process says about itself: one subscriber to standard error, and the names of the fields it uses.
//! In: level, format, writer. Out: a subscriber, and its filter, which may be changed while we run.

mod filter;
mod json_line;

use std::io::{self, IsTerminal};

use json_line::JsonLine;
use tracing::{Subscriber, level_filters::LevelFilter, subscriber::SetGlobalDefaultError};
use tracing_subscriber::{
    Layer,
    fmt::{MakeWriter, format::JsonFields},
    layer::SubscriberExt,
    registry::Registry,
};

pub use filter::{Filter, NoFilter};

/// The vocabulary of field names: dotted, with the unit in the name where there is one. Whoever logs uses these, so
/// that one query finds a call in every line (`tracing` takes field names literally, hence the test that compares).
pub mod field {
    /// The tool as MCP shows it, such as `create_note`.
    pub const TOOL_NAME: &str = "tool.name";
    /// The name under which it was called, where that is a former one.
    pub const TOOL_ALIAS: &str = "tool.alias";
    /// The organization in whose name the call is made.
    pub const TENANT_ID: &str = "tenant.id";
    /// The correlation id: the same in our log, in the backend's log and in the error the person sees.
    pub const REQUEST_ID: &str = "request.id";
    /// The person, as `log.person` has it: hashed, or `sub` of the token; never the token.
    pub const CALLER_SUBJECT: &str = "caller.subject";
    /// The connection id (`Mcp-Session-Id`) a message came on.
    pub const CONNECTION_ID: &str = "connection.id";
    /// HTTP status of the backend's last answer.
    pub const BACKEND_STATUS: &str = "backend.status";
    /// Time at the backend in milliseconds: its sessions and its answers.
    pub const BACKEND_DURATION_MS: &str = "backend.duration_ms";
    /// Time of that which went into sessions.
    pub const BACKEND_SESSION_MS: &str = "backend.session_ms";
    /// Tries after the first.
    pub const BACKEND_RETRIES: &str = "backend.retries";
    /// Bytes of the bodies sent to the backend.
    pub const BACKEND_REQUEST_BYTES: &str = "backend.request_bytes";
    /// Bytes of the bodies that came from it.
    pub const BACKEND_RESPONSE_BYTES: &str = "backend.response_bytes";
    /// What the client calls itself; a remark, proven by nothing.
    pub const CLIENT: &str = "client";
    /// The revision of MCP that the client speaks.
    pub const MCP_PROTOCOL: &str = "mcp.protocol";
    /// The trace that the call is part of.
    pub const TRACE_ID: &str = "trace.id";
    /// Time in milliseconds, as a decimal number.
    pub const DURATION_MS: &str = "duration_ms";
    /// How a call ended: `ok`, or an error code of the result such as `NOT_FOUND`.
    pub const OUTCOME: &str = "outcome";
    /// The signal that asked to stop, such as `SIGTERM`.
    pub const SIGNAL: &str = "signal";
    /// Where the child of `serve -- COMMAND` printed a line: `stdout` or `stderr`.
    pub const CHILD_STREAM: &str = "child.stream";
    /// Bytes of the child's line that were too many to log.
    pub const CHILD_DROPPED_BYTES: &str = "child.dropped_bytes";
    /// Why something failed, for the operator.
    pub const ERROR: &str = "error";
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for log collectors.
    Json,
    /// Text for a person.
    Pretty {
        /// Whether terminal colours are used.
        colour: bool,
    },
}

impl Format {
    /// Pretty and coloured where a person looks (standard error is a terminal), JSON where a collector does.
    #[must_use]
    pub fn for_standard_error() -> Self {
        if io::stderr().is_terminal() {
            Self::Pretty { colour: true }
        } else {
            Self::Json
        }
    }
}

/// Makes `subscriber(…)` to `writer` (in production `std::io::stderr`) the one of the whole process.
///
/// # Errors
/// When the process has a subscriber already.
pub fn init<W>(
    level: LevelFilter,
    format: Format,
    writer: W,
) -> Result<Filter, SetGlobalDefaultError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (subscriber, filter) = changeable(level, format, writer);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(filter)
}

/// The subscriber itself; a test installs it for its own thread with `tracing::subscriber::with_default`.
pub fn subscriber<W>(
    level: LevelFilter,
    format: Format,
    writer: W,
) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    changeable(level, format, writer).0
}

/// The subscriber, and the filter that it has from then on.
fn changeable<W>(
    level: LevelFilter,
    format: Format,
    writer: W,
) -> (impl Subscriber + Send + Sync + 'static, Filter)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (layer, filter) = Filter::new(level);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        Format::Json => lines
            .event_format(JsonLine)
            .fmt_fields(JsonFields::new())
            .boxed(),
        Format::Pretty { colour } => lines.with_ansi(colour).boxed(),
    };
    (Registry::default().with(lines.with_filter(layer)), filter)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::{filter::CHILD, *};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Captured {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    fn logged(level: LevelFilter, format: Format, say: impl FnOnce()) -> String {
        let captured = Captured::default();
        tracing::subscriber::with_default(subscriber(level, format, captured.clone()), say);
        captured.text()
    }

    #[test]
    fn libraries_that_print_arguments_are_capped_at_every_level() {
        for level in [LevelFilter::DEBUG, LevelFilter::TRACE] {
            let text = logged(level, Format::Json, || {
                tracing::debug!(target: "rmcp::service", arguments = "private", "received");
                tracing::info!(target: "rmcp", arguments = "private", "received");
                tracing::trace!(target: "hyper_util::client", header = "private", "sent");
                tracing::info!(target: "reqwest::connect", host = "private", "sent");
                tracing::warn!(target: "rmcp", "slow");
                tracing::debug!(target: "toolbridge::mcp", "ours");
            });
            assert!(!text.contains("private"), "{text}");
            assert_eq!(text.lines().count(), 2, "{text}");
        }
    }

    #[test]
    fn a_stricter_level_holds_for_libraries_too() {
        let text = logged(LevelFilter::ERROR, Format::Json, || {
            tracing::warn!(target: "rmcp", "slow");
            tracing::warn!(target: "toolbridge", "degraded");
        });
        assert_eq!(text, "");
    }

    #[test]
    fn the_childs_lines_come_through_at_every_level_but_off() {
        let said = |level| {
            logged(level, Format::Json, || {
                tracing::info!(target: "child", { child.stream = "stdout" }, "ready");
                tracing::info!(target: "toolbridge::child", "ours");
            })
        };
        let text = said(LevelFilter::ERROR);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["target"], &line["message"]),
            (&CHILD.into(), &"ready".into())
        );
        assert_eq!(line[field::CHILD_STREAM], "stdout");
        assert_eq!(said(LevelFilter::INFO).lines().count(), 2);
        assert_eq!(said(LevelFilter::OFF), "");
    }

    #[test]
    fn a_json_line_carries_the_fields_of_the_call() {
        let text = logged(LevelFilter::INFO, Format::Json, || {
            let span = tracing::info_span!("tool_call", tool.name = "get_note", tenant.id = "acme");
            let _guard = span.enter();
            tracing::info!(
                request.id = "c-1",
                backend.status = 200,
                duration_ms = 1.5,
                outcome = "ok",
                "tool call"
            );
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line[field::REQUEST_ID], "c-1");
        assert_eq!(line[field::BACKEND_STATUS], 200);
        assert_eq!(line[field::DURATION_MS], 1.5);
        assert_eq!(line[field::OUTCOME], "ok");
        assert_eq!(line["span"][field::TOOL_NAME], "get_note");
        assert_eq!(line["span"][field::TENANT_ID], "acme");
    }

    #[test]
    fn a_pretty_line_is_one_line_of_text_that_foreign_control_characters_cannot_break() {
        let format = Format::Pretty { colour: false };
        let text = logged(LevelFilter::INFO, format, || {
            tracing::info!(caller.subject = "a\u{1b}[2Jb\nINFO forged", "tool call");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("tool call") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
