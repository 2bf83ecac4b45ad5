//! What was tried and what came of it: for people a table, for programs JSON (`toolbridge.isolation/1`).
//!
//! `proved` is true only if there were attempts, each was answered, none leaked and no record was damaged. `totals` and
//! each of `tricks` count `attempts` = `refusals` + `harmless` + `leaks` + `damage` + `unanswered`; `refused_as` says
//! with which codes. `findings` are at most 5 a trick, leaks and damage first. No token, no canary and no payload is in it.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{Target, attempts::Trick};

/// How many findings of a trick a report lists, and how many in all its text does.
const MOST_OF_A_TRICK: usize = 5;
const MOST_LINES: usize = 20;

/// The outcome of a proof.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `toolbridge.isolation/1`; fields may be added to it, never changed.
    pub schema: &'static str,
    /// Whether nothing was found and everything was answered.
    pub proved: bool,
    /// Who took part.
    pub targets: Vec<TargetReport>,
    /// The tools that were tried, by name.
    pub tools: Vec<String>,
    /// Tools that were not, because they belong to no entity whose records can be made and listed.
    pub tools_not_attempted: Vec<String>,
    /// HTTP requests in all: attempts, comparisons, owners' reads, repeats after `RATE_LIMITED`.
    pub requests: usize,
    /// Sums over all tricks.
    pub totals: Counts,
    /// One row a trick, in the order they were tried.
    pub tricks: Vec<TrickReport>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// One sidecar of the proof.
#[derive(Clone, Debug, Serialize)]
pub struct TargetReport {
    /// Its tenant.
    pub tenant: String,
    /// Its MCP endpoint.
    pub url: String,
    /// The names of its people.
    pub people: Vec<String>,
}

/// How attempts ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub attempts: usize,
    /// Refused.
    pub refusals: usize,
    /// Answered with the caller's own records only.
    pub harmless: usize,
    /// Something of somebody else's came out or was accepted.
    pub leaks: usize,
    /// An owner found something changed, missing or added.
    pub damage: usize,
    /// Without an answer that says anything.
    pub unanswered: usize,
}

/// One trick and how its attempts ended.
#[derive(Clone, Debug, Serialize)]
pub struct TrickReport {
    /// What kind of trick.
    pub family: String,
    /// Its stable name.
    pub trick: String,
    /// How it ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Refusals by code: `NOT_FOUND`, `HTTP 401`, `JSON-RPC -32602` …
    pub refused_as: BTreeMap<String, usize>,
}

/// Something that must not be, or an attempt without an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `leak`, `damage` or `unanswered`.
    pub kind: String,
    /// The family of the trick.
    pub family: String,
    /// The trick.
    pub trick: String,
    /// The tool, or the method of MCP.
    pub tool: String,
    /// Who tried; nobody in particular for damage.
    pub attacker: Option<String>,
    /// Whose it is.
    pub victim: String,
    /// What was seen.
    pub what: String,
}

/// Counts while a proof runs.
#[derive(Default)]
pub(super) struct Tally {
    rows: Vec<(Trick, Counts, BTreeMap<String, usize>)>,
    findings: Vec<Finding>,
    unanswered: Vec<Finding>,
}

impl Tally {
    pub(super) fn refused(&mut self, trick: Trick, how: &str) {
        let (counts, codes) = self.row(trick);
        counts.refusals += 1;
        *codes.entry(how.to_owned()).or_default() += 1;
    }

    pub(super) fn harmless(&mut self, trick: Trick) {
        self.row(trick).0.harmless += 1;
    }

    pub(super) fn leaked(&mut self, trick: Trick, finding: Finding) {
        self.row(trick).0.leaks += 1;
        note(&mut self.findings, finding);
    }

    pub(super) fn damaged(&mut self, trick: Trick, finding: Finding) {
        self.row(trick).0.damage += 1;
        note(&mut self.findings, finding);
    }

    pub(super) fn unanswered(&mut self, trick: Trick, finding: Finding) {
        self.row(trick).0.unanswered += 1;
        note(&mut self.unanswered, finding);
    }

