//! Size and start: resident memory of fresh sidecars, the time to the first answer, the binary, the tool list's tokens.

use std::{fs, path::Path, process::Command, time::Duration, time::Instant};

use anyhow::{Context, Result, bail};

use super::{
    calls::{Client, Tool, Way},
    load::{self, Load},
    servers::{Server, Servers},
};

/// As many connections as any machine has files for.
const FEW: usize = 1000;

/// What a sidecar takes; memory in MB of 10^6 bytes.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    /// Resident after the first answered `tools/list`, a fresh process each.
    pub idle: Vec<f64>,
    /// Resident with so many open HTTP connections, each of which has made a call.
    pub with_http: Vec<(usize, f64)>,
    /// Resident with so many open MCP connections of revision 2025-11-25, each of which has made a call.
    pub with_mcp: Vec<(usize, f64)>,
    /// Resident after so many calls.
    pub after_calls: Vec<(usize, f64)>,
    /// The most memory that a call of 1 MB took beyond what was there, in multiples of its body.
    pub peak: f64,
    /// From the start of the process to its first answered `tools/list`, in milliseconds, its file in the page cache.
    pub warm_ms: Vec<f64>,
    /// The same with nothing of its file in the page cache; empty where that cannot be had.
    pub cold_ms: Vec<f64>,
    /// The binary, in MB.
    pub binary_mb: f64,
    /// Tokens of `tools/list`, as `toolbridge check` counts them.
    pub list_tokens: f64,
}

/// Measures all of it, one sidecar after another.
pub async fn measure(servers: &Servers, quick: bool) -> Result<Footprint> {
    eprintln!("size and start");
    let mut found = Footprint {
        binary_mb: binary_mb(servers)?,
        list_tokens: list_tokens(servers)?,
        ..Footprint::default()
    };
    for _ in 0..10 {
        let begun = Instant::now();
        let sidecar = servers.another_sidecar()?;
        list(&sidecar).await?;
        found.warm_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        found.idle.push(sidecar.process.memory_mb("VmRSS")?);
    }
    match cold_starts(servers).await {
        Ok(times) => found.cold_ms = times,
        Err(why) => eprintln!("no start with a cold page cache: {why:#}"),
    }
    let mut counts = vec![FEW, most_connections(quick)?];
    counts.dedup();
    found.with_http = with_connections(servers, Way::Modern, &counts).await?;
    found.with_mcp = with_connections(servers, Way::Connection, &counts).await?;
    let calls = if quick { 20_000 } else { 200_000 };
    found.after_calls = after_calls(servers, &[calls / 10, calls]).await?;
    found.peak = peak(servers).await?;
    Ok(found)
}

/// Of a copy, because pages that a running sidecar uses stay where they are.
async fn cold_starts(servers: &Servers) -> Result<Vec<f64>> {
    let copy = servers.binary.with_extension("cold");
    fs::copy(&servers.binary, &copy)?;
    let times = cold_starts_of(servers, &copy).await;
    fs::remove_file(&copy)?;
    times
}

async fn cold_starts_of(servers: &Servers, copy: &Path) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..10 {
        drop_from_cache(copy)?;
        let begun = Instant::now();
        let sidecar = servers.sidecar_of(copy, None)?;
        list(&sidecar).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        if sidecar.process.faults()? == 0 {
            bail!("the file stays in the page cache: its file system may be memory itself");
        }
    }
    Ok(times)
}

/// Tells the kernel that this file's pages will not be needed (`posix_fadvise`, which dd asks for).
fn drop_from_cache(file: &Path) -> Result<()> {
    let mut dd = Command::new("dd");
    dd.arg(format!("of={}", file.display()));
    dd.args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
    let done = dd.output().context("dd")?;
    match done.status.success() {
        true => Ok(()),
        false => bail!("dd: {}", String::from_utf8_lossy(&done.stderr)),
    }
}

async fn list(sidecar: &Server) -> Result<()> {
    client(sidecar, Tool::ToolsList, Way::Modern)
        .await?
        .call()
        .await
}

async fn with_connections(
    servers: &Servers,
    way: Way,
    counts: &[usize],
) -> Result<Vec<(usize, f64)>> {
    let sidecar = servers.another_sidecar()?;
    let mut clients = Vec::new();
    let mut found = Vec::new();
    for &count in counts {
        while clients.len() < count {
            let mut client = client(&sidecar, Tool::GetNote, way).await?;
            client.call().await?;
            clients.push(client);
        }
        found.push((count, sidecar.process.memory_mb("VmRSS")?));
    }
    Ok(found)
}

async fn after_calls(servers: &Servers, counts: &[usize]) -> Result<Vec<(usize, f64)>> {
    let sidecar = servers.another_sidecar()?;
    let load = Load {
        endpoint: &sidecar.endpoint,
        tool: Tool::GetNote,
        way: Way::Modern,
        connections: 16,
    };
    let mut clients = load.clients().await?;
    let mut made = 0;
    let mut found = Vec::new();
    for &count in counts {
        while made < count {
            made += load::run(&mut clients, Duration::from_millis(100))
                .await?
                .calls;
        }
        found.push((made, sidecar.process.memory_mb("VmRSS")?));
    }
    Ok(found)
}

/// Of a sidecar that has answered small calls only.
async fn peak(servers: &Servers) -> Result<f64> {
    let sidecar = servers.another_sidecar()?;
    let mut small = client(&sidecar, Tool::GetNote, Way::Modern).await?;
    for _ in 0..100 {
        small.call().await?;
    }
    let mut large = client(&sidecar, Tool::LongList, Way::Modern).await?;
    let before = sidecar.process.memory_mb("VmRSS")?;
    sidecar.process.forget_peak()?;
    large.call().await?;
    let most = sidecar.process.memory_mb("VmHWM")?;
    let body = bench_parts::answers::page(bench_parts::answers::LONG_LIST).len() as f64 / 1e6;
    Ok((most - before) / body)
}

async fn client(sidecar: &Server, tool: Tool, way: Way) -> Result<Client> {
    Client::connect(&sidecar.endpoint, tool, way).await
}

fn binary_mb(servers: &Servers) -> Result<f64> {
    Ok(fs::metadata(&servers.binary)?.len() as f64 / 1e6)
}

/// From `40 tools, 5000 tokens …`.
fn list_tokens(servers: &Servers) -> Result<f64> {
    let checked = Command::new(&servers.binary)
        .env_clear()
        .arg("check")
        .output()?;
    let text = String::from_utf8(checked.stdout)?;
    let line = text
        .lines()
        .last()
        .context("`toolbridge check` says nothing")?;
    let number = line
        .split(", ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    Ok(number
        .context("no tokens in the last line of `toolbridge check`")?
        .parse()?)
}

/// How many connections are many: ten thousand, or as many hundreds as there are files for. A sidecar keeps two for each,
/// and some besides.
pub fn most_connections(quick: bool) -> Result<usize> {
    if quick {
        return Ok(FEW);
    }
    let room = usize::try_from(most_files()? / 2).unwrap_or(usize::MAX);
    let hundreds = room.saturating_sub(50) / 100 * 100;
    Ok(hundreds.clamp(FEW, 10_000))
}

/// How many files this process may open, and with it every one that it starts.
fn most_files() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number
        .and_then(|number| number.parse().ok())
        .unwrap_or(u64::MAX))
}
