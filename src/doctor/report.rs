//! What an examination found, as data, as text and as JSON. Foreign texts in it were cleaned by `Visit::quote` before.

use std::fmt;

use serde_json::{Value, json};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not looked at; `Step::seen` says why.
    Skipped,
    /// As it should be.
    Passed,
    /// It works, but not for everybody or not for long.
    Warned,
    /// It breaks a rule.
    Failed,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Some clients, or a later day, will suffer.
    Warning,
    /// A rule is broken.
    Wrong,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// Which rule it breaks, as one would look it up.
    pub rule: &'static str,
    /// How to mend it.
    pub mend: String,
}

impl Finding {
    pub(super) fn wrong(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Wrong,
            what: what.into(),
            rule: "",
            mend: String::new(),
        }
    }

    pub(super) fn warning(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::wrong(what)
        }
    }

    pub(super) fn rule(self, rule: &'static str) -> Self {
        Self { rule, ..self }
    }

    pub(super) fn mend(self, mend: impl Into<String>) -> Self {
        Self {
            mend: mend.into(),
            ..self
        }
    }
}

/// What a step says when it is over.
#[derive(Debug)]
pub(super) struct Outcome {
    verdict: Verdict,
    seen: String,
    findings: Vec<Finding>,
    /// The failed step at the root of a skipped one.
    root: Option<&'static str>,
}

impl Outcome {
    /// Nothing wrong.
    pub(super) fn passed(seen: impl Into<String>) -> Self {
        Self::of(seen, Vec::new())
    }

    /// One thing wrong.
    pub(super) fn failed(seen: impl Into<String>, finding: Finding) -> Self {
        Self::of(seen, vec![finding])
    }

    /// As bad as the worst finding.
    pub(super) fn of(seen: impl Into<String>, findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| match finding.severity {
            Severity::Warning => Verdict::Warned,
            Severity::Wrong => Verdict::Failed,
        });
        Self {
            verdict: worst.max().unwrap_or(Verdict::Passed),
            seen: seen.into(),
            findings,
            root: None,
        }
    }

    /// Does not apply.
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Skipped,
            seen: why.into(),
            findings: Vec::new(),
            root: None,
        }
    }

    /// Skipped because an earlier step failed.
    pub(super) fn blocked(root: &'static str) -> Self {
        Self {
            root: Some(root),
            ..Self::skipped(format!("because `{root}` failed"))
        }
    }
}

/// One step of the report.
#[derive(Clone, Debug)]
pub struct Step {
    /// `client` or `operator`.
    pub side: &'static str,
    /// Its name, stable for scripts.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, or why it was skipped.
    pub seen: String,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    root: Option<&'static str>,
}

/// Everything that was looked at, in order.
#[derive(Clone, Debug)]
pub struct Report {
    url: String,
    steps: Vec<Step>,
}

impl Report {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            steps: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, side: &'static str, name: &'static str, outcome: Outcome) {
        self.steps.push(Step {
            side,
            name,
            verdict: outcome.verdict,
            seen: outcome.seen,
            findings: outcome.findings,
            root: outcome.root,
        });
    }

    /// The failed step that stands in the way of one that needs these.
    pub(super) fn obstacle(&self, needs: &[&str]) -> Option<&'static str> {
        let needed = self.steps.iter().filter(|step| needs.contains(&step.name));
        let mut roots = needed.filter_map(|step| match step.verdict {
            Verdict::Failed => Some(step.name),
            _ => step.root,
        });
        roots.next()
    }

    /// The steps in their order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether no step failed; warnings are no failures.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.steps
            .iter()
            .filter(|step| step.verdict == verdict)
            .count()
    }

    /// The report for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(step_json).collect();
        json!({ "url": self.url, "healthy": self.is_healthy(), "steps": steps })
    }
}

