//! What a payload says and what the server writes into it (contract §5.3, §5.4); no database in here.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::catalogue::entity::{Reference, ReferenceTarget};

use super::{json::Document, stamp::from_millis};

/// A record's content: free-form, plus the server's metadata.
pub(super) type Payload = Map<String, Value>;

/// What a `process` body asks for; `None` when it is no such body. `metadata` must be an object and is discarded.
pub(super) fn action(body: &Document) -> Option<String> {
    let object = match body {
        Document::Object(object) => object,
        Document::Null => return Some(String::new()),
        Document::Invalid => return None,
    };
    let mut action = String::new();
    for (key, value) in object {
        // The original decodes into a struct, whose keys match in any case.
        match (key.to_ascii_lowercase().as_str(), value) {
            ("action", Value::String(text)) => action.clone_from(text),
            ("action" | "metadata", Value::Null) | ("metadata", Value::Object(_)) => {}
            ("action" | "metadata", _) => return None,
            _ => {}
        }
    }
    Some(action)
}

/// The uid a payload names, if it is one.
pub(super) fn uid(payload: &Payload) -> Option<Uuid> {
    Uuid::try_parse(payload.get("uid")?.as_str()?).ok()
}

/// The entity and uid that a reference points to; `None` for anything missing or malformed.
pub(super) fn parent<'a>(
    reference: &'a Reference,
    payload: &'a Payload,
) -> Option<(&'a str, Uuid)> {
    let uid = Uuid::try_parse(payload.get(&reference.wire)?.as_str()?).ok()?;
    let entity = match &reference.target {
        ReferenceTarget::Entity(entity) => entity,
        ReferenceTarget::Field { wire, entities } => {
            let named = payload.get(wire)?.as_str()?;
            entities.iter().find(|entity| *entity == named)?
        }
    };
    Some((entity, uid))
}

/// The server's metadata, over whatever the client sent.
pub(super) fn stamp(payload: &mut Payload, version: i64, ts: i64, deleted: bool) {
    let time = from_millis(ts);
    let mut sync = json!({ "version": version, "isDeleted": deleted });
    if deleted && let Some(sync) = sync.as_object_mut() {
        sync.insert("deletedAt".to_owned(), time.clone().into());
    }
    payload.insert("updatedTs".to_owned(), time.clone().into());
    payload.insert("updateTime".to_owned(), time.into());
    payload.insert("sync".to_owned(), sync);
}

/// The flat copies that notes carry.
pub(super) fn stamp_flat(payload: &mut Payload, version: i64, ts: i64, deleted: bool) {
    let time = from_millis(ts);
    payload.insert("version".to_owned(), version.into());
    payload.insert("isDirty".to_owned(), 0.into());
    payload.insert("isDeleted".to_owned(), i64::from(deleted).into());
    payload.insert("remoteUpdatedAt".to_owned(), time.clone().into());
    payload.insert("lastSyncedAt".to_owned(), time.into());
}
