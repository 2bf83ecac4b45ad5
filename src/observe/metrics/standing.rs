//! How everything stands at the moment of a scrape. In: [`Standing`], made anew for each. Out: gauges, and counters that
//! their owners count. One scrape at a time, or two would write over each other.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{
    Error, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::{super::process::Process, counters, kept};

/// The age of an issuer's keys.
#[derive(Clone, Debug, PartialEq)]
pub struct JwksAge {
    /// The issuer, as the settings name it.
    pub issuer: String,
    /// Since they were fetched; `None` before that.
    pub age: Option<Duration>,
}

/// How everything stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Whether calls would succeed, as `/readyz` says it.
    pub is_ready: bool,
    /// Calls let through, turned away, and decided while the shared store was away.
    pub allowed: u64,
    /// See `allowed`.
    pub blocked: u64,
    /// See `allowed`.
    pub degraded: u64,
    /// Whether the shared store is away.
    pub is_degraded: bool,
    /// The backend's breaker: 0 closed, 1 half open, 2 open.
    pub breaker: i64,
    /// Breakers of tools that are not closed.
    pub open_tools: usize,
    /// Requests at the backend.
    pub slots_held: usize,
    /// Requests that wait for that.
    pub slots_waiting: usize,
    /// The keys that are fetched.
    pub jwks: Vec<JwksAge>,
    /// Connections on the public port.
    pub connections: usize,
    /// Connections turned away at the public port.
    pub turned_away: u64,
    /// The catalogue's generation.
    pub generation: u64,
    /// The names of its tools.
    pub tools: HashSet<String>,
    /// Problems of the catalogue's file, which is not served then.
    pub problems: usize,
    /// Calls under former names.
    pub renamed: u64,
    /// Calls of tools that are gone.
    pub removed: u64,
    /// How far the backend's clock is from ours, where that is known.
    pub clock_skew: Option<f64>,
    /// Lines of the audit that were written, and attempts that failed.
    pub audit_written: u64,
    /// See `audit_written`.
    pub audit_failed: u64,
    /// This process.
    pub process: Process,
    /// When it started, since 1970.
    pub started_at: Duration,
}

#[derive(Debug)]
pub(super) struct Families {
    one_at_a_time: Mutex<()>,
    ready: IntGauge,
    decisions: IntCounterVec,
    degraded: IntGauge,
    breaker: IntGaugeVec,
    open_breakers: IntGaugeVec,
    held: IntGauge,
    waiting: IntGauge,
    jwks: GaugeVec,
    connections: IntGaugeVec,
    turned_away: IntCounter,
    generation: IntGauge,
    tools: IntGauge,
    problems: IntGauge,
    former: IntCounterVec,
    skew: Gauge,
    audit: IntCounterVec,
    resident: IntGauge,
    cpu: prometheus::Counter,
    files: IntGauge,
    started: Gauge,
}

