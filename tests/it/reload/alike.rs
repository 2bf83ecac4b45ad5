//! A listen stream that is held without rmcp says what rmcp says: two sidecars, one each way, are sent the same bytes, have
//! the same catalogues replaced, are stopped alike, and everything that came from them is compared, from the status line to
//! the last chunk. Requests that rmcp refuses are among them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use toolbridge::catalogue::Catalogue;

use super::{
    before,
    file::{CatalogueFile, names, numbered},
};
use crate::harness::{
    FakeBackend, Setup, Sidecar, in_time,
    person::{MODERN, modern},
    token_for,
};

const METHOD: &str = "subscriptions/listen";
const CHANGED: &str = "notifications/tools/list_changed";

/// One request, as its headers and body.
struct Asked {
    headers: String,
    body: String,
}

/// What has come from one sidecar.
struct Heard {
    socket: TcpStream,
    bytes: Vec<u8>,
}

/// One of them with the streams that were asked for.
struct Side {
    sidecar: Sidecar,
    /// How many hear of changes while no stream is open.
    without_streams: usize,
    heard: Vec<Heard>,
}

impl Asked {
    fn usual(body: impl ToString) -> Self {
        Self {
            headers: format!(
                "mcp-protocol-version: {MODERN}\r\nmcp-method: {METHOD}\r\naccept: application/json, text/event-stream\r\n"
            ),
            body: body.to_string(),
        }
    }

    fn with_headers(mut self, change: impl Fn(&str) -> String) -> Self {
        self.headers = change(&self.headers);
        self
    }
}

impl Heard {
    async fn of(sidecar: &Sidecar, asked: &Asked) -> Self {
        let address = sidecar.url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let (Asked { headers, body }, token) = (asked, token_for("alice"));
        let length = body.len();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let bytes = Vec::new();
        Self { socket, bytes }
    }

    /// Reads on until that many changes were told of, or to the end where none is.
    async fn until_told(&mut self, changes: usize) {
        while self.text().matches(CHANGED).count() < changes && !self.is_refused() {
            assert!(self.grows().await, "the stream ended: {}", self.text());
        }
    }

    /// Reads on until the first message is here.
    async fn until_opened(&mut self) {
        while !self.text().contains("acknowledged") && !self.is_refused() {
            assert!(self.grows().await, "nothing came: {}", self.text());
        }
    }

