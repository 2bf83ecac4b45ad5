//! Counts calls of tools under names that they no longer have. In: one call. Out: how many there were.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often tools were called under names that they no longer have. The counters only grow.
#[derive(Debug, Default)]
pub struct FormerCalls {
    renamed: AtomicU64,
    removed: AtomicU64,
}

impl FormerCalls {
    /// Calls that were run under an alias.
    #[must_use]
    pub fn renamed(&self) -> u64 {
        self.renamed.load(Ordering::Relaxed)
    }

    /// Calls of tools that are gone.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    pub(super) fn was_renamed(&self) {
        self.renamed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn was_removed(&self) {
        self.removed.fetch_add(1, Ordering::Relaxed);
    }
}
