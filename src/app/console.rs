//! What the console shows, out of the parts that `app` made, and the way of its tries, which is MCP's: the same check of
//! the caller, the same limits, the same calls. Out: JSON without tokens, arguments, bodies, or addresses of the backend.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};
use tokio_util::sync::CancellationToken;

use super::standing::Looks;
use crate::{
    auth::{AuthError, Caller, KeyAge},
    backend::CorrelationId,
    catalogue::{Catalogue, Effect, Tool, tokens},
    clock,
    guard::BreakerState,
    mcp::{Incoming, NoOutcome, Outcome, call::Seen},
    observe::{Arrival, CallRecord, HopName, process::Process, record::milliseconds},
    server::{
        console::{Attempt, Attempting, Insight, NotTried, Telling},
        health::Check,
    },
};

/// What a console is made from; cheap to clone.
#[derive(Clone)]
pub(super) struct View {
    looks: Looks,
    mcp_url: Arc<str>,
    started: Instant,
    /// The catalogue as JSON, of this generation: its tokens are counted once.
    catalogue: Arc<Mutex<Option<(u64, Value)>>>,
}

impl View {
    /// Of a sidecar that starts now and answers MCP at this address.
    pub(super) fn new(looks: Looks, mcp_url: String) -> Self {
        Self {
            looks,
            mcp_url: mcp_url.into(),
            started: Instant::now(),
            catalogue: Arc::default(),
        }
    }

    async fn state(self) -> Value {
        let looks = &self.looks;
        let checks = (looks.checks)().await;
        let published = looks.calls.published();
        let problems = looks
            .reload
            .borrow()
            .trouble
            .as_ref()
            .map_or(0, |it| it.problems);
        let metrics = &looks.calls.observer().metrics;
        let (ok, failed) = metrics.ended();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": clock::written(looks.started_at).to_string(),
            "uptime_s": self.started.elapsed().as_secs_f64(),
            "now": exactly(clock::unix_now()),
            "mcp_url": &*self.mcp_url,
            "catalogue": {
                "generation": published.generation,
                "tools": published.catalogue.tools().len(),
                "problems": problems,
            },
            "ready": checks.iter().all(|check| check.trouble.is_none()),
            "checks": checks.iter().map(shown).collect::<Vec<_>>(),
            "auth": self.auth(),
            "guard": self.guard(),
            "connections": {
                "open": looks.door.counts().open,
                "streams": metrics.streams(),
            },
            "calls": { "running": metrics.running(), "ok": ok, "failed": failed },
            "resident_bytes": Process::now().resident_bytes,
        })
    }

    fn auth(&self) -> Value {
        let rings = self.looks.verifier.key_rings();
        let kind = if rings.is_empty() { "none" } else { "tokens" };
        let issuers = rings.iter().map(|ring| {
            json!({
                "issuer": ring.issuer,
                "keys": ring.keys,
                "age_s": match ring.age {
                    KeyAge::Ours | KeyAge::Awaited => None,
                    KeyAge::Fetched(age) => Some(age.as_secs()),
                },
            })
        });
        json!({ "kind": kind, "issuers": issuers.collect::<Vec<_>>() })
    }

    fn guard(&self) -> Value {
        let guard = self.looks.calls.guard().snapshot();
        let decisions = guard.decisions;
        json!({
            "decisions": {
                "allowed": decisions.allowed,
                "blocked": decisions.limited + decisions.blocked,
                "degraded": decisions.degraded,
            },
            "degraded": guard.is_degraded,
            "slots": {
                "held": guard.slots.held,
                "waiting": guard.slots.waiting,
                "shed": guard.slots.shed,
            },
            "breaker": match guard.backend {
                BreakerState::Closed => "closed",
                BreakerState::HalfOpen => "half_open",
                BreakerState::Open => "open",
            },
            "open_tools": guard.open_tools,
        })
    }

    async fn catalogue(self) -> Value {
        let published = self.looks.calls.published();
        // Whoever comes meanwhile waits for the same count.
        let mut kept = self.catalogue.lock().await;
        if let Some((generation, value)) = &*kept
            && *generation == published.generation
        {
            return value.clone();
        }
        let tools = published.catalogue.tools().iter();
        let mut texts: Vec<_> = tools.map(|tool| tokens::listed(tool).to_string()).collect();
        texts.push(format!("[{}]", texts.join(",")));
        let counted = spawn_blocking(move || tokens::count_each(&texts)).await;
        let value = listed(&published.catalogue, &counted.unwrap_or_default());
        *kept = Some((published.generation, value.clone()));
        value
    }

    async fn attempt(self, attempt: Attempt) -> Result<Value, NotTried> {
        let calls = Arc::clone(&self.looks.calls);
        if calls.leaving().is_cancelled() {
            return Err(NotTried::Stopping);
        }
        let begun = Instant::now();
        let caller = match self.caller(attempt.token).await {
            Ok(caller) => caller,
            Err(error) => return Ok(unproven(&error)),
        };
        if let Err(wait) = calls.guard().request(&caller) {
            return Ok(too_often(wait));
        }
        let correlation = CorrelationId::random();
        let incoming = Incoming {
            catalogue: calls.catalogue(),
            caller,
            tool: attempt.tool,
            arguments: attempt.arguments,
            limit: None,
            write_name: None,
            delivery: None,
            seen: Seen::in_console(Arrival::verified(begun), correlation),
        };
        let gone = CancellationToken::new();
        // Whoever closes the page gives up a read, as every client that goes away does.
        let _gives_up = gone.clone().drop_guard();
        let (outcome, result) = match calls.run(incoming, gone).await {
            Ok(Outcome::Success(text)) => ("ok", text.value()),
            Ok(Outcome::Failure(failure)) => (failure.code.as_str(), failure.structured()),
            Err(NoOutcome::UnknownTool) => return Err(NotTried::UnknownTool),
            Err(NoOutcome::ClientGone | NoOutcome::Lost) => return Err(NotTried::Lost),
        };
        Ok(json!({
            "outcome": outcome,
            "result": result,
            "correlation_id": correlation.to_string(),
        }))
    }

    async fn caller(&self, token: Option<SecretString>) -> Result<Caller, AuthError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = format!("Bearer {}", token.expose_secret().trim());
            let value = HeaderValue::try_from(value);
            let mut value = value.map_err(|_| AuthError::Malformed("odd characters"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let verifier = &self.looks.verifier;
        verifier.caller(&headers, clock::unix_now()).await
    }
}

