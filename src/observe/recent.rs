//! The last calls, for the console: numbered in the order of their ends, bounded, gone with the process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::record::CallRecord;

/// So many are kept.
const MOST: usize = 200;

/// The last calls.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    calls: VecDeque<Arc<CallRecord>>,
}

impl Recent {
    pub(super) fn add(&self, record: Arc<CallRecord>) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.calls.len() == MOST {
            ring.calls.pop_front();
        }
        ring.last += 1;
        ring.calls.push_back(record);
    }

    /// Those that ended after the one of this number, each with its own, in order; 0 for all that are kept.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<(u64, Arc<CallRecord>)> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.last - ring.calls.len() as u64 + 1;
        (first..)
            .zip(ring.calls.iter().cloned())
            .filter(|(its, _)| *its > number)
            .collect()
    }

    /// The number of the last one; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }
}
