//! Many connections of rmcp's client that call all the time, for `tests/clients/restart.mjs`. In: one line of JSON, then
//! the end of standard input. Out: "ready", then one line of JSON: every call as [connection, began, ended, error or
//! null].

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program of the tests may fail loudly"
)]

use std::{
    io::{self, Read},
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde::Deserialize;
use tokio::{
    sync::{Barrier, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use toolbridge::{
    clock,
    outgoing::{self, Timeouts},
};

const MOST_PAUSE_MS: u128 = 8000;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Told {
    url: String,
    tokens: Vec<String>,
}

type Calls = Arc<Mutex<Vec<(usize, u64, u64, Option<String>)>>>;

#[tokio::main]
async fn main() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    let told: Told = serde_json::from_str(&line).unwrap();
    let calls = Calls::default();
    let ready = Arc::new(Barrier::new(told.tokens.len() + 1));
    let (end, ended) = watch::channel(false);
    let mut running = JoinSet::new();
    for (connection, token) in told.tokens.into_iter().enumerate() {
        let (calls, ready, ended) = (Arc::clone(&calls), Arc::clone(&ready), ended.clone());
        let url = told.url.clone();
        running.spawn(async move {
            let client = connect(&url, &token).await;
            let problem = call(&client, connection, &calls).await;
            assert_eq!(problem, None);
            ready.wait().await;
            while !*ended.borrow() {
                sleep(some_time()).await;
                call(&client, connection, &calls).await;
            }
        });
    }
    ready.wait().await;
    println!("ready");
    let rest = tokio::task::spawn_blocking(|| io::stdin().read_to_string(&mut String::new()));
    rest.await.unwrap().unwrap();
    end.send(true).unwrap();
    running.join_all().await;
    println!(
        "{}",
        serde_json::to_string(&*calls.lock().unwrap()).unwrap()
    );
}

async fn connect(url: &str, token: &str) -> RunningService<RoleClient, ()> {
    let http = outgoing::client(Timeouts {
        connect: PATIENCE,
        request: Duration::from_secs(300),
    });
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    let transport = StreamableHttpClientTransport::with_client(http.unwrap(), config);
    ().serve(transport).await.unwrap()
}

/// One call; what went wrong.
async fn call(
    client: &RunningService<RoleClient, ()>,
    connection: usize,
    calls: &Calls,
) -> Option<String> {
    let arguments = serde_json::from_value(serde_json::json!({ "limit": 1 })).unwrap();
    let request = CallToolRequestParams::new("list_notes").with_arguments(arguments);
    let began = now();
    let problem = match timeout(PATIENCE, client.call_tool(request)).await {
        Err(_) => Some("no answer in time".to_owned()),
        Ok(Err(error)) => Some(error.to_string().chars().take(160).collect()),
        Ok(Ok(result)) if result.is_error == Some(true) => Some(told(&result)),
        Ok(Ok(_)) => None,
    };
    let mut calls = calls.lock().unwrap();
    calls.push((connection, began, now(), problem.clone()));
    problem
}

fn told(result: &CallToolResult) -> String {
    let error = result.structured_content.as_ref().map(|it| &it["error"]);
    let kind = match error {
        Some(error) if error["retryable"] == true => "retryable",
        _ => "final",
    };
    let text = error.and_then(|error| error["message"].as_str());
    format!("{kind}: {}", text.unwrap_or_default())
}

/// Milliseconds since 1970.
fn now() -> u64 {
    u64::try_from(clock::unix_now().as_millis()).unwrap()
}

/// Anything up to the longest pause, so that connections do not call in step.
fn some_time() -> Duration {
    let any = uuid::Uuid::new_v4().as_u128() % MOST_PAUSE_MS;
    Duration::from_millis(u64::try_from(any).unwrap())
}
