//! The line to beat: three of the tools as one writes them in an afternoon with rmcp and reqwest. The same two requests
//! to the backend, the answer parsed into a `Value` and printed again, and not one check: no token verified, no argument
//! looked at, no limit, no log. Prints its address; runs until it is killed.

use std::{convert::Infallible, sync::Arc};

use anyhow::{Context, Result};
use bench_parts::{BACKEND_VARIABLE, TENANT, now_ms, signature::Signer};
use http::{Method, request::Parts};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::RequestBuilder;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::Value;
use tokio::net::TcpListener;

#[derive(Clone)]
struct Naive(Arc<Shared>);

struct Shared {
    backend: String,
    client: reqwest::Client,
    signer: Signer,
}

#[tokio::main]
async fn main() -> Result<()> {
    let naive = Naive(Arc::new(Shared {
        backend: std::env::var(BACKEND_VARIABLE).context(BACKEND_VARIABLE)?,
        client: reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .build()?,
        signer: Signer::new()?,
    }));
    let mcp = Arc::new(StreamableHttpService::new(
        move || Ok(naive.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default().with_json_response(true),
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mcp = Arc::clone(&mcp);
        let service = service_fn(move |request| {
            let mcp = Arc::clone(&mcp);
            async move { Ok::<_, Infallible>(mcp.handle(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

impl ServerHandler for Naive {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("naive", "0"))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = ["get_note", "list_notes", "create_note"];
        let tools = tools.map(|name| Tool::new(name, name, Arc::new(JsonObject::default())));
        Ok(ListToolsResult::with_all_items(tools.to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let internal = |error: anyhow::Error| ErrorData::internal_error(error.to_string(), None);
        let arguments = request.arguments.unwrap_or_default();
        let (method, path) = target(&request.name, &arguments).map_err(internal)?;
        let authorization = authorization(&context).map_err(internal)?;
        let answer = self.call(method, &path, &arguments, authorization).await;
        Ok(CallToolResult::structured(answer.map_err(internal)?).into())
    }
}

impl Naive {
    /// The two requests of a call.
    async fn call(
        &self,
        method: Method,
        path: &str,
        arguments: &JsonObject,
        authorization: &str,
    ) -> Result<Value> {
        let opening = self.request(Method::POST, "/v1/sync/sessions", authorization);
        let session = answer(opening).await?;
        let id = session
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let epoch = session
            .get("epoch")
            .map(Value::to_string)
            .unwrap_or_default();
        let mut request = self
            .request(method.clone(), path, authorization)
            .header("x-sync-session", id)
            .header("x-sync-epoch", epoch);
        if method == Method::POST {
            request = request.json(arguments);
        }
        answer(request).await
    }

    /// A request with the headers that the backend demands of everybody.
    fn request(&self, method: Method, path: &str, authorization: &str) -> RequestBuilder {
        let Shared {
            backend,
            client,
            signer,
        } = &*self.0;
        let timestamp = now_ms().to_string();
        client
            .request(method, format!("{backend}{path}"))
            .header("authorization", authorization)
            .header("x-tb-tenant-id", TENANT)
            .header("x-tb-signature", signer.sign(TENANT, &timestamp))
            .header("x-tb-timestamp", timestamp)
    }
}

async fn answer(request: RequestBuilder) -> Result<Value> {
    Ok(request.send().await?.error_for_status()?.json().await?)
}

fn target(tool: &str, arguments: &JsonObject) -> Result<(Method, String)> {
    let argument = |name: &str| arguments.get(name).context("an argument is missing");
    Ok(match tool {
        "get_note" => {
            let uid = argument("uid")?.as_str().unwrap_or_default();
            (Method::GET, format!("/v1/notes/{uid}"))
        }
        "list_notes" => (
            Method::GET,
            format!("/v1/notes?limit={}", argument("limit")?),
        ),
        "create_note" => (Method::POST, "/v1/notes".to_owned()),
        _ => anyhow::bail!("unknown tool"),
    })
}

fn authorization(context: &RequestContext<RoleServer>) -> Result<&str> {
    let parts = context
        .extensions
        .get::<Parts>()
        .context("no HTTP request")?;
    let header = parts.headers.get("authorization").context("no token")?;
    Ok(header.to_str()?)
}
