//! The table: what a budget of design §11 says, what was measured, whether it was met; then every line; then the
//! machine and its noise. The same as JSON.

use std::{fmt::Write, fs};

use serde_json::{Value, json};

use super::{
    budgets::{self, Budget, Limit, compared},
    calls::{Tool, Way},
    memory::Footprint,
    rounds::{Line, Sample, Who, samples},
    spread::{Spread, number},
};

/// Where it was measured, and how busy that was.
#[derive(Clone, Debug)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory_gb: u64,
    load_before: String,
}

/// Everything that is printed.
pub struct Report<'a> {
    machine: Machine,
    lines: &'a [Line],
    quick: bool,
    load_after: String,
    budgets: Vec<Budget>,
}

impl Machine {
    /// Before the load.
    pub fn before() -> Self {
        let field = |file: &str, name: &str| -> String {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kib: u64 = memory
            .split(' ')
            .next()
            .and_then(|kib| kib.parse().ok())
            .unwrap_or(0);
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gb: kib / 1024 / 1024,
            load_before: load_average(),
        }
    }
}

impl<'a> Report<'a> {
    /// After the load.
    pub fn new(machine: Machine, lines: &'a [Line], footprint: &Footprint, quick: bool) -> Self {
        Self {
            machine,
            lines,
            quick,
            load_after: load_average(),
            budgets: budgets::all(lines, footprint),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::from("| budget | limit | measured | |\n|---|---|---|---|\n");
        for budget in &self.budgets {
            let (sign, limit) = match budget.limit {
                Limit::AtLeast(least) => ('≥', least),
                Limit::AtMost(most) => ('≤', most),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                budget.what,
                format!("{sign} {} {}", number(limit), budget.unit).trim_end(),
                budget.found.text(),
                if budget.is_met() { '✓' } else { '✗' },
            );
        }
        out.push_str(
            "\n| called | by | clients | calls/s | × direct | p50 µs | p99 µs | CPU µs |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for line in self.lines {
            let of = |field: fn(&Sample) -> f64| Spread::of(line.samples.iter().map(field));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                tool(line.tool),
                who(line),
                line.connections,
                of(|s| s.rate).text(),
                self.against_direct(line)
                    .map_or_else(|| "-".to_owned(), |ratio| ratio.text()),
                number(of(|s| s.p50).median),
                number(of(|s| s.p99).median),
                number(of(|s| s.cpu).median),
            );
        }
        let _ = writeln!(out, "\n{}", self.machine_text());
        out
    }

    fn machine_text(&self) -> String {
        let Machine {
            processor,
            cores,
            memory_gb,
            load_before,
        } = &self.machine;
        let rounds = self.lines.first().map_or(0, |line| line.samples.len());
        let noise: Vec<String> = self
            .lines
            .iter()
            .filter(|line| line.who == Who::Direct && line.tool == Tool::GetNote)
            .map(|line| {
                let rate = Spread::of(line.samples.iter().map(|sample| sample.rate));
                let percent = (rate.high - rate.low) / rate.median * 100.0;
                format!("{percent:.0} % at {}", line.connections)
            })
            .collect();
        format!(
            "Median (lowest–highest) of {rounds} {}rounds on {cores} × {processor}, {memory_gb} GB, shared by clients, \
             backend and server.\nCPU: of the process that answers, a call. Load average {load_before} before, {} after. \
             Noise, as the spread of direct get_note: {}.",
            if self.quick { "short " } else { "" },
            self.load_after,
            noise.join(", "),
        )
    }

    /// For programs.
    pub fn json(&self) -> String {
        let budgets: Vec<Value> = self
            .budgets
            .iter()
            .map(|budget| {
                let (limit, kind) = match budget.limit {
                    Limit::AtLeast(least) => (least, "at_least"),
                    Limit::AtMost(most) => (most, "at_most"),
                };
                json!({
                    "budget": budget.what, kind: limit, "unit": budget.unit,
                    "median": budget.found.median, "low": budget.found.low, "high": budget.found.high,
                    "met": budget.is_met(),
                })
            })
            .collect();
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                let samples = line.samples.iter().map(|s| {
                    json!({ "calls_per_s": s.rate, "p50_us": s.p50, "p99_us": s.p99, "cpu_us": s.cpu })
                });
                json!({
                    "called": tool(line.tool), "by": who(line), "clients": line.connections,
                    "rounds": samples.collect::<Vec<_>>(),
                })
            })
            .collect();
        let Machine {
            processor,
            cores,
            memory_gb,
            load_before,
        } = &self.machine;
        let machine = json!({
            "processor": processor, "cores": cores, "memory_gb": memory_gb,
            "load_before": load_before, "load_after": self.load_after,
        });
        let report =
            json!({ "machine": machine, "quick": self.quick, "budgets": budgets, "lines": lines });
        format!("{report:#}\n")
    }

    fn against_direct(&self, line: &Line) -> Option<Spread> {
        let direct = samples(
            self.lines,
            Who::Direct,
            Way::Direct,
            (line.tool, line.connections),
        );
        let is_other = line.who != Who::Direct && !direct.is_empty();
        is_other.then(|| compared(&line.samples, direct, |one, other| one.rate / other.rate))
    }
}

fn tool(tool: Tool) -> String {
    match tool {
        Tool::ShortList => "list_notes, 10 KB".to_owned(),
        Tool::LongList => "list_notes, 1 MB".to_owned(),
        _ => tool.name().to_owned(),
    }
}

fn who(line: &Line) -> &'static str {
    match (line.who, line.way) {
        (Who::Direct, _) => "direct",
        (Who::Naive, _) => "naive, 2026-07-28",
        (Who::Toolbridge, Way::Connection) => "toolbridge, 2025-11-25",
        (Who::Toolbridge, _) => "toolbridge, 2026-07-28",
    }
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