    async fn rest(mut self) -> String {
        while self.grows().await {}
        // A second may pass between the two.
        let lines = self.text();
        let lines = lines
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("date: "));
        lines.collect()
    }

    async fn grows(&mut self) -> bool {
        in_time(self.socket.read_buf(&mut self.bytes))
            .await
            .unwrap()
            > 0
    }

    /// Whether an answer has come that is no stream.
    fn is_refused(&self) -> bool {
        let text = self.text();
        text.contains("\r\n\r\n") && !text.contains("text/event-stream")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Side {
    async fn of(setup: Setup, fast_path: bool) -> Self {
        let setup = setup.set("server.fast_path", &fast_path.to_string());
        let sidecar = setup.start().await;
        // Whoever answers is there from now on.
        names(&sidecar.alice()).await;
        Self {
            without_streams: sidecar.calls.listening(),
            sidecar,
            heard: Vec::new(),
        }
    }

    async fn opens(&mut self, asked: &[Asked]) {
        for asked in asked {
            let mut heard = Heard::of(&self.sidecar, asked).await;
            heard.until_opened().await;
            self.heard.push(heard);
        }
    }

    /// Waits until each stream is one that hears of changes, without the handler that rmcp has for one. Nothing but
    /// exchanges that have not ended yet can hold this up.
    async fn holds_by_itself(&self) {
        let streams = self.heard.iter().filter(|it| !it.is_refused()).count();
        in_time(async {
            while self.sidecar.calls.listening() > self.without_streams + streams {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The catalogue is replaced for the how-manieth time.
    async fn replaces(&mut self, change: usize, catalogue: &str) {
        let catalogue = Catalogue::parse("test.yaml", catalogue.as_bytes());
        let catalogue = catalogue.unwrap_or_else(|problems| panic!("{problems}"));
        self.sidecar.calls.publish(Arc::new(catalogue)).unwrap();
        for heard in &mut self.heard {
            if heard.text().contains(r#""toolsListChanged":true"#) {
                heard.until_told(change).await;
            }
        }
    }

    async fn ends(self) -> Vec<String> {
        self.sidecar.shutdown.request();
        let mut all = Vec::new();
        for heard in self.heard {
            all.push(heard.rest().await);
        }
        all
    }
}

fn listen(id: Value, news: Value) -> Value {
    let mut message = modern(METHOD, json!({ "notifications": news }));
    message["id"] = id;
    message
}

/// Streams that are opened.
fn opened() -> Vec<Asked> {
    let tools = || json!({ "toolsListChanged": true });
    let mut all: Vec<_> = [
        json!(7),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(""),
        json!("a \"b\" \\ \u{e9}\u{1}\u{7f}\u{2028}\u{1f600}</script>"),
    ]
    .into_iter()
    .map(|id| Asked::usual(listen(id, tools())))
    .collect();
    let wishes = [
        json!({}),
        json!({ "toolsListChanged": false }),
        json!({ "toolsListChanged": null }),
        json!({ "promptsListChanged": true, "resourcesListChanged": true }),
        json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": false }),
        json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"] }),
        json!({ "toolsListChanged": true, "unknown": { "deep": [1] } }),
    ];
    all.extend(
        wishes
            .into_iter()
            .map(|wish| Asked::usual(listen(json!("wish"), wish))),
    );
    let usual = listen(json!("odd"), tools()).to_string();
    all.push(Asked::usual(
        usual.replace("\"odd\"", r#""\u006fdd\u00e9\/""#),
    ));
    all.push(Asked::usual(usual.replacen('{', "{ \"more\": [{}],\n ", 1)));
    all.push(
        Asked::usual(&usual)
            .with_headers(|all| all.replace("application/json, text/event-stream", "*/*")),
    );
    all.push(Asked::usual(&usual).with_headers(|all| {
        all.replace("application/json, text/event-stream", "application/json")
    }));
    all
}

/// What rmcp, or who stands before it, says no to.
fn refused() -> Vec<Asked> {
    let usual = || listen(json!("no"), json!({ "toolsListChanged": true }));
    let mut all = Vec::new();
    for wish in [
        json!(null),
        json!([]),
        json!(1),
        json!({ "toolsListChanged": 1 }),
    ] {
        all.push(Asked::usual(listen(json!("no"), wish)));
    }
    let mut message = usual();
    message["params"]
        .as_object_mut()
        .unwrap()
        .remove("notifications");
    all.push(Asked::usual(message));
    for key in ["protocolVersion", "clientCapabilities", "clientInfo"] {
        let mut message = usual();
        let meta = message["params"]["_meta"].as_object_mut().unwrap();
        meta.remove(&format!("io.modelcontextprotocol/{key}"));
        all.push(Asked::usual(message));
    }
    let mut message = usual();
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2025-11-25");
    all.push(Asked::usual(message));
    let text = usual().to_string();
    all.push(Asked::usual(text.replacen(
        "\"id\":\"no\"",
        "\"id\":null",
        1,
    )));
    all.push(Asked::usual(text.replacen(
        "\"id\":\"no\"",
        "\"id\":1,\"id\":2",
        1,
    )));
    all.push(Asked::usual(text.replacen("\"id\":\"no\",", "", 1)));
    for (from, to) in [
        (METHOD, "tools/list"),
        ("mcp-method", "x-method"),
        (MODERN, "2026-07-29"),
    ] {
        all.push(Asked::usual(&text).with_headers(|all| all.replace(from, to)));
    }
    all
}

#[tokio::test]
async fn a_stream_that_is_held_without_rmcp_says_the_same_to_the_byte() {
    let backend = FakeBackend::start();
    let file = CatalogueFile::with(&numbered(1));
    let asked: Vec<_> = opened().into_iter().chain(refused()).collect();
    let mut all = Vec::new();
    for fast_path in [true, false] {
        let mut side = Side::of(before(&backend, &file), fast_path).await;
        side.opens(&asked).await;
        if fast_path {
            side.holds_by_itself().await;
        }
        side.replaces(1, &numbered(2)).await;
        side.replaces(2, &numbered(3).replace("reloaded", "renamed"))
            .await;
        all.push(side.ends().await);
    }
    let [ours, theirs] = <[_; 2]>::try_from(all).unwrap();
    for ((ours, theirs), asked) in ours.iter().zip(&theirs).zip(&asked) {
        assert_eq!(ours, theirs, "{}{}", asked.headers, asked.body);
    }
    let is_stream = |said: &&String| said.contains("text/event-stream");
    let streams: Vec<_> = ours.iter().filter(is_stream).collect();
    assert!(streams.len() >= opened().len(), "{streams:?}");
    for said in streams {
        assert!(
            said.ends_with("\r\n0\r\n\r\n") && said.contains("reloaded"),
            "{said}"
        );
    }
}
