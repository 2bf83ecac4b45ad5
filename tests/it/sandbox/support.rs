//! People who call a sandbox, what they get back, and the five entities of the contract.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, header::HeaderMap};
use serde_json::{Map, Value, json};
use toolbridge::{
    catalogue::entity::{Action, Entity, Reference, ReferenceTarget},
    outgoing::{self, Timeouts},
    sandbox::{Clock, Sandbox, SandboxSettings},
};

/// The five entities as contract §5.3 and §5.4 describe them.
pub(crate) fn entities() -> Vec<Entity> {
    let active = json!({ "status": "archived" });
    vec![
        entity(
            "note",
            &active,
            &json!({
                "pin": { "pinned": true },
                "unpin": { "pinned": false },
                "archive": { "status": "archived" },
                "unarchive": { "status": "active" },
            }),
        ),
        entity(
            "task",
            &json!({ "status": "archived", "done": true }),
            &json!({
                "start": { "status": "in_progress", "done": false },
                "complete": { "status": "completed", "done": true },
                "reopen": { "status": "open", "done": false },
            }),
        ),
        Entity {
            references: vec![Reference {
                wire: "parentUid".to_owned(),
                target: ReferenceTarget::Field {
                    wire: "parentType".to_owned(),
                    entities: vec!["note".to_owned(), "task".to_owned()],
                },
            }],
            ..entity(
                "comment",
                &active,
                &json!({ "resolve": { "status": "resolved" }, "reopen": { "status": "open" } }),
            )
        },
        entity(
            "chat",
            &json!({ "archived": true }),
            &json!({ "resolve": { "status": "resolved" }, "reopen": { "status": "active" } }),
        ),
        Entity {
            references: vec![Reference {
                wire: "chatUid".to_owned(),
                target: ReferenceTarget::Entity("chat".to_owned()),
            }],
            ..entity(
                "chat_message",
                &json!({ "archived": true }),
                &json!({ "mark_read": { "read": true }, "mark_delivered": { "delivered": true } }),
            )
        },
    ]
}

fn entity(name: &str, archive: &Value, actions: &Value) -> Entity {
    let object = |value: &Value| value.as_object().cloned().unwrap();
    let actions = object(actions).into_iter().map(|(name, sets)| Action {
        name,
        description: String::new(),
        sets: object(&sets),
    });
    Entity {
        name: name.to_owned(),
        plural: format!("{name}s"),
        path: format!("/v1/{name}s"),
        actions: actions.collect(),
        archive: object(archive),
        references: Vec::new(),
    }
}

/// A sandbox with everything optional switched off.
pub(crate) async fn start() -> Sandbox {
    start_with(|_| {}).await
}

/// A sandbox with some settings changed.
pub(crate) async fn start_with(change: impl FnOnce(&mut SandboxSettings)) -> Sandbox {
    let mut settings = SandboxSettings::for_tests(entities());
    change(&mut settings);
    Sandbox::start(settings).await.unwrap()
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicU64>);

impl Hands {
    /// At these milliseconds since 1970.
    pub(crate) fn at(ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(ms)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let ms = Arc::clone(&self.0);
        Clock::new(move || Duration::from_millis(ms.load(Ordering::SeqCst)))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON, provided the status is the expected one.
    #[track_caller]
    pub(crate) fn good(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// Status and exact body.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }

    /// A JSON error with this message and the correlation id of the answer's header.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, message: &str) {
        let (message, id) = (json!(message), self.header("x-correlation-id"));
        assert!(!id.is_empty());
        let body = format!("{{\"error\":{message},\"correlation_id\":\"{id}\"}}\n");
        self.is(status, &body);
        assert_eq!(self.header("content-type"), "application/json");
    }

    /// One line of text.
    #[track_caller]
    pub(crate) fn is_text(&self, status: u16, line: &str) {
        self.is(status, &format!("{line}\n"));
        assert_eq!(self.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(!self.header("x-correlation-id").is_empty());
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Person {
    url: String,
    client: reqwest::Client,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
}

impl Person {
    /// A person with a valid token.
    pub(crate) fn named(sandbox: &Sandbox, subject: &str) -> Self {
        let token = sandbox.token_for(subject).unwrap();
        Self::nobody(sandbox).with("authorization", &format!("Bearer {token}"))
    }

    /// Nobody in particular.
    pub(crate) fn nobody(sandbox: &Sandbox) -> Self {
        let wait = Duration::from_secs(20);
        let client = outgoing::client(Timeouts {
            connect: wait,
            request: wait,
        });
        Self {
            url: sandbox.url(),
            client: client.unwrap(),
            headers: Vec::new(),
        }
    }

    /// The same person with one more header on every request.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same person with a session's headers.
    pub(crate) async fn in_session(&self) -> Self {
        let session = self.send("POST", "/v1/sync/sessions", "").await.good(201);
        self.with("x-sync-session", session["id"].as_str().unwrap())
            .with("x-sync-epoch", &session["epoch"].to_string())
    }

    /// One request with this person's headers; an error when the connection breaks.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Answer, reqwest::Error> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .body(body.to_owned());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }

    /// One request with this person's headers.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.try_send(method, path, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &body.to_string()).await
    }

    /// Creates a record and answers its uid.
    pub(crate) async fn creates(&self, collection: &str, payload: &Value) -> String {
        let item = self.post(&format!("/v1/{collection}"), payload).await;
        item.good(201)["uid"].as_str().unwrap().to_owned()
    }
}

/// The keys of an object, in the order in which they came.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .map(Map::keys)
        .unwrap()
        .map(String::as_str)
        .collect()
}

/// An item's payload without what every write stamps into it, which must be there.
pub(crate) fn payload_without_stamps(item: &Value) -> Value {
    let mut payload = item["payload"].clone();
    for key in ["uid", "sync", "updatedTs", "updateTime"] {
        assert!(
            payload.as_object_mut().unwrap().remove(key).is_some(),
            "{key}"
        );
    }
    payload
}
