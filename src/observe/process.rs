//! What the system says of this process: memory, processor time, open files. In: `/proc/self` of Linux. Out: numbers; zeros
//! where there is no such thing.

use std::{fs, time::Duration};

/// What the system says of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Memory in use.
    pub resident_bytes: u64,
    /// Processor time, user and system.
    pub cpu: Duration,
    /// Open files and sockets.
    pub open_fds: u64,
}

/// As `/proc` counts processor time on every architecture of Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// Of this moment.
    #[must_use]
    pub fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}"));
        let status = read("status").unwrap_or_default();
        let stat = read("stat").unwrap_or_default();
        Self {
            resident_bytes: resident(&status).unwrap_or_default(),
            cpu: cpu(&stat).unwrap_or_default(),
            open_fds: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        }
    }
}

/// `VmRSS:     1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Fields 14 and 15; the second is the program's name, in parentheses, and may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let seconds = (ticks()? + ticks()?) / TICKS_PER_SECOND;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        assert_eq!(
            resident("Name:\tx\nVmRSS:\t   12 kB\nThreads:\t1\n"),
            Some(12 * 1024)
        );
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 150 50 0 0 20 0 3 0 55 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        for odd in ["", "VmRSS:", "7 (x", "7 (x) S 1"] {
            assert_eq!((resident(odd), cpu(odd)), (None, None));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_files() {
        let now = Process::now();
        assert!(
            now.resident_bytes > 1_000_000 && now.open_fds > 2,
            "{now:?}"
        );
    }
}
