//! Live and ready. Live: the process answers. Ready: what a call needs is there. In: [`Checks`]. Out: for whoever runs us,
//! each thing with its own line; for everybody else, on the public port, the verdict and nothing more. `/health` is the
//! verdict in the original's two shapes: text as its Go service writes it, or JSON for who asks for that.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode, header::ACCEPT};
use serde_json::{Map, Value, json};
use tokio::{sync::Mutex, time::Instant};

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

/// How much of what the checks say is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// All of it.
    Full,
    /// The verdict alone.
    Bare,
}

/// What the checks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    /// Calls succeed, and somebody should look.
    Degraded,
    Unhealthy,
}

impl Check {
    fn said(&self) -> &str {
        let said = self.trouble.as_deref().or(self.remark.as_deref());
        said.unwrap_or("ok")
    }
}

impl Verdict {
    fn of(checks: &[Check]) -> Self {
        if checks.iter().any(|check| check.trouble.is_some()) {
            Self::Unhealthy
        } else if checks.iter().any(|check| check.remark.is_some()) {
            Self::Degraded
        } else {
            Self::Healthy
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Healthy | Self::Degraded => StatusCode::OK,
            Self::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What was seen, and when.
type Look = (Instant, Vec<Check>);

/// Looks at most once in `pause`, whoever asks how often: everybody may ask on the public port, and each look opens a
/// connection to the backend.
#[must_use]
pub fn seldom(checks: Checks, pause: Duration) -> Checks {
    let last: Arc<Mutex<Option<Look>>> = Arc::default();
    Arc::new(move || {
        let (checks, last) = (Arc::clone(&checks), Arc::clone(&last));
        Box::pin(async move {
            // Whoever comes meanwhile waits for the same look.
            let mut last = last.lock().await;
            if let Some((at, seen)) = &*last
                && at.elapsed() < pause
            {
                return seen.clone();
            }
            let seen = checks().await;
            *last = Some((Instant::now(), seen.clone()));
            seen
        })
    })
}

/// What is answered at this path to whoever sends these headers, if it is one of health's.
pub(super) async fn answer(
    path: &str,
    headers: &HeaderMap,
    checks: &Checks,
    detail: Detail,
) -> Option<Response<Body>> {
    Some(match path {
        "/healthz" => reply::text(StatusCode::OK, "ok\n"),
        "/readyz" => ready(&checks().await, detail),
        "/health" => health(&checks().await, wants_json(headers), detail),
        _ => return None,
    })
}

/// A line each, `backend: ok`; or one for all.
fn ready(checks: &[Check], detail: Detail) -> Response<Body> {
    let status = Verdict::of(checks).status();
    let text = match (detail, status) {
        (Detail::Full, _) => {
            let lines = checks.iter();
            let line = |check: &Check| format!("{}: {}\n", check.name, check.said());
            lines.map(line).collect()
        }
        (Detail::Bare, StatusCode::OK) => "ready\n".to_owned(),
        (Detail::Bare, _) => "not ready\n".to_owned(),
    };
    reply::text(status, text)
}

fn health(checks: &[Check], as_json: bool, detail: Detail) -> Response<Body> {
    let verdict = Verdict::of(checks);
    let status = verdict.status();
    if !as_json {
        let text = if status == StatusCode::OK {
            "ok\n"
        } else {
            "unhealthy\n"
        };
        return reply::text(status, text);
    }
    let each = checks.iter();
    let each = each.map(|check| (check.name.to_owned(), Value::from(check.said())));
    let said = match detail {
        Detail::Full => json!({ "status": verdict.word(), "checks": each.collect::<Map<_, _>>() }),
        Detail::Bare => json!({ "status": verdict.word() }),
    };
    reply::json(status, &said)
}

/// Whether JSON is asked for by name: `*/*` is what everybody sends.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).into_iter();
    let mut types = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.split(';').next().unwrap_or_default().trim());
    types.any(|one| one.eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::HeaderValue;
    use tokio::time::advance;

    use super::*;

    fn check(trouble: Option<&str>, remark: Option<&str>) -> Check {
        Check {
            name: "backend",
            trouble: trouble.map(str::to_owned),
            remark: remark.map(str::to_owned),
        }
    }

    #[test]
    fn one_trouble_is_unhealthy_and_a_remark_alone_degraded() {
        let (well, remark) = (check(None, None), check(None, Some("look")));
        let trouble = check(Some("gone"), Some("look"));
        assert_eq!(Verdict::of(&[]), Verdict::Healthy);
        assert_eq!(
            Verdict::of(&[well.clone(), remark.clone()]),
            Verdict::Degraded
        );
        assert_eq!(Verdict::of(&[remark, trouble, well]), Verdict::Unhealthy);
    }

    #[test]
    fn json_is_for_who_names_it() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            wants_json(&headers)
        };
        assert!(wants("application/json") && wants("text/html, Application/JSON;q=0.9"));
        assert!(!wants("*/*") && !wants("text/plain") && !wants_json(&HeaderMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_cause_one_look() {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let checks: Checks = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                tokio::task::yield_now().await;
                vec![check(None, None)]
            })
        });
        let checks = seldom(checks, Duration::from_secs(1));
        futures_util::future::join_all((0..100).map(|_| checks())).await;
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        advance(Duration::from_secs(1)).await;
        checks().await;
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
