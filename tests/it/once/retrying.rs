//! A client that retries: each create up to five times more, as long as it has no answer that says it was done. In: a
//! sidecar, or a proxy before it. Out: records, which the tests count.

use std::{collections::HashMap, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use toolbridge::outgoing::{self, Timeouts};

use crate::harness::{
    Person,
    person::{BOTH_TYPES, MODERN, modern},
    token_for,
};

/// How often a create is tried again.
const AGAIN: usize = 5;

pub(super) struct Retrying {
    client: Client,
    url: String,
    token: String,
}

impl Retrying {
    pub(super) fn at(url: &str, subject: &str) -> Self {
        let wait = Duration::from_secs(60);
        let client = outgoing::client(Timeouts {
            connect: wait,
            request: wait,
        });
        Self {
            client: client.unwrap(),
            url: format!("{url}/mcp"),
            token: token_for(subject),
        }
    }

    /// Creates a note, however often that has to be asked for; the answer, and how often it was.
    pub(super) async fn creates(&self, title: &str) -> (Value, usize) {
        for tried in 1..=AGAIN + 1 {
            if let Some(record) = self.tries(title).await {
                return (record, tried);
            }
        }
        panic!("{title} was given up");
    }

    /// One try: the record, if an answer says that it was made.
    pub(super) async fn tries(&self, title: &str) -> Option<Value> {
        let arguments = json!({ "title": title, "content": "of a client that retries" });
        let params = json!({ "name": "create_note", "arguments": arguments });
        let request = self
            .client
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("accept", BOTH_TYPES)
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", "tools/call")
            .header("mcp-name", "create_note")
            .body(modern("tools/call", params).to_string());
        let answer = request.send().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        let result = &answer["result"];
        (result["isError"] != true && result["structuredContent"]["uid"].is_string())
            .then(|| result["structuredContent"].clone())
    }
}

/// How many notes of this person have each title.
pub(super) async fn titles(person: &Person) -> HashMap<String, usize> {
    let mut titles = HashMap::new();
    let mut cursor = Value::Null;
    loop {
        let arguments = match &cursor {
            Value::Null => json!({ "limit": 1000 }),
            cursor => json!({ "limit": 1000, "cursor": cursor }),
        };
        let page = person.calls("list_notes", arguments).await.good();
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            return titles;
        }
        for item in items {
            let title = item["payload"]["title"].as_str().unwrap();
            *titles.entry(title.to_owned()).or_default() += 1;
        }
        cursor = page["nextCursor"].clone();
    }
}
