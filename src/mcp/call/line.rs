//! The one line that the log has of a call. In: what is found out while it runs. Out: the line, with the field names of
//! `telemetry::field`. Never a token, a body or an argument.

use std::time::Instant;

use super::super::outcome::Outcome;
use crate::{backend::CorrelationId, identity::TenantId};

/// What a call's one line says besides its outcome (`telemetry::field` names it).
pub(super) struct Line {
    pub(super) correlation: CorrelationId,
    begun: Instant,
    /// Known once the caller has an identity.
    pub(super) tenant: Option<TenantId>,
    /// The former name under which the tool was called.
    pub(super) alias: Option<String>,
    /// Whether the same write had been begun before, so that this call sent nothing.
    pub(super) is_repeated: bool,
}

impl Line {
    pub(super) fn begin(correlation: CorrelationId) -> Self {
        Self {
            correlation,
            begun: Instant::now(),
            tenant: None,
            alias: None,
            is_repeated: false,
        }
    }

    /// Writes it. Failures say their cause, which never holds a token, a body or an argument.
    pub(super) fn log(self, tool: &str, outcome: &Outcome, cause: Option<String>) {
        let duration_ms = self.begun.elapsed().as_secs_f64() * 1_000.0;
        let (ending, status) = match outcome {
            Outcome::Success(_) => ("ok", None),
            Outcome::Failure(failure) => (failure.code.as_str(), failure.status),
        };
        tracing::info!(
            tool.name = tool,
            tool.alias = self.alias,
            tenant.id = self.tenant.as_ref().map(TenantId::as_str),
            request.id = %self.correlation,
            outcome = ending,
            backend.status = status,
            duration_ms,
            repeated = self.is_repeated.then_some(true),
            error = cause,
            "tool call"
        );
    }
}
