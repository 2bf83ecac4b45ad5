//! A collector on a real socket that keeps what it is sent, over HTTP or gRPC, and answers as it is told.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::any_value::Value,
    trace::v1::Span,
};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinHandle,
};

use crate::harness::in_time;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answers {
    Well,
    /// This HTTP status.
    Status(u16),
    /// This status of gRPC, instead of a message.
    Grpc(u16),
    /// It took them all but so many.
    Refusing(i64),
    /// Not at all.
    Never,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// The message as bytes.
    pub(super) bytes: Bytes,
    pub(super) message: ExportTraceServiceRequest,
}

pub(super) struct Collector {
    addr: SocketAddr,
    batches: Arc<watch::Sender<Vec<Batch>>>,
    serving: JoinHandle<()>,
}

/// A port where nobody answers yet.
pub(super) struct Absent(TcpSocket);

impl Absent {
    pub(super) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    pub(super) fn comes(self) -> Collector {
        Collector::on(self.0.listen(64).unwrap(), Answers::Well)
    }
}

impl Collector {
    pub(super) fn that_answers(answers: Answers) -> Self {
        Self::on(Absent::new().0.listen(64).unwrap(), answers)
    }

    fn on(listener: TcpListener, answers: Answers) -> Self {
        let addr = listener.local_addr().unwrap();
        let batches = Arc::new(watch::Sender::default());
        let serving = tokio::spawn(serve(listener, answers, Arc::clone(&batches)));
        Self {
            addr,
            batches,
            serving,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn batches(&self) -> Vec<Batch> {
        self.batches.borrow().clone()
    }

    /// Waits for so many requests.
    pub(super) async fn has(&self, batches: usize) {
        let mut seen = self.batches.subscribe();
        let waiting = seen.wait_for(|seen| seen.len() >= batches);
        in_time(waiting).await.unwrap();
    }

    /// All spans that came.
    pub(super) fn spans(&self) -> Vec<Span> {
        let batches = self.batches();
        let resources = batches.into_iter().flat_map(|it| it.message.resource_spans);
        let scopes = resources.flat_map(|it| it.scope_spans);
        scopes.flat_map(|it| it.spans).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An attribute as text, empty where it is missing.
pub(super) fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == key);
    let value = found.and_then(|it| it.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => other.map_or_else(String::new, |it| format!("{it:?}")),
    }
}

async fn serve(listener: TcpListener, answers: Answers, batches: Arc<watch::Sender<Vec<Batch>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let batches = Arc::clone(&batches);
        let service = service_fn(move |request| answer(request, answers, Arc::clone(&batches)));
        let mut first = [0; 3];
        let stream_is_http2 = matches!(stream.peek(&mut first).await, Ok(3) if &first == b"PRI");
        let io = TokioIo::new(stream);
        if stream_is_http2 {
            let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
            tokio::spawn(serving);
        } else {
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Answers,
    batches: Arc<watch::Sender<Vec<Batch>>>,
) -> io::Result<Response<BoxBody<Bytes, Infallible>>> {
    let (head, body) = request.into_parts();
    let is_grpc = head.headers["content-type"] == "application/grpc";
    let body = body.collect().await.unwrap().to_bytes();
    let bytes = if is_grpc {
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
        assert_eq!((body[0], length as usize), (0, body.len() - 5));
        body.slice(5..)
    } else {
        body
    };
    let batch = Batch {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        message: ExportTraceServiceRequest::decode(bytes.clone()).unwrap(),
        bytes,
    };
    batches.send_modify(|all| all.push(batch));
    let mut message = ExportTraceServiceResponse::default();
    let mut status = 200;
    let mut grpc = 0;
    match answers {
        Answers::Well => {}
        Answers::Status(other) => status = other,
        Answers::Grpc(other) => grpc = other,
        Answers::Refusing(spans) => {
            message
                .partial_success
                .get_or_insert_default()
                .rejected_spans = spans;
        }
        Answers::Never => std::future::pending().await,
    }
    let mut frames = Vec::new();
    if is_grpc {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", grpc.into());
        if grpc == 0 {
            let message = message.encode_to_vec();
            let mut data = vec![0];
            data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            data.extend(message);
            frames.push(Frame::data(Bytes::from(data)));
        }
        frames.push(Frame::trailers(trailers));
    } else {
        frames.push(Frame::data(Bytes::from(message.encode_to_vec())));
    }
    let body = futures_util::stream::iter(frames.into_iter().map(Ok));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    Ok(response)
}
