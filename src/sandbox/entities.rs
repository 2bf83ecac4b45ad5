//! The eight operations as endpoints (contract §5): reads query and path, calls the store, words the outcome.

use std::sync::Arc;

use rusqlite::Connection;
use uuid::Uuid;

use super::{
    json::{self, Document},
    kinds::Kind,
    payload,
    pipeline::Call,
    records::{self, Page, Record},
    reply::Reply,
    routes::Operation,
    store::{Owner, Store, StoreError},
    writes::{Change, Refusal, Write},
};

/// One entity request behind all checks.
pub(super) struct EntityRequest<'a> {
    pub(super) store: &'a Store,
    pub(super) owner: Owner,
    pub(super) kind: Arc<Kind>,
    pub(super) now_ms: i64,
    /// The fault that shows other users' records.
    pub(super) leaks: bool,
}

impl EntityRequest<'_> {
    /// The answer, or the refusal, of one operation.
    pub(super) async fn answer(&self, operation: Operation, call: &Call) -> Result<Reply, Reply> {
        let body = || json::read(&call.body);
        match operation {
            Operation::List => self.list(Page::of(&call.query)).await,
            Operation::Get(uid) => self.get(path_uid(&uid)?, &call.query).await,
            Operation::Create => self.write("create", Change::Create { body: body() }).await,
            Operation::Update(uid) => {
                let (uid, if_match) = (path_uid(&uid)?, if_match(call.header("if-match")));
                let body = body();
                let change = Change::Replace {
                    uid,
                    body,
                    if_match,
                };
                self.write("update", change).await
            }
            Operation::Patch(uid) => {
                let (uid, if_match) = (path_uid(&uid)?, if_match(call.header("if-match")));
                let body = body();
                let change = Change::Merge {
                    uid,
                    body,
                    if_match,
                };
                self.write("patch", change).await
            }
            Operation::Delete(uid) => {
                let uid = path_uid(&uid)?;
                self.write("delete", Change::Delete { uid }).await
            }
            Operation::Archive(uid) => {
                let uid = path_uid(&uid)?;
                self.write("archive", Change::Archive { uid }).await
            }
            Operation::Process(uid) => self.process(path_uid(&uid)?, body()).await,
        }
    }

    async fn list(&self, page: Page) -> Result<Reply, Reply> {
        let (owner, kind) = (self.owner, Arc::clone(&self.kind));
        let read = move |connection: &mut Connection| {
            let records = records::page(connection, owner, kind.name(), &page)?;
            Ok(records::list(&records))
        };
        let failed = |_| {
            let message = format!("failed to list {}", self.kind.label_plural);
            Reply::error(500, message)
        };
        let list = self.store.run(read).await.map_err(failed)?;
        Ok(Reply::json(200, list))
    }

    async fn get(&self, uid: Uuid, query: &str) -> Result<Reply, Reply> {
        let record = self.find(uid).await.map_err(|_| self.failed("get"))?;
        let record = record.ok_or_else(|| self.not_found())?;
        match record.deleted_at_ms {
            Some(deleted) if !records::include_deleted(query) => {
                Err(Reply::gone(format!("{} deleted", self.kind.label), deleted))
            }
            _ => Ok(Reply::json(200, record.item())),
        }
    }

    async fn find(&self, uid: Uuid) -> Result<Option<Record>, StoreError> {
        let (owner, kind, leaks) = (self.owner, Arc::clone(&self.kind), self.leaks);
        let read = move |connection: &mut Connection| {
            let mine = records::find(connection, owner, kind.name(), uid)?;
            if mine.is_none() && leaks {
                return Ok(records::find_of_anybody(connection, kind.name(), uid)?);
            }
            Ok(mine)
        };
        self.store.run(read).await
    }

    /// The core entities judge the body before they look for the record, the task lists after (contract §5.6).
    async fn process(&self, uid: Uuid, body: Document) -> Result<Reply, Reply> {
        if !self.kind.is_task_list && payload::action(&body).is_none() {
            return Err(Reply::error(400, "invalid JSON"));
        }
        self.write("process", Change::Process { uid, body }).await
    }

    async fn write(&self, verb: &str, change: Change) -> Result<Reply, Reply> {
        let status = if verb == "create" { 201 } else { 200 };
        let write = Write {
            owner: self.owner,
            kind: Arc::clone(&self.kind),
            now_ms: self.now_ms,
            change,
        };
        let done = self
            .store
            .run(move |connection| Ok(write.run(connection)))
            .await;
        match done.unwrap_or_else(|error| Err(error.into())) {
            Ok(record) => Ok(Reply::json(status, record.item())),
            Err(refusal) => Err(self.refused(verb, refusal)),
        }
    }

    fn refused(&self, verb: &str, refusal: Refusal) -> Reply {
        let label = &self.kind.label;
        match refusal {
            Refusal::NotFound => self.not_found(),
            Refusal::Gone {
                deleted_at_ms,
                again,
            } => {
                let already = if again { "already " } else { "" };
                Reply::gone(format!("{label} {already}deleted"), deleted_at_ms)
            }
            Refusal::InvalidJson => Reply::error(400, "invalid JSON"),
            Refusal::InvalidAction(action) if self.kind.is_task_list => {
                Reply::error(400, format!("unknown action: {action}"))
            }
            Refusal::InvalidAction(action) => {
                Reply::error(400, format!("invalid action: {action}"))
            }
            Refusal::VersionMismatch { expected, actual } => Reply::error(
                412,
                format!("version mismatch: version mismatch: expected {expected}, actual {actual}"),
            ),
            Refusal::Crash => Reply::empty(500),
            Refusal::Failed => self.failed(verb),
        }
    }

    fn not_found(&self) -> Reply {
        Reply::error(404, format!("{} not found", self.kind.label))
    }

    fn failed(&self, verb: &str) -> Reply {
        Reply::error(500, format!("failed to {verb} {}", self.kind.label))
    }
}

fn path_uid(text: &str) -> Result<Uuid, Reply> {
    Uuid::try_parse(text).map_err(|_| Reply::error(400, "invalid UID"))
}

/// A version, bare or in one pair of quotes; anything else is no condition at all (contract §5.5).
fn if_match(header: &str) -> Option<i64> {
    let quoted = header
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    quoted.unwrap_or(header).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_number_bare_or_quoted_and_otherwise_ignored() {
        for (header, version) in [
            ("5", Some(5)),
            ("\"5\"", Some(5)),
            ("", None),
            ("W/\"5\"", None),
            ("*", None),
            ("\"abc\"", None),
            ("\"5", None),
            ("\"\"5\"\"", None),
        ] {
            assert_eq!(if_match(header), version, "{header}");
        }
    }

    #[test]
    fn a_path_uid_may_take_four_forms() {
        let canonical = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        for text in [
            canonical.to_owned(),
            canonical.to_uppercase(),
            canonical.replace('-', ""),
            format!("{{{canonical}}}"),
            format!("urn:uuid:{canonical}"),
        ] {
            assert_eq!(path_uid(&text).unwrap().to_string(), canonical, "{text}");
        }
        assert!(path_uid("not-a-uid").is_err());
    }
}
