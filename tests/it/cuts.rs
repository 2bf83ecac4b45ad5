//! The proxy that cuts, held to what it promises: exactly so many bytes pass, the end is the one that was asked for, on
//! both sides, and nothing that it did not hand on was taken from its sender.

use std::io::ErrorKind;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    canonical_calls::NOTE,
    harness::{
        Backend, FakeBackend, Sidecar,
        cutting_proxy::{Cut, CuttingProxy, How, Since, Way},
        in_time,
    },
};

/// A client's end and a server's end with the proxy between them.
struct Ends {
    proxy: CuttingProxy,
    client: TcpStream,
    server: TcpStream,
}

/// A server that nobody has connected to.
async fn server() -> (TcpListener, CuttingProxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = CuttingProxy::before(url.as_str()).await;
    (listener, proxy)
}

async fn connects(listener: &TcpListener, proxy: CuttingProxy) -> Ends {
    let address = proxy.url();
    let client = TcpStream::connect(address.trim_start_matches("http://"));
    let client = client.await.unwrap();
    let (server, _) = in_time(listener.accept()).await.unwrap();
    Ends {
        proxy,
        client,
        server,
    }
}

async fn with(cut: Cut) -> Ends {
    let (listener, proxy) = server().await;
    proxy.cuts(cut);
    connects(&listener, proxy).await
}

/// What comes until the end, and whether that was a reset.
async fn rest(stream: &mut TcpStream) -> (String, bool) {
    let mut came = Vec::new();
    let ended = in_time(stream.read_to_end(&mut came)).await;
    let reset = ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    (String::from_utf8(came).unwrap(), reset)
}

#[tokio::test]
async fn exactly_so_many_bytes_pass_before_a_reset_on_both_sides() {
    for after in [0, 1, 4, 5] {
        let mut ends = with(Cut::abort(Way::ToServer, after)).await;
        ends.client.write_all(b"hello").await.unwrap();
        let passed = "hello"[..usize::try_from(after).unwrap()].to_owned();
        assert_eq!(rest(&mut ends.server).await, (passed, true), "{after}");
        assert_eq!(rest(&mut ends.client).await, (String::new(), true));
        let seen = ends.proxy.has_cut(1).await[0];
        assert_eq!((seen.to_server, seen.to_client), (after, 0));
        assert_eq!(seen.cut, Some(How::Abort));

        let mut ends = with(Cut::abort(Way::ToClient, after)).await;
        ends.client.write_all(b"a question").await.unwrap();
        let mut question = [0; 10];
        in_time(ends.server.read_exact(&mut question))
            .await
            .unwrap();
        ends.server.write_all(b"hello").await.unwrap();
        let passed = "hello"[..usize::try_from(after).unwrap()].to_owned();
        assert_eq!(rest(&mut ends.client).await, (passed, true), "{after}");
        assert_eq!(rest(&mut ends.server).await, (String::new(), true));
        let seen = ends.proxy.has_cut(1).await[0];
        assert_eq!((seen.to_server, seen.to_client), (10, after));
    }
}

#[tokio::test]
async fn a_cut_in_order_is_an_end_and_no_reset() {
    let mut ends = with(Cut::abort(Way::ToClient, 3).by(How::Finish)).await;
    ends.server.write_all(b"hello").await.unwrap();
    assert_eq!(rest(&mut ends.client).await, ("hel".to_owned(), false));
    assert_eq!(rest(&mut ends.server).await, (String::new(), false));
}

#[tokio::test]
async fn a_stalled_way_carries_nothing_more_and_the_other_does() {
    let mut ends = with(Cut::abort(Way::ToServer, 2).by(How::Stall)).await;
    ends.client.write_all(b"hello").await.unwrap();
    ends.proxy.has_cut(1).await;
    ends.server.write_all(b"anybody there?").await.unwrap();
    let mut heard = [0; 14];
    in_time(ends.client.read_exact(&mut heard)).await.unwrap();
    ends.client.write_all(b"yes").await.unwrap();
    let seen = ends.proxy.until(|all| all[0].to_client == 14).await[0];
    assert_eq!((seen.to_server, seen.is_over), (2, false));
    // With the proxy ends everything.
    drop(ends.proxy);
    assert_eq!(rest(&mut ends.server).await.0, "he");
}

#[tokio::test]
async fn a_connection_is_chosen_by_its_number_or_by_what_it_says() {
    let (listener, proxy) = server().await;
    proxy.cuts(Cut::abort(Way::ToServer, 1).since(Since::OpeningOf(1)));
    proxy.cuts(Cut::abort(Way::ToServer, 3).since(Since::Said("PUT /b")));
    proxy.cuts(Cut::abort(Way::ToClient, 2).since(Since::Said("GET /c")));
    let mut first = connects(&listener, proxy).await;
    first.client.write_all(b"GET /b GET /a P").await.unwrap();
    let mut said = [0; 15];
    in_time(first.server.read_exact(&mut said)).await.unwrap();
    // It is found where it comes in two pieces too; what of it had passed has passed.
    first.client.write_all(b"UT /b").await.unwrap();
    assert_eq!(rest(&mut first.server).await, ("UT".to_owned(), true));

    let mut second = connects(&listener, first.proxy).await;
    second.client.write_all(b"xy").await.unwrap();
    assert_eq!(rest(&mut second.server).await, ("x".to_owned(), true));

    let mut third = connects(&listener, second.proxy).await;
    third.server.write_all(b"early").await.unwrap();
    let mut early = [0; 5];
    in_time(third.client.read_exact(&mut early)).await.unwrap();
    third.client.write_all(b"GET /c").await.unwrap();
    let mut said = [0; 6];
    in_time(third.server.read_exact(&mut said)).await.unwrap();
    third.server.write_all(b"answer").await.unwrap();
    assert_eq!(rest(&mut third.client).await, ("an".to_owned(), true));
    assert!(third.proxy.left().is_empty());
    let all = third.proxy.until(|all| all.iter().all(|it| it.is_over));
    let counts: Vec<_> = all.await.iter().map(|it| it.to_server).collect();
    assert_eq!(counts, [17, 1, 6]);
}

#[tokio::test]
async fn what_is_not_cut_passes_whole_and_ends_as_its_sides_end_it() {
    let (listener, proxy) = server().await;
    let ends = connects(&listener, proxy).await;
    let long = "0123456789".repeat(50_000);
    let sent = long.clone();
    let (mut client, mut server) = (ends.client, ends.server);
    let writing = tokio::spawn(async move {
        client.write_all(sent.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        rest(&mut client).await
    });
    assert_eq!(rest(&mut server).await, (long, false));
    drop(server);
    assert_eq!(writing.await.unwrap(), (String::new(), false));
    ends.proxy.until(|all| all[0].is_over).await;

    // Elsewhere, from now on.
    let backend = FakeBackend::start();
    ends.proxy.aims_at(&backend);
    let sidecar = Sidecar::before(&ends.proxy).await;
    let uid = json!({ "uid": NOTE });
    sidecar.alice().calls("get_note", uid.clone()).await.good();
    // A read that a cut connection takes with it is tried again on the next one.
    let answer = Since::Said("GET /v1/notes/");
    ends.proxy.cuts(Cut::abort(Way::ToClient, 10).since(answer));
    sidecar.alice().calls("get_note", uid).await.good();
    assert!(ends.proxy.left().is_empty());
    let cut: Vec<_> = ends.proxy.passed().iter().map(|it| it.cut).collect();
    assert_eq!(cut, [None, Some(How::Abort), None]);
}
