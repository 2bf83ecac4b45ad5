//! The budgets, as the design has them, and what was found for each. A budget is met where the median meets it.

use super::{
    calls::{Tool, Way},
    memory::Footprint,
    rounds::{Line, Sample, Who, samples},
    scale::Scale,
    spread::Spread,
};

/// One line of the design and its answer.
pub struct Budget {
    /// What is limited.
    pub what: String,
    /// To what.
    pub limit: Limit,
    /// In which unit; empty for ratios.
    pub unit: &'static str,
    /// What was measured.
    pub found: Spread,
}

/// A bound that belongs to what it allows.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Less is a miss.
    AtLeast(f64),
    /// More is a miss.
    AtMost(f64),
}

use Limit::{AtLeast, AtMost};

impl Budget {
    /// Whether the median is within the limit.
    pub fn is_met(&self) -> bool {
        match self.limit {
            AtLeast(least) => self.found.median >= least,
            AtMost(most) => self.found.median <= most,
        }
    }
}

/// All of them.
pub fn all(lines: &[Line], footprint: &Footprint, scale: &Scale) -> Vec<Budget> {
    let mut budgets = of_small_calls(lines);
    budgets.extend(of_other_calls(lines, footprint));
    budgets.extend(of_size(footprint));
    budgets.extend(of_scale(scale));
    budgets
}

/// Two lines, compared round by round.
pub fn compared(one: &[Sample], other: &[Sample], by: impl Fn(Sample, Sample) -> f64) -> Spread {
    Spread::of(one.iter().zip(other).map(|(one, other)| by(*one, *other)))
}

fn of_small_calls(lines: &[Line]) -> Vec<Budget> {
    let direct = samples(lines, Who::Direct, Way::Direct, (Tool::GetNote, 16));
    let naive = samples(lines, Who::Naive, Way::Modern, (Tool::GetNote, 16));
    let modern = samples(lines, Who::Toolbridge, Way::Modern, (Tool::GetNote, 16));
    let legacy = samples(lines, Who::Toolbridge, Way::Connection, (Tool::GetNote, 16));
    let rate = |one, other| compared(one, other, |one, other| one.rate / other.rate);
    let of = |what: &str, limit, unit, found| Budget {
        what: format!("get_note, 16 clients: {what}"),
        limit,
        unit,
        found,
    };
    vec![
        of("calls/s, × direct", AtLeast(0.40), "", rate(modern, direct)),
        of(
            "calls/s on MCP connections, × direct",
            AtLeast(0.40),
            "",
            rate(legacy, direct),
        ),
        of(
            "calls/s, × naive rmcp server",
            AtLeast(3.0),
            "",
            rate(modern, naive),
        ),
        of("CPU per call", AtMost(40.0), "µs", cpu(modern, 1.0)),
        of(
            "CPU per call on MCP connections",
            AtMost(40.0),
            "µs",
            cpu(legacy, 1.0),
        ),
    ]
}

fn of_other_calls(lines: &[Line], footprint: &Footprint) -> Vec<Budget> {
    let alone = samples(lines, Who::Toolbridge, Way::Modern, (Tool::GetNote, 1));
    let direct = samples(lines, Who::Direct, Way::Direct, (Tool::GetNote, 1));
    let large = samples(lines, Who::Toolbridge, Way::Modern, (Tool::LongList, 1));
    let list = samples(lines, Who::Toolbridge, Way::Modern, (Tool::ToolsList, 16));
    let p50 = compared(alone, direct, |one, other| one.p50 - other.p50);
    let p99 = compared(alone, direct, |one, other| one.p99 - other.p99);
    let peak = Spread::one(footprint.peak);
    let tokens = Spread::one(footprint.list_tokens);
    vec![
        budget(
            "get_note, 1 client: added to direct, p50",
            AtMost(80.0),
            "µs",
            p50,
        ),
        budget(
            "get_note, 1 client: added to direct, p99",
            AtMost(300.0),
            "µs",
            p99,
        ),
        budget(
            "list_notes of 1 MB: CPU per call",
            AtMost(2.0),
            "ms",
            cpu(large, 1000.0),
        ),
        budget(
            "list_notes of 1 MB: peak memory, × the body",
            AtMost(4.0),
            "",
            peak,
        ),
        budget(
            "tools/list, 40 tools: CPU per call",
            AtMost(20.0),
            "µs",
            cpu(list, 1.0),
        ),
        budget(
            "tools/list, 40 tools: size",
            AtMost(6000.0),
            "tokens",
            tokens,
        ),
    ]
}

fn of_size(found: &Footprint) -> Vec<Budget> {
    let idle = Spread::of(found.idle.iter().copied());
    let start = |how: &str, times: &[f64]| {
        let what = format!("start to the first tools/list, {how} page cache");
        let times = Spread::of(times.iter().copied());
        budget(&what, AtMost(15.0), "ms", times)
    };
    let mut budgets = vec![start("warm", &found.warm_ms)];
    if !found.cold_ms.is_empty() {
        budgets.push(start("cold", &found.cold_ms));
    }
    budgets.extend([
        budget("binary", AtMost(15.0), "MB", Spread::one(found.binary_mb)),
        budget("resident memory, idle", AtMost(12.0), "MB", idle),
    ]);
    for (kind, measured) in [("HTTP", &found.with_http), ("MCP", &found.with_mcp)] {
        budgets.extend(measured.iter().map(|&(count, mb)| {
            let what = format!("resident memory, {count} open {kind} connections");
            budget(&what, most_memory(count), "MB", Spread::one(mb))
        }));
    }
    if let [(early, before), .., (late, after)] = found.after_calls.as_slice() {
        let what = format!("resident memory after {late} calls, × after {early}");
        // "Flat", with what measuring twice differs by.
        budgets.push(budget(&what, AtMost(1.05), "", Spread::one(after / before)));
    }
    budgets
}

fn of_scale(found: &Scale) -> Vec<Budget> {
    let mut budgets = Vec::new();
    for streams in &found.streams {
        let what = format!("{} open {}", streams.count, streams.kind.name());
        let resident = Spread::one(streams.resident);
        budgets.push(budget(
            &format!("resident memory, {what}"),
            most_memory(streams.count),
            "MB",
            resident,
        ));
        let rate = Spread::of(streams.rate.iter().copied());
        budgets.push(budget(
            &format!("get_note, 16 clients beside {what}: calls/s, × without"),
            AtLeast(0.90),
            "",
            rate,
        ));
    }
    let each = |values: &[f64]| Spread::of(values.iter().copied());
    let start = found.large_start_ms.iter().zip(&found.small_start_ms);
    let load = Spread::of(start.map(|(large, small)| large - small));
    budgets.push(budget(
        "2000 tools: added to the start with 40",
        AtMost(100.0),
        "ms",
        load,
    ));
    // "Nothing", with what measuring twice differs by.
    budgets.push(budget(
        "get_note, 16 clients, one of 2000 tools: calls/s, × one of 40",
        AtLeast(0.95),
        "",
        each(&found.large_rate),
    ));
    budgets
}

fn most_memory(connections: usize) -> Limit {
    AtMost(if connections > 1000 { 120.0 } else { 24.0 })
}

fn budget(what: &str, limit: Limit, unit: &'static str, found: Spread) -> Budget {
    Budget {
        what: what.to_owned(),
        limit,
        unit,
        found,
    }
}

fn cpu(line: &[Sample], scale: f64) -> Spread {
    Spread::of(line.iter().map(|sample| sample.cpu / scale))
}
