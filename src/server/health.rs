//! Live and ready. Live: the process answers. Ready: what a call needs is there, each thing with its own line.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{Response, StatusCode};

use super::{Body, reply};

/// One thing a call needs.
#[derive(Clone, Debug)]
pub struct Check {
    /// What: `backend`, `keys`, `catalogue`.
    pub name: &'static str,
    /// What is wrong with it, without addresses; `None` where it is well.
    pub trouble: Option<String>,
    /// What somebody should look at though calls succeed; shown where there is no trouble.
    pub remark: Option<String>,
}

/// Looks at everything a call needs.
pub type Checks = Arc<dyn Fn() -> Checking + Send + Sync>;

/// A look on its way.
pub type Checking = Pin<Box<dyn Future<Output = Vec<Check>> + Send>>;

/// `GET /healthz`.
pub(super) fn live() -> Response<Body> {
    reply::text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`: a line each, `backend: ok`.
pub(super) async fn ready(checks: &Checks) -> Response<Body> {
    let checks = checks().await;
    let well = checks.iter().all(|check| check.trouble.is_none());
    let lines: String = checks
        .iter()
        .map(|check| {
            let said = check.trouble.as_deref().or(check.remark.as_deref());
            let said = said.unwrap_or("ok");
            format!("{}: {said}\n", check.name)
        })
        .collect();
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    reply::text(status, lines)
}
