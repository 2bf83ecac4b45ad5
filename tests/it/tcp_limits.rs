//! What one TCP connection may take of the sidecar, and how many there may be: slow clients get 408 or an end, too many
//! get 503, and neither a silent stream nor the operations port pays for them. Nothing here sleeps: the sidecar's own end
//! of a connection is what is waited for.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use toolbridge::sandbox::{Failure, Fault, Moment, Requests};

use crate::{
    canonical_calls::NOTE,
    harness::{
        FakeBackend, Setup, Sidecar, in_time,
        person::{BOTH_TYPES, MODERN, modern},
        sandbox,
        sse::OLDEST,
        token_for,
    },
};

/// A connection of nobody's client.
async fn connects(url: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// What comes until the sidecar ends the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut came = Vec::new();
    // A reset is an end too.
    let _ = in_time(stream.read_to_end(&mut came)).await;
    String::from_utf8(came).unwrap()
}

/// A call by alice, as bytes.
fn call(sidecar: &Sidecar, more: &str) -> String {
    let params = json!({ "name": "get_note", "arguments": { "uid": NOTE } });
    let body = modern("tools/call", params).to_string();
    let host = sidecar.url.trim_start_matches("http://");
    let token = token_for("alice");
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\naccept: {BOTH_TYPES}\r\n\
         content-type: application/json\r\nmcp-protocol-version: {MODERN}\r\nmcp-method: tools/call\r\n\
         mcp-name: get_note\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An answer with a length, read off a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut came = String::new();
    loop {
        let mut piece = vec![0; 4096];
        let read = in_time(stream.read(&mut piece)).await.unwrap();
        came.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        let length = came.to_ascii_lowercase();
        let length = length
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let whole = came
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| length.is_some_and(|length: usize| body.len() >= length));
        if whole || read == 0 {
            return came;
        }
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_answered_408() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.header_timeout", "20ms");
    let sidecar = setup.start().await;
    for part in [
        "G",
        "POST /mcp HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\n",
    ] {
        let answer = loop {
            let mut stream = connects(&sidecar.url).await;
            let _ = stream.write_all(part.as_bytes()).await;
            let answer = rest(&mut stream).await;
            // On a machine that is busy the time may be over before the first byte.
            if !answer.is_empty() {
                break answer;
            }
        };
        assert!(answer.starts_with("HTTP/1.1 408 "), "{part:?}: {answer}");
    }
    // Whoever asks for nothing is told nothing.
    assert_eq!(rest(&mut connects(&sidecar.url).await).await, "");
    assert!(sidecar.door.counts().slow_head >= 4);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.body_timeout", "20ms");
    let sidecar = setup.start().await;
    let whole = call(&sidecar, "");
    let older = whole.replace(&format!("mcp-protocol-version: {MODERN}\r\n"), "");
    for request in [whole, older] {
        let mut stream = connects(&sidecar.url).await;
        let part = &request[..request.len() - 1];
        stream.write_all(part.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("took longer to arrive"), "{answer}");
    }
    assert_eq!(sidecar.door.counts().slow_body, 2);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_connection_without_a_request_is_let_go() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("server.idle_timeout", "20ms");
    let sidecar = setup.start().await;
    let mut stream = connects(&sidecar.url).await;
    stream
        .write_all(call(&sidecar, "").as_bytes())
        .await
        .unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(sidecar.door.counts().idle, 1);
}

#[tokio::test]
async fn a_silent_stream_outlives_every_limit() {
    let backend = FakeBackend::start();
    let sidecar = ["body", "write", "idle"]
        .iter()
        .fold(Setup::before(&backend), |setup, what| {
            setup.set(&format!("server.{what}_timeout"), "20ms")
        })
        .start()
        .await;
    // A client that uses no connection twice: one that is being let go could take a request with it.
    let alice = sidecar.alice().with("connection", "close");
    let mut oldest = alice.opens_sse().await;
    let legacy = alice.connects().await;
    let _listening = legacy.listens().await;
    oldest.initializes(OLDEST, json!({})).await;
    // So much time, several times over.
    for _ in 0..5 {
        let mut idle = connects(&sidecar.url).await;
        idle.write_all(call(&sidecar, "").as_bytes()).await.unwrap();
        rest(&mut idle).await;
    }
    let uid = json!({ "uid": NOTE });
    oldest.calls(2, "get_note", uid).await.good();
    let counts = sidecar.door.counts();
    assert_eq!(counts.slow_reader, 0);
    assert!(counts.idle >= 5 && counts.open >= 2, "{counts:?}");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let backend = sandbox().await;
    let setup = Setup::before(&backend).set("server.write_timeout", "20ms");
    let sidecar = setup.start().await;
    backend.faults().add(Fault {
        on: Requests::Entities,
        when: Moment::Arrival,
        times: None,
        does: Failure::Huge {
            megabytes: 7,
            chunked: false,
        },
    });
    let mut stream = connects(&sidecar.url).await;
    stream
        .write_all(call(&sidecar, "").as_bytes())
        .await
        .unwrap();
    let mut first = [0; 12];
    in_time(stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    in_time(async {
        while sidecar.door.counts().open > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(sidecar.door.counts().slow_reader, 1);
    // Whoever reads gets all of it.
    let uid = json!({ "uid": NOTE });
    sidecar.alice().calls("get_note", uid).await.good();
}

#[tokio::test]
async fn more_header_lines_than_allowed_are_answered_431() {
    let backend = FakeBackend::start();
    let sidecar = Setup::before(&backend)
        .set("server.max_headers", "20")
        .start()
        .await;
    let line = |number: usize| format!("x-{number}: a\r\n");
    // The call has eight of its own.
    for (more, status) in [(12, 200), (13, 431)] {
        let lines: String = (0..more).map(line).collect();
        let mut stream = connects(&sidecar.url).await;
        stream
            .write_all(call(&sidecar, &lines).as_bytes())
            .await
            .unwrap();
        let answer = answer(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn one_connection_too_many_is_answered_503_and_health_is_not_its_victim() {
    let backend = FakeBackend::start();
    for (setting, share) in [("max_connections", 2), ("max_connections_per_ip", 2)] {
        let name = format!("server.{setting}");
        let setup = Setup::before(&backend).set(&name, &share.to_string());
        let sidecar = setup.start().await;
        let mut first = connects(&sidecar.url).await;
        first
            .write_all(call(&sidecar, "").as_bytes())
            .await
            .unwrap();
        assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 "));
        let second = connects(&sidecar.url).await;
        for _ in 0..3 {
            let mut third = connects(&sidecar.url).await;
            third
                .write_all(call(&sidecar, "").as_bytes())
                .await
                .unwrap();
            let refused = answer(&mut third).await;
            assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
            assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
        }
        let counts = sidecar.door.counts();
        assert_eq!(counts.too_many + counts.too_many_of_one_ip, 3);
        let ops = crate::harness::Person::at(&sidecar.ops_url);
        assert_eq!(ops.gets("/healthz").await.status, 200);
        // The first goes on, and whoever leaves makes room.
        first
            .write_all(call(&sidecar, "").as_bytes())
            .await
            .unwrap();
        assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 "));
        drop((first, second));
        in_time(async {
            while sidecar.door.counts().open > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let uid = json!({ "uid": NOTE });
        sidecar.alice().calls("get_note", uid).await.good();
    }
}
