//! Programs that are measured, and what the kernel says about them (Linux: `/proc`). They end with their owner.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// `/proc` counts time in hundredths of a second.
const TICK_US: u64 = 10_000;

/// A running program.
pub struct Process(Child);

impl Process {
    /// Starts it; nobody reads what it prints.
    pub fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("{command:?}"))?))
    }

    /// Starts one that prints its address first.
    pub fn with_address(command: &mut Command) -> Result<(Self, String)> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().with_context(|| format!("{command:?}"));
        let mut process = Self(child?);
        let mut line = String::new();
        let output = process.0.stdout.take().context("no standard output")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok((process, line.trim().to_owned()))
    }

    /// Time on the processor since its start, user and system, in microseconds.
    pub fn cpu_us(&self) -> Result<u64> {
        let stat = fs::read_to_string(self.file("stat"))?;
        // The name in parentheses may hold spaces; utime and stime are the 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let ticks = |at: usize| -> Result<u64> {
            let field = fields.split_whitespace().nth(at).context("stat")?;
            Ok(field.parse()?)
        };
        Ok((ticks(11)? + ticks(12)?) * TICK_US)
    }

    /// How often it had to wait for a page from a disk.
    pub fn faults(&self) -> Result<u64> {
        let stat = fs::read_to_string(self.file("stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        Ok(fields.split_whitespace().nth(9).context("stat")?.parse()?)
    }

    /// `VmRSS` (resident now) or `VmHWM` (the most since the last [`Self::forget_peak`]), in MB of 10^6 bytes.
    pub fn memory_mb(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(self.file("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.context("status")?.split_whitespace().nth(1);
        let kib: u64 = number.context("status")?.parse()?;
        Ok((kib * 1024) as f64 / 1e6)
    }

    /// Makes the present memory the highest so far.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(self.file("clear_refs"), "5")?)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Asks it to end, as a service manager does, and waits for that.
    pub fn ends(&mut self) -> Result<()> {
        let id = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status()?;
        if !asked.success() {
            bail!("it cannot be asked to end: {asked}");
        }
        match self.0.wait()? {
            ended if ended.success() => Ok(()),
            ended => bail!("it did not end as it should: {ended}"),
        }
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
