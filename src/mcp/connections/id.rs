//! The id of a connection is its own store: version, client, capabilities, person and time of the handshake, sealed
//! (AES-256-GCM-SIV), so that every process with the key knows a connection that it has never seen. In: a handshake.
//! Out: an id, and what was agreed under it. An id opens for nobody but the person who made the handshake.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rmcp::model::{ClientCapabilities, Implementation, InitializeRequestParams, ProtocolVersion};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{auth::Caller, mcp::seal::SealKeys};

const PURPOSE: &[u8] = b"toolbridge connection id";
/// What is sealed, so that a later form is told apart from this one.
const FORM: &[u8] = b"connection 1";
/// No id of ours is longer; a proxy takes 8 KiB of header lines.
const LONGEST: usize = 2048;
/// Capabilities longer than this are sealed without what a client adds of its own.
const LONGEST_CAPABILITIES: usize = 512;
/// Of names and versions that clients give themselves.
const LONGEST_NAME: usize = 64;
/// Machines of one app may differ so much in their clocks.
const SKEW: Duration = Duration::from_secs(300);

/// Makes ids and opens them.
pub struct ConnectionIds {
    current: RandomizedNonceKey,
    /// Only open.
    others: Vec<RandomizedNonceKey>,
    lifetime: Duration,
    now: fn() -> Duration,
}

/// A connection as its id tells it.
#[derive(Clone, Debug)]
pub(in crate::mcp) struct Connection {
    pub(in crate::mcp) key: ConnectionKey,
    /// What the client said of itself in the handshake; its version is the one that was agreed.
    pub(in crate::mcp) peer: InitializeRequestParams,
    /// When the handshake was, since 1970.
    pub(in crate::mcp) since: Duration,
}

/// Tells connections apart in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::mcp) struct ConnectionKey([u8; NONCE_LEN]);

/// Why an id opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum NoConnection {
    /// Not ours, changed, or too old: whoever sends it may have had a connection once.
    Unknown,
    /// Another person's.
    NotYours,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(rename = "v")]
    version: ProtocolVersion,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "w")]
    client_version: String,
    #[serde(rename = "c")]
    capabilities: ClientCapabilities,
    #[serde(rename = "p")]
    person: String,
    #[serde(rename = "s")]
    since: u64,
}

/// The keys cannot be used: a bug of ours, since they are made here.
#[derive(Debug, thiserror::Error)]
#[error("no keys for connection ids: this is a bug of toolbridge")]
pub struct NoKeys;

impl ConnectionIds {
    /// Ids that open for `lifetime`; `now` is the time since 1970.
    ///
    /// # Errors
    /// [`NoKeys`]: the library refuses our keys.
    pub fn new(keys: &SealKeys, lifetime: Duration, now: fn() -> Duration) -> Result<Self, NoKeys> {
        let key =
            |key: [u8; 32]| RandomizedNonceKey::new(&AES_256_GCM_SIV, &key).map_err(|_| NoKeys);
        let keys = keys.made_for(PURPOSE);
        Ok(Self {
            current: key(keys.current)?,
            others: keys.others.into_iter().map(key).collect::<Result<_, _>>()?,
            lifetime,
            now,
        })
    }

    /// The id of a new connection, and the connection.
    pub(in crate::mcp) fn make(
        &self,
        peer: &InitializeRequestParams,
        caller: &Caller,
    ) -> Result<(String, Connection), NoKeys> {
        let sealed = Sealed {
            version: peer.protocol_version.clone(),
            name: cut(&peer.client_info.name),
            client_version: cut(&peer.client_info.version),
            capabilities: kept(&peer.capabilities),
            person: person(caller),
            since: (self.now)().as_secs(),
        };
        let mut bytes = serde_json::to_vec(&sealed).map_err(|_| NoKeys)?;
        let nonce = self
            .current
            .seal_in_place_append_tag(Aad::from(FORM), &mut bytes)
            .map_err(|_| NoKeys)?;
        let nonce = *nonce.as_ref();
        let id = URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat());
        Ok((id, sealed.connection(nonce)))
    }

    /// The connection under this id, if it is this person's.
    pub(in crate::mcp) fn open(
        &self,
        id: &[u8],
        caller: &Caller,
    ) -> Result<Connection, NoConnection> {
        let (nonce, sealed) = self.opened(id).ok_or(NoConnection::Unknown)?;
        if sealed.person != person(caller) {
            return Err(NoConnection::NotYours);
        }
        let (since, now) = (Duration::from_secs(sealed.since), (self.now)());
        let is_old = now.saturating_sub(since) > self.lifetime;
        let is_ahead = since.saturating_sub(now) > SKEW;
        if is_old || is_ahead {
            return Err(NoConnection::Unknown);
        }
        Ok(sealed.connection(nonce))
    }

    fn opened(&self, id: &[u8]) -> Option<([u8; NONCE_LEN], Sealed)> {
        if id.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut keys = std::iter::once(&self.current).chain(&self.others);
        keys.find_map(|key| {
            // Opening in place spoils what it was given where the key does not fit.
            let mut sealed = sealed.to_vec();
            let nonce_of_key = Nonce::assume_unique_for_key(*nonce);
            let plain = key.open_in_place(nonce_of_key, Aad::from(FORM), &mut sealed);
            let plain = serde_json::from_slice(plain.ok()?).ok()?;
            Some((*nonce, plain))
        })
    }
}

impl Sealed {
    fn connection(self, nonce: [u8; NONCE_LEN]) -> Connection {
        let client = Implementation::new(self.name, self.client_version);
        let peer = InitializeRequestParams::new(self.capabilities, client);
        Connection {
            key: ConnectionKey(nonce),
            peer: peer.with_protocol_version(self.version),
            since: Duration::from_secs(self.since),
        }
    }
}

/// Issuer and subject, each with its length, so that no two people have the same; hashed, so that ids stay short.
fn person(caller: &Caller) -> String {
    let mut digest = Sha256::new();
    for part in [caller.issuer(), caller.subject()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

fn cut(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

/// The capabilities that we may rely on later; a client that has very much to say is believed the specified ones.
fn kept(capabilities: &ClientCapabilities) -> ClientCapabilities {
    let is_short =
        serde_json::to_vec(capabilities).is_ok_and(|written| written.len() <= LONGEST_CAPABILITIES);
    if is_short {
        return capabilities.clone();
    }
    let mut kept = ClientCapabilities::default();
    kept.elicitation.clone_from(&capabilities.elicitation);
    // Without its details, which may be of any length: an id that is too long would open nothing.
    kept.sampling = capabilities.sampling.as_ref().map(|_| Default::default());
    kept.roots.clone_from(&capabilities.roots);
    kept
}

#[cfg(test)]
mod tests;
