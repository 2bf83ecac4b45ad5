//! Sessions that outlive their call, where the operator wants that (`backend.session.reuse`): for the same person in the
//! same tenant, for so long at most. In: sessions as they are opened. Out: their headers, until the backend calls one
//! stale. Person and tenant are three fields and never joined; a session of another catalogue's recipe is not used.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;

use crate::{catalogue::SessionRecipe, identity::Identity};

/// So many are kept; beyond that, calls open their own.
const MOST: usize = 10_000;

/// Issuer, subject, tenant.
type Whose = (String, String, String);

/// The sessions of the moment.
#[derive(Debug)]
pub(super) struct KeptSessions {
    keep: Duration,
    sessions: Mutex<HashMap<Whose, Kept>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    headers: HeaderMap,
    recipe: Arc<SessionRecipe>,
    opened: Instant,
    number: u64,
}

/// Which of the sessions of this person it is.
#[derive(Clone, Debug)]
pub(super) struct Number(Whose, u64);

impl KeptSessions {
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            keep,
            sessions: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    /// The session of this identity, if there is one that is young enough.
    pub(super) fn find(
        &self,
        identity: &Identity,
        recipe: &Arc<SessionRecipe>,
    ) -> Option<(HeaderMap, Number)> {
        let whose = whose(identity);
        let sessions = self.sessions();
        let kept = sessions.get(&whose)?;
        let fits = Arc::ptr_eq(&kept.recipe, recipe) && kept.opened.elapsed() < self.keep;
        fits.then(|| (kept.headers.clone(), Number(whose, kept.number)))
    }

    /// Keeps a session that was just opened.
    pub(super) fn keep(
        &self,
        identity: &Identity,
        recipe: &Arc<SessionRecipe>,
        headers: &HeaderMap,
    ) -> Number {
        let whose = whose(identity);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let kept = Kept {
            headers: headers.clone(),
            recipe: Arc::clone(recipe),
            opened: Instant::now(),
            number,
        };
        let mut sessions = self.sessions();
        if sessions.len() >= MOST {
            sessions.retain(|_, kept| kept.opened.elapsed() < self.keep);
        }
        if sessions.len() < MOST || sessions.contains_key(&whose) {
            sessions.insert(whose.clone(), kept);
        }
        Number(whose, number)
    }

    /// The backend does not take this one any more; a newer one of the person stays.
    pub(super) fn forget(&self, Number(whose, number): &Number) {
        let mut sessions = self.sessions();
        if sessions
            .get(whose)
            .is_some_and(|kept| kept.number == *number)
        {
            sessions.remove(whose);
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Whose, Kept>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whose(identity: &Identity) -> Whose {
    let caller = identity.caller();
    (
        caller.issuer().to_owned(),
        caller.subject().to_owned(),
        identity.tenant().as_str().to_owned(),
    )
}
