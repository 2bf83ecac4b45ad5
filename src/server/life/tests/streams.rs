//! Answers of events, over real sockets, that begin with hyper and go on without it. Nobody may see where that was, in what
//! comes, in what is known of it, or in what comes next.

use super::*;

/// Frames that say what they are told to say, until they are told no more, or that it is the last.
struct Events {
    heard: UnboundedReceiver<Bytes>,
    is_over: bool,
    /// Its end comes at once, and is not known before.
    ends: bool,
}

/// What a last frame begins with.
const LAST: &[u8] = b"last";

/// What a frame is that is known to be the last only afterwards.
const FINAL: &[u8] = b"final";

/// Sizes about which the length of a chunk, or what it is written into, changes.
const SIZES: [usize; 9] = [1, 15, 16, 255, 0, 4096, 8191, 70_000, 1];

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.ends {
            return Poll::Ready(None);
        }
        let heard = ready!(self.heard.poll_recv(cx));
        self.ends = heard.as_ref().is_some_and(|it| *it == FINAL);
        self.is_over = heard.as_ref().is_none_or(|it| it.starts_with(LAST));
        Poll::Ready(heard.map(|it| Ok(http_body::Frame::data(it))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

/// An answer of this kind.
pub(super) fn answer(kind: String, heard: UnboundedReceiver<Bytes>) -> Answering {
    let body = Events {
        heard,
        is_over: false,
        ends: false,
    };
    let answer = Response::builder().header("content-type", format!("text/{kind}"));
    let answer = answer.body(body.boxed()).unwrap();
    Box::pin(async { answer })
}

impl World {
    /// One whose stream has begun and waits, without hyper.
    async fn streaming(limits: Limits) -> Self {
        let mut world = Self::within(limits).await;
        world.opens(&get("/events/event-stream")).await;
        world.streams().await;
        world
    }

    /// Asks for a stream; its head.
    async fn opens(&mut self, request: &str) -> String {
        self.sends(request.as_bytes()).await;
        self.hears("\r\n\r\n").await
    }

    async fn streams(&mut self) {
        let waited = timeout(PATIENCE, self.streams.wait_for(|streams| *streams)).await;
        drop(waited.expect("it stays with hyper").unwrap());
    }

    fn is_streaming(&self) -> bool {
        *self.streams.borrow()
    }

    fn says(&self, event: impl Into<Bytes>) {
        let says = lock(&self.seen).says.clone();
        says.unwrap().send(event.into()).unwrap();
    }

    fn says_no_more(&self) {
        lock(&self.seen).says = None;
    }

    /// Until the body is let go.
    async fn is_let_go(&self) {
        let says = lock(&self.seen).says.clone().unwrap();
        timeout(PATIENCE, says.closed()).await.unwrap();
    }

    /// What comes until this has come.
    async fn hears(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            let byte = timeout(PATIENCE, self.client.read_u8()).await;
            let byte = byte.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&heard)));
            heard.push(byte.unwrap());
        }
        String::from_utf8(heard).unwrap()
    }

    async fn hears_long(&mut self) {
        let expected = format!("{LONG:X}\r\n{}\r\n", "x".repeat(LONG));
        let mut heard = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.client.read_exact(&mut heard)).await;
        read.unwrap().unwrap();
        assert!(heard == expected.as_bytes());
    }

    async fn ends(self) -> Arc<Door> {
        timeout(PATIENCE, self.life).await.unwrap().unwrap();
        self.door
    }
}

