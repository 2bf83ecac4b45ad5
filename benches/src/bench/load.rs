//! Load: so many clients, each making its next call when it has its last answer, for so long.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::{
    calls::{Client, Tool, Way},
    endpoint::Endpoint,
};

/// Before anything counts, so that pools are full and pages are touched.
const WARM_UP: Duration = Duration::from_millis(100);

/// Who is loaded, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Where, and as whom.
    pub endpoint: &'a Endpoint,
    /// What is called.
    pub tool: Tool,
    /// How.
    pub way: Way,
    /// By how many clients at once.
    pub connections: usize,
}

/// What came of it; times in microseconds.
#[derive(Clone, Debug)]
pub struct Served {
    /// Answered calls.
    pub calls: usize,
    /// From the first call to the last answer, in seconds.
    pub seconds: f64,
    /// Median time of a call.
    pub p50: f64,
    /// Time that one call in a hundred exceeds.
    pub p99: f64,
}

impl Load<'_> {
    /// Connects everybody.
    pub async fn clients(&self) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            clients.push(Client::connect(self.endpoint, self.tool, self.way).await?);
        }
        Ok(clients)
    }

    /// Loads for `duration` after a warm-up; `counted` is called when the warm-up is over.
    pub async fn run<C>(&self, duration: Duration, counted: impl Fn() -> C) -> Result<(Served, C)> {
        let mut clients = self.clients().await?;
        run(&mut clients, WARM_UP).await?;
        let counter = counted();
        let served = run(&mut clients, duration).await?;
        Ok((served, counter))
    }
}

/// Lets the clients call until the time is over.
pub async fn run(clients: &mut Vec<Client>, duration: Duration) -> Result<Served> {
    let begun = Instant::now();
    let end = begun + duration;
    let mut running = JoinSet::new();
    for mut client in clients.drain(..) {
        running.spawn(async move {
            let mut times = Vec::with_capacity(4096);
            loop {
                let begun = Instant::now();
                client.call().await?;
                let answered = Instant::now();
                times.push(answered - begun);
                if answered >= end {
                    return Ok::<_, anyhow::Error>((client, times));
                }
            }
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (client, some) = ended??;
        clients.push(client);
        times.extend(some);
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    Ok(Served {
        calls: times.len(),
        seconds,
        p50: at(&times, 0.50)?,
        p99: at(&times, 0.99)?,
    })
}

/// The time that this part of all calls did not exceed.
fn at(times: &[Duration], part: f64) -> Result<f64> {
    let rank = (times.len().saturating_sub(1) as f64 * part).round() as usize;
    let time = times.get(rank).context("no call was answered")?;
    Ok(time.as_secs_f64() * 1e6)
}
