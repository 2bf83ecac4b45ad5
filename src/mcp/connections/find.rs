//! Which connection a request belongs to. In: its headers and its caller. Out: the connection, or why there is none. An
//! unknown id is healed only where the operator wants that; another person's id and an ended one never are.

use http::{HeaderMap, StatusCode};
use rmcp::model::{ClientCapabilities, Implementation, InitializeRequestParams, ProtocolVersion};

use super::{
    CONNECTION_ID, Connections, VERSION,
    id::{Connection, NoConnection, NoKeys},
};
use crate::{
    auth::Caller,
    mcp::{
        HandlesMcp,
        response::{self, Answer, INTERNAL, INVALID_REQUEST},
    },
};

/// The connection of a request.
pub(super) struct Found {
    pub(super) connection: Connection,
    /// Its id, where it was made in place.
    pub(super) made: Option<String>,
}

/// Why a request has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotFound {
    #[error("a request of this revision needs the Mcp-Session-Id that `initialize` gave")]
    NoId,
    #[error("unknown connection id: send `initialize` without one")]
    Unknown,
    #[error("unsupported MCP-Protocol-Version; supported: {}", versions())]
    Version,
    #[error("no connection could be made")]
    NotMade,
}

impl From<NoKeys> for NotFound {
    fn from(_: NoKeys) -> Self {
        Self::NotMade
    }
}

impl From<NotFound> for Answer {
    fn from(why: NotFound) -> Self {
        let (status, code) = match why {
            NotFound::NoId | NotFound::Version => (StatusCode::BAD_REQUEST, INVALID_REQUEST),
            NotFound::Unknown => (StatusCode::NOT_FOUND, INVALID_REQUEST),
            NotFound::NotMade => (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL),
        };
        response::refusal(status, code, &why.to_string())
    }
}

impl<H: HandlesMcp> Connections<H> {
    /// The connection under the id of this request, or a new one in its place where that is allowed.
    pub(super) fn find(&self, headers: &HeaderMap, caller: &Caller) -> Result<Found, NotFound> {
        check_version(headers)?;
        match self.known(headers, caller) {
            Ok(connection) => Ok(Found {
                connection,
                made: None,
            }),
            Err(_) if self.rules.heal && self.can_heal(headers, caller) => {
                let (id, connection) = self.ids.make(&stranger(headers), caller)?;
                Ok(Found {
                    connection,
                    made: Some(id),
                })
            }
            Err(why) => Err(why),
        }
    }

    /// The connection under the id of this request.
    pub(super) fn known(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> Result<Connection, NotFound> {
        let id = headers.get(CONNECTION_ID).ok_or(NotFound::NoId)?;
        let connection = self.ids.open(id.as_bytes(), caller);
        let connection = connection.map_err(|_| NotFound::Unknown)?;
        if self.live.has_ended(connection.key) {
            return Err(NotFound::Unknown);
        }
        Ok(connection)
    }

    /// An id that is nobody's, or none at all.
    fn can_heal(&self, headers: &HeaderMap, caller: &Caller) -> bool {
        headers.get(CONNECTION_ID).is_none_or(|id| {
            self.ids.open(id.as_bytes(), caller).err() == Some(NoConnection::Unknown)
        })
    }
}

/// A version header that names none of ours is refused (protocol page A.5); a missing one means nothing.
fn check_version(headers: &HeaderMap) -> Result<(), NotFound> {
    let mut known = ProtocolVersion::KNOWN_VERSIONS.iter();
    let is_known = headers
        .get(VERSION)
        .is_none_or(|version| known.any(|known| known.as_str().as_bytes() == version.as_bytes()));
    if is_known {
        Ok(())
    } else {
        Err(NotFound::Version)
    }
}

fn versions() -> String {
    let known = ProtocolVersion::KNOWN_VERSIONS.iter();
    let known: Vec<_> = known.map(ProtocolVersion::as_str).collect();
    known.join(", ")
}

/// A client of which nothing is known but what its headers tell: it can do nothing.
fn stranger(headers: &HeaderMap) -> InitializeRequestParams {
    let version = headers.get(VERSION).and_then(|it| it.to_str().ok());
    let known = ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25);
    let version = known.iter().find(|known| version == Some(known.as_str()));
    let client = Implementation::new("unknown", "");
    let peer = InitializeRequestParams::new(ClientCapabilities::default(), client);
    // What is assumed of who says nothing (protocol page A.4).
    peer.with_protocol_version(version.cloned().unwrap_or(ProtocolVersion::V_2025_03_26))
}
