//! Who is told that the list has changed: listen streams of the 2026-07-28 revision, and connections of the older ones.
//! How such a stream ends: with its last words when the sidecar stops or the token expires, without any when the client
//! goes away.

use std::time::Duration;

use serde_json::{Value, json};
use toolbridge::sandbox::{Moment, Requests};

use super::{
    before,
    file::{self, CatalogueFile, names, names_of, numbered},
    serving,
};
use crate::harness::{
    Claims, FakeBackend, Person, Setup, Sidecar, in_time,
    legacy::Stream,
    person::{BOTH_TYPES, MODERN, modern},
    sandbox,
    sse::OLDEST,
    token_for,
};

const ID: &str = "io.modelcontextprotocol/subscriptionId";

fn tools() -> Value {
    json!({ "toolsListChanged": true })
}

/// `subscriptions/listen` for these kinds of news, as request `id`.
async fn listen(person: &Person, id: u64, news: Value) -> Stream {
    let stream = listening(person, id, news).await;
    assert_eq!(stream.status(), 200);
    stream
}

/// The same, whatever is answered.
async fn listening(person: &Person, id: u64, news: Value) -> Stream {
    let method = "subscriptions/listen";
    let mut message = modern(method, json!({ "notifications": news }));
    message["id"] = json!(id);
    let person = person
        .with("mcp-protocol-version", MODERN)
        .with("mcp-method", method)
        .with("accept", BOTH_TYPES);
    person.streams("POST", &message.to_string()).await
}

/// Every message until the stream ends.
async fn rest_of(mut stream: Stream) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await {
        messages.push(message);
    }
    messages
}

/// The first message of a stream: what it will tell of.
async fn acknowledged(stream: &mut Stream, id: u64) -> Value {
    let first = stream.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"][ID], id);
    first["params"]["notifications"].clone()
}

#[track_caller]
fn is_last(message: &Value, id: u64) {
    assert_eq!(message["id"], id);
    assert_eq!(message["result"]["resultType"], "complete");
    assert_eq!(message["result"]["_meta"][ID], id);
}

#[tokio::test]
async fn a_listen_stream_is_acknowledged_and_told_of_every_change() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let alice = sidecar.alice();
    let wish = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let mut stream = listen(&alice, 77, wish).await;
    assert_eq!(acknowledged(&mut stream, 77).await, tools());
    for number in 2..5 {
        file.replace(&numbered(number));
        let told = stream.message().await.unwrap();
        assert_eq!(told["method"], "notifications/tools/list_changed");
        assert_eq!(told["params"]["_meta"][ID], 77);
        assert_eq!(names(&alice).await, names_of(number));
    }
}

#[tokio::test]
async fn a_connection_of_the_older_revisions_is_told_too() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let connection = sidecar.alice().connects().await;
    let mut stream = connection.listens().await;
    file.replace(&numbered(2));
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["id"], Value::Null);
}

#[tokio::test]
async fn a_stream_is_told_only_what_it_asked_for() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let alice = sidecar.alice();
    let mut deaf = listen(&alice, 1, json!({ "promptsListChanged": true })).await;
    assert_eq!(acknowledged(&mut deaf, 1).await, json!({}));
    let mut stream = listen(&alice, 2, tools()).await;
    acknowledged(&mut stream, 2).await;
    file.replace(&numbered(2));
    stream.message().await.unwrap();
    sidecar.shutdown.request();
    let rest = rest_of(deaf).await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    is_last(&rest[0], 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_served_is_no_news() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let mut stream = listen(&sidecar.alice(), 1, tools()).await;
    acknowledged(&mut stream, 1).await;
    file.replace("version: 2\n");
    file::wait(&sidecar, |record| record.refused == 1).await;
    sidecar.shutdown.request();
    let rest = rest_of(stream).await;
    assert_eq!(rest.len(), 1, "{rest:?}");
}

#[tokio::test]
async fn streams_say_goodbye_before_the_calls_have_finished() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let mut stream = listen(&alice, 5, tools()).await;
    acknowledged(&mut stream, 5).await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let call = alice.begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    sidecar.shutdown.request();
    let rest = rest_of(stream).await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    is_last(&rest[0], 5);
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    assert!(sidecar.ended().await);
}

#[tokio::test]
async fn nothing_is_left_of_streams_and_connections_whose_clients_went_away() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let alice = sidecar.alice();
    let (mut streams, mut connections) = (Vec::new(), Vec::new());
    for id in 0..10 {
        let mut stream = listen(&alice, id, tools()).await;
        acknowledged(&mut stream, id).await;
        streams.push(stream);
        let mut connection = alice.opens_sse().await;
        connection.initializes(OLDEST, json!({})).await;
        connections.push(connection);
    }
    // Each stream waits for news, each connection has a handler, too. Nothing but tasks of the sidecar can hold this up.
    in_time(async {
        while sidecar.calls.listening() < 30 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop((streams, connections));
    // A handful are those from which the ones of requests and connections are made; of either there were ten.
    // What is left ends in tasks of the sidecar; nothing else can hold this up.
    in_time(async {
        while sidecar.calls.listening() >= 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_it_was_opened_with() {
    let backend = sandbox().await;
    let setup = Setup::before(&backend).set("auth.leeway", "0s");
    let sidecar = setup.start().await;
    // The token has to be good when it arrives, however busy this machine is.
    for left in [2, 8, 32] {
        let claims = Claims {
            age: Duration::from_secs(3600 - left),
            ..Claims::of("alice")
        };
        let alice = sidecar.nobody().with_token(&claims.signed());
        let mut stream = listening(&alice, 3, tools()).await;
        if stream.status() == 401 {
            continue;
        }
        acknowledged(&mut stream, 3).await;
        let rest = rest_of(stream).await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        is_last(&rest[0], 3);
        assert!(alice.asks("tools/list", json!({})).await.status == 401);
        return;
    }
    panic!("no token was good on arrival");
}

#[tokio::test]
async fn a_local_client_is_told_after_its_handshake() {
    let file = CatalogueFile::with(&numbered(1));
    let backend = FakeBackend::start();
    let token = token_for("alice");
    let mut local = before(&backend, &file).locally(&[("TOOLBRIDGE_TOKEN", &token)]);
    local.initializes("2025-11-25").await;
    file.replace(&numbered(2));
    let told = local.hears().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let list = local.asks(1, "tools/list", json!({})).await;
    assert_eq!(file::names_in(&list["result"]), names_of(2));
    assert_eq!(local.leaves().await.code, Some(0));
}

#[tokio::test]
async fn a_local_client_without_a_handshake_listens_until_its_input_ends() {
    let file = CatalogueFile::with(&numbered(1));
    let backend = FakeBackend::start();
    let token = token_for("alice");
    let mut local = before(&backend, &file).locally(&[("TOOLBRIDGE_TOKEN", &token)]);
    let params = modern("", json!({ "notifications": tools() }))["params"].clone();
    local.begins(9, "subscriptions/listen", params).await;
    let first = local.hears().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    file.replace(&numbered(2));
    let told = local.hears().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"][ID], 9);
    let left = local.leaves().await;
    assert_eq!((left.code, left.said.len()), (Some(0), 1), "{left:?}");
    is_last(&left.said[0], 9);
}

#[tokio::test]
async fn a_connection_of_the_oldest_revision_is_told_on_its_one_stream() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let mut connection = sidecar.alice().opens_sse().await;
    connection.initializes(OLDEST, json!({})).await;
    file.replace(&numbered(2));
    let told = connection.hears().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
}
