//! A backend that takes no token but those on its list.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use serde_json::json;

use crate::harness::Backend;

use super::http_fake::{Complaints, HttpFake, Reply, Seen};

/// A backend that refuses every token that is not on its list, and complains of every token that is a JWT: none that a
/// caller came with may get here.
pub(crate) struct StrictBackend {
    url: String,
    state: Arc<BackendState>,
    _server: HttpFake,
}

#[derive(Default)]
struct BackendState {
    accepted: Mutex<BTreeSet<String>>,
    requests: Mutex<Vec<String>>,
    complaints: Complaints,
}

impl Backend for StrictBackend {
    fn url(&self) -> String {
        self.url.clone()
    }
}

impl StrictBackend {
    pub(crate) async fn accepting(tokens: &[&str]) -> Self {
        let state = Arc::new(BackendState::default());
        let shared = Arc::clone(&state);
        let server = HttpFake::start(move |seen| {
            let state = Arc::clone(&shared);
            async move { state.answer(&seen) }.boxed()
        })
        .await;
        let backend = Self {
            url: format!("http://{}", server.address),
            state,
            _server: server,
        };
        backend.accepts_only(tokens);
        backend
    }

    pub(crate) fn accepts_only(&self, tokens: &[&str]) {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        *self.state.accepted.lock().unwrap() = tokens;
    }

    /// `METHOD path token → status` of each request since the last look.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.complaints.are_none();
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }
}

impl BackendState {
    fn answer(&self, seen: &Seen) -> Reply {
        let authorization = seen.header("authorization");
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        self.complaints.unless(!token.contains('.'), || {
            "a token that was not made for the backend".to_owned()
        });
        for signed in ["x-tb-tenant-id", "x-tb-timestamp", "x-tb-signature"] {
            self.complaints
                .unless(!seen.header(signed).is_empty(), || format!("no {signed}"));
        }
        let reply = if self.accepted.lock().unwrap().contains(token) {
            good(&seen.path)
        } else {
            Reply::text(401, "unauthorized\n").with("content-type", "text/plain; charset=utf-8")
        };
        let line = format!("{} {} {token} → {}", seen.method, seen.path, reply.status);
        self.requests.lock().unwrap().push(line);
        reply
    }
}

fn good(path: &str) -> Reply {
    if path == "/v1/sync/sessions" {
        return Reply::json(201, &json!({ "id": "s", "epoch": 1 }));
    }
    if path.starts_with("/v1/notes?") {
        return Reply::json(200, &json!({ "items": [], "nextCursor": null }));
    }
    let uid = "00000000-0000-4000-8000-000000000000";
    let item =
        json!({ "uid": uid, "version": 1, "updatedAt": "", "deletedAt": null, "payload": {} });
    Reply::json(if path == "/v1/notes" { 201 } else { 200 }, &item)
}
