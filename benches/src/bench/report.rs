//! The table: what a budget of design §11 says, what was measured, whether it was met; then every line; then the
//! machine and its noise. The same as JSON.

use std::{fmt::Write, fs};

use serde_json::{Value, json};

use super::{
    budgets::{Budget, Limit, compared},
    calls::{Tool, Way},
    rounds::{Line, Sample, Who, samples},
    spread::{Spread, number},
    wrk::{self, Checked},
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
    /// What was promised, and found.
    pub budgets: Vec<Budget>,
    /// What wrk says of the same.
    pub checked: Vec<Checked>,
    /// The address of the other server.
    pub other: Option<&'a str>,
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
    /// After the rounds.
    pub fn new(machine: Machine, lines: &'a [Line], quick: bool) -> Self {
        Self {
            machine,
            lines,
            quick,
            load_after: load_average(),
            budgets: Vec::new(),
            checked: Vec::new(),
            other: None,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if !self.budgets.is_empty() {
            self.tell_budgets(&mut out);
        }
        if let Some(url) = self.other {
            self.tell_other(url, &mut out);
        }
        self.tell_lines(&mut out);
        if self.other.is_none() {
            self.tell_floor(&mut out);
        }
        if !self.checked.is_empty() {
            self.tell_checked(&mut out);
        }
        let _ = writeln!(out, "\n{}", self.machine_text());
        out
    }

    fn tell_budgets(&self, out: &mut String) {
        out.push_str("| budget | limit | measured | |\n|---|---|---|---|\n");
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
        out.push('\n');
    }

    /// Who is how much faster, within the same rounds.
    fn tell_other(&self, url: &str, out: &mut String) {
        let _ = writeln!(
            out,
            "toolbridge against {url}:\n\n| clients | calls/s, toolbridge × other | added p50 µs: toolbridge | other \
             | added p99 µs: toolbridge | other |\n|---|---|---|---|---|---|"
        );
        for direct in self.lines.iter().filter(|line| line.who == Who::Direct) {
            let of = |who: Who| -> &[Sample] {
                let mut lines = self.lines.iter();
                let line = lines.find(|it| it.who == who && it.connections == direct.connections);
                line.map_or(&[], |line| &line.samples)
            };
            let (ours, theirs) = (of(Who::Toolbridge), of(Who::Other));
            let p50 = |of| compared(of, &direct.samples, |of, direct| of.p50 - direct.p50).text();
            let p99 = |of| compared(of, &direct.samples, |of, direct| of.p99 - direct.p99).text();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} |",
                direct.connections,
                compared(ours, theirs, |ours, theirs| ours.rate / theirs.rate).text(),
                p50(ours),
                p50(theirs),
                p99(ours),
                p99(theirs),
            );
        }
        out.push('\n');
    }

    fn tell_lines(&self, out: &mut String) {
        out.push_str(
            "| called | by | clients | calls/s | × direct | p50 µs | p99 µs | CPU µs |\n\
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
    }

    /// How near it is to what is attainable on this machine, whichever that is. What the budgets allow are theirs by the
    /// floor of the machine they were made on: 0.40 by 0.52 of direct, and 40 by 25 µs (design §11).
    fn tell_floor(&self, out: &mut String) {
        let of = |who| samples(self.lines, who, Way::Modern, (Tool::GetNote, 16));
        let (ours, floor) = (of(Who::Toolbridge), of(Who::Floor));
        let rate = compared(ours, floor, |ours, floor| ours.rate / floor.rate);
        let cpu = compared(ours, floor, |ours, floor| ours.cpu / floor.cpu);
        let _ = writeln!(
            out,
            "\nget_note, 16 clients, by the floor's: calls/s {}, CPU {}. The budgets come to 0.77 and 1.6.",
            rate.text(),
            cpu.text(),
        );
    }

    fn tell_checked(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n| get_note, {} clients, by | calls/s by our driver | by wrk |\n|---|---|---|",
            wrk::CLIENTS
        );
        for checked in &self.checked {
            let of = |rates: &[f64]| Spread::of(rates.iter().copied()).text();
            let (driver, wrk) = (of(&checked.driver), of(&checked.wrk));
            let _ = writeln!(out, "| {} | {driver} | {wrk} |", name(checked.who));
        }
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
        let checked: Vec<Value> = self
            .checked
            .iter()
            .map(|it| json!({ "by": name(it.who), "driver": it.driver, "wrk": it.wrk }))
            .collect();
        let report = json!({
            "machine": machine, "quick": self.quick, "against": self.other, "budgets": budgets,
            "lines": lines, "calls_per_s_by_wrk": checked,
        });
        format!("{report:#}\n")
    }

    fn against_direct(&self, line: &Line) -> Option<Spread> {
        let tool = match line.tool {
            Tool::Theirs(_) => Tool::GetNote,
            tool => tool,
        };
        let called = (tool, line.connections);
        let direct = samples(self.lines, Who::Direct, Way::Direct, called);
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

fn who(line: &Line) -> String {
    let revision = match line.way {
        Way::Direct => "",
        Way::Modern => ", 2026-07-28",
        Way::Connection => ", 2025-11-25",
    };
    format!("{}{revision}", name(line.who))
}

fn name(who: Who) -> &'static str {
    match who {
        Who::Direct => "direct",
        Who::Toolbridge => "toolbridge",
        Who::Naive => "naive",
        Who::Floor => "floor",
        Who::Other => "other",
    }
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
