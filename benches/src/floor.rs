//! What is attainable: `get_note` alone, written by hand over hyper. The token is compared with the one it knows, the
//! arguments have one known shape, both requests are signed; no catalogue, no limit, no log, no errors worth their name.
//! Nobody could run it; it shows what hyper, the kernel and this machine take. Runs until it is killed.

use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc, task::Poll};

use anyhow::{Context, Result, anyhow, bail};
use bench_parts::{BACKEND_VARIABLE, TENANT, TOKEN_VARIABLE, now_ms, signature::Signer};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Connection, SendRequest},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

struct Floor {
    backend: String,
    bearer: HeaderValue,
    signer: Signer,
}

/// The one connection to the backend that stands behind one client's.
struct Behind {
    requests: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: &'a str,
    #[serde(borrow)]
    arguments: Arguments<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments<'a> {
    uid: &'a str,
}

#[derive(Deserialize)]
struct Session<'a> {
    id: &'a str,
    epoch: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let token = std::env::var(TOKEN_VARIABLE).context(TOKEN_VARIABLE)?;
    let floor = Arc::new(Floor {
        backend: std::env::var(BACKEND_VARIABLE).context(BACKEND_VARIABLE)?,
        bearer: HeaderValue::from_str(&format!("Bearer {token}"))?,
        signer: Signer::new()?,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (floor, behind) = (Arc::clone(&floor), Arc::new(Mutex::new(None)));
        let service = service_fn(move |request| {
            let (floor, behind) = (Arc::clone(&floor), Arc::clone(&behind));
            async move { Ok::<_, Infallible>(floor.answer(&mut *behind.lock().await, request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Floor {
    async fn answer(
        &self,
        behind: &mut Option<Behind>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        match self.call(behind, request).await {
            Ok(body) => {
                let mut response = Response::new(Full::new(body));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
            Err(error) => {
                let mut response = Response::new(Full::from(error.to_string()));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    /// The two requests of a call, and its answer as MCP has it.
    async fn call(&self, behind: &mut Option<Behind>, request: Request<Incoming>) -> Result<Bytes> {
        if request.headers().get(header::AUTHORIZATION) != Some(&self.bearer) {
            bail!("no token");
        }
        let body = request.into_body().collect().await?.to_bytes();
        let call: Call<'_> = serde_json::from_slice(&body)?;
        if call.params.name != "get_note" {
            bail!("another tool");
        }
        let behind = match behind {
            Some(behind) => behind,
            none => none.insert(Behind::connect(&self.backend).await?),
        };
        let opening = self.request(Method::POST, "/v1/sync/sessions", None)?;
        let opened = behind.exchange(opening).await?;
        let session: Session<'_> = serde_json::from_slice(&opened)?;
        let path = format!("/v1/notes/{}", call.params.arguments.uid);
        let reading = self.request(Method::GET, &path, Some(&session))?;
        let note = behind.exchange(reading).await?;
        let record: &RawValue = serde_json::from_slice(&note)?;
        let text = serde_json::to_string(record.get())?;
        Ok(Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{},"resultType":"complete"}}}}"#,
            call.id.get(),
            record.get(),
        )))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        session: Option<&Session<'_>>,
    ) -> Result<Request<Full<Bytes>>> {
        let timestamp = now_ms().to_string();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::AUTHORIZATION, self.bearer.clone())
            .header("x-tb-tenant-id", TENANT)
            .header("x-tb-signature", self.signer.sign(TENANT, &timestamp))
            .header("x-tb-timestamp", timestamp);
        if let Some(Session { id, epoch }) = session {
            request = request
                .header("x-sync-session", *id)
                .header("x-sync-epoch", *epoch);
        }
        Ok(request.body(Full::default())?)
    }
}

impl Behind {
    async fn connect(backend: &str) -> Result<Self> {
        let address = backend.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            requests,
            connection,
        })
    }

    /// Sends one and collects its answer; the connection is driven by the same task.
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes> {
        let requests = &mut self.requests;
        let mut answered = pin!(async move {
            requests.ready().await?;
            let response = requests.send_request(request).await?;
            if !response.status().is_success() {
                bail!("the backend answered {}", response.status());
            }
            Ok(response.into_body().collect().await?.to_bytes())
        });
        let connection = &mut self.connection;
        poll_fn(move |context| {
            // First what is to be sent, then the socket, then what came from it.
            if let Poll::Ready(answer) = answered.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            if pin!(&mut *connection).poll(context)?.is_ready() {
                return Poll::Ready(Err(anyhow!("the backend closed the connection")));
            }
            answered.as_mut().poll(context)
        })
        .await
    }
}
