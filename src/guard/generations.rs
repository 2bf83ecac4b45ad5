//! A bounded table: in two generations, so that room is made at constant cost. In: keys of foreign making. Out: their
//! values. Whoever was seen since as many others came as fit one generation is never forgotten.

use std::{collections::HashMap, hash::Hash, mem};

pub(super) struct Generations<K, V> {
    most: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Clone + Eq + Hash, V> Generations<K, V> {
    /// At most `most` entries in each of two generations.
    pub(super) fn of(most: usize) -> Self {
        Self {
            most,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// The value of the key, a fresh one where there is none.
    pub(super) fn entry(&mut self, key: &K, fresh: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(key) {
            let kept = self.old.remove(key);
            if self.young.len() >= self.most {
                self.old = mem::take(&mut self.young);
            }
            self.young.insert(key.clone(), kept.unwrap_or_else(fresh));
        }
        #[expect(clippy::expect_used, reason = "it was there, or was put there above")]
        self.young.get_mut(key).expect("an entry")
    }

    /// The value of the key, if there is one; it stays where it is.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self.young.get_mut(key) {
            Some(value) => Some(value),
            None => self.old.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.young.values().chain(self.old.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_keys_take_no_more_room_and_who_comes_back_is_known() {
        let mut table = Generations::of(10);
        *table.entry(&0, || 0) = 7;
        for key in 1..1_000 {
            table.entry(&key, || 0);
            assert_eq!(*table.entry(&0, || 0), 7, "after {key}");
            assert!(table.values().count() <= 20);
        }
        assert!(table.get_mut(&1).is_none(), "long ago");
        table.remove(&0);
        assert!(table.get_mut(&0).is_none());
    }
}