    /// The trick's row, with one attempt more.
    fn row(&mut self, trick: Trick) -> (&mut Counts, &mut BTreeMap<String, usize>) {
        let known = self.rows.iter().position(|(known, ..)| *known == trick);
        let at = known.unwrap_or(self.rows.len());
        if known.is_none() {
            self.rows.push((trick, Counts::default(), BTreeMap::new()));
        }
        #[expect(
            clippy::indexing_slicing,
            reason = "the row was found or made just now"
        )]
        let (_, counts, codes) = &mut self.rows[at];
        counts.attempts += 1;
        (counts, codes)
    }

    pub(super) fn report(
        self,
        targets: &[Target; 2],
        tools: Vec<String>,
        tools_not_attempted: Vec<String>,
        requests: usize,
    ) -> Report {
        let totals = self
            .rows
            .iter()
            .fold(Counts::default(), |sum, (_, row, _)| sum.and(*row));
        let mut findings = self.findings;
        findings.extend(self.unanswered);
        Report {
            schema: "toolbridge.isolation/1",
            proved: totals.is_proof(),
            targets: targets.iter().map(TargetReport::of).collect(),
            tools,
            tools_not_attempted,
            requests,
            totals,
            tricks: self
                .rows
                .into_iter()
                .map(|(trick, counts, refused_as)| TrickReport {
                    family: trick.family.to_owned(),
                    trick: trick.name.to_owned(),
                    counts,
                    refused_as,
                })
                .collect(),
            findings,
        }
    }
}

/// Keeps the first few of a trick: the others say the same again.
fn note(findings: &mut Vec<Finding>, finding: Finding) {
    let same = |known: &&Finding| known.family == finding.family && known.trick == finding.trick;
    if findings.iter().filter(same).count() < MOST_OF_A_TRICK {
        findings.push(finding);
    }
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self {
            attempts: self.attempts + other.attempts,
            refusals: self.refusals + other.refusals,
            harmless: self.harmless + other.harmless,
            leaks: self.leaks + other.leaks,
            damage: self.damage + other.damage,
            unanswered: self.unanswered + other.unanswered,
        }
    }

    fn is_proof(self) -> bool {
        self.attempts > 0 && self.leaks == 0 && self.damage == 0 && self.unanswered == 0
    }
}

impl TargetReport {
    fn of(target: &Target) -> Self {
        Self {
            tenant: target.tenant.clone(),
            url: target.url.to_string(),
            people: target
                .people
                .iter()
                .map(|person| person.name.clone())
                .collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for target in &self.targets {
            writeln!(
                f,
                "{} at {}: {}",
                target.tenant,
                target.url,
                target.people.join(", ")
            )?;
        }
        writeln!(f)?;
        let width = self
            .tricks
            .iter()
            .map(|row| row.trick.chars().count())
            .max();
        let width = width.unwrap_or_default().max("all".len());
        let line = |f: &mut fmt::Formatter<'_>, family: &str, trick: &str, counts: Counts| {
            writeln!(
                f,
                "{family:<16} {trick:<width$} {:>8} {:>8} {:>8} {:>6} {:>7} {:>10}",
                counts.attempts,
                counts.refusals,
                counts.harmless,
                counts.leaks,
                counts.damage,
                counts.unanswered
            )
        };
        writeln!(
            f,
            "{:<16} {:<width$} {:>8} {:>8} {:>8} {:>6} {:>7} {:>10}",
            "family", "trick", "attempts", "refused", "harmless", "leaks", "damage", "unanswered"
        )?;
        for row in &self.tricks {
            line(f, &row.family, &row.trick, row.counts)?;
        }
        line(f, "all", "", self.totals)?;
        self.end(f)
    }
}

impl Report {
    fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.findings.is_empty() {
            writeln!(f)?;
        }
        for finding in self.findings.iter().take(MOST_LINES) {
            let who = finding.attacker.as_deref().unwrap_or("somebody");
            writeln!(
                f,
                "{}: {} / {} with {}: {who} against {}: {}",
                finding.kind,
                finding.family,
                finding.trick,
                finding.tool,
                finding.victim,
                finding.what
            )?;
        }
        let found = self.totals.leaks + self.totals.damage + self.totals.unanswered;
        let told = self.findings.len().min(MOST_LINES);
        if found > told {
            writeln!(f, "… and {} more", found - told)?;
        }
        if !self.tools_not_attempted.is_empty() {
            writeln!(
                f,
                "\nNot attempted: {}",
                self.tools_not_attempted.join(", ")
            )?;
        }
        let Counts {
            attempts,
            leaks,
            damage,
            unanswered,
            ..
        } = self.totals;
        let verdict = if self.proved {
            "ISOLATED"
        } else {
            "NOT PROVED"
        };
        writeln!(
            f,
            "\n{verdict}: {} tools, {attempts} attempts in {} requests, {leaks} leaks, {damage} damaged, {unanswered} unanswered",
            self.tools.len(),
            self.requests
        )
    }
}
