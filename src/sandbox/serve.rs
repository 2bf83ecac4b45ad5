//! The listener and its connections: reads requests whole, lets the faults strike, sends what the pipeline answers.
//! Ending the task ends every connection; cancelling the token lets running requests finish first.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    control,
    faults::{Failure, Moment},
    pipeline::{Call, Pipeline},
    reply::{Correlation, Reply},
    wire::Wire,
};

/// How long a connection may be idle between requests, as in the original (contract §1.2).
const IDLE: Duration = Duration::from_secs(120);

/// How long running requests may take once the sandbox is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Larger than anything a client sends; the original has no bound at all.
const LARGEST_BODY: usize = 64 << 20;

/// The connection ends here, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("dropped by a fault switch")]
struct Dropped;

/// Accepts until `stop` is cancelled, then lets the connections finish.
pub(super) async fn serve(listener: TcpListener, pipeline: Arc<Pipeline>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else {
                    // A client that left, or a shortage of descriptors, which must not be met with a busy loop.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                connections.spawn(connection(stream, peer, Arc::clone(&pipeline), stop.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    // What outlives the grace period is cut off when the set is dropped.
    let _ = tokio::time::timeout(GRACE, finish).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    pipeline: Arc<Pipeline>,
    stop: CancellationToken,
) {
    // Without it small answers wait for the client's acknowledgement; where it fails the connection is gone anyway.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let pipeline = Arc::clone(&pipeline);
        async move { respond(&pipeline, request, peer).await }
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A connection's end is the client's affair, or a fault's.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn respond(
    pipeline: &Pipeline,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Wire>, Dropped> {
    let correlation = Correlation::of(request.headers());
    let call = match read(request).await {
        Ok(call) => call,
        Err(refusal) => return Ok(refusal.render(&correlation).map(Wire::whole)),
    };
    if peer.ip().is_loopback()
        && let Some(reply) = control::answer(pipeline, &call)
    {
        return Ok(reply.render(&correlation).map(Wire::whole));
    }
    let requests = pipeline.routes.requests_to(&call.path);
    let faults = &pipeline.faults;
    faults.pass(requests, Moment::Arrival).await;
    if let Some(failure) = faults.strike(requests, Moment::Arrival) {
        return struck(failure, None, &correlation);
    }
    let reply = pipeline.answer(&call).await;
    faults.pass(requests, Moment::Answer).await;
    match faults.strike(requests, Moment::Answer) {
        Some(failure) => struck(failure, Some(reply), &correlation),
        None => Ok(reply.render(&correlation).map(Wire::whole)),
    }
}

async fn read(request: Request<Incoming>) -> Result<Call, Reply> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await;
    let body = body.map_err(|_| Reply::text(413, "request body too large or cut off"))?;
    Ok(Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    })
}

fn struck(
    failure: Failure,
    reply: Option<Reply>,
    correlation: &Correlation,
) -> Result<Response<Wire>, Dropped> {
    let reply = match failure {
        Failure::Drop => return Err(Dropped),
        Failure::Truncate => {
            let whole = reply.unwrap_or_else(|| Reply::empty(200));
            return Ok(truncated(whole.render(correlation)));
        }
        Failure::Huge { megabytes, chunked } => return Ok(huge(megabytes, chunked)),
        Failure::Status {
            code,
            retry_after_s,
        } => {
            let reply = Reply::error(code, "forced by a fault switch");
            match retry_after_s {
                Some(seconds) => reply.with(RETRY_AFTER, &HeaderValue::from(seconds)),
                None => reply,
            }
        }
        Failure::Html => Reply::html("<!doctype html><title>Sign in</title>"),
        Failure::Redirect { location } => {
            let reply = Reply::empty(307);
            match HeaderValue::from_str(&location) {
                Ok(location) => reply.with(LOCATION, &location),
                Err(_) => reply,
            }
        }
    };
    Ok(reply.render(correlation).map(Wire::whole))
}

/// The head of the whole answer, half of its body, and then nothing.
fn truncated(whole: Response<Bytes>) -> Response<Wire> {
    let length = whole.body().len();
    let mut response = whole.map(|body| Wire::cut(body.slice(..body.len() / 2)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn huge(megabytes: usize, chunked: bool) -> Response<Wire> {
    let mut response = Response::new(Wire::record_of(megabytes << 20, chunked));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
