//! How everything stands, for `/metrics`. In: the parts that `app` made. Out: [`Standing`], made anew for each scrape.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    auth::{KeyAge, Verifier},
    backend::ClockSkew,
    clock,
    guard::BreakerState,
    mcp::Calls,
    observe::{
        audit::Audit,
        metrics::{JwksAge, Standing},
        process::Process,
    },
    reload,
    server::{connection::Door, health::Checks, operations::Metrics},
};

/// What is looked at.
#[derive(Clone)]
pub(super) struct Looks {
    pub(super) checks: Checks,
    pub(super) verifier: Arc<Verifier>,
    pub(super) calls: Arc<Calls>,
    pub(super) clock_skew: Arc<ClockSkew>,
    pub(super) door: Arc<Door>,
    pub(super) reload: watch::Receiver<reload::Record>,
    pub(super) started_at: Duration,
}

impl Looks {
    /// The same with other checks.
    pub(super) fn checking(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// What answers `/metrics`.
    pub(super) fn metrics(self) -> Metrics {
        Arc::new(move || {
            let looks = self.clone();
            Box::pin(async move {
                let standing = looks.standing().await;
                looks.calls.observer().metrics.text(&standing)
            })
        })
    }

    async fn standing(&self) -> Standing {
        let is_ready = (self.checks)()
            .await
            .iter()
            .all(|check| check.trouble.is_none());
        let guard = self.calls.guard().snapshot();
        let published = self.calls.published();
        let tools = published.catalogue.tools();
        let door = self.door.counts();
        let record = self.reload.borrow().clone();
        let former = self.calls.former();
        let audit = self.calls.audit().map(Audit::counts);
        Standing {
            is_ready,
            allowed: guard.decisions.allowed,
            blocked: guard.decisions.limited + guard.decisions.blocked,
            degraded: guard.decisions.degraded,
            is_degraded: guard.is_degraded,
            breaker: match guard.backend {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            },
            open_tools: guard.open_tools,
            slots_held: guard.slots.held,
            slots_waiting: guard.slots.waiting,
            jwks: self.jwks(),
            connections: door.open,
            turned_away: door.too_many + door.too_many_of_one_ip,
            generation: published.generation,
            tools: tools.iter().map(|tool| tool.name.clone()).collect(),
            problems: record.trouble.map_or(0, |trouble| trouble.problems),
            renamed: former.renamed(),
            removed: former.removed(),
            clock_skew: self.clock_skew.now(clock::unix_now()).map(|skew| {
                let seconds = u32::try_from(skew.seconds()).unwrap_or(u32::MAX);
                f64::from(seconds)
            }),
            audit_written: audit.map_or(0, |audit| audit.written),
            audit_failed: audit.map_or(0, |audit| audit.failed),
            process: Process::now(),
            started_at: self.started_at,
        }
    }

    fn jwks(&self) -> Vec<JwksAge> {
        let rings = self.verifier.key_rings().into_iter();
        let fetched = rings.filter_map(|ring| {
            let age = match ring.age {
                KeyAge::Ours => return None,
                KeyAge::Awaited => None,
                KeyAge::Fetched(age) => Some(age),
            };
            let issuer = ring.issuer.to_owned();
            Some(JwksAge { issuer, age })
        });
        fetched.collect()
    }
}
