//! The same load by wrk, beside our own driver's, so that nobody has to believe the driver. In: the driver's own prepared
//! request. Out: calls a second as either of them counts. wrk looks at the status of an answer and at nothing else.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    calls::{Tool, Way},
    endpoint::Endpoint,
    load::Load,
    requests,
    rounds::Who,
    servers::Servers,
};

/// Clients of either.
pub const CLIENTS: usize = 16;

/// One server, loaded by both in turn; calls a second.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Who answered.
    pub who: Who,
    /// As our driver counts, a round each.
    pub driver: Vec<f64>,
    /// As wrk does.
    pub wrk: Vec<f64>,
}

/// Nothing where there is no wrk.
pub async fn measure(servers: &Servers, quick: bool) -> Result<Vec<Checked>> {
    if Command::new("wrk").arg("-v").output().is_err() {
        eprintln!("no wrk here, so nothing but our own driver's word");
        return Ok(Vec::new());
    }
    eprintln!("the same by wrk");
    let mut found = [Who::Toolbridge, Who::Naive].map(|who| Checked {
        who,
        driver: Vec::new(),
        wrk: Vec::new(),
    });
    let script = std::env::temp_dir().join(format!("bench-wrk-{}.lua", std::process::id()));
    for _ in 0..if quick { 3 } else { 7 } {
        for (checked, server) in found.iter_mut().zip([&servers.sidecar, &servers.naive]) {
            checked.driver.push(by_driver(&server.endpoint).await?);
            checked.wrk.push(by_wrk(&server.endpoint, &script)?);
        }
    }
    Ok(found.into())
}

async fn by_driver(endpoint: &Endpoint) -> Result<f64> {
    let load = Load {
        endpoint,
        tool: Tool::GetNote,
        way: Way::Modern,
        connections: CLIENTS,
    };
    let (served, ()) = load.run(Duration::from_secs(1), || ()).await?;
    Ok(served.calls as f64 / served.seconds)
}

/// On one thread, as the driver.
fn by_wrk(endpoint: &Endpoint, script: &PathBuf) -> Result<f64> {
    fs::write(script, lua(&requests::modern(endpoint, Tool::GetNote)))?;
    let url = format!("http://{}{}", endpoint.address, endpoint.path);
    let answer = run(script, &url);
    fs::remove_file(script)?;
    let said = answer?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("wrk was refused: {said}");
    }
    let rate = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(rate.with_context(|| said.clone())?.trim().parse()?)
}

fn run(script: &Path, url: &str) -> Result<String> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", &format!("-c{CLIENTS}"), "-d1s", "-s"]);
    let output = wrk.arg(script).arg(url).output().context("wrk")?;
    if !output.status.success() {
        bail!("wrk: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A script that sends these bytes as they are.
fn lua(request: &[u8]) -> String {
    let mut text = String::from("local bytes = \"");
    for byte in request {
        let _ = write!(text, "\\{byte:03}");
    }
    text.push_str("\"\nrequest = function() return bytes end\n");
    text
}
