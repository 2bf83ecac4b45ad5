//! What time does to a connection, on a paused clock and without sockets: comments, silence, tokens that end, clients
//! that stop reading.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{SseService, SseSettings};
use crate::{
    auth::Caller,
    backend::{Backend, BackendSettings, RetrySettings},
    catalogue::Catalogue,
    guard::{Guard, Slots},
    identity::{Identities, TenantSource},
    mcp::{CallParts, Calls, Handler, Seal, SealKeys, SseLimits, WriteRules, Writes},
    outgoing::Timeouts,
};

type Answer = Response<BoxBody<Bytes, Infallible>>;

const MINUTE: Duration = Duration::from_secs(60);
const NOW: u64 = 1_800_000_000;

fn service() -> SseService<Handler> {
    let catalogue = Catalogue::shipped().unwrap();
    let backend = BackendSettings {
        base: "http://127.0.0.1:1".parse().unwrap(),
        timeouts: Timeouts {
            connect: MINUTE,
            request: MINUTE,
        },
        idle_timeout: MINUTE,
        slots: Slots::for_tests(),
        call_timeout: MINUTE,
        retry: RetrySettings {
            base: MINUTE,
            dice: || 0.5,
        },
        session_reuse: None,
        max_response_bytes: 1024,
        now: || Duration::ZERO,
    };
    let backend = Backend::new(backend, TaskTracker::new()).unwrap();
    let identities = Identities::new(TenantSource::Fixed("acme".parse().unwrap()), None);
    let calls = Calls::new(CallParts {
        catalogue: Arc::new(catalogue),
        identities,
        backend,
        guard: Guard::for_tests(),
        writes: Writes::new(WriteRules {
            keep: MINUTE,
            journal: None,
            now: || Duration::ZERO,
        }),
        audit: None,
        running: TaskTracker::new(),
        observer: Arc::default(),
    });
    let settings = SseSettings {
        limits: SseLimits {
            most: 10,
            most_per_person: 10,
            idle: 10 * MINUTE,
        },
        max_request_bytes: 1024,
        streams: CancellationToken::new(),
        now: || Duration::from_secs(NOW),
    };
    let seal = Seal::of(&SealKeys::of([]), || Duration::ZERO);
    SseService::new(Handler::new(Arc::new(calls.unwrap()), seal), settings)
}

/// Alice with a token that is good for so many seconds more.
fn alice(seconds: u64) -> Caller {
    Caller::for_tests("https://issuer.test", "alice", None).granted_until(NOW + seconds, &[])
}

fn forever() -> Caller {
    Caller::for_tests("https://issuer.test", "alice", None)
}

async fn sends(
    service: &SseService<Handler>,
    caller: &Caller,
    method: Method,
    path: &str,
    body: String,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .extension(caller.clone());
    let request = request.body(Full::<Bytes>::from(body)).unwrap();
    service.handle(request).await
}

/// A stream and where it said to send.
struct Stream {
    body: BoxBody<Bytes, Infallible>,
    endpoint: String,
}

impl Stream {
    async fn open(service: &SseService<Handler>, caller: &Caller) -> Self {
        let answer = sends(service, caller, Method::GET, "/sse", String::new()).await;
        let mut stream = Self {
            body: answer.into_body(),
            endpoint: String::new(),
        };
        let first = stream.next().await.unwrap();
        let endpoint = first.strip_prefix("event: endpoint\ndata: ").unwrap();
        endpoint.trim_end().clone_into(&mut stream.endpoint);
        stream
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let Ok(frame) = self.body.frame().await?;
        let data = frame.into_data().unwrap();
        Some(String::from_utf8(data.into()).unwrap())
    }

    /// Reads to the end; how long that took, and what came.
    async fn ends(mut self) -> (Duration, Vec<String>) {
        let begun = Instant::now();
        let mut said = Vec::new();
        while let Some(event) = self.next().await {
            said.push(event);
        }
        (begun.elapsed(), said)
    }

    async fn posts(&self, service: &SseService<Handler>, caller: &Caller, message: &Value) -> u16 {
        let body = message.to_string();
        let answer = sends(service, caller, Method::POST, &self.endpoint, body).await;
        answer.status().as_u16()
    }

