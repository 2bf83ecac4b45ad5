//! One request from its route to its answer: the checks of contract §1.2 in their order, the first failure wins.
//! In: a whole request. Out: a reply without its correlation id. Do not reorder: clients see the order.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::RETRY_AFTER};

use super::{
    Clock,
    entities::EntityRequest,
    exchange,
    faults::Faults,
    limits::{Counted, Limiter, Verdict},
    reply::Reply,
    routes::{Endpoint, Group, Route, Routes},
    sessions::Sessions,
    store::{Owner, Store},
    sync,
    tenants::Tenants,
    token::Tokens,
};

/// A request, read whole.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Everything that the checks and the handlers need.
pub(super) struct Pipeline {
    pub(super) routes: Routes,
    pub(super) tokens: Tokens,
    pub(super) tenants: Tenants,
    pub(super) sessions: Sessions,
    pub(super) demands_sessions: bool,
    pub(super) limiter: Limiter,
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) clock: Clock,
}

/// Who is calling.
pub(super) struct User {
    pub(super) subject: String,
    pub(super) owner: Owner,
}

impl Call {
    /// A header as text, empty where it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Pipeline {
    /// The answer to one request.
    pub(super) async fn answer(&self, call: &Call) -> Reply {
        either(self.checked(call).await)
    }

    async fn checked(&self, call: &Call) -> Result<Reply, Reply> {
        let now = self.clock.now();
        // 0: the route, before authentication.
        let endpoint = match self.routes.find(&call.method, &call.path)? {
            Route::Health => return Ok(Reply::alive()),
            Route::Info => return Ok(sync::info(self.routes.kinds(), now)),
            Route::Behind(endpoint) => endpoint,
        };
        let group = endpoint.group();
        // 1 and 1b: the token, and the user it names.
        let user = self.authenticate(call, now).await?;
        // 2 and 2b: the tenant.
        let now_ms = super::stamp::millis(now).saturating_add(self.faults.clock_offset_ms());
        let is_auth = group == Group::Auth;
        self.tenants
            .admit(&call.headers, &user.subject, is_auth, now_ms)?;
        // 3 and 3b: the session.
        if !is_auth && self.demands_sessions {
            self.check_session(call, user.owner, now)?;
        }
        // 4: the rate limit, whose headers every later answer carries.
        let verdict = self.count(group, user.owner, now);
        if let Some(refused) = verdict.and_then(too_many) {
            return Err(refused);
        }
        // 5 and 6: the epoch and the handler.
        let reply = either(self.handle(call, endpoint, &user, now).await);
        Ok(match verdict {
            Some(verdict) => with_limits(reply, verdict),
            None => reply,
        })
    }

    async fn authenticate(&self, call: &Call, now: Duration) -> Result<User, Reply> {
        let subject = self.tokens.subject(&call.headers, now).await;
        let subject = subject.ok_or_else(|| Reply::text(401, "unauthorized"))?;
        let owner = self.store.owner(&subject).await;
        let owner = owner.map_err(|_| Reply::text(500, "server error"))?;
        Ok(User { subject, owner })
    }

    fn check_session(&self, call: &Call, owner: Owner, now: Duration) -> Result<(), Reply> {
        let id = call.header("x-sync-session");
        if id.is_empty() {
            return Err(Reply::error(
                428,
                "X-Sync-Session header required. Please call POST /v1/sync/sessions to begin a session.",
            ));
        }
        let session = self.sessions.find(id, now);
        match session.filter(|_| !self.faults.expires_sessions()) {
            None => Err(Reply::error(
                428,
                "Invalid or expired sync session. Please call POST /v1/sync/sessions to begin a new session.",
            )),
            Some(session) if session.owner != owner => Err(Reply::error(
                403,
                "Session does not belong to authenticated user.",
            )),
            Some(_) => Ok(()),
        }
    }

    fn count(&self, group: Group, owner: Owner, now: Duration) -> Option<Verdict> {
        let counted = match group {
            Group::Auth => Counted::Auth,
            Group::Entities => Counted::Entities,
            Group::Sync => return None,
        };
        self.limiter.take(counted, owner, now)
    }

    async fn check_epoch(&self, call: &Call, owner: Owner) -> Result<(), Reply> {
        let known = self.store.epoch(owner).await;
        let known = known.map_err(|_| Reply::text(500, "epoch load failed"))?;
        let sent = call.header("x-sync-epoch").parse().unwrap_or(0);
        if known > sent {
            return Err(Reply::epoch_mismatch(known));
        }
        Ok(())
    }

    async fn handle(
        &self,
        call: &Call,
        endpoint: Endpoint,
        user: &User,
        now: Duration,
    ) -> Result<Reply, Reply> {
        match endpoint {
            Endpoint::Exchange => Ok(exchange::answer(&self.tokens, call, &user.subject, now)),
            Endpoint::Tenant => Ok(self.resolve_tenant(call, user)),
            Endpoint::OpenSession => self.open_session(user.owner, now).await,
            Endpoint::ReadSession(id) => self.read_session(&id, user.owner, now),
            Endpoint::CloseSession(id) => self.close_session(&id, user.owner, now),
            Endpoint::Wipe => self.wipe(call, user.owner, now).await,
            Endpoint::State => self.state(user).await,
            Endpoint::Entity(kind, operation) => {
                if self.demands_sessions {
                    self.check_epoch(call, user.owner).await?;
                }
                let request = EntityRequest {
                    store: &self.store,
                    owner: user.owner,
                    kind,
                    now_ms: super::stamp::millis(now),
                    leaks: self.faults.leaks(),
                };
                request.answer(operation, call).await
            }
        }
    }

    fn resolve_tenant(&self, call: &Call, user: &User) -> Reply {
        match &self.tenants {
            // The debug header authenticates, but resolution wants a real token (contract §3.1).
            Tenants::Organizations(_) if super::token::bearer(&call.headers).is_none() => {
                Reply::error(401, "Missing or invalid Authorization header")
            }
            Tenants::Organizations(organizations) => organizations.resolve(&user.subject),
            Tenants::Off | Tenants::Signed { .. } => Reply::text(404, "404 page not found"),
        }
    }
}

fn either(result: Result<Reply, Reply>) -> Reply {
    result.unwrap_or_else(|refusal| refusal)
}

fn too_many(verdict: Verdict) -> Option<Reply> {
    let seconds = verdict.retry_after?;
    let message = format!("Rate limit exceeded. Please retry after {seconds} seconds.");
    let reply = Reply::error(429, message).with(RETRY_AFTER, &HeaderValue::from(seconds));
    Some(with_limits(reply, verdict))
}

fn with_limits(reply: Reply, verdict: Verdict) -> Reply {
    let headers = [
        ("x-ratelimit-limit", u64::from(verdict.limit)),
        ("x-ratelimit-remaining", verdict.remaining),
        ("x-ratelimit-reset", verdict.reset),
        ("x-ratelimit-burst", u64::from(verdict.burst)),
    ];
    headers.into_iter().fold(reply, |reply, (name, number)| {
        reply.with(HeaderName::from_static(name), &HeaderValue::from(number))
    })
}
