//! Whether a call would succeed now: a backend that listens, keys to recognize callers with, clocks that agree. In: the
//! parts that `app` made. Out: [`Checks`], which the operations port asks for each `/readyz`. Addresses are never said.

use std::{future::ready, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::watch, time::timeout};
use url::Url;

use crate::{
    auth::Verifier,
    backend::ClockSkew,
    clock,
    guard::{BreakerState, Snapshot},
    mcp::Calls,
    observe::audit::{Audit, OnFailure},
    reload,
    server::health::{Check, Checks},
    shutdown::Shutdown,
};

/// What is looked at.
pub(super) struct Readiness {
    pub(super) verifier: Arc<Verifier>,
    /// Host and port of the backend.
    pub(super) backend: Arc<str>,
    /// How long the backend may take to take a connection.
    pub(super) patience: Duration,
    pub(super) clock_skew: Arc<ClockSkew>,
    /// Whether tenant headers are signed, so that a wrong clock loses calls.
    pub(super) is_signed: bool,
    pub(super) calls: Arc<Calls>,
    /// What came of reading the catalogue again.
    pub(super) reload: watch::Receiver<reload::Record>,
}

/// Something else that calls need, under this name.
pub(super) struct Need {
    pub(super) name: &'static str,
    /// What is wrong with it at the moment.
    pub(super) trouble: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Readiness {
    pub(super) fn checks(self) -> Checks {
        let this = Arc::new(self);
        Arc::new(move || {
            let this = Arc::clone(&this);
            Box::pin(async move { this.look().await })
        })
    }

    async fn look(&self) -> Vec<Check> {
        let connection = TcpStream::connect(&*self.backend);
        let reached = timeout(self.patience, connection).await;
        let missing = self.verifier.without_keys();
        let mut checks = vec![
            Check {
                name: "backend",
                trouble: match reached {
                    Ok(Ok(_)) => None,
                    Ok(Err(_)) | Err(_) => Some("cannot be reached".to_owned()),
                },
                remark: None,
            },
            Check {
                name: "keys",
                trouble: (!missing.is_empty())
                    .then(|| format!("not loaded for {}", missing.join(", "))),
                remark: None,
            },
        ];
        checks.extend(clock_check(&self.clock_skew, self.is_signed));
        let generation = self.calls.published().generation;
        checks.push(catalogue_check(&self.reload.borrow(), generation));
        let guard = self.calls.guard();
        checks.extend(store_check(guard.store_is_well().await));
        checks.extend(self.calls.audit().map(audit_check));
        checks.extend(breaker_check(&guard.snapshot()));
        checks
    }
}

/// What `checks` say, behind a line of its own for something else that calls need.
pub(super) fn behind(need: Need, checks: Checks) -> Checks {
    let need = Arc::new(need);
    Arc::new(move || {
        let first = Check {
            name: need.name,
            trouble: (need.trouble)(),
            remark: None,
        };
        let rest = checks();
        Box::pin(async move {
            let mut all = vec![first];
            all.extend(rest.await);
            all
        })
    })
}

/// What `checks` say, until somebody asks to stop: from then on that alone is said, and nothing is looked at.
pub(super) fn until_stopping(checks: Checks, shutdown: Shutdown) -> Checks {
    Arc::new(move || {
        if !shutdown.is_requested() {
            return checks();
        }
        let stopping = Check {
            name: "process",
            trouble: Some("stopping".to_owned()),
            remark: None,
        };
        Box::pin(ready(vec![stopping]))
    })
}

/// A line where the clocks differ. Who signs nothing loses no call by it.
fn clock_check(skew: &ClockSkew, is_signed: bool) -> Option<Check> {
    let skew = skew.now(clock::unix_now())?;
    let said = format!("backend's clock differs by {} s", skew.seconds());
    let is_refused = is_signed && skew.is_refused();
    let (trouble, remark) = if is_refused {
        (Some(said), None)
    } else {
        (None, Some(said))
    };
    Some(Check {
        name: "clock",
        trouble,
        remark,
    })
}

/// What is served is valid, or it would not be served; a remark where the file is not. Calls succeed then, with the
/// catalogue of before.
fn catalogue_check(record: &reload::Record, generation: u64) -> Check {
    let remark = record.trouble.as_ref().map(|trouble| {
        let since = clock::written(trouble.since);
        let problems = trouble.problems;
        let s = if problems == 1 { "" } else { "s" };
        format!(
            "the file has {problems} problem{s} since {since}; still serving generation {generation} (see the log)"
        )
    });
    Check {
        name: "catalogue",
        trouble: None,
        remark,
    }
}

/// A line where several machines count calls together. Without the store calls succeed, under stricter limits.
fn store_check(is_well: Option<bool>) -> Option<Check> {
    let degraded =
        "degraded: the store is away, stricter limits of this process hold (see the log)";
    Some(Check {
        name: "limits",
        trouble: None,
        remark: (!is_well?).then(|| degraded.to_owned()),
    })
}

/// A line where there is an audit. Reads succeed without it, and with `continue` writes do too.
fn audit_check(audit: &Audit) -> Check {
    let said = match audit.on_failure() {
        OnFailure::Refuse => "it cannot be written, so writes are refused (see the log)",
        OnFailure::Continue => "it cannot be written, and writes go on (see the log)",
    };
    let lost = audit.counts().lost;
    let s = if lost == 1 { "" } else { "s" };
    let lost = (lost > 0).then(|| format!("{lost} line{s} lost (see the log)"));
    Check {
        name: "audit",
        trouble: None,
        remark: audit.is_failing().then(|| said.to_owned()).or(lost),
    }
}

/// A line where a breaker is not closed. Who is refused is told so, and can try again.
fn breaker_check(now: &Snapshot) -> Option<Check> {
    let backend = match now.backend {
        BreakerState::Closed => None,
        BreakerState::Open => Some("open for the backend".to_owned()),
        BreakerState::HalfOpen => Some("half open for the backend".to_owned()),
    };
    let tools = now.open_tools;
    let s = if tools == 1 { "" } else { "s" };
    let tools = (tools > 0).then(|| format!("open for {tools} tool{s} (see the log)"));
    Some(Check {
        name: "breaker",
        trouble: None,
        remark: Some(backend.or(tools)?),
    })
}

/// Host and port as a connection wants them.
pub(super) fn address_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}
