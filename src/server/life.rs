//! The life of one connection: it rests, with little more than its socket, until there is something to read; then hyper
//! serves it with buffers, and gives it back as soon as nothing is under way, or an answer of events waits for more. In: a
//! TCP connection and what answers. Out: nothing. It is given back only where hyper has used all that it read and written
//! all that it had: a body of which a byte is still to come would be read as the next request.

mod streams;

use std::{
    convert::Infallible,
    fmt::Display,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
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
    Answer, Answering,
    connection::{self, AnswerBytes, Entered, Limits, Pace, Paced, RequestBytes, Rested, UnderWay},
    watched::{Answers, Watched},
};
use streams::{Given, Source, Streams};

/// Bytes of header lines a client may send: a token of 8 KiB with room around it.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// What is read and written.
type Stream = Paced<Watched>;

/// What hyper writes.
type Sent = Response<Given>;

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
    Serves(Box<http1::Connection<TokioIo<Stream>, Served>>),
    /// An answer of events waits for more of them.
    Streams(Box<Streams>),
    Over,
}

/// Answers what one connection asks.
struct Requests {
    answer: Answer,
    answers: Answers,
    pace: Arc<Pace>,
    /// The body under way, where it can be taken back.
    lent: Mutex<Option<Source>>,
}

/// The same for hyper.
struct Served(Arc<Requests>);

/// An answer whose end is watched.
struct Answered {
    answering: Answering,
    /// Taken by the answer.
    watch: Option<(Arc<Requests>, UnderWay)>,
    /// Whether it may go on without hyper.
    may_stream: bool,
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
                lent: Mutex::default(),
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
                        self.is_over(ended.err());
                    } else if !self.is_back(cx) {
                        return Poll::Pending;
                    }
                }
                Now::Streams(streams) => match ready!(streams.poll(cx)) {
                    Ok(()) => self.rests_again(),
                    Err(error) => self.is_over(Some(error)),
                },
                Now::Over => return Poll::Ready(()),
            }
        }
    }

    /// Has hyper serve it.
    fn serves(&mut self) {
        if let Now::Rests(stream) = mem::replace(&mut self.now, Now::Over) {
            let http = http(self.requests.pace.place().limits());
            let requests = Served(Arc::clone(&self.requests));
            let stream = TokioIo::new(stream);
            let place = Box::new_uninit();
            self.now = Now::Serves(Box::write(place, http.serve_connection(stream, requests)));
        }
    }

    /// Takes it back where hyper has nothing more to do; whether it is to be polled at once.
    fn is_back(&mut self, cx: &Context<'_>) -> bool {
        if let Some(source) = self.requests.takes_back() {
            if let Some((stream, _)) = self.leaves_hyper() {
                self.now = Now::Streams(Box::new(Streams::new(stream, source)));
            }
            return true;
        }
        let is_newly_over = self.requests.pace.is_newly_over();
        if self.requests.are_between() {
            if let Some((stream, is_all)) = self.leaves_hyper() {
                self.now = Now::Rests(stream);
                if is_all {
                    return true;
                }
            }
            // hyper may have paused in favour of others.
            cx.waker().wake_by_ref();
        } else if is_newly_over {
            // hyper does not read again by itself, and only who reads notices that nothing comes.
            cx.waker().wake_by_ref();
        }
        false
    }

    /// Takes it back from hyper, and whether nothing more of what was read is left.
    fn leaves_hyper(&mut self) -> Option<(Stream, bool)> {
        let Now::Serves(http) = mem::replace(&mut self.now, Now::Over) else {
            return None;
        };
        let Parts { io, read_buf, .. } = http.into_parts();
        let mut stream = io.into_inner();
        let is_all = read_buf.is_empty();
        stream.puts_back(read_buf);
        Some((stream, is_all))
    }

    /// The answer of events is written to its end.
    fn rests_again(&mut self) {
        if let Now::Streams(streams) = mem::replace(&mut self.now, Now::Over) {
            // That is known here already.
            self.requests.pace.is_newly_over();
            self.now = Now::Rests(streams.ends());
        }
    }

    fn is_over(&mut self, early: Option<impl Display>) {
        if let Some(error) = early {
            tracing::debug!(%error, "a connection ended early");
        }
        self.now = Now::Over;
    }

    #[cfg(test)]
    fn is_resting(&self) -> bool {
        matches!(self.now, Now::Rests(_))
    }

    #[cfg(test)]
    fn is_streaming(&self) -> bool {
        matches!(self.now, Now::Streams(_))
    }
}

impl Requests {
    /// Whether hyper has nothing of any request or answer. Where the body was read to its end and the answer is written,
    /// hyper waits for the next head, or has ended.
    fn are_between(&self) -> bool {
        self.pace.is_between() && !self.answers.is_answering()
    }
}

impl Service<Request<Incoming>> for Served {
    type Response = Sent;
    type Error = Infallible;
    type Future = Answered;

    fn call(&self, request: Request<Incoming>) -> Answered {
        let requests = &self.0;
        let under_way = requests.pace.begins();
        let may_stream = streams::may_be_asked_for(&request);
        let mut request = request.map(|body| RequestBytes::new(body, Arc::clone(&requests.pace)));
        request.extensions_mut().insert(requests.answers.next());
        Answered {
            answering: (requests.answer)(request),
            watch: Some((Arc::clone(requests), under_way)),
            may_stream,
        }
    }
}

impl Future for Answered {
    type Output = Result<Sent, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.answering.as_mut().poll(cx));
        // Asked once more after its end, which hyper does not do, it would have nothing to say.
        let Some((requests, under_way)) = self.watch.take() else {
            return Poll::Pending;
        };
        let watched = |body| AnswerBytes::new(requests.answers.watch(body), under_way);
        let response = response.map(watched);
        let streams = self.may_stream && streams::is_of_events(&response);
        Poll::Ready(Ok(response.map(|source| match streams {
            true => Given::lent(source, requests),
            false => Given::Whole(source),
        })))
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
