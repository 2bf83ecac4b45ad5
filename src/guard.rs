//! The sidecar's own limits, in the order in which a call meets them: how often a person may call (`limits`), whether the
//! backend and the tool are well enough to be asked (`breakers`), how many ask the backend at once (`slots`). In: who
//! calls which tool for which tenant. Out: an [`Admission`], or [`Refused`] with how long to wait. Nothing here waits
//! for the backend, every table is bounded, and no lock is held across an await.

pub mod breaker;
pub mod limits;
pub mod memory;
pub mod person;
pub mod rate;
pub mod shared;
pub mod slots;

mod breakers;
mod generations;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{auth::Caller, identity::TenantId};

pub use breaker::{BreakerSettings, BreakerState, Verdict};
pub use breakers::Admission;
pub use limits::{Decisions, Excess};
pub use memory::{Rules, Whose};
pub use person::Person;
pub use rate::{Over, Rule};
pub use shared::{InvalidStore, SharedSettings};
pub use slots::{Busy, Slot, SlotCounts, SlotSettings, Slots};

use breakers::{Breakers, Tripped};
use limits::Limits;
use shared::Shared;

/// What the guard lets through.
#[derive(Clone, Debug)]
pub struct GuardSettings {
    /// How often a person may call.
    pub rules: Rules,
    /// Where several machines count together; `None`: each counts for itself.
    pub shared: Option<SharedSettings>,
    /// Whose people they are: those of another scope are others, though they share a store.
    pub scope: String,
    /// When the backend, or a tool, is left alone.
    pub breaker: BreakerSettings,
}

/// Why a call was not sent. None of it is about what was called for, so all of it may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The person calls too often.
    #[error("over the limit of calls ({:?})", .0.whose)]
    TooOften(Excess),
    /// The backend keeps failing.
    #[error("the backend's breaker is open")]
    BackendIll {
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// This tool keeps failing in this tenant.
    #[error("the tool's breaker is open")]
    ToolIll {
        /// When it is worth another try.
        retry_after: Duration,
    },
}

/// How everything stands; cheap to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Decisions about how often, so far.
    pub decisions: Decisions,
    /// Whether the store that several machines share is away.
    pub is_degraded: bool,
    /// Who asks the backend, and who waits for that.
    pub slots: SlotCounts,
    /// The backend's breaker.
    pub backend: BreakerState,
    /// Breakers of tools that are not closed.
    pub open_tools: usize,
}

/// All limits together.
pub struct Guard {
    limits: Limits,
    breakers: Arc<Breakers>,
    slots: Slots,
}

impl Guard {
    /// `slots` are those that the backend takes for its requests.
    ///
    /// # Errors
    /// [`InvalidStore`].
    pub fn new(settings: &GuardSettings, slots: Slots) -> Result<Self, InvalidStore> {
        let shared = settings.shared.as_ref();
        let shared = shared.map(|it| Shared::new(it, &settings.scope));
        Ok(Self {
            limits: Limits::new(settings.rules, shared.transpose()?),
            breakers: Breakers::new(settings.breaker),
            slots,
        })
    }

    /// With rules that nothing in a test meets.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let free = Rule {
            requests: 1_000_000,
            window: Duration::from_secs(1),
            burst: 1_000_000,
            block: Duration::ZERO,
        };
        let settings = GuardSettings {
            rules: Rules {
                person: free,
                tool: free,
            },
            shared: None,
            scope: String::new(),
            breaker: BreakerSettings {
                failures: u32::MAX,
                after: Duration::ZERO,
                pause: Duration::ZERO,
                probes: 1,
            },
        };
        // Without a store nothing can be wrong.
        Self::new(&settings, Slots::for_tests()).unwrap()
    }

    /// Whether the store that several machines share answers now, and is asked; `None` where each counts for itself.
    pub async fn store_is_well(&self) -> Option<bool> {
        let answers = self.limits.store_answers().await?;
        Some(answers && !self.limits.is_degraded())
    }

    /// Whether this person may call this tool now; then it is counted. For each call once, whatever comes of it.
    ///
    /// # Errors
    /// [`Refused::TooOften`].
    pub async fn limit(&self, caller: &Caller, tool: &str) -> Result<(), Refused> {
        let asked = self.limits.ask(&Person::of(caller), tool).await;
        asked.map_err(Refused::TooOften)
    }

    /// Whether this person may ask anything over HTTP now, calls or not.
    ///
    /// # Errors
    /// How long to wait.
    pub fn request(&self, caller: &Caller) -> Result<(), Duration> {
        self.limits.request(&Person::of(caller))
    }

    /// Whether the tool is worth trying.
    ///
    /// # Errors
    /// [`Refused::BackendIll`], [`Refused::ToolIll`].
    pub fn admit(&self, tenant: &TenantId, tool: &str) -> Result<Admission, Refused> {
        let admitted = self.breakers.admit(tenant, tool);
        admitted.map_err(|tripped| match tripped {
            Tripped::Backend(retry_after) => Refused::BackendIll { retry_after },
            Tripped::Tool(retry_after) => Refused::ToolIll { retry_after },
        })
    }

    /// How everything stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (backend, open_tools) = self.breakers.states();
        Snapshot {
            decisions: self.limits.decisions(),
            is_degraded: self.limits.is_degraded(),
            slots: self.slots.counts(),
            backend,
            open_tools,
        }
    }

    /// Whether the store that several machines share is away, now and whenever that changes; `None` where there is none.
    #[must_use]
    pub fn degraded(&self) -> Option<watch::Receiver<bool>> {
        self.limits.degraded()
    }
}