fn step_json(step: &Step) -> Value {
    let findings: Vec<_> = step
        .findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Warning => "warning",
                Severity::Wrong => "wrong",
            };
            json!({ "severity": severity, "what": finding.what, "rule": finding.rule, "mend": finding.mend })
        })
        .collect();
    let verdict = match step.verdict {
        Verdict::Skipped => "skipped",
        Verdict::Passed => "passed",
        Verdict::Warned => "warned",
        Verdict::Failed => "failed",
    };
    json!({ "side": step.side, "step": step.name, "verdict": verdict, "seen": step.seen, "findings": findings })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut side = "";
        for step in &self.steps {
            if side != step.side {
                side = step.side;
                writeln!(f, "{}:", self.heading(side))?;
            }
            let mark = match step.verdict {
                Verdict::Skipped => '–',
                Verdict::Passed => '✓',
                Verdict::Warned => '!',
                Verdict::Failed => '✗',
            };
            writeln!(f, "{mark} {:<13} {}", step.name, step.seen)?;
            for finding in &step.findings {
                writeln!(f, "    what: {}", indented(&finding.what))?;
                writeln!(f, "    rule: {}", finding.rule)?;
                writeln!(f, "    mend: {}", indented(&finding.mend))?;
            }
        }
        let [passed, warned, failed, skipped] = [
            Verdict::Passed,
            Verdict::Warned,
            Verdict::Failed,
            Verdict::Skipped,
        ]
        .map(|verdict| self.count(verdict));
        writeln!(
            f,
            "{passed} ✓, {failed} ✗, {warned} ! (warnings), {skipped} – (skipped)"
        )
    }
}

impl Report {
    fn heading(&self, side: &str) -> String {
        match side {
            "client" => format!("As a client, at {}", self.url),
            _ => "As the operator, with the settings found here".to_owned(),
        }
    }
}

/// Further lines stand below the first.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n          ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("https://acme.example.com/mcp");
        report.add("client", "url", Outcome::passed("https"));
        let finding = Finding::wrong("nothing listens\nthere")
            .rule("RFC 9293")
            .mend("start it");
        report.add(
            "client",
            "tcp",
            Outcome::failed("connection refused", finding),
        );
        report.add("client", "tls", Outcome::blocked("tcp"));
        report.add("operator", "settings", Outcome::skipped("no settings here"));
        report
    }

    #[test]
    fn each_step_is_a_line_and_each_finding_says_what_which_rule_and_how_to_mend_it() {
        insta::assert_snapshot!(report(), @r"
        As a client, at https://acme.example.com/mcp:
        ✓ url           https
        ✗ tcp           connection refused
            what: nothing listens
                  there
            rule: RFC 9293
            mend: start it
        – tls           because `tcp` failed
        As the operator, with the settings found here:
        – settings      no settings here
        1 ✓, 1 ✗, 0 ! (warnings), 2 – (skipped)
        ");
    }

    #[test]
    fn json_says_the_same() {
        insta::assert_snapshot!(report().json(), @r#"{"url":"https://acme.example.com/mcp","healthy":false,"steps":[{"side":"client","step":"url","verdict":"passed","seen":"https","findings":[]},{"side":"client","step":"tcp","verdict":"failed","seen":"connection refused","findings":[{"severity":"wrong","what":"nothing listens\nthere","rule":"RFC 9293","mend":"start it"}]},{"side":"client","step":"tls","verdict":"skipped","seen":"because `tcp` failed","findings":[]},{"side":"operator","step":"settings","verdict":"skipped","seen":"no settings here","findings":[]}]}"#);
    }

    #[test]
    fn a_skipped_step_passes_on_the_failure_at_its_root() {
        assert_eq!(report().obstacle(&["tls"]), Some("tcp"));
        assert_eq!(report().obstacle(&["settings", "url"]), None);
    }

    #[test]
    fn warnings_leave_a_report_healthy() {
        let mut report = Report::new("u");
        report.add(
            "client",
            "clock",
            Outcome::failed("90 s", Finding::warning("late")),
        );
        assert!(report.is_healthy());
        assert_eq!(report.steps()[0].verdict, Verdict::Warned);
    }
}
