//! The life of one connection: it rests, with little more than its socket, until there is something to read; then hyper
//! serves it with buffers, and gives it back as soon as nothing is under way. In: a TCP connection and what answers. Out:
//! nothing. It is given back only where hyper has used all that it read and written all that it had: a body of which a
//! byte is still to come would be read as the next request.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::http1::{self, Parts},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWrite, net::TcpStream, sync::watch};

use super::{
    Answer, Answering, Body,
    connection::{self, AnswerBytes, Entered, Limits, Pace, Paced, RequestBytes, Rested, UnderWay},
    watched::{Answers, Watched, WholeBody},
};

/// Bytes of header lines a client may send: a token of 8 KiB with room around it.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// What is read and written.
type Stream = Paced<Watched>;

/// What hyper writes.
type Sent = Response<AnswerBytes<WholeBody<Body>>>;

/// A connection, until it is dropped.
pub(super) struct Life {
    now: Now,
    requests: Arc<Requests>,
    /// It takes no further request.
    stops: bool,
}

enum Now {
    /// Between two requests, or before the first.
    Rests(Stream),
    /// Boxed, as it is large and most connections rest.
    Serves(Box<http1::Connection<TokioIo<Stream>, Arc<Requests>>>),
    Over,
}

/// Answers what one connection asks.
struct Requests {
    answer: Answer,
    answers: Answers,
    pace: Arc<Pace>,
}

/// An answer whose end is watched.
struct Answered {
    answering: Answering,
    /// Taken by the answer.
    watch: Option<(Answers, UnderWay)>,
}

/// Lives until its end, or until `stop` and what is under way then. Lets go of `stop` last.
pub(super) async fn lives(mut stop: watch::Receiver<()>, mut life: Life) {
    let mut stopped = pin!(stop.changed());
    poll_fn(|cx| {
        if !life.stops && stopped.as_mut().poll(cx).is_ready() {
            life.stops();
        }
        life.poll(cx)
    })
    .await;
    drop(life);
}

impl Life {
    pub(super) fn new(stream: TcpStream, place: Entered, answer: Answer) -> Self {
        let pace = Pace::new(place);
        let (stream, answers) = Watched::over(stream);
        Self {
            now: Now::Rests(Paced::new(stream, Arc::clone(&pace))),
            requests: Arc::new(Requests {
                answer,
                answers,
                pace,
            }),
            stops: false,
        }
    }

    /// Takes no further request: to be polled after it.
    fn stops(&mut self) {
        self.stops = true;
        if let Now::Serves(http) = &mut self.now {
            Pin::new(http.as_mut()).graceful_shutdown();
        }
    }

    /// Ready when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.now {
                Now::Rests(stream) => {
                    let rested = match self.stops {
                        true => Rested::TooLong,
                        false => ready!(stream.poll_rest(cx)),
                    };
                    match rested {
                        Rested::Awake => self.serves(),
                        Rested::TooLong => {
                            // Ends in order, as hyper ends. Whatever comes of it, there is nothing more to do.
                            let _ = Pin::new(stream).poll_shutdown(cx);
                            self.now = Now::Over;
                        }
                    }
                }
                Now::Serves(http) => {
                    if let Poll::Ready(ended) = Pin::new(http.as_mut()).poll(cx) {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection ended early");
                        }
                        self.now = Now::Over;
                        continue;
                    }
                    let is_newly_over = self.requests.pace.is_newly_over();
                    if self.requests.are_between() {
                        if self.rests() {
                            continue;
                        }
                        // hyper may have paused in favour of others.
                        cx.waker().wake_by_ref();
                    } else if is_newly_over {
                        // hyper does not read again by itself, and only who reads notices that nothing comes.
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                Now::Over => return Poll::Ready(()),
            }
        }
    }

    /// Has hyper serve it.
    fn serves(&mut self) {
        if let Now::Rests(stream) = mem::replace(&mut self.now, Now::Over) {
            let http = http(self.requests.pace.place().limits());
            let requests = Arc::clone(&self.requests);
            let connection = http.serve_connection(TokioIo::new(stream), requests);
            self.now = Now::Serves(Box::new(connection));
        }
    }

    /// Takes it back from hyper; whether there is nothing more to read.
    fn rests(&mut self) -> bool {
        let Now::Serves(http) = mem::replace(&mut self.now, Now::Over) else {
            return false;
        };
        let Parts { io, read_buf, .. } = http.into_parts();
        let mut stream = io.into_inner();
        let is_all = read_buf.is_empty();
        stream.puts_back(read_buf);
        self.now = Now::Rests(stream);
        is_all
    }

    #[cfg(test)]
    fn is_resting(&self) -> bool {
        matches!(self.now, Now::Rests(_))
    }
}

impl Requests {
    /// Whether hyper has nothing of any request or answer. Where the body was read to its end and the answer is written,
    /// hyper waits for the next head, or has ended.
    fn are_between(&self) -> bool {
        self.pace.is_between() && !self.answers.is_answering()
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Sent;
    type Error = Infallible;
    type Future = Answered;

    fn call(&self, request: Request<Incoming>) -> Answered {
        let under_way = self.pace.begins();
        let mut request = request.map(|body| RequestBytes::new(body, Arc::clone(&self.pace)));
        request.extensions_mut().insert(self.answers.next());
        Answered {
            answering: (self.answer)(request),
            watch: Some((self.answers.clone(), under_way)),
        }
    }
}

impl Future for Answered {
    type Output = Result<Sent, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.answering.as_mut().poll(cx));
        // Asked once more after its end, which hyper does not do, it would have nothing to say.
        let Some((answers, under_way)) = self.watch.take() else {
            return Poll::Pending;
        };
        let watched = |body| AnswerBytes::new(answers.watch(body), under_way);
        Poll::Ready(Ok(response.map(watched)))
    }
}

/// HTTP within these limits; how long things may take is the socket's affair.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES);
    if limits.max_headers != connection::USUAL_HEADERS {
        http.max_headers(limits.max_headers);
    }
    http
}

#[cfg(test)]
mod tests;
