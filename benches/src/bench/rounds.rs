//! The rounds: every line once a round, so that whatever else the machine does meets all lines alike. What is compared
//! is compared within a round.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{
    against::Against,
    calls::{Tool, Way},
    endpoint::Endpoint,
    load::Load,
    process::Process,
    servers::Servers,
};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The backend, without anybody between.
    Direct,
    /// toolbridge.
    Toolbridge,
    /// The naive server.
    Naive,
    /// The floor, written by hand.
    Floor,
    /// The one that was named.
    Other,
}

/// One line of the measurement with what every round gave.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who answers.
    pub who: Who,
    /// How it is called.
    pub way: Way,
    /// What is called.
    pub tool: Tool,
    /// By how many at once.
    pub connections: usize,
    /// One a round.
    pub samples: Vec<Sample>,
}

/// One line in one round; times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Calls a second.
    pub rate: f64,
    /// Median time of a call.
    pub p50: f64,
    /// Time that one call in a hundred exceeds.
    pub p99: f64,
    /// Processor time of the answering process for one call; not a number where that is none of ours.
    pub cpu: f64,
}

/// Who answers which call in which way, for so many at once.
type Plan = (Who, Way, Tool, usize);

/// What is told of ourselves.
const LINES: &[Plan] = &[
    (Who::Direct, Way::Direct, Tool::GetNote, 1),
    (Who::Toolbridge, Way::Modern, Tool::GetNote, 1),
    (Who::Naive, Way::Modern, Tool::GetNote, 1),
    (Who::Floor, Way::Modern, Tool::GetNote, 1),
    (Who::Direct, Way::Direct, Tool::GetNote, 16),
    (Who::Toolbridge, Way::Modern, Tool::GetNote, 16),
    (Who::Toolbridge, Way::Connection, Tool::GetNote, 16),
    (Who::Naive, Way::Modern, Tool::GetNote, 16),
    (Who::Floor, Way::Modern, Tool::GetNote, 16),
    (Who::Direct, Way::Direct, Tool::GetNote, 64),
    (Who::Toolbridge, Way::Modern, Tool::GetNote, 64),
    (Who::Direct, Way::Direct, Tool::GetNote, 256),
    (Who::Toolbridge, Way::Modern, Tool::GetNote, 256),
    (Who::Direct, Way::Direct, Tool::CreateNote, 16),
    (Who::Toolbridge, Way::Modern, Tool::CreateNote, 16),
    (Who::Direct, Way::Direct, Tool::ShortList, 1),
    (Who::Toolbridge, Way::Modern, Tool::ShortList, 1),
    (Who::Direct, Way::Direct, Tool::LongList, 1),
    (Who::Toolbridge, Way::Modern, Tool::LongList, 1),
    (Who::Naive, Way::Modern, Tool::LongList, 1),
    (Who::Toolbridge, Way::Modern, Tool::ToolsList, 16),
];

/// Runs all rounds: of ourselves, or beside another server.
pub async fn run(servers: &Servers, against: Option<&Against>, quick: bool) -> Result<Vec<Line>> {
    let (rounds, duration) = if quick { (5, 250) } else { (15, 700) };
    let duration = Duration::from_millis(duration);
    let lines = against.map_or_else(|| LINES.to_vec(), beside);
    let mut lines: Vec<Line> = lines
        .into_iter()
        .map(|(who, way, tool, connections)| Line {
            who,
            way,
            tool,
            connections,
            samples: Vec::with_capacity(rounds),
        })
        .collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for line in &mut lines {
            let (endpoint, process) = answering(servers, against, line.who)?;
            let sample = measure(endpoint, process, line, duration).await;
            let told = || format!("{:?} {:?} {:?}", line.who, line.way, line.tool);
            line.samples.push(sample.with_context(told)?);
        }
    }
    Ok(lines)
}

/// The other server, and beside it the same for our own small call.
fn beside(other: &Against) -> Vec<Plan> {
    let each = [1, 16, 64, 256].into_iter().flat_map(|connections| {
        [
            (Who::Direct, Way::Direct, Tool::GetNote, connections),
            (Who::Toolbridge, other.way, Tool::GetNote, connections),
            (Who::Other, other.way, other.tool, connections),
        ]
    });
    each.collect()
}

/// What the rounds gave for one line: called by so many at once.
pub fn samples(lines: &[Line], who: Who, way: Way, called: (Tool, usize)) -> &[Sample] {
    let line = lines
        .iter()
        .find(|line| line.who == who && line.way == way && (line.tool, line.connections) == called);
    line.map_or(&[], |line| &line.samples)
}

async fn measure(
    endpoint: &Endpoint,
    process: Option<&Process>,
    line: &Line,
    duration: Duration,
) -> Result<Sample> {
    let load = Load {
        endpoint,
        tool: line.tool,
        way: line.way,
        connections: line.connections,
    };
    let spent = || process.map(Process::cpu_us).transpose();
    let (served, before) = load.run(duration, spent).await?;
    let spent = spent()?.zip(before?).map(|(after, before)| after - before);
    Ok(Sample {
        rate: served.calls as f64 / served.seconds,
        p50: served.p50,
        p99: served.p99,
        cpu: spent.map_or(f64::NAN, |spent| spent as f64 / served.calls as f64),
    })
}

fn answering<'a>(
    servers: &'a Servers,
    against: Option<&'a Against>,
    who: Who,
) -> Result<(&'a Endpoint, Option<&'a Process>)> {
    let server = match who {
        Who::Direct => &servers.stub,
        Who::Toolbridge => &servers.sidecar,
        Who::Naive => &servers.naive,
        Who::Floor => &servers.floor,
        Who::Other => {
            let other = against.context("no other server was named")?;
            return Ok((&other.endpoint, None));
        }
    };
    Ok((&server.endpoint, Some(&server.process)))
}
