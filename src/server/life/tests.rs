//! Connections over real sockets, polled by a task that says after each poll whether hyper holds them. What is sent must
//! be answered in order and once, whatever was read of it when its connection went to rest.

mod streams;

use std::{
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    delivery::{Delivery, Stage},
    server::connection::Door,
};

/// More than what a sender's buffer grows to.
const LONG: usize = 32 << 20;

/// Nothing here takes long, unless it never ends.
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    idle_timeout: PATIENCE,
    header_timeout: PATIENCE,
    ..Limits::OPERATIONS
};

/// What the service has seen.
#[derive(Default)]
struct Seen {
    paths: Vec<String>,
    ways: Vec<Delivery>,
    /// By which the last stream is told what to say.
    says: Option<UnboundedSender<Bytes>>,
}

/// A connection, and what is known of it.
struct World {
    client: TcpStream,
    seen: Arc<Mutex<Seen>>,
    /// Whether it rests, and how many requests it had by then.
    rests: watch::Receiver<(bool, usize)>,
    /// Whether it writes a stream without hyper.
    streams: watch::Receiver<bool>,
    stop: watch::Sender<()>,
    door: Arc<Door>,
    life: JoinHandle<()>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers `/echo` with the body it was sent, `/long` with more than a system holds of one connection, `/pieces` in pieces of unknown length, and
/// everything else with its path without a look at the body.
fn answer(seen: Arc<Mutex<Seen>>) -> Answer {
    Arc::new(move |request: Request<RequestBytes>| {
        let path = request.uri().path().to_owned();
        let way = request.extensions().get::<Delivery>().unwrap().clone();
        let mut noted = lock(&seen);
        noted.paths.push(path.clone());
        noted.ways.push(way);
        if let Some(kind) = path.strip_prefix("/events/") {
            let (says, heard) = unbounded_channel();
            if kind.ends_with("long") {
                says.send(vec![b'x'; LONG].into()).unwrap();
            }
            noted.says = Some(says);
            return streams::answer(kind.to_owned(), heard);
        }
        drop(noted);
        Box::pin(async move {
            let bytes = match path.as_str() {
                "/echo" => match request.into_body().collect().await {
                    Ok(body) => body.to_bytes(),
                    Err(_) => Bytes::from_static(b"broken"),
                },
                "/long" => vec![b'x'; LONG].into(),
                _ => path.clone().into(),
            };
            let body = Full::new(bytes);
            Response::new(match path.as_str() {
                "/pieces" => Unknown(body).boxed(),
                _ => body.boxed(),
            })
        })
    })
}

/// A body that does not say how long it is.
struct Unknown(Full<Bytes>);

impl http_body::Body for Unknown {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

impl World {
    async fn new() -> Self {
        Self::within(LIMITS).await
    }

    async fn within(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // With a buffer that does not grow, so that it is known what does not fit.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let client = socket.connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let accepted = accepted.unwrap().0;
        accepted.set_nodelay(true).unwrap();
        let door = Door::new(limits);
        let place = door.enter(Ipv4Addr::LOCALHOST.into()).unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let mut life = Life::new(accepted, place, answer(Arc::clone(&seen)));
        let (tells, rests) = watch::channel((false, 0));
        let (tells_streams, streams) = watch::channel(false);
        let stop = watch::Sender::new(());
        let mut stopped = stop.subscribe();
        let noted = Arc::clone(&seen);
        let life = tokio::spawn(async move {
            let mut stopped = pin!(stopped.changed());
            poll_fn(|cx| {
                if !life.stops && stopped.as_mut().poll(cx).is_ready() {
                    life.stops();
                }
                let came_to = life.poll(cx);
                tells.send_replace((life.is_resting(), lock(&noted).paths.len()));
                tells_streams.send_replace(life.is_streaming());
                came_to
            })
            .await;
        });
        let client = client.unwrap();
        Self {
            client,
            seen,
            rests,
            streams,
            stop,
            door,
            life,
        }
    }

    async fn sends(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// The body of the next answer.
    async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.client.read_u8()).await;
            head.push(byte.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap_or_else(|| panic!("{head}"));
        let mut body = vec![0; length.parse().unwrap()];
        let read = timeout(PATIENCE, self.client.read_exact(&mut body)).await;
        read.unwrap().unwrap();
        String::from_utf8(body).unwrap()
    }

    async fn asks(&mut self, path: &str) -> String {
        self.sends(get(path).as_bytes()).await;
        self.answer().await
    }

    /// What comes until the connection ends in order.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let read = timeout(PATIENCE, self.client.read_to_string(&mut rest)).await;
        read.unwrap().unwrap();
        rest
    }

