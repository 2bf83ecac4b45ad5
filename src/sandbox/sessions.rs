//! Sync sessions (contract §2): in memory, an absolute lifetime, gone with the process. A session belongs to one
//! user; its epoch is only told, never compared.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use super::{stamp, store::Owner};

/// The sessions that are open, oldest first.
pub(super) struct Sessions {
    lifetime: Duration,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    by_id: HashMap<Uuid, Session>,
    /// In order of creation, which is the order of expiry too: sweeping never scans.
    ages: VecDeque<(Duration, Uuid)>,
}

/// One open session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) owner: Owner,
    created: Duration,
    expires: Duration,
    pub(super) epoch: i64,
}

impl Session {
    /// The five fields of contract §2.1 as JSON.
    pub(super) fn json(&self) -> String {
        format!(
            r#"{{"id":"{}","userId":"{}","createdAt":"{}","expiresAt":"{}","epoch":{}}}"#,
            self.id,
            self.owner.uid,
            stamp::from_time(self.created),
            stamp::from_time(self.expires),
            self.epoch
        )
    }
}

impl Sessions {
    /// Nobody has one yet.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            open: Mutex::default(),
        }
    }

    /// Opens a session, and forgets those that have expired.
    pub(super) fn open(&self, owner: Owner, epoch: i64, now: Duration) -> Session {
        let session = Session {
            id: Uuid::new_v4(),
            owner,
            created: now,
            expires: now + self.lifetime,
            epoch,
        };
        let mut open = self.lock();
        while let Some((_, id)) = open.ages.pop_front_if(|(expires, _)| *expires < now) {
            open.by_id.remove(&id);
        }
        open.ages.push_back((session.expires, session.id));
        open.by_id.insert(session.id, session);
        session
    }

    /// The unexpired session with this id, whoever owns it.
    pub(super) fn find(&self, id: &str, now: Duration) -> Option<Session> {
        let uid = Uuid::try_parse(id).ok()?;
        let session = self.lock().by_id.get(&uid).copied()?;
        // Ids are compared as text: another spelling of the same UUID is another id.
        let is_known = session.id.to_string() == id && now <= session.expires;
        is_known.then_some(session)
    }

    /// Ends one session.
    pub(super) fn close(&self, session: &Session) {
        self.lock().by_id.remove(&session.id);
    }

    /// Ends every session of a user (a wipe).
    pub(super) fn close_all_of(&self, owner: Owner) {
        self.lock()
            .by_id
            .retain(|_, session| session.owner != owner);
    }

    /// Ends every session of everybody (a fault).
    pub(super) fn clear(&self) {
        *self.lock() = Open::default();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_a_session_forgets_the_expired_ones() {
        let sessions = Sessions::new(Duration::from_secs(10));
        let owner = Owner {
            row: 1,
            uid: Uuid::nil(),
        };
        let first = sessions.open(owner, 1, Duration::from_secs(100));
        let id = first.id.to_string();
        assert!(sessions.find(&id, Duration::from_secs(110)).is_some());
        assert!(sessions.find(&id, Duration::from_secs(111)).is_none());
        assert!(
            sessions
                .find(&id.to_uppercase(), Duration::from_secs(100))
                .is_none()
        );
        sessions.open(owner, 1, Duration::from_secs(111));
        assert_eq!(sessions.lock().by_id.len(), 1);
        assert_eq!(sessions.lock().ages.len(), 1);
    }
}
