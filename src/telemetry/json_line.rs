//! One event as one line of JSON. In: an event of `tracing`. Out: an object of time, level, the event's fields as they are
//! named, target, and the span it happened in. The lines are those of `tracing_subscriber::fmt::format::Json` with its
//! fields flattened, which asks a serializer for each of them: a call leaves a line, and that was a tenth of a call.

use std::fmt::{self, Debug};

use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Room for the line of a call.
const USUAL: usize = 768;

/// Writes events so.
pub(super) struct JsonLine;

/// The members of an object that has begun.
struct Members(Vec<u8>);

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        let mut members = Members(Vec::with_capacity(USUAL));
        members.add("level", metadata.level().as_str());
        event.record(&mut members);
        members.add("target", metadata.target());
        let parent = event.parent().and_then(|id| context.span(id));
        if let Some(span) = parent.or_else(|| context.lookup_current()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            members.span(
                span.name(),
                fields.map_or("{}", |fields| fields.fields.as_str()),
            );
        }
        members.0.extend_from_slice(b"}\n");
        writer.write_str("\"")?;
        // What was written of texts is text.
        writer.write_str(std::str::from_utf8(&members.0).map_err(|_| fmt::Error)?)
    }
}

impl Members {
    fn begins(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        // Names of fields are ours, and hold nothing that would have to be escaped.
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn add(&mut self, name: &str, value: impl Serialize) {
        self.begins(name);
        let start = self.0.len();
        if serde_json::to_writer(&mut self.0, &value).is_err() {
            self.0.truncate(start);
            self.0.extend_from_slice(b"null");
        }
    }

    /// A span, with its fields as an object.
    fn span(&mut self, name: &str, fields: &str) {
        let fields = fields.trim_start_matches('{').trim_end_matches('}');
        self.begins("span");
        let mut inner = Self(Vec::new());
        inner.add("name", name);
        self.0.push(b'{');
        self.0
            .extend_from_slice(inner.0.get(1..).unwrap_or_default());
        if !fields.is_empty() {
            self.0.push(b',');
            self.0.extend_from_slice(fields.as_bytes());
        }
        self.0.push(b'}');
    }
}

impl Visit for Members {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format_args!("{value:?}"));
    }
}
