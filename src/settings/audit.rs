//! `audit.*`: whether each write leaves a line in a file, where, and what becomes of writes when it cannot.

use super::{keys, parse, reader::Reader};
use crate::observe::audit::{AuditSettings, OnFailure};

/// `None` where something is wrong; no audit where no file is named.
pub(super) fn read(reader: &mut Reader) -> Option<Option<AuditSettings>> {
    let file = reader.text(&keys::AUDIT_FILE, parse::path);
    let is_wrong = file.is_none() && reader.is_set(&keys::AUDIT_FILE);
    let max_bytes = reader.scalar(&keys::AUDIT_MAX_SIZE, parse::bytes);
    let keep = reader.scalar(&keys::AUDIT_KEEP, parse::count);
    let arguments = reader.boolean(&keys::AUDIT_ARGUMENTS);
    let ways = [
        ("refuse", OnFailure::Refuse),
        ("continue", OnFailure::Continue),
    ];
    let on_failure = reader.text(&keys::AUDIT_ON_FAILURE, |text| parse::one_of(text, &ways));
    let (max_bytes, keep, arguments, on_failure) = (max_bytes?, keep?, arguments?, on_failure?);
    if is_wrong {
        return None;
    }
    Some(file.map(|file| AuditSettings {
        file,
        max_bytes,
        keep,
        arguments,
        on_failure,
    }))
}