    async fn initializes(&mut self, service: &SseService<Handler>, caller: &Caller) {
        let params = json!({
            "protocolVersion": "2024-11-05",
            "capabilities": {},
            "clientInfo": { "name": "unit", "version": "1" },
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        assert_eq!(self.posts(service, caller, &message).await, 202);
        assert!(self.next().await.unwrap().contains("\"serverInfo\""));
    }
}

fn ping(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_a_comment_every_15_s() {
    let service = service();
    let mut stream = Stream::open(&service, &forever()).await;
    let begun = Instant::now();
    for comment in 1..=3 {
        assert_eq!(stream.next().await.as_deref(), Some(": keep-alive\n\n"));
        assert_eq!(begun.elapsed(), Duration::from_secs(15) * comment);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_ended_and_its_comments_do_not_count() {
    let service = service();
    let stream = Stream::open(&service, &forever()).await;
    sleep(5 * MINUTE).await;
    assert_eq!(stream.posts(&service, &forever(), &ping(1)).await, 202);
    let (lasted, said) = stream.ends().await;
    assert_eq!(lasted, 10 * MINUTE);
    assert!(said.iter().any(|it| it.contains("\"id\":1")), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_token_it_was_opened_with() {
    let service = service();
    let stream = Stream::open(&service, &alice(90)).await;
    let endpoint = stream.endpoint.clone();
    let (lasted, _) = stream.ends().await;
    assert_eq!(lasted, Duration::from_secs(90));
    let (late, message) = (alice(900), ping(1).to_string());
    let answer = sends(&service, &late, Method::POST, &endpoint, message).await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_lets_the_stream_last_as_long_as_it_does() {
    let service = service();
    let stream = Stream::open(&service, &alice(90)).await;
    assert_eq!(stream.posts(&service, &alice(300), &ping(1)).await, 202);
    // An older one does not shorten it.
    assert_eq!(stream.posts(&service, &alice(30), &ping(2)).await, 202);
    let (lasted, _) = stream.ends().await;
    assert_eq!(lasted, Duration::from_secs(300));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_let_go_after_30_s() {
    let service = service();
    let mut stream = Stream::open(&service, &forever()).await;
    stream.initializes(&service, &forever()).await;
    for id in 1..=40 {
        assert_eq!(stream.posts(&service, &forever(), &ping(id)).await, 202);
    }
    sleep(Duration::from_secs(29)).await;
    assert_eq!(stream.posts(&service, &forever(), &ping(99)).await, 202);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stream.posts(&service, &forever(), &ping(100)).await, 404);
    // What waited for it was little.
    let (_, said) = stream.ends().await;
    assert_eq!(said.len(), 8, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not() {
    let service = service();
    let mut stream = Stream::open(&service, &forever()).await;
    stream.initializes(&service, &forever()).await;
    for id in 1..=20 {
        assert_eq!(stream.posts(&service, &forever(), &ping(id)).await, 202);
    }
    for _ in 1..=20 {
        sleep(Duration::from_secs(20)).await;
        assert!(stream.next().await.unwrap().starts_with("event: message"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_gives_up_its_place() {
    let service = service();
    let stream = Stream::open(&service, &forever()).await;
    let endpoint = stream.endpoint.clone();
    drop(stream);
    let (late, message) = (forever(), ping(1).to_string());
    let answer = sends(&service, &late, Method::POST, &endpoint, message).await;
    assert_eq!(answer.status(), 404);
    for _ in 0..100 {
        drop(Stream::open(&service, &forever()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_server_does() {
    let service = service();
    let mut stream = Stream::open(&service, &forever()).await;
    stream.initializes(&service, &forever()).await;
    assert_eq!(stream.posts(&service, &forever(), &ping(1)).await, 202);
    service.settings.streams.cancel();
    let (lasted, said) = timeout(MINUTE, stream.ends()).await.unwrap();
    assert_eq!(lasted, Duration::ZERO);
    assert!(said.len() <= 1, "{said:?}");
}
