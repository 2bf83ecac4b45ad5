//! Requests written byte by byte: two lengths in one request, headers that try to become other headers, and more bytes
//! than anybody is given room for. No client library stands between the attack and the sidecar.

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    canonical_calls::NOTE,
    harness::{
        FakeBackend, Sidecar, TENANT, in_time,
        person::{BOTH_TYPES, MODERN, modern},
        token_for,
    },
};

const EVIL: &str = "evil-canary";

fn call() -> String {
    let params = json!({ "name": "get_note", "arguments": { "uid": NOTE } });
    modern("tools/call", params).to_string()
}

/// The head of a call by alice, but for what says how long its body is.
fn head(sidecar: &Sidecar, more: &[u8]) -> Vec<u8> {
    let host = sidecar.url.trim_start_matches("http://");
    let token = token_for("alice");
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\naccept: {BOTH_TYPES}\r\n\
         content-type: application/json\r\nmcp-protocol-version: {MODERN}\r\nmcp-method: tools/call\r\n\
         mcp-name: get_note\r\n"
    )
    .into_bytes();
    head.extend_from_slice(more);
    head
}

/// Everything that comes back until the connection ends.
async fn answers(sidecar: &Sidecar, request: &[u8]) -> String {
    let host = sidecar.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    // The sidecar may hang up before it has read everything: then writing or reading fails.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = in_time(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A call with these lines among its headers, on a connection that ends with it.
async fn called_with(sidecar: &Sidecar, lines: &[u8]) -> String {
    let mut request = head(sidecar, lines);
    let body = call();
    let end = format!(
        "\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    request.extend_from_slice(end.as_bytes());
    answers(sidecar, &request).await
}

/// After the attack: what the backend saw is whole calls of alice's, each a session and a read, and no word of the attack.
#[track_caller]
fn assert_clean(backend: &FakeBackend, attack: &str) {
    let seen = backend.take_seen();
    assert!(seen.len() == 2 || seen.is_empty(), "{attack}: {seen:?}");
    for request in &seen {
        assert_eq!(request.header("x-tb-tenant-id"), TENANT, "{attack}");
        assert_eq!(request.header("transfer-encoding"), "", "{attack}");
        let is_ours = request.opens_session() || request.target == format!("/v1/notes/{NOTE}");
        assert!(is_ours, "{attack}: {request:?}");
        assert!(!format!("{request:?}").contains(EVIL), "{attack}");
    }
}

#[tokio::test]
async fn a_request_with_two_lengths_brings_no_second_one_along() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let body = call();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    // Whoever believes the other length takes this for a part of the body, or a part of the body for this.
    let smuggled = format!(
        "DELETE /v1/notes/{EVIL} HTTP/1.1\r\nhost: x\r\nx-tb-tenant-id: {EVIL}\r\nconnection: close\r\n\r\n"
    );
    let whole = format!("{chunked}{smuggled}");
    for (lengths, body) in [
        (
            format!(
                "content-length: {}\r\ntransfer-encoding: chunked",
                whole.len()
            ),
            &whole,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 4".to_owned(),
            &whole,
        ),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\ncontent-length: 4"
                .to_owned(),
            &whole,
        ),
        (
            "transfer-encoding: xchunked\r\ncontent-length: 0".to_owned(),
            &whole,
        ),
        ("transfer-encoding: chunked, gzip".to_owned(), &whole),
        (
            format!("content-length: 0\r\ncontent-length: {}", whole.len()),
            &whole,
        ),
        (format!("content-length: +{}", whole.len()), &whole),
        ("content-length: 0".to_owned(), &smuggled),
    ] {
        let mut request = head(&sidecar, lengths.as_bytes());
        request.extend_from_slice(format!("\r\n\r\n{body}").as_bytes());
        let answer = answers(&sidecar, &request).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{lengths}: {answer}");
        // The first may be answered well. What came behind it is nobody's request.
        assert!(answer.matches("HTTP/1.1 200").count() <= 1, "{answer}");
        assert_clean(&backend, &lengths);
    }
    sidecar
        .alice()
        .calls("get_note", json!({ "uid": NOTE }))
        .await
        .good();
}