#[tokio::test]
async fn what_comes_is_byte_for_byte_what_hyper_writes() {
    for is_last_known in [false, true] {
        let mut bodies = Vec::new();
        for kind in ["event-stream", "plain"] {
            let mut world = World::new().await;
            let head = world.opens(&get(&format!("/events/{kind}"))).await;
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            // Heard one by one, so that hyper does not write two at once.
            let mut body = String::new();
            for (number, size) in SIZES.into_iter().enumerate() {
                if number > 0 && kind == "event-stream" {
                    world.streams().await;
                }
                world.says("x".repeat(size));
                if size > 0 {
                    body += &world.hears("x\r\n").await;
                }
            }
            assert_eq!(world.is_streaming(), kind == "event-stream");
            if is_last_known {
                world.says(LAST);
            } else {
                world.says_no_more();
            }
            body += &world.hears("0\r\n\r\n").await;
            world.is(true, 1).await;
            assert_eq!(world.way(0).stage(), Stage::Sent);
            assert_eq!(world.asks("/next").await, "/next");
            assert_eq!(world.way(0).stage(), Stage::Received);
            bodies.push(body);
        }
        let end = if is_last_known { "4\r\nlast\r\n" } else { "" };
        let chunk = |size: &usize| format!("{size:X}\r\n{}\r\n", "x".repeat(*size));
        let chunks: String = SIZES.iter().filter(|size| **size > 0).map(chunk).collect();
        let expected = format!("{chunks}{end}0\r\n\r\n");
        assert!(bodies.iter().all(|body| *body == expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_after_the_last_event_has_had_all_of_it() {
    let mut world = World::new().await;
    for request in 0..200 {
        world.opens(&get("/events/event-stream")).await;
        world.streams().await;
        world.says(FINAL);
        let mut heard = Vec::new();
        while !heard.ends_with(b"final\r\n") && !heard.ends_with(b"0\r\n\r\n") {
            let read = timeout(PATIENCE, world.client.read_buf(&mut heard)).await;
            assert!(read.unwrap().unwrap() > 0);
        }
        assert_eq!(world.way(request).stage(), Stage::Sent);
        if !heard.ends_with(b"0\r\n\r\n") {
            world.hears("0\r\n\r\n").await;
        }
        world.is(true, request + 1).await;
    }
}

#[tokio::test]
async fn what_is_said_at_once_comes_whole_though_it_is_read_slowly() {
    let mut world = World::streaming(LIMITS).await;
    for _ in 0..2 {
        world.says(vec![b'x'; LONG]);
    }
    world.says(LAST);
    let first = timeout(PATIENCE, world.client.peek(&mut [0])).await;
    assert_eq!(first.unwrap().unwrap(), 1);
    assert_eq!(world.way(0).stage(), Stage::Answering);
    world.hears_long().await;
    world.hears_long().await;
    let end = "4\r\nlast\r\n0\r\n\r\n";
    assert_eq!(world.hears(end).await, end);
    assert_eq!(world.asks("/next").await, "/next");
}

#[tokio::test]
async fn what_hyper_has_begun_to_write_it_writes_to_the_end() {
    let mut world = World::new().await;
    world.opens(&get("/events/event-stream;long")).await;
    assert!(!world.is_streaming());
    world.says("x");
    world.hears_long().await;
    assert_eq!(world.hears("x\r\n").await, "1\r\nx\r\n");
    world.streams().await;
    world.says(LAST);
    let end = "4\r\nlast\r\n0\r\n\r\n";
    assert_eq!(world.hears(end).await, end);
}

#[tokio::test]
async fn whoever_does_not_read_is_let_go_and_counted() {
    let limits = Limits {
        write_timeout: Duration::from_millis(30),
        ..LIMITS
    };
    // With more to come, and at the end of it.
    for said in [vec![b'x'; LONG], [LAST, &vec![b'x'; LONG]].concat()] {
        let world = World::streaming(limits).await;
        world.says(said);
        world.is_let_go().await;
        let way = world.way(0);
        let _client = SockRef::from(&world.client).try_clone().unwrap();
        let door = world.ends().await;
        assert_eq!((door.counts().slow_reader, door.counts().open), (1, 0));
        assert_eq!(way.stage(), Stage::Lost);
    }
}

#[tokio::test]
async fn whoever_leaves_ends_it_at_once() {
    for how in ["closes", "resets", "says no more"] {
        let mut world = World::streaming(LIMITS).await;
        let way = world.way(0);
        match how {
            "says no more" => world.client.shutdown().await.unwrap(),
            "resets" => {
                let at_once = Some(Duration::ZERO);
                SockRef::from(&world.client).set_linger(at_once).unwrap();
            }
            _ => {}
        }
        let says = lock(&world.seen).says.clone().unwrap();
        let World {
            client, life, door, ..
        } = world;
        if how == "says no more" {
            timeout(PATIENCE, life).await.unwrap().unwrap();
            drop(client);
        } else {
            drop(client);
            timeout(PATIENCE, life).await.unwrap().unwrap();
        }
        assert!(says.is_closed(), "{how}");
        assert_eq!(door.counts().open, 0);
        assert_eq!(way.stage(), Stage::Lost);
    }
}

#[tokio::test]
async fn what_is_asked_meanwhile_is_answered_afterwards() {
    let long = "y".repeat(5000);
    let next = format!("{}{}", get("/a"), post("/echo", &long));
    // Here with the request for the stream, and here later.
    for at_once in [true, false] {
        let mut world = World::new().await;
        let (first, later) = next.split_at(if at_once { 200.min(next.len()) } else { 0 });
        let request = format!("{}{first}", get("/events/event-stream"));
        world.opens(&request).await;
        world.streams().await;
        for part in later.as_bytes().chunks(3000) {
            world.sends(part).await;
            // It goes on as before.
            world.says("x");
            assert_eq!(world.hears("x\r\n").await, "1\r\nx\r\n");
        }
        assert!(world.is_streaming());
        assert_eq!(world.paths(), ["/events/event-stream"]);
        world.says_no_more();
        assert_eq!(world.hears("0\r\n\r\n").await, "0\r\n\r\n");
        assert_eq!(world.answer().await, "/a");
        assert_eq!(world.answer().await, long);
        world.is(true, 3).await;
    }
}

#[tokio::test]
async fn what_is_not_certain_stays_with_hyper() {
    let events = "/events/event-stream";
    let http_10 = format!("GET {events} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    let with = |header: &str| format!("GET {events} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n");
    for (request, ends) in [
        (http_10, true),
        (with("connection: close"), true),
        (with("connection: keep-alive, close"), true),
        (get("/events/plain"), false),
        // A body of which some is still to come.
        (format!("{}half", with("content-length: 8")), true),
    ] {
        let mut world = World::new().await;
        let head = world.opens(&request).await;
        for _ in 0..3 {
            world.says("x\r\n");
            world.hears("x\r\n").await;
            assert!(!world.is_streaming(), "{request}");
        }
        world.says_no_more();
        if ends {
            let rest = world.rest().await;
            let is_chunked = head.contains("chunked");
            assert!(rest.ends_with(if is_chunked { "0\r\n\r\n" } else { "" }));
            world.ends().await;
        } else {
            world.hears("0\r\n\r\n").await;
            world.is(true, 1).await;
        }
    }
}

#[tokio::test]
async fn whoever_keeps_its_connection_by_name_is_no_exception() {
    let mut world = World::new().await;
    let kept = "connection: Keep-Alive\r\ncontent-length: 0";
    let request = format!("POST /events/event-stream HTTP/1.1\r\nhost: x\r\n{kept}\r\n\r\n");
    world.opens(&request).await;
    world.streams().await;
}

#[tokio::test]
async fn a_stop_lets_a_stream_come_to_its_end_and_nothing_after_it() {
    for asks_more in [false, true] {
        let mut world = World::streaming(LIMITS).await;
        world.stop.send_replace(());
        if asks_more {
            world.sends(get("/more").as_bytes()).await;
        }
        world.says("x");
        assert_eq!(world.hears("x\r\n").await, "1\r\nx\r\n");
        world.says_no_more();
        assert_eq!(world.hears("0\r\n\r\n").await, "0\r\n\r\n");
        // Where something is unread, the system makes a reset of it.
        let mut byte = [0];
        let end = timeout(PATIENCE, world.client.read(&mut byte)).await;
        assert!(!matches!(end.unwrap(), Ok(1..)));
        assert_eq!(world.paths().len(), 1);
        world.ends().await;
    }
}

#[test]
fn an_open_stream_is_small() {
    let size = size_of::<super::super::streams::Streams>();
    assert!(size <= 320, "{size} bytes");
}
