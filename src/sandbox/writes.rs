//! Writing records: the algorithm of contract §5.3 in one transaction, so that a version check and the write it
//! guards cannot be parted and concurrent writers lose nothing. In: a decoded change. Out: the record, or a refusal.

use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::Value;
use uuid::Uuid;

use super::{
    json::{self, Document},
    kinds::Kind,
    payload::{self, Payload},
    records::{self, Record},
    stamp,
    store::{Owner, StoreError},
};

/// A write to one record, decoded but not yet checked against what is stored.
pub(super) struct Write {
    pub(super) owner: Owner,
    pub(super) kind: Arc<Kind>,
    pub(super) now_ms: i64,
    pub(super) change: Change,
}

/// What is to be done. Bodies are judged where the original judges them: after 404 and 410.
pub(super) enum Change {
    /// A new record, or the whole of an existing one: an upsert that also revives a tombstone.
    Create { body: Document },
    /// PUT: the body becomes the payload.
    Replace {
        uid: Uuid,
        body: Document,
        if_match: Option<i64>,
    },
    /// PATCH: the body's top-level keys are set.
    Merge {
        uid: Uuid,
        body: Document,
        if_match: Option<i64>,
    },
    /// What the entity's archive sets.
    Archive { uid: Uuid },
    /// What one of the entity's actions sets.
    Process { uid: Uuid, body: Document },
    /// A tombstone.
    Delete { uid: Uuid },
}

/// Why a write was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    NotFound,
    /// Milliseconds of the deletion; `again` when a tombstone was to be deleted.
    Gone {
        deleted_at_ms: i64,
        again: bool,
    },
    InvalidJson,
    InvalidAction(String),
    VersionMismatch {
        expected: i64,
        actual: i64,
    },
    /// `null` where the original dereferences it.
    Crash,
    /// Parent links and everything the database refuses; the caller learns the verb only (contract §5.4).
    Failed,
}

impl From<StoreError> for Refusal {
    fn from(_: StoreError) -> Self {
        Self::Failed
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(_: rusqlite::Error) -> Self {
        Self::Failed
    }
}

impl Write {
    /// Checks and stores in one transaction.
    pub(super) fn run(&self, connection: &mut Connection) -> Result<Record, Refusal> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let record = self.apply(&transaction)?;
        transaction.commit()?;
        Ok(record)
    }

    fn apply(&self, transaction: &Transaction<'_>) -> Result<Record, Refusal> {
        let (uid, current) = match &self.change {
            Change::Create { body } => {
                let payload = with_uid(body)?;
                let uid = payload::uid(&payload).ok_or(Refusal::Failed)?;
                let current = records::find(transaction, self.owner, self.kind.name(), uid)?;
                return self.store(transaction, uid, current.as_ref(), payload);
            }
            Change::Replace { uid, .. }
            | Change::Merge { uid, .. }
            | Change::Archive { uid }
            | Change::Process { uid, .. }
            | Change::Delete { uid } => (
                *uid,
                records::find(transaction, self.owner, self.kind.name(), *uid)?
                    .ok_or(Refusal::NotFound)?,
            ),
        };
        if let Some(deleted_at_ms) = current.deleted_at_ms {
            let again = self.deletes();
            return Err(Refusal::Gone {
                deleted_at_ms,
                again,
            });
        }
        let payload = self.changed(uid, &current)?;
        self.store(transaction, uid, Some(&current), payload)
    }

    /// The payload after the operation's own change, before the server's metadata.
    fn changed(&self, uid: Uuid, current: &Record) -> Result<Payload, Refusal> {
        let mut payload = match json::read(current.payload.as_bytes()) {
            Document::Object(payload) => payload,
            Document::Null | Document::Invalid => return Err(Refusal::Failed),
        };
        match &self.change {
            Change::Create { .. } | Change::Delete { .. } => {}
            Change::Replace { body, if_match, .. } => {
                payload = object(body)?.ok_or(Refusal::Crash)?;
                matches_version(*if_match, current)?;
                payload.insert("uid".to_owned(), uid.to_string().into());
            }
            Change::Merge { body, if_match, .. } => {
                let changes = object(body)?.unwrap_or_default();
                matches_version(*if_match, current)?;
                let kept = |key: &str| key != "uid" && key != "sync";
                payload.extend(changes.into_iter().filter(|(key, _)| kept(key)));
            }
            Change::Archive { .. } => payload.extend(self.kind.entity.archive.clone()),
            Change::Process { body, .. } => {
                let action = payload::action(body).ok_or(Refusal::InvalidJson)?;
                let Some(sets) = self.kind.action(&action) else {
                    return Err(Refusal::InvalidAction(action));
                };
                payload.extend(sets.clone());
            }
        }
        Ok(payload)
    }

