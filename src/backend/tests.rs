//! The backend against a strict fake on a real socket: what is sent, what is not, and what becomes of every answer.

mod answers;
mod failures;
mod fake;
mod sessions;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Method};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

use super::{
    Backend, BackendError, BackendSettings, CorrelationId, Errand, Rejection, Reply, RetrySettings,
};
use crate::{
    auth::Caller,
    catalogue::{Effect, Plan, SessionClose, SessionRecipe},
    guard::Slots,
    identity::{Identities, Identity, Signer, TenantSource},
    outgoing::Timeouts,
};

/// A clock that never shows the same time twice.
fn ticking() -> Duration {
    static MILLIS: AtomicU64 = AtomicU64::new(1_700_000_000_000);
    Duration::from_millis(MILLIS.fetch_add(1, Ordering::SeqCst))
}

fn recipe() -> SessionRecipe {
    let header = |name: &'static str, pointer: &str| {
        (
            http::HeaderName::from_static(name),
            pointer.parse().unwrap(),
        )
    };
    SessionRecipe {
        method: Method::POST,
        target: "/v1/sync/sessions".to_owned(),
        success: Arc::from([200, 201]),
        headers: vec![
            header("x-sync-session", "/id"),
            header("x-sync-epoch", "/epoch"),
        ],
        close: None,
        stale: Arc::from([428, 409]),
    }
}

/// A plan whose session is ended after the call.
fn closing() -> Plan {
    let close = SessionClose {
        method: Method::DELETE,
        target: "/v1/sync/sessions/{/id}".parse().unwrap(),
    };
    let recipe = SessionRecipe {
        close: Some(close),
        ..recipe()
    };
    Plan {
        session: Some(Arc::new(recipe)),
        ..reading()
    }
}

fn settings(address: SocketAddr) -> BackendSettings {
    BackendSettings {
        base: format!("http://{address}").parse().unwrap(),
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(20),
        },
        idle_timeout: Duration::from_secs(30),
        slots: Slots::for_tests(),
        call_timeout: Duration::from_secs(30),
        retry: RetrySettings {
            base: Duration::from_millis(1),
            dice: || 0.5,
        },
        session_reuse: None,
        max_response_bytes: 1024 * 1024,
        now: ticking,
    }
}

/// For answers that never come: every test with it waits this long, and nothing quick has to fit into it twice.
fn impatient(address: SocketAddr) -> BackendSettings {
    let request = Duration::from_millis(250);
    let connect = Duration::from_secs(5);
    BackendSettings {
        timeouts: Timeouts { connect, request },
        ..settings(address)
    }
}

fn backend(settings: BackendSettings) -> Backend {
    Backend::new(settings, TaskTracker::new()).unwrap()
}

async fn alice() -> Identity {
    let signer = Signer::new(&SecretString::from(fake::SECRET)).unwrap();
    let tenant = TenantSource::Fixed(fake::TENANT.parse().unwrap());
    let token = fake::TOKEN.strip_prefix("Bearer ");
    let caller = Caller::for_tests("https://issuer.test", "alice", token);
    let identities = Identities::new(tenant, Some(signer));
    identities.of(&caller).await.unwrap()
}

fn reading() -> Plan {
    Plan {
        method: Method::GET,
        target: "/v1/notes?limit=5".to_owned(),
        headers: HeaderMap::new(),
        body: None,
        effect: Effect::Read,
        new_uid: None,
        session: Some(Arc::new(recipe())),
        success: Arc::from([200]),
    }
}

fn writing() -> Plan {
    let mut headers = HeaderMap::new();
    headers.insert("if-match", "5".parse().unwrap());
    Plan {
        method: Method::PUT,
        target: "/v1/notes/3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
        headers,
        body: Some(br#"{"title":"t"}"#.to_vec()),
        effect: Effect::Write,
        ..reading()
    }
}

/// A write that nobody may repeat.
fn posting() -> Plan {
    Plan {
        method: Method::POST,
        target: "/v1/notes".to_owned(),
        headers: HeaderMap::new(),
        ..writing()
    }
}

fn errand() -> Errand {
    CorrelationId::random().into()
}

/// One call by alice against a backend with these settings.
async fn call(settings: BackendSettings, plan: &Plan) -> Result<Reply, BackendError> {
    let identity = alice().await;
    let backend = backend(settings);
    let (errand, deadline) = (errand(), backend.deadline());
    backend.call(&identity, plan, &errand, deadline).await
}

fn rejection(outcome: Result<Reply, BackendError>) -> Rejection {
    match outcome {
        Err(BackendError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}