impl Families {
    #[expect(
        clippy::too_many_lines,
        reason = "a table of families, and nothing else"
    )]
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name, help| kept(registry, IntGauge::new(name, help));
        let gauges = |name, help, labels: &[&str]| {
            kept(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        build_info(registry)?;
        Ok(Self {
            one_at_a_time: Mutex::default(),
            ready: gauge(
                "toolbridge_ready",
                "1 where calls would succeed, as /readyz says it.",
            )?,
            decisions: counters(
                registry,
                "rate_limit_requests_total",
                "Calls by what the rate limits decided: allowed, blocked; degraded: decided while the shared store was away.",
                &["status"],
            )?,
            degraded: gauge(
                "rate_limiter_degraded_mode",
                "1 while the shared store of the rate limits is away.",
            )?,
            breaker: gauges(
                "toolbridge_breaker_state",
                "0 closed, 1 half open, 2 open.",
                &["scope"],
            )?,
            open_breakers: gauges(
                "toolbridge_breakers_open",
                "Breakers that are not closed.",
                &["scope"],
            )?,
            held: gauge("toolbridge_slots_held", "Requests at the backend.")?,
            waiting: gauge(
                "toolbridge_slots_waiting",
                "Requests that wait for their turn at the backend.",
            )?,
            jwks: kept(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "toolbridge_jwks_age_seconds",
                        "Since the keys of an issuer were fetched; NaN before that.",
                    ),
                    &["issuer"],
                ),
            )?,
            connections: gauges(
                "toolbridge_open_connections",
                "Open connections.",
                &["port"],
            )?,
            turned_away: kept(
                registry,
                IntCounter::new(
                    "toolbridge_connections_refused_total",
                    "Connections turned away because there were too many.",
                ),
            )?,
            generation: gauge(
                "toolbridge_catalogue_generation",
                "Grows with each catalogue that is served.",
            )?,
            tools: gauge("toolbridge_catalogue_tools", "Tools in the catalogue.")?,
            problems: gauge(
                "toolbridge_catalogue_problems",
                "Problems of the catalogue's file; while there are any, the one before is served.",
            )?,
            former: counters(
                registry,
                "toolbridge_former_names_total",
                "Calls under names that tools no longer have.",
                &["kind"],
            )?,
            skew: kept(
                registry,
                Gauge::new(
                    "toolbridge_clock_skew_seconds",
                    "How far the backend's clock is ahead of ours.",
                ),
            )?,
            audit: counters(
                registry,
                "toolbridge_audit_lines_total",
                "Lines of the audit: written; failed: attempts that found no room.",
                &["result"],
            )?,
            resident: gauge("process_resident_memory_bytes", "Resident memory.")?,
            cpu: kept(
                registry,
                prometheus::Counter::new(
                    "process_cpu_seconds_total",
                    "Processor time, user and system.",
                ),
            )?,
            files: gauge("process_open_fds", "Open files and sockets.")?,
            started: kept(
                registry,
                Gauge::new(
                    "process_start_time_seconds",
                    "When the process started, since 1970.",
                ),
            )?,
        })
    }

    /// Writes it down; hold what is returned until the families are gathered.
    pub(super) fn set(&self, now: &Standing) -> MutexGuard<'_, ()> {
        let guard = self
            .one_at_a_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.ready.set(i64::from(now.is_ready));
        let decisions = [
            ("allowed", now.allowed),
            ("blocked", now.blocked),
            ("degraded", now.degraded),
        ];
        for (status, count) in decisions {
            follow(&self.decisions.with_label_values(&[status]), count);
        }
        self.degraded.set(i64::from(now.is_degraded));
        self.breaker
            .with_label_values(&["backend"])
            .set(now.breaker);
        let tools = self.open_breakers.with_label_values(&["tool"]);
        tools.set(whole(now.open_tools));
        self.held.set(whole(now.slots_held));
        self.waiting.set(whole(now.slots_waiting));
        for JwksAge { issuer, age } in &now.jwks {
            let seconds = age.map_or(f64::NAN, |age| age.as_secs_f64());
            self.jwks.with_label_values(&[issuer]).set(seconds);
        }
        let public = self.connections.with_label_values(&["public"]);
        public.set(whole(now.connections));
        follow(&self.turned_away, now.turned_away);
        self.generation.set(whole(now.generation));
        self.tools.set(whole(now.tools.len()));
        self.problems.set(whole(now.problems));
        follow(&self.former.with_label_values(&["renamed"]), now.renamed);
        follow(&self.former.with_label_values(&["removed"]), now.removed);
        self.skew.set(now.clock_skew.unwrap_or(0.0));
        follow(
            &self.audit.with_label_values(&["written"]),
            now.audit_written,
        );
        follow(&self.audit.with_label_values(&["failed"]), now.audit_failed);
        self.process(&now.process);
        self.started.set(now.started_at.as_secs_f64());
        guard
    }

    fn process(&self, process: &Process) {
        self.resident.set(whole(process.resident_bytes));
        let more = process.cpu.as_secs_f64() - self.cpu.get();
        self.cpu.inc_by(more.max(0.0));
        self.files.set(whole(process.open_fds));
    }
}

/// Which build it is.
fn build_info(registry: &Registry) -> Result<(), Error> {
    let options = Opts::new("toolbridge_build_info", "1, labelled with the build.");
    let info = kept(registry, IntGaugeVec::new(options, &["version"]))?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

/// Brings a counter up to what its owner counts.
fn follow(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
