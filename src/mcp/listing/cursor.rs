//! Where a list goes on. Opaque to clients; carries a check over the list, so that one of another catalogue, another
//! dialect or another's making leads nowhere, and one of the same list goes on after a restart or on another machine. It
//! keeps nothing secret and guards nothing: what a caller sees of a page is decided by the scopes of whoever asks.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::BadCursor;

const INDEX: usize = 4;
const CHECK: usize = 8;

/// The cursor of the page that begins with this tool.
pub(super) fn write(index: usize, list: &[u8; 32]) -> String {
    let index = u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
    URL_SAFE_NO_PAD.encode([&index[..], &check(index, list)].concat())
}

/// The tool that the page begins with.
pub(super) fn read(cursor: &str, list: &[u8; 32]) -> Result<usize, BadCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| BadCursor)?;
    let (index, told) = bytes.split_first_chunk::<INDEX>().ok_or(BadCursor)?;
    if told != check(*index, list) {
        return Err(BadCursor);
    }
    usize::try_from(u32::from_be_bytes(*index)).map_err(|_| BadCursor)
}

fn check(index: [u8; INDEX], list: &[u8; 32]) -> [u8; CHECK] {
    let mut digest = Sha256::new();
    digest.update(list);
    digest.update(index);
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}