    /// Stamps, checks the parents and stores: version 1 or one more, a time later than the last.
    fn store(
        &self,
        transaction: &Transaction<'_>,
        uid: Uuid,
        current: Option<&Record>,
        mut payload: Payload,
    ) -> Result<Record, Refusal> {
        if payload
            .iter()
            .any(|(key, value)| key.contains('\0') || json::has_nul(value))
        {
            return Err(Refusal::Failed);
        }
        let (version, ts) = next(current, self.now_ms);
        let deleted_at_ms = self.deletes().then_some(ts);
        payload::stamp(&mut payload, version, ts, self.deletes());
        if self.kind.has_flat_metadata() {
            payload::stamp_flat(&mut payload, version, ts, self.deletes());
        }
        if !self.deletes() {
            self.check_parents(transaction, &payload)?;
        }
        let record = Record {
            uid: uid.to_string(),
            version,
            updated_at_ms: ts,
            deleted_at_ms,
            payload: json::object(&payload),
        };
        put(transaction, self.owner, self.kind.name(), &record)?;
        if self.deletes() && self.kind.detaches_tasks() {
            detach_tasks(transaction, self.owner, uid, self.now_ms)?;
        }
        Ok(record)
    }

    fn deletes(&self) -> bool {
        matches!(self.change, Change::Delete { .. })
    }

    /// Every reference must name a living record of the same user.
    fn check_parents(
        &self,
        transaction: &Transaction<'_>,
        payload: &Payload,
    ) -> Result<(), Refusal> {
        for reference in &self.kind.entity.references {
            let (entity, uid) = payload::parent(reference, payload).ok_or(Refusal::Failed)?;
            let found = records::find(transaction, self.owner, entity, uid)?;
            if found.is_none_or(|parent| parent.deleted_at_ms.is_some()) {
                return Err(Refusal::Failed);
            }
        }
        Ok(())
    }
}

/// The body as an object, `None` for `null`.
fn object(body: &Document) -> Result<Option<Payload>, Refusal> {
    match body {
        Document::Object(object) => Ok(Some(object.clone())),
        Document::Null => Ok(None),
        Document::Invalid => Err(Refusal::InvalidJson),
    }
}

/// The payload of a create: its own `uid` where that is a UUID other than nil (kept as it was written), else a new one.
fn with_uid(body: &Document) -> Result<Payload, Refusal> {
    let mut payload = object(body)?.ok_or(Refusal::Crash)?;
    if payload::uid(&payload).is_none_or(|uid| uid.is_nil()) {
        payload.insert("uid".to_owned(), Uuid::new_v4().to_string().into());
    }
    Ok(payload)
}

fn matches_version(if_match: Option<i64>, current: &Record) -> Result<(), Refusal> {
    match if_match {
        Some(expected) if expected != current.version => Err(Refusal::VersionMismatch {
            expected,
            actual: current.version,
        }),
        _ => Ok(()),
    }
}

/// Version and time of the next write to a record.
fn next(current: Option<&Record>, now_ms: i64) -> (i64, i64) {
    current.map_or((1, now_ms), |record| {
        (record.version + 1, now_ms.max(record.updated_at_ms + 1))
    })
}

fn put(
    transaction: &Transaction<'_>,
    owner: Owner,
    entity: &str,
    record: &Record,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO record (owner, entity, uid, version, updated_at_ms, deleted_at_ms, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            owner.row,
            entity,
            record.uid,
            record.version,
            record.updated_at_ms,
            record.deleted_at_ms,
            record.payload
        ],
    )?;
    Ok(())
}

/// Takes the deleted list out of its living tasks (contract §5.4, last paragraph).
fn detach_tasks(
    transaction: &Transaction<'_>,
    owner: Owner,
    list: Uuid,
    now_ms: i64,
) -> Result<(), Refusal> {
    let tasks: Vec<String> = transaction
        .prepare(
            "SELECT uid FROM record WHERE owner = ?1 AND entity = 'task' AND deleted_at_ms IS NULL
             AND lower(json_extract(payload, '$.taskListUid')) = ?2",
        )?
        .query_map(params![owner.row, list.to_string()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for uid in tasks {
        let uid = Uuid::try_parse(&uid).map_err(|_| Refusal::Failed)?;
        let task = records::find(transaction, owner, "task", uid)?.ok_or(Refusal::Failed)?;
        put(transaction, owner, "task", &detached(&task, now_ms)?)?;
    }
    Ok(())
}

fn detached(task: &Record, now_ms: i64) -> Result<Record, Refusal> {
    let Document::Object(mut payload) = json::read(task.payload.as_bytes()) else {
        return Err(Refusal::Failed);
    };
    let (version, ts) = next(Some(task), now_ms);
    let time = stamp::from_millis(ts);
    payload.remove("taskListUid");
    payload::stamp(&mut payload, version, ts, false);
    payload.insert("updatedAt".to_owned(), time.clone().into());
    if let Some(sync) = payload.get_mut("sync").and_then(Value::as_object_mut) {
        sync.insert("updatedAt".to_owned(), time.into());
    }
    Ok(Record {
        version,
        updated_at_ms: ts,
        payload: json::object(&payload),
        ..task.clone()
    })
}
