//! What the connections do to the task that uses them. In: a backend of a few lines that answers piece by piece. Out: how
//! often the task was woken. What goes wrong with answers and connections is tried in `backend::tests`.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

use http::header::HOST;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Counts how often the task is woken.
#[derive(Default)]
struct Woken {
    times: AtomicUsize,
    told: Notify,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.told.notify_one();
    }
}

impl Woken {
    /// Looks at what nothing has come for yet, lets something come, and looks again once it was woken.
    async fn looks_twice<F: Future>(
        self: &Arc<Self>,
        mut future: Pin<&mut F>,
        sends: impl Future<Output = ()>,
    ) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(self.times.load(Ordering::SeqCst), 0, "at the first look");
        sends.await;
        self.told.notified().await;
        let looked = future.as_mut().poll(&mut cx);
        assert_eq!(self.times.swap(0, Ordering::SeqCst), 1, "by what came");
        looked
    }
}

fn request() -> Request<Full<Bytes>> {
    Request::get("/v1/notes")
        .header(HOST, "backend")
        .body(Full::default())
        .unwrap()
}

fn ends() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Reads one request of a connection to its end.
async fn heard(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        seen.push(byte);
    }
}

#[tokio::test]
async fn a_task_is_woken_by_what_the_backend_sends_and_by_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let timeouts = Timeouts {
        connect: Duration::from_secs(20),
        request: Duration::from_secs(20),
    };
    let pool = Pool::new(place.parse().unwrap(), timeouts, Duration::from_secs(60)).unwrap();
    let first = async {
        let answer = pool.send(request(), ends()).await.unwrap();
        answer.read_at_most(100).await.unwrap()
    };
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        heard(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        stream
    };
    let (body, mut stream) = tokio::join!(first, served);
    assert_eq!(body, "{}");

    let woken = Arc::new(Woken::default());
    let (head, rest) = ANSWER.split_at(ANSWER.len() - 2);
    let sending = pin!(pool.send(request(), ends()));
    let answers = async {
        heard(&mut stream).await;
        stream.write_all(head).await.unwrap();
    };
    let Poll::Ready(Ok(answer)) = woken.looks_twice(sending, answers).await else {
        panic!("the head of the answer is there");
    };
    let reading = pin!(answer.read_at_most(100));
    let goes_on = async { stream.write_all(rest).await.unwrap() };
    let Poll::Ready(Ok(body)) = woken.looks_twice(reading, goes_on).await else {
        panic!("the rest of the answer is there");
    };
    assert_eq!(body, "{}");
}

#[test]
fn a_connection_serves_the_runtime_that_it_was_made_on_and_no_other() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let backend = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = backend.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    backend.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                loop {
                    heard(&mut stream).await;
                    stream.write_all(ANSWER).await.unwrap();
                }
            });
        }
    });
    let timeouts = Timeouts {
        connect: Duration::from_secs(20),
        request: Duration::from_secs(20),
    };
    let pool = Pool::new(place.parse().unwrap(), timeouts, Duration::from_secs(60)).unwrap();
    let asks = async || {
        let answer = pool.send(request(), ends()).await.unwrap();
        answer.read_at_most(100).await.unwrap();
    };
    let (one, other) = (runtime(), runtime());
    one.block_on(asks());
    one.block_on(asks());
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    other.block_on(asks());
    one.block_on(asks());
    other.block_on(asks());
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}
