//! The endpoints around the records: sessions, wipe, state and the public information (contract §2, §6.3).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    json::{self, Document},
    kinds::Kind,
    pipeline::{Call, Pipeline, User},
    reply::Reply,
    sessions::Session,
    stamp,
    store::Owner,
};

/// `GET /v1/sync/info`, as the original words it; the delta sync it advertises is not part of the sandbox.
pub(super) fn info(kinds: &[Arc<Kind>], now: Duration) -> Reply {
    let entity = json!({ "maxLimit": 1000, "push": true, "pull": true });
    let entities: Map<String, Value> = kinds
        .iter()
        .map(|kind| (kind.entity.plural.clone(), entity.clone()))
        .collect();
    Reply::json(
        200,
        json!({
            "apiVersion": "1.1",
            "serverTime": stamp::from_time(now),
            "entities": entities,
            "locking": { "supported": true, "mode": "session" },
            "minClientVersion": "0.1.0",
            "rateLimit": { "windowSeconds": 60, "maxRequests": 600, "burst": 120 },
            "hints": { "recommendedBatch": 500, "backoffMsOn429": 1500 },
        })
        .to_string(),
    )
}

impl Pipeline {
    /// `POST /v1/sync/sessions`; the body is ignored.
    pub(super) async fn open_session(&self, owner: Owner, now: Duration) -> Result<Reply, Reply> {
        let failed = |_| Reply::error(500, "Failed to load epoch");
        let epoch = self.store.epoch(owner).await.map_err(failed)?;
        let session = self.sessions.open(owner, epoch, now);
        if self.faults.takes_epoch_bump() {
            self.store.bump_epoch(owner).await.map_err(failed)?;
        }
        Ok(Reply::json(201, session.json()).with_number("x-sync-epoch", session.epoch))
    }

    /// `GET /v1/sync/sessions/{id}`.
    pub(super) fn read_session(
        &self,
        id: &str,
        owner: Owner,
        now: Duration,
    ) -> Result<Reply, Reply> {
        let session = self.own_session(id, owner, now)?;
        Ok(Reply::json(200, session.json()))
    }

    /// `DELETE /v1/sync/sessions/{id}`.
    pub(super) fn close_session(
        &self,
        id: &str,
        owner: Owner,
        now: Duration,
    ) -> Result<Reply, Reply> {
        let session = self.own_session(id, owner, now)?;
        self.sessions.close(&session);
        Ok(Reply::empty(204))
    }

    fn own_session(&self, id: &str, owner: Owner, now: Duration) -> Result<Session, Reply> {
        let session = self.sessions.find(id, now);
        let session = session.ok_or_else(|| Reply::text(404, "session not found or expired"))?;
        if session.owner != owner {
            return Err(Reply::text(403, "forbidden"));
        }
        Ok(session)
    }

    /// `POST /v1/sync/wipe`: every record of the user, and every session, the one in use included.
    pub(super) async fn wipe(
        &self,
        call: &Call,
        owner: Owner,
        now: Duration,
    ) -> Result<Reply, Reply> {
        let body = match json::read(&call.body) {
            Document::Object(body) => body,
            Document::Null => Map::new(),
            Document::Invalid => return Err(Reply::error(400, "invalid request body")),
        };
        match body.get("confirm") {
            Some(Value::String(word)) if word == "WIPE" => {}
            None | Some(Value::Null | Value::String(_)) => {
                let message = r#"confirmation required: must send {"confirm":"WIPE"}"#;
                return Err(Reply::error(400, message));
            }
            Some(_) => return Err(Reply::error(400, "invalid request body")),
        }
        let wiped = self.store.wipe(owner, stamp::millis(now)).await;
        let (epoch, counts) = wiped.map_err(|_| Reply::error(500, "failed to wipe"))?;
        self.sessions.close_all_of(owner);
        let kinds = self.routes.kinds().iter();
        let mut deleted: BTreeMap<String, i64> =
            kinds.map(|kind| (kind.name().to_owned(), 0)).collect();
        deleted.extend(counts);
        Ok(Reply::json(
            200,
            json!({ "epoch": epoch, "deleted": deleted }).to_string(),
        ))
    }

    /// `GET /v1/sync/state`.
    pub(super) async fn state(&self, user: &User) -> Result<Reply, Reply> {
        let failed = |_| Reply::error(500, "failed to load state");
        let state = self.store.state(user.owner).await.map_err(failed)?;
        let mut answer = json!({ "epoch": state.epoch });
        if let (Some(wiped), Some(answer)) = (state.wiped_at_ms, answer.as_object_mut()) {
            let at = stamp::from_millis(wiped);
            answer.insert("lastWipeAt".to_owned(), at.into());
            answer.insert("lastWipeBy".to_owned(), user.subject.clone().into());
        }
        Ok(Reply::json(200, answer.to_string()))
    }
}
