//! The breakers: one for the backend, and one for each tenant × tool that fails. In: which tool of which tenant is called,
//! and how it ended. Out: an [`Admission`], or how long to wait. A tool that fails alone stops itself and nothing else;
//! only what the backend as a whole does, or several tools, stops everything.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    breaker::{Breaker, BreakerSettings, BreakerState, Pass, Verdict},
    generations::Generations,
};
use crate::identity::TenantId;

/// Failing tools in each of two generations.
const MOST_TOOLS: usize = 1_000;

/// All of them.
pub(super) struct Breakers {
    settings: BreakerSettings,
    state: Mutex<State>,
}

struct State {
    backend: Breaker,
    /// Only of those that failed last.
    tools: Generations<Spot, Breaker>,
}

/// One tool of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Spot {
    tenant: TenantId,
    tool: String,
}

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tripped {
    Backend(Duration),
    Tool(Duration),
}

/// A call that may go; how it ended is said with [`ended`](Self::ended), and a call that is given up says nothing.
#[must_use]
pub struct Admission {
    breakers: Arc<Breakers>,
    spot: Spot,
    backend: Pass,
    tool: Pass,
    is_over: bool,
}

impl Breakers {
    pub(super) fn new(settings: BreakerSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State {
                backend: Breaker::new(),
                tools: Generations::of(MOST_TOOLS),
            }),
        })
    }

    /// Whether the call may go.
    pub(super) fn admit(
        self: &Arc<Self>,
        tenant: &TenantId,
        tool: &str,
    ) -> Result<Admission, Tripped> {
        let now = Instant::now();
        let settings = &self.settings;
        let spot = Spot {
            tenant: tenant.clone(),
            tool: tool.to_owned(),
        };
        let mut state = self.lock();
        // A call that the backend's breaker refuses must not use up the tool's probe.
        let passed = match state.tools.get_mut(&spot) {
            Some(breaker) => breaker.admits(settings, now).map_err(Tripped::Tool)?,
            None => Pass::Ordinary,
        };
        let backend = state.backend.admits(settings, now).map_err(|wait| {
            if let Some(breaker) = state.tools.get_mut(&spot) {
                breaker.ended(passed);
            }
            Tripped::Backend(wait)
        })?;
        Ok(Admission {
            breakers: Arc::clone(self),
            spot,
            backend,
            tool: passed,
            is_over: false,
        })
    }

    /// The backend's breaker, and how many tools' ones let nothing or only probes through.
    pub(super) fn states(&self) -> (BreakerState, usize) {
        let now = Instant::now();
        let state = self.lock();
        let tools = state.tools.values();
        let open = tools.filter(|breaker| breaker.state(now) != BreakerState::Closed);
        (state.backend.state(now), open.count())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// The call is over.
    pub fn ended(mut self, verdict: Verdict) {
        self.tell(verdict);
    }

    fn tell(&mut self, verdict: Verdict) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let now = Instant::now();
        let settings = &self.breakers.settings;
        let mut state = self.breakers.lock();
        let state = &mut *state;
        match verdict {
            Verdict::Well => {
                if state
                    .tools
                    .get_mut(&self.spot)
                    .is_some_and(|it| it.succeeded(self.tool))
                {
                    self.log_tool("closed");
                }
                let is_closed = |it: &mut Breaker| it.state(now) == BreakerState::Closed;
                if state.tools.get_mut(&self.spot).is_some_and(is_closed) {
                    state.tools.remove(&self.spot);
                }
                if state.backend.succeeded(self.backend) {
                    tracing::warn!(breaker = "closed", "the backend answers again");
                }
            }
            Verdict::RequestIll | Verdict::BackendIll => {
                let is_all = verdict == Verdict::BackendIll;
                let of = (!is_all).then(|| self.spot.number());
                if state.backend.failed(self.backend, of, settings, now) {
                    tracing::warn!(
                        breaker = "open",
                        "the backend keeps failing: calls are refused at once until it answers again"
                    );
                }
                if is_all {
                    if let Some(breaker) = state.tools.get_mut(&self.spot) {
                        breaker.ended(self.tool);
                    }
                } else if state
                    .tools
                    .entry(&self.spot, Breaker::new)
                    .failed(self.tool, None, settings, now)
                {
                    self.log_tool("open");
                }
            }
            Verdict::Unsaid => {
                state.backend.ended(self.backend);
                if let Some(breaker) = state.tools.get_mut(&self.spot) {
                    breaker.ended(self.tool);
                }
            }
        }
    }

    fn log_tool(&self, breaker: &str) {
        let Spot { tenant, tool } = &self.spot;
        let (tool, tenant) = (tool.as_str(), tenant.as_str());
        tracing::warn!(
            breaker,
            tool.name = tool,
            tenant.id = tenant,
            "one tool's breaker"
        );
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.tell(Verdict::Unsaid);
    }
}

