//! A token endpoint of RFC 8693 that is strict: each field once, none too many, no header it does not expect. It issues
//! `issued-<sub>-<n>`, so that a mixed-up token is seen.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use url::{Url, form_urlencoded};

use super::http_fake::{Complaints, HttpFake, Reply, Seen};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What the endpoint insists on, beside what the standard does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// `audience`, `resource`, `scope`, `client_id`, `client_secret`: exactly these.
    pub(crate) fields: Vec<(&'static str, &'static str)>,
    /// The whole `Authorization` header; empty: none.
    pub(crate) authorization: &'static str,
}

/// A running endpoint.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    state: Arc<State>,
    server: HttpFake,
}

struct State {
    wants: Wants,
    complaints: Complaints,
    exchanges: AtomicUsize,
    /// Instead of a token, first in line first.
    replies: Mutex<VecDeque<Reply>>,
    /// A request has arrived.
    arrived: Notify,
    /// How many may be answered.
    answers: Semaphore,
}

impl Endpoint {
    /// One that wants `audience=notes-backend` and nothing else.
    pub(crate) async fn start() -> Self {
        Self::wanting(Wants {
            fields: vec![("audience", "notes-backend")],
            authorization: "",
        })
        .await
    }

    pub(crate) async fn wanting(wants: Wants) -> Self {
        let state = Arc::new(State {
            wants,
            complaints: Complaints::default(),
            exchanges: AtomicUsize::new(0),
            replies: Mutex::default(),
            arrived: Notify::new(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let shared = Arc::clone(&state);
        let server = HttpFake::start(move |seen| {
            let state = Arc::clone(&shared);
            async move { state.answer(&seen).await }.boxed()
        })
        .await;
        Self {
            url: format!("http://{}/token", server.address).parse().unwrap(),
            state,
            server,
        }
    }

    /// The next exchange gets this instead of a token.
    pub(crate) fn answers(&self, reply: Reply) {
        self.state.replies.lock().unwrap().push_back(reply);
    }

    /// Nothing is answered any more until [`Endpoint::goes_on`].
    pub(crate) fn hesitates(&self) {
        self.state.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn goes_on(&self) {
        self.state.answers.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits for a request that has arrived since the last wait.
    pub(crate) async fn arrival(&self) {
        self.state.arrived.notified().await;
    }

    /// How many there were, once it is sure that there was nothing to complain about.
    #[track_caller]
    pub(crate) fn exchanges(&self) -> usize {
        self.state.complaints.are_none();
        self.state.exchanges.load(Ordering::SeqCst)
    }

    /// Nobody listens there any more.
    pub(crate) fn dies(self) {
        drop(self.server);
    }
}

impl State {
    async fn answer(&self, seen: &Seen) -> Reply {
        let count = self.exchanges.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_one();
        let answering = self.answers.acquire().await.unwrap();
        answering.forget();
        let subject = self.judged(seen);
        if let Some(reply) = self.replies.lock().unwrap().pop_front() {
            return reply;
        }
        Reply::json(200, &issued(&subject, count))
    }

    /// Who asks, after everything about the request was found right.
    fn judged(&self, seen: &Seen) -> String {
        let complain = &self.complaints;
        complain.unless(seen.method == "POST" && seen.path == "/token", || {
            format!("{} {}", seen.method, seen.path)
        });
        let allowed = [
            "host",
            "accept",
            "authorization",
            "content-type",
            "content-length",
        ];
        for name in seen.headers.keys() {
            complain.unless(allowed.contains(&name.as_str()), || {
                format!("header {name}")
            });
        }
        let authorization = seen.header("authorization");
        complain.unless(authorization == self.wants.authorization, || {
            format!("authorization {authorization:?}")
        });
        let content_type = seen.header("content-type");
        complain.unless(content_type == "application/x-www-form-urlencoded", || {
            format!("content-type {content_type:?}")
        });
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(&seen.body).into_owned().collect();
        let count = pairs.len();
        let mut fields: BTreeMap<String, String> = pairs.into_iter().collect();
        complain.unless(fields.len() == count, || "a field comes twice".to_owned());
        let subject = fields.remove("subject_token").unwrap_or_default();
        let mut expected = BTreeMap::from([
            ("grant_type".to_owned(), GRANT.to_owned()),
            ("subject_token_type".to_owned(), ACCESS_TOKEN.to_owned()),
        ]);
        let wanted = self.wants.fields.iter();
        expected.extend(wanted.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        complain.unless(fields == expected, || format!("fields {fields:?}"));
        subject_of(&subject)
    }
}

/// A token that is good for an hour.
pub(crate) fn issued(subject: &str, count: usize) -> Value {
    json!({
        "access_token": format!("issued-{subject}-{count}"),
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 3600,
    })
}

/// `sub` of a JWT, unverified.
fn subject_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
    claims["sub"].as_str().unwrap_or_default().to_owned()
}
