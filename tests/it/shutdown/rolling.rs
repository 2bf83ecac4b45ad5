//! Two sidecars before one backend, restarted in turn under load. Clients do what a platform's proxy does: a connection
//! that is refused, or a 503, goes to the other sidecar. Whatever was accepted has to succeed, and once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use toolbridge::{
    outgoing::{self, Timeouts},
    sandbox::Sandbox,
};

use crate::harness::{Sidecar, in_time, person, sandbox, token_for};

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
const RESTARTS: usize = 8;

/// Where the two are at the moment, what was done, and when it is enough.
#[derive(Clone)]
struct World {
    urls: Arc<Mutex<[String; 2]>>,
    calls: watch::Sender<usize>,
    enough: CancellationToken,
}

/// One person with one client, which keeps its connections.
struct Caller {
    world: World,
    client: reqwest::Client,
    token: String,
    name: &'static str,
    at: usize,
}

impl World {
    fn of(sidecars: &[Sidecar; 2]) -> Self {
        Self {
            urls: Arc::new(Mutex::new(sidecars.each_ref().map(|it| it.url.clone()))),
            calls: watch::Sender::new(0),
            enough: CancellationToken::new(),
        }
    }

    /// Waits until so many more calls have succeeded.
    async fn goes_on(&self, calls: usize) {
        let mut done = self.calls.subscribe();
        let goal = *done.borrow_and_update() + calls;
        in_time(done.wait_for(|done| *done >= goal)).await.unwrap();
    }
}

impl Caller {
    fn new(world: &World, at: usize, name: &'static str) -> Self {
        let wait = std::time::Duration::from_secs(60);
        let timeouts = Timeouts {
            connect: wait,
            request: wait,
        };
        Self {
            world: world.clone(),
            client: outgoing::client(timeouts).unwrap(),
            token: token_for(name),
            name,
            at,
        }
    }

    /// Writes and reads until it is enough; the titles that were answered.
    async fn keeps_calling(mut self) -> Vec<String> {
        let mut titles = Vec::new();
        while !self.world.enough.is_cancelled() {
            let title = format!("{} {}", self.name, titles.len());
            let note = json!({ "title": title, "content": "" });
            let made = self.calls("create_note", note).await;
            assert_eq!(
                made["structuredContent"]["payload"]["title"], title,
                "{made}"
            );
            titles.push(title);
            let listed = self.calls("list_notes", json!({ "limit": 1 })).await;
            assert_ne!(listed["isError"], true, "{listed}");
            self.world.calls.send_modify(|calls| *calls += 2);
        }
        titles
    }

    /// One call, at the other sidecar where this one does not take it.
    async fn calls(&mut self, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        let message = person::modern("tools/call", params).to_string();
        loop {
            let url = self.world.urls.lock().unwrap()[self.at % 2].clone();
            let request = self.client.post(format!("{url}/mcp"));
            let request = request
                .bearer_auth(&self.token)
                .header("content-type", "application/json")
                .header("accept", person::BOTH_TYPES)
                .header("mcp-protocol-version", person::MODERN)
                .header("mcp-method", "tools/call")
                .header("mcp-name", tool);
            match request.body(message.clone()).send().await {
                Err(refused) if refused.is_connect() => {}
                Err(error) => panic!("{} lost an accepted call: {error:?}", self.name),
                Ok(response) if response.status() == 503 => {}
                Ok(response) => return result_of(response).await,
            }
            self.at += 1;
            tokio::task::yield_now().await;
        }
    }
}

async fn result_of(response: reqwest::Response) -> Value {
    let status = response.status();
    let body = response.text().await.expect("an answer breaks off");
    assert_eq!(status, 200, "{body}");
    let json = body.lines().rev().find_map(|line| {
        let data = line.strip_prefix("data:").unwrap_or(line);
        serde_json::from_str::<Value>(data.trim()).ok()
    });
    json.expect(&body)["result"].clone()
}

/// Every note that the person has, by title.
async fn kept(backend: &Sandbox, name: &str) -> Vec<String> {
    let sidecar = Sidecar::before(backend).await;
    let (mut titles, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut arguments = json!({ "limit": 1000 });
        if let Some(cursor) = cursor {
            arguments["cursor"] = cursor.into();
        }
        let page = sidecar
            .person(name)
            .calls("list_notes", arguments)
            .await
            .good();
        let items = page["items"].as_array().unwrap();
        titles.extend(
            items
                .iter()
                .map(|it| it["payload"]["title"].as_str().unwrap().to_owned()),
        );
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if items.is_empty() || cursor.is_none() {
            return titles;
        }
    }
}

#[tokio::test]
async fn no_accepted_call_is_lost_when_sidecars_are_restarted_under_load() {
    let backend = sandbox().await;
    let mut sidecars = [
        Sidecar::before(&backend).await,
        Sidecar::before(&backend).await,
    ];
    let world = World::of(&sidecars);
    let people: Vec<_> = PEOPLE
        .into_iter()
        .enumerate()
        .map(|(at, name)| tokio::spawn(Caller::new(&world, at, name).keeps_calling()))
        .collect();
    for restart in 0..RESTARTS {
        world.goes_on(20).await;
        // Nobody is told before: it stops with calls running and connections open.
        let new = Sidecar::before(&backend).await;
        let url = new.url.clone();
        let old = std::mem::replace(&mut sidecars[restart % 2], new);
        old.shutdown.request();
        assert!(old.ended().await, "restart {restart} cut a call");
        world.urls.lock().unwrap()[restart % 2] = url;
    }
    world.goes_on(20).await;
    world.enough.cancel();
    for (name, calls) in PEOPLE.into_iter().zip(people) {
        let answered = in_time(calls).await.unwrap();
        let kept = kept(&backend, name).await;
        assert_eq!(kept.len(), answered.len(), "{name}");
        assert_eq!(
            BTreeSet::from_iter(kept),
            BTreeSet::from_iter(answered),
            "{name}"
        );
    }
}