#[tokio::test]
async fn no_odd_way_to_write_a_header_makes_it_ours() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for name in ["X-TB-Tenant-ID", "X-Sync-Session", "X-Debug-Sub"] {
        for line in [
            format!("a: b\r\n{name}: {EVIL}"),
            format!("a: b\n{name}: {EVIL}"),
            format!("a: b\r{name}: {EVIL}"),
            format!("a: b\r\n {name}: {EVIL}"),
            format!("a: b\0{name}: {EVIL}"),
            format!("{name} : {EVIL}"),
            format!(" {name}: {EVIL}"),
            format!("{name}\0: {EVIL}"),
            format!("{name}:{EVIL}\r\n{name}: "),
            format!("connection: {name}\r\n{name}: {EVIL}"),
            format!("te: trailers\r\ntrailer: {name}\r\nkeep-alive: {EVIL}"),
            format!("upgrade: {EVIL}\r\nproxy-authorization: {EVIL}\r\n{name}: {EVIL}"),
        ] {
            let answer = called_with(&sidecar, line.as_bytes()).await;
            let status = answer.get(..12).unwrap_or_default();
            assert!(
                ["HTTP/1.1 200", "HTTP/1.1 400"].contains(&status),
                "{line:?}: {answer}"
            );
            assert_clean(&backend, &line);
        }
    }
}

#[tokio::test]
async fn what_follows_a_chunked_body_is_no_header() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let body = call();
    let mut request = head(
        &sidecar,
        b"trailer: x-tb-tenant-id\r\nconnection: close\r\n",
    );
    let rest = format!(
        "transfer-encoding: chunked\r\n\r\n{:x};{EVIL}\r\n{body}\r\n0\r\n\
         x-tb-tenant-id: {EVIL}\r\nauthorization: Bearer {EVIL}\r\n\r\n",
        body.len()
    );
    request.extend_from_slice(rest.as_bytes());
    answers(&sidecar, &request).await;
    assert_clean(&backend, "trailers");
}

/// Any bytes after the colon: no panic, no other header at the backend, no other value of one of ours.
#[test]
fn no_bytes_in_a_header_change_what_the_backend_is_sent() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let backend = FakeBackend::start();
        let sidecar = Sidecar::before(&backend).await;
        let names = prop::sample::select(vec!["x-tb-tenant-id", "X_TB_Tenant_ID", "accept", "x-a"]);
        let values = prop::collection::vec(any::<u8>(), 0..60);
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(200)
        };
        let mut runner = TestRunner::new(config);
        let attacks = (names, values);
        let ran = runner.run(&attacks, |(name, value)| {
            let line = [name.as_bytes(), b": ", &value].concat();
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(called_with(&sidecar, &line))
            });
            let seen = backend.take_seen();
            for request in &seen {
                prop_assert_eq!(request.header("x-tb-tenant-id"), TENANT);
                prop_assert!(
                    request.opens_session() || request.headers.len() == 9,
                    "{:?}",
                    request
                );
            }
            Ok(())
        });
        ran.unwrap();
        sidecar
            .alice()
            .calls("get_note", json!({ "uid": NOTE }))
            .await
            .good();
    });
}

#[tokio::test]
async fn five_megabytes_that_do_not_say_how_many_they_are_are_refused() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let mut request = head(&sidecar, b"transfer-encoding: chunked\r\n\r\n");
    let start = format!("{:x}\r\n", 6 << 20);
    request.extend_from_slice(start.as_bytes());
    request.resize(request.len() + (5 << 20), b' ');
    // The connection stays open and the chunk unfinished: whoever reads it to its end never answers.
    let host = sidecar.url.trim_start_matches("http://");
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sent = tokio::spawn(async move { writing.write_all(&request).await.map(|()| writing) });
    let mut status = [0; 12];
    in_time(reading.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    sent.abort();
    assert!(backend.seen().is_empty());
}
