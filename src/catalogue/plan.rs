//! A plan: the one HTTP request a tool call becomes, before any identity is attached to it.
//! Nothing in it came from the client unchecked: segments and values are encoded, headers are ours.

use std::sync::Arc;

use http::{HeaderMap, Method, header::IF_MATCH};

use super::session::SessionRecipe;

/// Whether a tool changes anything at the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads only: may be repeated and may be abandoned.
    Read,
    /// Writes: once sent it runs to its end; see [`Plan::may_be_repeated`].
    Write,
}

/// One request to the backend.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The HTTP method.
    pub method: Method,
    /// Path and query, already encoded, starting with `/`.
    pub target: String,
    /// Headers that come from arguments (`If-Match`); never identity headers.
    pub headers: HeaderMap,
    /// JSON text; `None` sends no body and no content type.
    pub body: Option<Vec<u8>>,
    /// What the call may do to the backend's state.
    pub effect: Effect,
    /// How the session of its own is opened that the request needs; `None` where it needs none.
    pub session: Option<Arc<SessionRecipe>>,
    /// The statuses that mean success.
    pub success: Arc<[u16]>,
}

impl Plan {
    /// Whether doing it twice is doing it once: what only reads, PUT and DELETE (RFC 9110 §9.2.2), and a PATCH that names
    /// the version it changes. Any other write may have to be repeated only by whoever knows that it did not arrive.
    #[must_use]
    pub fn may_be_repeated(&self) -> bool {
        match self.method {
            Method::PUT | Method::DELETE => true,
            Method::PATCH => self.effect == Effect::Read || self.headers.contains_key(IF_MATCH),
            _ => self.effect == Effect::Read,
        }
    }
}
