//! Which tools have labels of their own. In: names of the catalogue's tools. Out: the name, or `other` where there are too
//! many. A tool that has its label is found without waiting for anybody.

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock},
};

/// Tools beyond these share a label.
const MOST: usize = 1_000;
/// A histogram has 20 lines a tool.
const MOST_TIMED: usize = 200;
const OTHER: &str = "other";

/// The labels that were given.
#[derive(Debug, Default)]
pub(super) struct Labels(RwLock<HashMap<String, Timed>>);

/// Whether a tool has a histogram of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    Alone,
    WithOthers,
}

impl Labels {
    /// This tool's labels in counters and in histograms.
    pub(super) fn labels<'a>(&self, tool: &'a str) -> (&'a str, &'a str) {
        let known = {
            let given = self.0.read().unwrap_or_else(PoisonError::into_inner);
            given.get(tool).copied()
        };
        match known.or_else(|| self.give(tool)) {
            Some(Timed::Alone) => (tool, tool),
            Some(Timed::WithOthers) => (tool, OTHER),
            None => (OTHER, OTHER),
        }
    }

    fn give(&self, tool: &str) -> Option<Timed> {
        let mut given = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = given.get(tool) {
            return Some(*known);
        }
        if given.len() >= MOST {
            return None;
        }
        let alone = given.values().filter(|it| **it == Timed::Alone).count();
        let timed = if alone < MOST_TIMED {
            Timed::Alone
        } else {
            Timed::WithOthers
        };
        given.insert(tool.to_owned(), timed);
        Some(timed)
    }

    /// Takes the labels of all other tools, and says whose they were.
    pub(super) fn keep(&self, named: &HashSet<String>) -> Vec<String> {
        let mut given = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut gone = Vec::new();
        given.retain(|tool, _| {
            let stays = named.contains(tool);
            if !stays {
                gone.push(tool.clone());
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tools_share_a_label_and_those_that_are_gone_leave_theirs() {
        let labels = Labels::default();
        let tools: Vec<String> = (0..=MOST).map(|number| format!("tool_{number}")).collect();
        let given: Vec<_> = tools.iter().map(|tool| labels.labels(tool)).collect();
        assert_eq!(
            given[MOST_TIMED - 1],
            (&*tools[MOST_TIMED - 1], &*tools[MOST_TIMED - 1])
        );
        assert_eq!(given[MOST_TIMED], (&*tools[MOST_TIMED], OTHER));
        assert_eq!(given[MOST], (OTHER, OTHER));
        let named = HashSet::from([tools[0].clone()]);
        assert_eq!(labels.keep(&named).len(), MOST - 1);
        assert_eq!(labels.labels(&tools[MOST]), (&*tools[MOST], &*tools[MOST]));
    }
}