impl Spot {
    /// Tells one from another; two that share one only keep the backend's breaker closed for longer.
    fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        after: Duration::from_secs(10),
        pause: Duration::from_secs(5),
        probes: 1,
    };

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    async fn fails(breakers: &Arc<Breakers>, tenant_id: &str, tool: &str, verdict: Verdict) {
        for _ in 0..3 {
            let admission = breakers.admit(&tenant(tenant_id), tool);
            admission.ok().unwrap().ended(verdict);
            advance(Duration::from_secs(5)).await;
        }
    }

    fn refusal(breakers: &Arc<Breakers>, tenant_id: &str, tool: &str) -> Option<Tripped> {
        breakers.admit(&tenant(tenant_id), tool).err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_that_always_fails_stops_itself_for_its_tenant_and_nothing_else() {
        let breakers = Breakers::new(SETTINGS);
        fails(&breakers, "acme", "broken", Verdict::RequestIll).await;
        advance(Duration::from_secs(0)).await;
        let now = breakers.states();
        assert_eq!(now, (BreakerState::Closed, 1));
        // The pause began with the last failure, five seconds ago; one probe at a time.
        let probe = breakers.admit(&tenant("acme"), "broken").ok().unwrap();
        assert!(matches!(
            refusal(&breakers, "acme", "broken"),
            Some(Tripped::Tool(_))
        ));
        assert_eq!(refusal(&breakers, "acme", "other"), None);
        assert_eq!(refusal(&breakers, "globex", "broken"), None);
        // A caller that goes away frees the place of its probe.
        drop(probe);
        breakers
            .admit(&tenant("acme"), "broken")
            .ok()
            .unwrap()
            .ended(Verdict::Well);
        assert_eq!(breakers.states(), (BreakerState::Closed, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_cannot_be_reached_stops_every_tool() {
        let breakers = Breakers::new(SETTINGS);
        fails(&breakers, "acme", "one", Verdict::BackendIll).await;
        let probe = breakers.admit(&tenant("acme"), "two").ok().unwrap();
        let refused = refusal(&breakers, "globex", "three");
        assert!(matches!(refused, Some(Tripped::Backend(_))));
        probe.ended(Verdict::BackendIll);
        let refused = refusal(&breakers, "acme", "one");
        assert_eq!(refused, Some(Tripped::Backend(SETTINGS.pause)));
        advance(SETTINGS.pause).await;
        breakers
            .admit(&tenant("acme"), "one")
            .ok()
            .unwrap()
            .ended(Verdict::Well);
        assert_eq!(breakers.states(), (BreakerState::Closed, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn several_tools_that_fail_are_a_backend_that_does() {
        let breakers = Breakers::new(SETTINGS);
        for tool in ["one", "two", "three", "four"] {
            let admission = breakers.admit(&tenant("acme"), tool);
            admission.ok().unwrap().ended(Verdict::RequestIll);
            advance(Duration::from_secs(4)).await;
        }
        assert_eq!(breakers.states().0, BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn many_failing_tools_cannot_make_the_table_grow() {
        let breakers = Breakers::new(SETTINGS);
        for number in 0..5 * MOST_TOOLS {
            let admission = breakers.admit(&tenant(&format!("t{number}")), "tool");
            if let Ok(admission) = admission {
                admission.ended(Verdict::RequestIll);
            }
        }
        assert!(breakers.lock().tools.values().count() <= 2 * MOST_TOOLS);
    }
}
