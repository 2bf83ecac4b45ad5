//! Clocks, compared by the `Date` of every answer: tokens expire by them, and the backend refuses signatures that are
//! five minutes off.

use super::{
    report::{Finding, Outcome},
    visit::Visit,
};

/// From here on it is worth saying, in seconds.
const NOTABLE: u64 = 60;
/// From here on signatures are refused (contract §4.1), in seconds.
pub(super) const TOO_MUCH: u64 = 300;

/// How far the others' clocks are from ours.
pub(super) fn clock(visit: &Visit) -> Outcome {
    let clocks = &visit.facts.clocks;
    if clocks.is_empty() {
        return Outcome::skipped("no answer had a `Date`");
    }
    let findings = clocks.iter().filter_map(|(who, ahead)| {
        let off = ahead.unsigned_abs();
        let way = if *ahead > 0 { "ahead of" } else { "behind" };
        let what = format!("the clock of {who} is {off} s {way} this machine's");
        let finding = match off {
            off if off <= NOTABLE => return None,
            off if off <= TOO_MUCH => Finding::warning(what),
            _ => Finding::wrong(what),
        };
        let rule = "RFC 7519 §4.1.4 (`exp`), backend contract §4.1 (signatures within 5 minutes)";
        Some(finding.rule(rule).mend(
            "run time synchronization (NTP) on both; where all others agree, it is this machine",
        ))
    });
    let findings = findings.collect();
    let seen: Vec<_> = clocks
        .iter()
        .map(|(who, ahead)| format!("{who} {ahead:+} s"))
        .collect();
    Outcome::of(seen.join(", "), findings)
}
