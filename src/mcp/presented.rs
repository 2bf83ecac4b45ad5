//! One step of a call by itself, for the benches in `benches/micro`: the body of a backend's answer → the message that the
//! client reads. In: a tool and bytes. Out: a body. What a call does with an answer has to be done here in the same way, or
//! the benches measure something else.

use bytes::Bytes;
use http_body::Body;
use serde_json::value::RawValue;

use super::{Outcome, listing::Era, present, published, written::Answers};
use crate::{
    backend::ReplyBody,
    catalogue::{Catalogue, Tool},
};

/// Presents the answers to calls of one catalogue.
#[doc(hidden)]
pub struct Presenter(Answers);

impl Presenter {
    /// As it is made at load.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Self {
        Self(Answers::of(&published::description(catalogue)))
    }

    /// The answer to a request of revision 2026-07-28; `None` where the backend's is none that the tool declares.
    #[must_use]
    pub fn present(
        &self,
        tool: &Tool,
        id: &RawValue,
        body: Bytes,
    ) -> Option<impl Body<Data = Bytes> + use<>> {
        let body = ReplyBody::read(body).ok()?;
        let text = present::result(tool, body).ok()?;
        Some(self.0.written(Era::Modern, id, Outcome::Success(text)))
    }
}
