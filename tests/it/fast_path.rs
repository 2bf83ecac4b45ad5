//! The fast path and rmcp answer alike: both are given the same generated requests, usual ones and odd ones, and everything
//! that can be seen of the answers is compared: status, headers, bytes, what the backend was asked, what the log says. A
//! case is its number, so that one that fails can be run again: `TESTS_FAST_PATH_CASES=first..last`.

mod backend;
mod draft;
mod odd;
mod side;
mod streams;
mod usual;

use std::{fmt::Write as _, ops::Range, path::Path, thread};

use serde_json::Value;
use tokio::runtime;

use backend::{ODDLY_WRITTEN, marker};
use draft::{Dice, Draft};
use side::{Side, Told};
use usual::Connection;

use crate::dialects::file;

/// About ten seconds in a debug build.
const CASES: u64 = 1_000;

/// So many cases are worth another thread.
const WORTH_A_THREAD: u64 = 1_000;

/// What came of some cases.
#[derive(Default)]
struct Score {
    cases: u64,
    past_rmcp: u64,
    differences: Vec<String>,
}

/// Both sides, and the connections that exist on both.
struct Pair {
    fast: Side,
    slow: Side,
    connections: Vec<Connection>,
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "how often the fast path was met is worth a line in a long run"
)]
fn the_fast_path_and_rmcp_answer_alike() {
    let score = compared(wanted());
    let share = score.past_rmcp * 100 / score.cases;
    let (cases, past_rmcp) = (score.cases, score.past_rmcp);
    let summary = format!("{cases} cases, {past_rmcp} ({share} %) of them past rmcp");
    println!("{summary}");
    let shown = score.differences.iter().take(20);
    let shown: Vec<_> = shown.map(String::as_str).collect();
    let count = score.differences.len();
    let shown = shown.join("\n\n");
    assert!(count == 0, "{summary}: {count} differ\n{shown}");
    // A comparison that hardly ever meets the fast path shows nothing; a case that is run alone may be any.
    assert!(share >= 33 || cases < 100, "{summary}");
}

/// Which cases: so many, or these, of the environment.
fn wanted() -> Range<u64> {
    let Some(said) = std::env::var_os("TESTS_FAST_PATH_CASES") else {
        return 0..CASES;
    };
    let said = said.into_string().unwrap();
    let number = |text: &str| text.parse().expect("a number of cases");
    match said.split_once("..") {
        Some((first, last)) => number(first)..number(last) + 1,
        None => 0..number(&said),
    }
}

fn compared(cases: Range<u64>) -> Score {
    let catalogue = file(include_str!("fast_path/tools.yaml"));
    let count = cases.end - cases.start;
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let threads = (count / WORTH_A_THREAD).clamp(1, cores);
    let part = |thread| {
        cases.start + count * thread / threads..cases.start + count * (thread + 1) / threads
    };
    let path = catalogue.path();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || in_turn(part(thread), path)))
            .collect();
        let mut score = Score::default();
        for part in parts {
            let part = part.join().unwrap();
            score.cases += part.cases;
            score.past_rmcp += part.past_rmcp;
            score.differences.extend(part.differences);
        }
        score
    })
}

fn in_turn(cases: Range<u64>, catalogue: &Path) -> Score {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let mut pair = Pair::new(catalogue).await;
        let mut score = Score::default();
        for case in cases {
            score.cases += 1;
            let draft = pair.draft(case);
            if let Some(difference) = pair.differs(&draft).await {
                let request = draft.shown();
                score
                    .differences
                    .push(format!("case {case}: {request}\n{difference}"));
            }
        }
        assert_eq!(pair.slow.past_rmcp(), 0);
        score.past_rmcp = pair.fast.past_rmcp();
        score
    })
}

impl Pair {
    async fn new(catalogue: &Path) -> Self {
        let fast = Side::new(true, catalogue).await;
        let slow = Side::new(false, catalogue).await;
        let mut connections = Vec::new();
        for (person, version, hello) in usual::handshakes() {
            // An id opens wherever the same secrets are, so on the other side, too.
            let id = fast.connects(person, &hello).await;
            connections.push(Connection {
                person,
                version,
                id,
            });
        }
        Self {
            fast,
            slow,
            connections,
        }
    }

    fn draft(&self, case: u64) -> Draft {
        let mut dice = Dice::of(case);
        let mut draft = usual::draft(&mut dice, &self.connections);
        odd::draft(&mut dice, &mut draft, &self.connections);
        draft
    }

    /// How the answers differ.
    async fn differs(&mut self, draft: &Draft) -> Option<String> {
        let fast = self.fast.answers(draft).await;
        let slow = self.slow.answers(draft).await;
        if fast == slow {
            return None;
        }
        let oddly_written = marker(ODDLY_WRITTEN);
        let is_odd = String::from_utf8_lossy(&draft.body).contains(&oddly_written);
        if is_odd && fast.means(&slow) {
            return None;
        }
        Some(fast.beside(&slow))
    }
}

impl Told {
    /// What differs from the answer by rmcp.
    fn beside(&self, slow: &Self) -> String {
        let mut shown = String::new();
        let mut show = |what: &str, fast: String, slow: String| {
            if fast != slow {
                write!(shown, "{what}\n  past rmcp: {fast}\n  by rmcp:   {slow}\n").unwrap();
            }
        };
        show("status", self.status.to_string(), slow.status.to_string());
        show("headers", self.headers.join(", "), slow.headers.join(", "));
        show("body", self.body.clone(), slow.body.clone());
        show("asked", self.asked.join("\n"), slow.asked.join("\n"));
        show("logged", self.logged.join("\n"), slow.logged.join("\n"));
        show(
            "timed",
            self.is_timed.to_string(),
            slow.is_timed.to_string(),
        );
        shown
    }

    /// Whether both are the same but for the way in which their JSON is written: for what the backend writes in another way
    /// than we do. Of a key that comes twice the last counts, as for every reader.
    fn means(&self, other: &Self) -> bool {
        let around = |it: &Self| {
            let seen = (it.headers.clone(), it.asked.clone(), it.logged.clone());
            (it.status, seen)
        };
        around(self) == around(other) && self.messages() == other.messages()
    }

    fn messages(&self) -> Vec<Value> {
        let lines = self.body.lines();
        let messages = lines.filter_map(|line| {
            let data = line.strip_prefix("data: ").unwrap_or(line);
            serde_json::from_str(data).ok()
        });
        messages.collect()
    }
}
