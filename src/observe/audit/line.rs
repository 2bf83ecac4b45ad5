//! One line of the audit: JSON whose last two members are the hash of the line before and its own. In: an event, and what
//! it follows. Out: bytes; or from bytes what they claim, once their hash is right. What is hashed is the line as it stands
//! there without its last member, so that nobody has to agree on how JSON is written (docs/audit.md).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::clock;

/// No line is longer, its end included. What is longer was not written by us, and is not read to its end.
pub(super) const LONGEST: usize = 1024 * 1024;
/// Arguments that are longer as JSON are left out of a line.
pub const LONGEST_ARGUMENTS: usize = 256 * 1024;

const VERSION: u8 = 1;
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
const BEHIND_HASH: &[u8] = b"\"}";
const HASH_LENGTH: usize = 64;
/// The last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a write call was, and how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When it ended, since 1970.
    #[serde(skip)]
    pub at: Duration,
    /// In whose name, once that was known.
    pub tenant: Option<String>,
    /// `iss` of the caller's token.
    pub issuer: String,
    /// `sub` of the caller's token.
    pub subject: String,
    /// What the client calls itself; nothing but a remark.
    pub client: Option<String>,
    /// The tool.
    pub tool: String,
    /// The entity it is about.
    pub entity: Option<String>,
    /// The uid of the record.
    pub record: Option<String>,
    /// The record's version before, where the call or the backend named it.
    pub version_before: Option<u64>,
    /// Its version afterwards, where the backend's answer has it.
    pub version_after: Option<u64>,
    /// `ok`, or the code of the error.
    pub outcome: &'static str,
    /// The backend's HTTP status, where it is known.
    pub status: Option<u16>,
    /// Whether it sent nothing, because the same write had been begun before.
    pub repeated: bool,
    /// False only where it is certain that the backend changed nothing.
    pub may_have_written: bool,
    /// The same as in our log and in the backend's.
    pub correlation_id: String,
    /// The arguments, only where they are asked for and not too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Map<String, Value>>,
    /// How many bytes of arguments were left out for being too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_left_out: Option<usize>,
}

/// What a line tells.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// A write call has ended.
    Write(Box<Entry>),
    /// The lines before this one are in another file, which has this name now.
    Rotated { file: String },
    /// The file ended in the middle of a line, because its process or machine ended there. This is what stood there.
    Torn {
        bytes: usize,
        sha256: String,
        text: String,
    },
    /// So many lines could not be written, nor kept until they could.
    Lost { lines: u64 },
}

/// The hash of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Why a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no hash: 64 hexadecimal digits in lower case")]
pub struct NoHash;

/// Which line another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Hash {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From 64 hexadecimal digits in lower case, so that each hash has one form.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, NoHash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NoHash)?;
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        is_lower.then_some(Self(bytes)).ok_or(NoHash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Link {
    /// What the first line of all follows.
    pub(super) const NOTHING: Self = Self {
        seq: 0,
        hash: Hash([0; 32]),
    };
}

#[derive(Serialize)]
struct Body<'e> {
    v: u8,
    seq: u64,
    at: String,
    #[serde(flatten)]
    event: &'e Event,
    prev: String,
}

/// What stood in the file where a line ends in the middle.
pub(super) fn torn(fragment: &[u8]) -> Event {
    /// Each byte may become six in JSON.
    const MOST_SHOWN: usize = LONGEST / 16;
    let shown = fragment.get(..MOST_SHOWN).unwrap_or(fragment);
    Event::Torn {
        bytes: fragment.len(),
        sha256: Hash::of(fragment).to_string(),
        text: String::from_utf8_lossy(shown).into_owned(),
    }
}

/// The line of this event, its end included, and what the next one follows.
///
/// # Errors
/// It cannot be written as JSON, or is too long.
pub(super) fn written(
    event: &Event,
    at: Duration,
    after: Link,
) -> Result<(Vec<u8>, Link), serde_json::Error> {
    let at = at.min(Duration::from_secs(LAST_SECOND));
    let seq = after.seq + 1;
    let mut line = serde_json::to_vec(&Body {
        v: VERSION,
        seq,
        at: clock::written_exactly(at).to_string(),
        event,
        prev: after.hash.to_string(),
    })?;
    let hash = Hash::of(&line);
    line.pop();
    line.extend_from_slice(BEFORE_HASH);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(BEHIND_HASH);
    line.push(b'\n');
    if line.len() > LONGEST {
        return Err(serde::ser::Error::custom("the line is too long"));
    }
    Ok((line, Link { seq, hash }))
}

/// What a line whose hash is right says.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) link: Link,
    pub(super) prev: Hash,
    pub(super) at: String,
    pub(super) is_rotated: bool,
}

/// Why a line is none of an audit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoLine {
    #[error("it does not end in a hash")]
    NoHash,
    #[error("it was changed: its hash is not that of what it says")]
    Changed,
    #[error("it is no line of an audit")]
    Foreign,
}

#[derive(Deserialize)]
struct Claims {
    v: u8,
    seq: u64,
    at: String,
    event: String,
    prev: String,
}

/// What a line says, without its end.
pub(super) fn read(line: &[u8]) -> Result<Read, NoLine> {
    let rest = line.strip_suffix(BEHIND_HASH).ok_or(NoLine::NoHash)?;
    let split = rest.len().checked_sub(HASH_LENGTH).ok_or(NoLine::NoHash)?;
    let (rest, hash) = rest.split_at(split);
    let body = rest.strip_suffix(BEFORE_HASH).ok_or(NoLine::NoHash)?;
    let hash = std::str::from_utf8(hash).map_err(|_| NoLine::NoHash)?;
    let hash = Hash::parse(hash).map_err(|_| NoLine::NoHash)?;
    let body = [body, b"}"].concat();
    if Hash::of(&body) != hash {
        return Err(NoLine::Changed);
    }
    let claims: Claims = serde_json::from_slice(&body).map_err(|_| NoLine::Foreign)?;
    // It is printed: nothing that a terminal would obey.
    let is_time =
        |at: &str| at.len() == 24 && at.bytes().all(|it| b"0123456789-:.TZ".contains(&it));
    if claims.v != VERSION || !is_time(&claims.at) {
        return Err(NoLine::Foreign);
    }
    Ok(Read {
        link: Link {
            seq: claims.seq,
            hash,
        },
        prev: Hash::parse(&claims.prev).map_err(|_| NoLine::Foreign)?,
        at: claims.at,
        is_rotated: claims.event == "rotated",
    })
}