    /// Waits until it is, or is not, at rest after so many requests.
    async fn is(&mut self, resting: bool, requests: usize) {
        let wait = self.rests.wait_for(|now| *now == (resting, requests));
        let waited = timeout(PATIENCE, wait).await;
        drop(waited.expect("it never came to that").unwrap());
    }

    fn paths(&self) -> Vec<String> {
        lock(&self.seen).paths.clone()
    }

    fn way(&self, request: usize) -> Delivery {
        lock(&self.seen).ways.get(request).unwrap().clone()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn between_requests_a_connection_is_not_with_hyper() {
    let mut world = World::new().await;
    world.is(true, 0).await;
    for request in 1..200 {
        let (path, sent) = match request % 4 {
            0 => ("/a", get("/a")),
            1 => ("hello", post("/echo", "hello")),
            2 => ("", post("/echo", "")),
            _ => ("/b", get("/b")),
        };
        world.sends(sent.as_bytes()).await;
        assert_eq!(world.answer().await, path);
        world.is(true, request).await;
    }
    drop(world.client);
    timeout(PATIENCE, world.life).await.unwrap().unwrap();
    assert_eq!(world.door.counts().open, 0);
}

#[tokio::test]
async fn bodies_of_unknown_length_come_to_their_end() {
    let mut world = World::new().await;
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    world.sends(head.as_bytes()).await;
    world.is(false, 1).await;
    world.sends(b"5\r\nhello\r\n").await;
    world.sends(b"6\r\n world\r\n0\r\n\r\n").await;
    assert_eq!(world.answer().await, "hello world");
    world.is(true, 1).await;
    world.sends(get("/pieces").as_bytes()).await;
    world.is(true, 2).await;
    world.sends(get("/next").as_bytes()).await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"/next") {
        world.client.read_buf(&mut heard).await.unwrap();
    }
    let heard = String::from_utf8(heard).unwrap();
    assert!(
        heard.contains("7\r\n/pieces\r\n0\r\n\r\nHTTP/1.1 200 OK"),
        "{heard}"
    );
}

#[tokio::test]
async fn what_is_sent_without_waiting_is_answered_in_order() {
    let mut world = World::new().await;
    let mut sent = String::new();
    let expected: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
    for path in &expected {
        sent += &get(path);
    }
    sent += &post("/echo", "last");
    // The end of it is the beginning of another.
    sent += "GET /late HT";
    world.sends(sent.as_bytes()).await;
    for path in &expected {
        assert_eq!(world.answer().await, *path);
    }
    assert_eq!(world.answer().await, "last");
    world.is(false, 51).await;
    world.sends(b"TP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(world.answer().await, "/late");
    world.is(true, 52).await;
}

#[tokio::test]
async fn a_head_in_single_bytes_stays_with_hyper_until_it_is_whole() {
    let mut world = World::new().await;
    for request in 1..3 {
        let sent = post("/echo", "byte by byte");
        for (sent, byte) in sent.bytes().enumerate() {
            world.sends(&[byte]).await;
            if sent == 0 {
                world.is(false, request - 1).await;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(world.answer().await, "byte by byte");
        world.is(true, request).await;
    }
}

#[tokio::test]
async fn a_body_that_nobody_read_is_no_request() {
    // Here later, and here at once.
    let smuggled = get("/smuggled");
    for split in [true, false] {
        let mut world = World::new().await;
        let sent = post("/ignores", &smuggled);
        let (head, body) = sent.split_at(sent.len() - smuggled.len());
        if split {
            world.sends(head.as_bytes()).await;
            assert_eq!(world.answer().await, "/ignores");
            // It may have ended by now, and then there is nobody to send to.
            let _ = world.client.write_all(body.as_bytes()).await;
        } else {
            world.sends(sent.as_bytes()).await;
        }
        let _ = world.client.write_all(get("/after").as_bytes()).await;
        let mut heard = Vec::new();
        let wait = world.client.read_buf(&mut heard);
        let _ = timeout(PATIENCE, wait).await.unwrap();
        drop(world.client);
        timeout(PATIENCE, world.life).await.unwrap().unwrap();
        let paths = lock(&world.seen).paths.clone();
        assert!(!paths.iter().any(|path| path == "/smuggled"), "{paths:?}");
    }
}

#[tokio::test]
async fn who_is_told_to_continue_is_heard_to_the_end() {
    let mut world = World::new().await;
    let head =
        "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    world.sends(head.as_bytes()).await;
    let mut told = [0; 25];
    world.client.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    world.is(false, 1).await;
    world.sends(b"body").await;
    assert_eq!(world.answer().await, "body");
    world.is(true, 1).await;
    // Who is not told, and refused, does not send it: what comes then is no request of ours to guess about.
    world
        .sends(head.replace("/echo", "/refuses").as_bytes())
        .await;
    assert_eq!(world.answer().await, "/refuses");
    assert_eq!(world.rest().await, "");
    assert_eq!(world.paths(), ["/echo", "/refuses"]);
}

#[tokio::test]
async fn an_answer_is_written_to_its_end_however_slowly_it_is_read() {
    let mut world = World::new().await;
    world.sends(get("/long").as_bytes()).await;
    world.is(false, 1).await;
    // More than the system takes at once is still to be written.
    assert_eq!(world.way(0).stage(), Stage::Answering);
    let long = world.answer().await;
    assert_eq!(long.len(), LONG);
    world.is(true, 1).await;
    assert_eq!(world.asks("/next").await, "/next");
}

#[tokio::test]
async fn whoever_wants_it_closed_has_it_closed() {
    for sent in [
        "GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
    ] {
        let mut world = World::new().await;
        world.sends(sent.as_bytes()).await;
        assert!(world.rest().await.ends_with("\r\n\r\n/a"));
        timeout(PATIENCE, world.life).await.unwrap().unwrap();
    }
    let mut world = World::new().await;
    let kept = "GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    for request in 1..3 {
        world.sends(kept.as_bytes()).await;
        assert_eq!(world.answer().await, "/a");
        world.is(true, request).await;
    }
}

#[tokio::test]
async fn a_stop_closes_what_rests_at_once_and_what_answers_afterwards() {
    for requests in 0..2 {
        let mut world = World::new().await;
        for _ in 0..requests {
            world.asks("/a").await;
        }
        world.is(true, requests).await;
        world.stop.send_replace(());
        assert_eq!(world.rest().await, "");
        timeout(PATIENCE, world.life).await.unwrap().unwrap();
    }
    let mut world = World::new().await;
    world.asks("/a").await;
    let sent = post("/echo", "body");
    let (head, body) = sent.split_at(sent.len() - 4);
    world.sends(head.as_bytes()).await;
    world.is(false, 2).await;
    world.stop.send_replace(());
    world.sends(body.as_bytes()).await;
    let rest = world.rest().await;
    assert!(rest.contains("connection: close\r\n"), "{rest}");
    assert!(rest.ends_with("\r\n\r\nbody"), "{rest}");
}

#[tokio::test]
async fn whoever_says_nothing_is_let_go_and_counted() {
    let soon = Duration::from_millis(30);
    let mut world = World::within(Limits {
        header_timeout: soon,
        ..LIMITS
    })
    .await;
    assert_eq!(world.rest().await, "");
    assert_eq!(world.door.counts().slow_head, 1);
    let mut world = World::within(Limits {
        idle_timeout: soon,
        ..LIMITS
    })
    .await;
    world.asks("/a").await;
    assert_eq!(world.rest().await, "");
    assert_eq!(world.door.counts().idle, 1);
    assert_eq!(world.way(0).stage(), Stage::Received);
}

#[tokio::test]
async fn half_a_head_after_an_answer_has_the_time_of_a_head() {
    let mut world = World::within(Limits {
        header_timeout: Duration::from_millis(30),
        ..LIMITS
    })
    .await;
    world.sends(format!("{}GET /b", get("/a")).as_bytes()).await;
    assert_eq!(world.answer().await, "/a");
    let rest = world.rest().await;
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
    assert_eq!(world.door.counts().slow_head, 1);
}

#[tokio::test]
async fn rest_is_no_receipt_and_no_loss() {
    let mut world = World::new().await;
    world.asks("/a").await;
    world.is(true, 1).await;
    assert_eq!(world.way(0).stage(), Stage::Sent);
    world.asks("/b").await;
    world.is(true, 2).await;
    assert_eq!(world.way(0).stage(), Stage::Received);
    assert_eq!(world.way(1).stage(), Stage::Sent);
    let at_once = Some(Duration::ZERO);
    SockRef::from(&world.client).set_linger(at_once).unwrap();
    let way = world.way(1);
    drop(world.client);
    timeout(PATIENCE, world.life).await.unwrap().unwrap();
    assert_eq!(way.stage(), Stage::Lost);
}

#[tokio::test]
async fn a_connection_at_rest_is_small() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let door = Door::new(LIMITS);
    let place = door.enter(Ipv4Addr::LOCALHOST.into()).unwrap();
    let life = Life::new(stream, place, answer(Arc::default()));
    let stop = watch::Sender::new(());
    let size = size_of_val(&lives(stop.subscribe(), life));
    assert!(size <= 512, "{size} bytes");
}
