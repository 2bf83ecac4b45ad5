//! A bounded memory: what is in it has an age, and the oldest goes when there are too many. In: the time, with every use.
//! Entries of people who ask often do not stay longer for it: reading never makes one younger.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

pub(super) struct Kept<K, V> {
    most: usize,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

struct Entry<V> {
    since: Instant,
    value: V,
}

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    /// At most `most` entries; at least one.
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            most: most.max(1),
            entries: Mutex::default(),
        }
    }

    /// What is kept under `key`, with its age.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<(V, std::time::Duration)> {
        let entries = self.entries();
        let entry = entries.get(key)?;
        Some((
            entry.value.clone(),
            now.saturating_duration_since(entry.since),
        ))
    }

    /// What is kept under `key` if it is still good, else what `make` makes, which is then kept.
    pub(super) fn get_or_keep(
        &self,
        key: K,
        now: Instant,
        is_good: impl Fn(&V) -> bool,
        make: impl FnOnce() -> V,
    ) -> V {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&key).filter(|entry| is_good(&entry.value)) {
            return entry.value.clone();
        }
        let value = make();
        insert(&mut entries, self.most, key, value.clone(), now);
        value
    }

    pub(super) fn keep(&self, key: K, value: V, now: Instant) {
        insert(&mut self.entries(), self.most, key, value, now);
    }

    pub(super) fn forget(&self, matches: impl Fn(&K) -> bool) {
        self.entries().retain(|key, _| !matches(key));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert<K: Clone + Eq + Hash, V>(
    entries: &mut HashMap<K, Entry<V>>,
    most: usize,
    key: K,
    value: V,
    since: Instant,
) {
    if entries.len() >= most && !entries.contains_key(&key) {
        let oldest = entries.iter().min_by_key(|(_, entry)| entry.since);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            entries.remove(&oldest);
        }
    }
    entries.insert(key, Entry { since, value });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_when_there_are_too_many() {
        let kept = Kept::at_most(2);
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        kept.keep("a", 1, at(0));
        kept.keep("b", 2, at(1));
        // Reading does not make it younger, and replacing makes no room.
        assert_eq!(kept.get(&"a", at(2)), Some((1, Duration::from_secs(2))));
        kept.keep("b", 3, at(2));
        kept.keep("c", 4, at(3));
        assert_eq!(kept.get(&"a", at(4)), None);
        assert_eq!(kept.get(&"b", at(4)).map(|(value, _)| value), Some(3));
        assert_eq!(kept.entries().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_longer_good_is_made_anew() {
        let kept = Kept::at_most(2);
        let now = Instant::now();
        assert_eq!(kept.get_or_keep("a", now, |_| true, || 1), 1);
        assert_eq!(kept.get_or_keep("a", now, |_| true, || 2), 1);
        assert_eq!(kept.get_or_keep("a", now, |value| *value != 1, || 3), 3);
        kept.forget(|key| *key == "a");
        assert_eq!(kept.get(&"a", now), None);
    }
}
