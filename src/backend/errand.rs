//! What every request of one call carries and leaves behind: the id that joins the logs, the trace it is part of, the marks
//! of its hops. In: made by whoever calls. Out: headers, and a trail. Nothing of it is a client's header: a trace context
//! was parsed and is written anew.

use super::correlation::CorrelationId;
use crate::observe::{Told, Trail};

/// One call's business with the backend.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The same in our log, the backend's log and the error the person sees.
    pub correlation: CorrelationId,
    /// What the backend is told as its parent, where the call is part of a trace.
    pub trace: Option<Told>,
    /// Where hops are marked.
    pub trail: Trail,
}

impl From<CorrelationId> for Errand {
    /// Of a call that begins now and is part of no trace.
    fn from(correlation: CorrelationId) -> Self {
        Self {
            correlation,
            trace: None,
            trail: Trail::begin(),
        }
    }
}
