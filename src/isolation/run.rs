//! Carries attempts out and keeps count: sends a few at a time, has every answer judged, and lets every owner read their
//! records after each family, because a leak may also be a change that no answer shows.

mod connections;
mod ownership;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{
    Target,
    attempts::{Attempt, Trick},
    judge::{self, Verdict},
    people::Stage,
    report::{Finding, Report, Tally},
    wire::{self, Answer},
};

/// Requests under way at once; more would only meet a real backend's limits.
const AT_ONCE: usize = 8;

/// One proof under way.
pub(super) struct Run<'a> {
    stage: &'a Stage<'a>,
    tally: Tally,
    /// What the answer about nobody's record was, by attacker and request.
    nobodys: Mutex<HashMap<String, Answer>>,
    /// Every record as its owner last read it, by owner and uid.
    known: HashMap<(usize, String), Value>,
}

impl<'a> Run<'a> {
    /// Begins with the records as they were made.
    pub(super) fn new(stage: &'a Stage<'a>) -> Self {
        let known = stage.people.iter().flat_map(|person| {
            person.records.iter().map(|record| {
                let key = (person.index, record.uid().to_owned());
                (key, record.item.clone())
            })
        });
        Self {
            stage,
            tally: Tally::default(),
            nobodys: Mutex::default(),
            known: known.collect(),
        }
    }

    /// Makes all these attempts, in any order.
    pub(super) async fn attempt_all(&mut self, attempts: Vec<Attempt>) {
        let this = &*self;
        let judged: Vec<_> = stream::iter(attempts)
            .map(|attempt| async move {
                let verdict = this.verdict(&attempt).await;
                (attempt, verdict)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (attempt, verdict) in judged {
            self.count(&attempt, verdict);
        }
    }

    async fn verdict(&self, attempt: &Attempt) -> Verdict {
        let answer = match self.send(&attempt.message).await {
            Ok(answer) => answer,
            Err(why) => return Verdict::Unanswered(why),
        };
        let verdict = judge::judge(self.stage, attempt, &answer);
        match (&verdict, self.told_apart(attempt, &answer).await) {
            (Verdict::Refused(_), Some(what)) => Verdict::Leaked(what),
            _ => verdict,
        }
    }

    /// Compares with the answer about a record that nobody has, which is asked for once per attacker and request.
    async fn told_apart(&self, attempt: &Attempt, answer: &Answer) -> Option<String> {
        let message = attempt.nobodys.as_ref()?;
        let key = format!("{} {:?}", attempt.attacker, message.body);
        let compare = |nobodys: &Answer| judge::tells_apart(answer, nobodys);
        if let Some(known) = self.lock().get(&key) {
            return compare(known);
        }
        let nobodys = self.send(message).await.ok()?;
        let difference = compare(&nobodys);
        self.lock().insert(key, nobodys);
        difference
    }

    async fn send(&self, message: &wire::Message) -> Result<Answer, String> {
        self.stage.wire.send(message).await
    }

    fn count(&mut self, attempt: &Attempt, verdict: Verdict) {
        let name = |index: usize| self.name(index);
        let finding = |what: &str| Finding {
            kind: "leak".to_owned(),
            family: attempt.trick.family.to_owned(),
            trick: attempt.trick.name.to_owned(),
            tool: attempt.tool.clone(),
            attacker: Some(name(attempt.attacker)),
            victim: name(attempt.victim),
            what: what.to_owned(),
        };
        let row = attempt.trick;
        match verdict {
            Verdict::Refused(how) => self.tally.refused(row, &how),
            Verdict::Harmless => self.tally.harmless(row),
            Verdict::Leaked(what) => {
                let finding = finding(&what);
                self.tally.leaked(row, finding);
            }
            Verdict::Unanswered(why) => {
                let finding = Finding {
                    kind: "unanswered".to_owned(),
                    ..finding(&why)
                };
                self.tally.unanswered(row, finding);
            }
        }
    }

    /// `alice of tenant-a`.
    fn name(&self, index: usize) -> String {
        let person = self.stage.people.get(index);
        person.map_or_else(String::new, |person| {
            format!("{} of {}", person.name, person.tenant)
        })
    }

    /// Everything that was counted.
    pub(super) fn report(self, targets: &[Target; 2]) -> Report {
        let tools = self.stage.kits.iter().flat_map(super::kit::Kit::names);
        self.tally.report(
            targets,
            tools.map(str::to_owned).collect(),
            self.stage.not_attempted.clone(),
            self.stage.wire.requests(),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Answer>> {
        self.nobodys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What owners find when they read their own records.
const fn own_records(family: &'static str) -> Trick {
    Trick {
        family,
        name: "owners use their own records afterwards",
    }
}
