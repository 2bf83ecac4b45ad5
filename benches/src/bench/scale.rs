//! What much of everything does to calls: ten thousand open streams, and a catalogue of two thousand tools, each beside a
//! sidecar without it, in turn.

use std::{fs, path::PathBuf, time::Duration, time::Instant};

use anyhow::{Result, bail};
use bench_parts::catalogue;

use super::{
    calls::{Client, Tool, Way},
    endpoint::Endpoint,
    load::Load,
    memory::most_connections,
    requests::{self, Opened},
    servers::{Server, Servers},
    wire::Wire,
};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    /// One for each kind of stream.
    pub streams: Vec<Streams>,
    /// From the start of a process with 2,000 tools to its first answered call, in milliseconds.
    pub large_start_ms: Vec<f64>,
    /// The same with the 40 tools.
    pub small_start_ms: Vec<f64>,
    /// Calls a second with 2,000 tools, by those with 40.
    pub large_rate: Vec<f64>,
}

/// Streams that are open while others call.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Of which kind.
    pub kind: Kind,
    /// How many.
    pub count: usize,
    /// Resident memory of their sidecar, in MB.
    pub resident: f64,
    /// Calls a second beside them, by those of a sidecar without any.
    pub rate: Vec<f64>,
}

/// What stays open.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `subscriptions/listen` of revision 2026-07-28.
    Listen,
    /// A connection of revision 2025-11-25 with its GET stream.
    Get,
}

impl Kind {
    /// In the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen streams",
            Self::Get => "MCP connections with their GET streams",
        }
    }
}

/// Measures all of it.
pub async fn measure(servers: &Servers, quick: bool) -> Result<Scale> {
    let count = most_connections(quick)?;
    let mut found = Scale::default();
    for kind in [Kind::Listen, Kind::Get] {
        eprintln!("{count} {}", kind.name());
        found
            .streams
            .push(streams(servers, kind, count, quick).await?);
    }
    eprintln!("2000 tools");
    tools(servers, quick, &mut found).await?;
    Ok(found)
}

async fn streams(servers: &Servers, kind: Kind, count: usize, quick: bool) -> Result<Streams> {
    let (with, without) = (servers.another_sidecar()?, servers.another_sidecar()?);
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(stream(&with.endpoint, kind).await?);
    }
    let resident = with.process.memory_mb("VmRSS")?;
    let rate = compared(&with, &without, quick).await?;
    let ended = open
        .iter_mut()
        .filter_map(|wire| (!wire.is_open()).then_some(()));
    match ended.count() {
        0 => Ok(Streams {
            kind,
            count,
            resident,
            rate,
        }),
        ended => bail!(
            "{ended} of {count} {} ended while others called",
            kind.name()
        ),
    }
}

async fn stream(endpoint: &Endpoint, kind: Kind) -> Result<Wire> {
    let mut wire = Wire::connect(endpoint.address).await?;
    let request = match kind {
        Kind::Listen => requests::listen(endpoint),
        Kind::Get => Opened::on(&mut wire, endpoint).await?.stream(endpoint),
    };
    wire.begin(&request).await?;
    Ok(wire)
}

/// Calls a second of one sidecar by those of another, 16 clients each, in turn.
async fn compared(one: &Server, other: &Server, quick: bool) -> Result<Vec<f64>> {
    let (rounds, duration) = if quick { (5, 250) } else { (15, 700) };
    let mut ratios = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let mut rates = [0.0; 2];
        for (rate, server) in rates.iter_mut().zip([one, other]) {
            let load = Load {
                endpoint: &server.endpoint,
                tool: Tool::GetNote,
                way: Way::Modern,
                connections: 16,
            };
            let (served, ()) = load.run(Duration::from_millis(duration), || ()).await?;
            *rate = served.calls as f64 / served.seconds;
        }
        let [one, other] = rates;
        ratios.push(one / other);
    }
    Ok(ratios)
}

async fn tools(servers: &Servers, quick: bool, found: &mut Scale) -> Result<()> {
    let file =
        Removed(std::env::temp_dir().join(format!("bench-2000-{}.yaml", std::process::id())));
    fs::write(&file.0, catalogue::of_2000_tools())?;
    let start = |large: bool| servers.sidecar_of(&servers.binary, large.then_some(&*file.0));
    for _ in 0..10 {
        for (large, times) in [
            (true, &mut found.large_start_ms),
            (false, &mut found.small_start_ms),
        ] {
            let begun = Instant::now();
            let sidecar = start(large)?;
            let mut client = Client::connect(&sidecar.endpoint, Tool::GetNote, Way::Modern).await?;
            client.call().await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    found.large_rate = compared(&start(true)?, &start(false)?, quick).await?;
    Ok(())
}

/// A file that is gone when this is.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // A file left in the temporary directory harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}