impl Insight for View {
    fn state(&self) -> Telling {
        Box::pin(self.clone().state())
    }

    fn catalogue(&self) -> Telling {
        Box::pin(self.clone().catalogue())
    }

    fn calls(&self, after: u64) -> Value {
        let recent = &self.looks.calls.observer().recent;
        let calls = recent.after(after);
        let last = calls
            .last()
            .map_or_else(|| recent.last().min(after), |(number, _)| *number);
        let rows = calls.iter().map(|(number, call)| row(*number, call));
        json!({ "calls": rows.collect::<Vec<_>>(), "last": last })
    }

    fn attempt(&self, attempt: Attempt) -> Attempting {
        Box::pin(self.clone().attempt(attempt))
    }
}

fn shown(check: &Check) -> Value {
    json!({ "name": check.name, "trouble": check.trouble, "remark": check.remark })
}

/// `counts` are the tokens of each tool, and behind them those of the whole list.
fn listed(catalogue: &Catalogue, counts: &[usize]) -> Value {
    let tools = catalogue.tools().iter().zip(counts);
    let tools: Vec<_> = tools.map(|(tool, count)| described(tool, *count)).collect();
    let server = catalogue.server();
    json!({
        "server": { "name": server.name, "title": server.title },
        "tokens": counts.last(),
        "tools": tools,
    })
}

fn described(tool: &Tool, tokens: usize) -> Value {
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "effect": match tool.effect {
            Effect::Read => "read",
            Effect::Write => "write",
        },
        "scopes": tool.scopes,
        "tokens": tokens,
        "input_schema": *tool.input_schema,
        "output_schema": *tool.output_schema,
    })
}

fn row(number: u64, call: &CallRecord) -> Value {
    let marks = &call.marks;
    let took = |name| marks.took(name).map(milliseconds);
    let mut hops = marks.hops.clone();
    hops.sort_by_key(|hop| hop.start);
    let hops = hops.iter().map(|hop| {
        json!({
            "name": hop.name.as_str(),
            "start_ms": milliseconds(hop.start),
            "ms": milliseconds(hop.took),
        })
    });
    json!({
        "number": number,
        "at": exactly(call.began_at + call.took),
        "tool": call.tool,
        "alias": call.alias,
        "tenant": call.tenant,
        "person": call.caller.as_ref().map(|caller| caller.hashed()),
        "client": call.client,
        "protocol": call.protocol,
        "outcome": call.ending.as_str(),
        "status": marks.status,
        "duration_ms": milliseconds(call.took),
        "backend_ms": call.backend().map(milliseconds),
        "session_ms": took(HopName::Session),
        "request_bytes": marks.request_bytes,
        "response_bytes": marks.response_bytes,
        "retries": marks.retries,
        "sessions": marks.opened,
        "repeated": call.is_repeated,
        "correlation_id": call.correlation,
        "trace_id": call.trace.map(|trace| trace.trace.to_string()),
        "hops": hops.collect::<Vec<_>>(),
    })
}

/// A time with its milliseconds: calls are drawn where they were.
fn exactly(since_1970: Duration) -> String {
    clock::written_exactly(since_1970).to_string()
}

/// What a client would get as 401, in the shape of a failed call.
fn unproven(error: &AuthError) -> Value {
    let (code, mend) = match error {
        AuthError::Missing => ("UNAUTHENTICATED", "paste the token of whoever shall call"),
        AuthError::KeysUnavailable { .. } => ("BACKEND_UNAVAILABLE", "try again shortly"),
        _ => ("UNAUTHENTICATED", "paste another token"),
    };
    failed(code, format!("{error}: {mend}"), Map::new())
}

fn too_often(wait: Duration) -> Value {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("you send too many requests: try again in {seconds} s");
    let more = Map::from_iter([("retry_after_s".to_owned(), json!(seconds))]);
    failed("RATE_LIMITED", message, more)
}

fn failed(code: &str, message: String, more: Map<String, Value>) -> Value {
    let mut error = Map::from_iter([
        ("code".to_owned(), json!(code)),
        ("message".to_owned(), json!(message)),
    ]);
    error.extend(more);
    json!({ "outcome": code, "result": { "error": error }, "correlation_id": null })
}
