//! The limits of everybody, in this process. In: who asks, for which tool, and when. Out: yes, or which rule says no. Both
//! rules are asked before either counts. Its size is bounded, and each question costs the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{
    generations::Generations,
    person::Person,
    rate::{Bucket, Over, Rule},
};

/// People in each of the two generations. With valid tokens only: nobody else gets so far.
const MOST_PEOPLE: usize = 5_000;

/// The two rules for calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For all calls of a person together.
    pub person: Rule,
    /// For a person's calls of one tool.
    pub tool: Rule,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The one for all calls of the person.
    Person,
    /// The one for the person's calls of this tool.
    Tool,
}

/// What is known of one person.
struct Known {
    person: Bucket,
    tools: HashMap<Box<str>, Bucket>,
}

pub(super) struct Memory(Mutex<Generations<Arc<Person>, Known>>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Generations::of(MOST_PEOPLE)))
    }

    /// Whether the call fits; then it is counted.
    pub(super) fn ask(
        &self,
        person: &Arc<Person>,
        tool: &str,
        rules: &Rules,
        now: Instant,
    ) -> Result<(), (Whose, Over)> {
        let mut people = self.lock();
        let known = people.entry(person, || Known::new(now));
        let whole = &mut known.person;
        whole
            .allows(&rules.person, now)
            .map_err(|over| (Whose::Person, whole.exceeded(&rules.person, over, now)))?;
        let single = known.tool(tool, now);
        single
            .allows(&rules.tool, now)
            .map_err(|over| (Whose::Tool, single.exceeded(&rules.tool, over, now)))?;
        single.take(&rules.tool, now);
        known.person.take(&rules.person, now);
        Ok(())
    }

    /// The same for anything that is no call.
    pub(super) fn ask_whole(
        &self,
        person: &Arc<Person>,
        rule: &Rule,
        now: Instant,
    ) -> Result<(), Over> {
        let mut people = self.lock();
        let whole = &mut people.entry(person, || Known::new(now)).person;
        whole
            .allows(rule, now)
            .map_err(|over| whole.exceeded(rule, over, now))?;
        whole.take(rule, now);
        Ok(())
    }

    /// Remembers what the machines together know: no need to ask again before it ends.
    pub(super) fn blocked(
        &self,
        person: &Arc<Person>,
        tool: &str,
        (whose, over): (Whose, Over),
        now: Instant,
    ) {
        let Over::Block(time) = over else { return };
        let mut people = self.lock();
        let known = people.entry(person, || Known::new(now));
        match whose {
            Whose::Person => known.person.block(time, now),
            Whose::Tool => known.tool(tool, now).block(time, now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<Arc<Person>, Known>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(now: Instant) -> Self {
        Self {
            person: Bucket::new(now),
            tools: HashMap::new(),
        }
    }

    /// Names come from catalogues; of former ones nothing is kept once it says nothing.
    fn tool(&mut self, name: &str, now: Instant) -> &mut Bucket {
        if !self.tools.contains_key(name) && self.tools.len() == self.tools.capacity() {
            self.tools.retain(|_, bucket| !bucket.is_at_rest(now));
        }
        self.tools
            .entry(name.into())
            .or_insert_with(|| Bucket::new(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::Caller;

    const RULES: Rules = Rules {
        person: Rule {
            requests: 60,
            window: Duration::from_secs(60),
            burst: 10,
            block: Duration::from_secs(60),
        },
        tool: Rule {
            requests: 60,
            window: Duration::from_secs(60),
            burst: 4,
            block: Duration::ZERO,
        },
    };

    fn person(name: &str) -> Arc<Person> {
        Person::of(&Caller::for_tests("issuer", name, None))
    }

    fn through(memory: &Memory, name: &str, tool: &str, now: Instant) -> usize {
        let each = 0..50;
        each.filter(|_| memory.ask(&person(name), tool, &RULES, now).is_ok())
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_else_is_limited_by_a_flood() {
        let (memory, now) = (Memory::new(), Instant::now());
        assert_eq!(through(&memory, "mallory", "a", now), 4);
        assert_eq!(through(&memory, "mallory", "b", now), 4);
        assert_eq!(through(&memory, "mallory", "c", now), 2);
        assert_eq!(through(&memory, "mallory", "d", now), 0);
        assert_eq!(through(&memory, "alice", "a", now), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_tools_rule_refuses_does_not_count_for_the_person() {
        let (memory, now) = (Memory::new(), Instant::now());
        for _ in 0..20 {
            through(&memory, "alice", "a", now);
        }
        assert_eq!(through(&memory, "alice", "b", now), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn many_invented_people_cannot_make_the_table_grow() {
        let (memory, now) = (Memory::new(), Instant::now());
        assert_eq!(through(&memory, "mallory", "a", now), 4);
        for number in 0..4 * MOST_PEOPLE {
            let invented = person(&number.to_string());
            assert_eq!(memory.ask(&invented, "a", &RULES, now), Ok(()));
            if number % 1_000 == 0 {
                // Nor does it help who goes on.
                assert_eq!(through(&memory, "mallory", "a", now), 0);
            }
        }
        assert!(memory.lock().values().count() <= 2 * MOST_PEOPLE);
    }

    #[tokio::test(start_paused = true)]
    async fn tools_that_are_gone_are_forgotten() {
        let (memory, begun) = (Memory::new(), Instant::now());
        for number in 0..1_000 {
            let now = begun + Duration::from_secs(10 * number);
            assert_eq!(through(&memory, "alice", &number.to_string(), now), 4);
        }
        let mut people = memory.lock();
        let known = people.entry(&person("alice"), || Known::new(begun));
        assert!(known.tools.len() < 20, "{}", known.tools.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_that_others_told_of_holds_here() {
        let (memory, now) = (Memory::new(), Instant::now());
        let block = (Whose::Person, Over::Block(Duration::from_secs(5)));
        memory.blocked(&person("alice"), "a", block, now);
        assert_eq!(memory.ask(&person("alice"), "b", &RULES, now), Err(block));
        let later = now + Duration::from_secs(5);
        assert_eq!(through(&memory, "alice", "b", later), 4);
    }
}
