//! Stopping: what runs finishes and is answered, what is new is refused, streams end, and a second wish does not wait.

#[cfg(unix)]
mod process;
mod rolling;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use toolbridge::{
    sandbox::{Moment, Requests},
    server::{
        self, Answer,
        connection::{Door, Limits},
        lanes::Lanes,
        leaving,
    },
};

use crate::{
    canonical_calls::NOTE,
    harness::{FakeBackend, Person, Script, Setup, Sidecar, in_time, sandbox},
};

fn note() -> Value {
    json!({ "uid": NOTE })
}

/// Waits until new connections are refused. The port is let go in a task of the sidecar; nothing else can hold this up.
async fn refuses(url: &str) {
    let address = url.trim_start_matches("http://").to_owned();
    in_time(async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_running_call_finishes_and_is_answered() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let arguments = json!({ "title": "kept", "content": "" });
    let call = sidecar.alice().begins("create_note", arguments).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    hold.release();
    let answer = call.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"title\":\"kept\""), "{answer}");
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn an_older_connections_call_is_answered_too() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let connection = sidecar.alice().connects().await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let call = connection.begins(7, "list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    hold.release();
    let answer = call.answer().await;
    assert!(answer.contains("\"nextCursor\""), "{answer}");
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn new_connections_are_refused_while_a_call_finishes() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let call = sidecar.alice().begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    refuses(&sidecar.url).await;
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn a_stream_that_waits_for_messages_ends() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = sidecar.alice().connects().await;
    let stream = connection.listens().await;
    sidecar.shutdown.request();
    let said = stream.ends().await;
    assert!(!said.contains("jsonrpc"), "{said}");
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn idle_connections_hold_nothing_up() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let _connection = alice.connects().await;
    alice.calls("get_note", note()).await.good();
    assert!(sidecar.stops().await);
}

#[tokio::test]
async fn a_call_that_hangs_is_cut_after_the_grace_period() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("shutdown.grace", "100ms");
    let sidecar = setup.start().await;
    backend.does(Script::Stalls);
    let _call = sidecar.alice().begins("delete_note", note()).await;
    backend.stalls(1).await;
    assert!(!sidecar.stops().await);
}

#[tokio::test]
async fn a_second_wish_does_not_wait_for_a_call_that_hangs() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("shutdown.kill_timeout", "1h")
        .set("shutdown.grace", "30m");
    let sidecar = setup.start().await;
    backend.does(Script::Stalls);
    let _call = sidecar.alice().begins("delete_note", note()).await;
    backend.stalls(1).await;
    sidecar.shutdown.request();
    sidecar.shutdown.request();
    assert!(!sidecar.ended().await);
}

#[tokio::test]
async fn a_sidecar_that_finishes_a_call_is_alive_and_not_ready() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let ops = Person::at(&sidecar.ops_url);
    assert_eq!(ops.gets("/readyz").await.status, 200);
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let call = sidecar.alice().begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    let ready = ops.gets("/readyz").await;
    assert_eq!((ready.status, &*ready.body), (503, "process: stopping\n"));
    assert_eq!(ops.gets("/healthz").await.status, 200);
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn health_is_no_longer_answered_at_the_end() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let ops = Person::at(&sidecar.ops_url);
    assert_eq!(ops.gets("/healthz").await.status, 200);
    let address = sidecar.ops_url.trim_start_matches("http://").to_owned();
    assert!(sidecar.stops().await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_call_on_a_kept_connection_that_comes_too_late_is_answered_all_the_same() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    // Her client keeps the connection of this one.
    alice.calls("list_notes", json!({})).await.good();
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let bobs = sidecar.bob().begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    refuses(&sidecar.url).await;
    let late = tokio::spawn(async move { alice.calls("list_notes", json!({})).await });
    in_time(hold.reached(2)).await;
    hold.release();
    in_time(late).await.unwrap().good();
    assert!(bobs.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn the_last_answer_of_a_kept_connection_says_so() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let address = sidecar.url.trim_start_matches("http://");
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert!(!asks_health(&mut kept).await.contains("connection: close"));
    let hold = backend.faults().hold(Requests::Entities, Moment::Arrival);
    let call = sidecar.alice().begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    refuses(&sidecar.url).await;
    let last = asks_health(&mut kept).await;
    assert!(
        last.starts_with("HTTP/1.1 200") && last.contains("connection: close"),
        "{last}"
    );
    assert_eq!(in_time(kept.read(&mut [0])).await.unwrap(), 0);
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

async fn asks_health(stream: &mut TcpStream) -> String {
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"ok\n") {
        let read = in_time(stream.read_buf(&mut said)).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&said));
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn whom_the_kernel_had_accepted_already_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts yet: these are the kernel's.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(TcpStream::connect(address).await.unwrap());
    }
    let answer: Answer = Arc::new(|_| {
        Box::pin(async { Response::new(Full::new(Bytes::from_static(b"ok\n")).boxed()) })
    });
    let stop = CancellationToken::new();
    stop.cancel();
    let door = Door::new(Limits::OPERATIONS);
    let open = in_time(server::accept(listener, answer, door, Lanes::here(), stop)).await;
    assert!(TcpStream::connect(address).await.is_err());
    for stream in &mut waiting {
        asks_health(stream).await;
    }
    drop(waiting);
    in_time(open.end()).await;
}

#[tokio::test]
async fn a_request_counts_as_running_before_it_has_become_a_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (running, stop) = (TaskTracker::new(), CancellationToken::new());
    let gates = (Arc::clone(&arrived), Arc::clone(&released));
    let answer: Answer = Arc::new(move |_| {
        let (arrived, released) = gates.clone();
        Box::pin(async move {
            arrived.notify_one();
            released.notified().await;
            Response::new(Full::new(Bytes::from_static(b"ok\n")).boxed())
        })
    });
    let answer = leaving::until_the_last(answer, running.clone(), stop.clone());
    let door = Door::new(Limits::OPERATIONS);
    let accepting = tokio::spawn(server::accept(
        listener,
        answer,
        door,
        Lanes::here(),
        stop.clone(),
    ));
    let asking = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        asks_health(&mut stream).await
    });
    in_time(arrived.notified()).await;
    assert_eq!(running.len(), 1);
    stop.cancel();
    running.close();
    released.notify_one();
    in_time(running.wait()).await;
    assert!(in_time(asking).await.unwrap().contains("connection: close"));
    in_time(accepting).await.unwrap().end().await;
}
