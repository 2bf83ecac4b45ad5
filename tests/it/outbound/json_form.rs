//! The original backend's own exchange, against the sandbox that speaks it: the caller's token goes to that one route,
//! signed tenant headers with it, and the exchanged one to every other.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Backend, Setup, Sidecar, sandbox, token_for};

/// A sidecar that exchanges tokens at this backend, which wants signed tenant headers there, too.
async fn exchanging(backend: &(impl Backend + ?Sized)) -> Sidecar {
    Setup::before(backend)
        .set("identity.token", "exchange")
        .set("identity.exchange.form", "json")
        .set("identity.exchange.audience", "notes-backend")
        .start()
        .await
}

/// Everything that is sent to the address behind it, as text.
#[derive(Clone, Default)]
struct Overheard(Arc<Mutex<Vec<u8>>>);

impl Overheard {
    /// A relay to `target`, and where it listens.
    async fn relay(target: String) -> (String, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let overheard = Self::default();
        let heard = overheard.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&target).await.unwrap();
                let (mut near_reads, mut near_writes) = near.into_split();
                let (mut far_reads, mut far_writes) = far.into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut far_reads, &mut near_writes).await },
                );
                let heard = heard.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(read @ 1..) = near_reads.read(&mut buffer).await {
                        heard.0.lock().unwrap().extend_from_slice(&buffer[..read]);
                        far_writes.write_all(&buffer[..read]).await.unwrap();
                    }
                });
            }
        });
        (url, overheard)
    }

    /// `(request line, token)` of each request, in order.
    fn requests(&self) -> Vec<(String, String)> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let mut requests: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            // A body without a newline at its end shares a line with the next request.
            if let Some(request) = line.strip_suffix(" HTTP/1.1") {
                let request = request.rsplit('}').next().unwrap_or_default();
                requests.push((request.to_owned(), String::new()));
            } else if let Some(token) = line.strip_prefix("authorization: Bearer ") {
                requests.last_mut().unwrap().1 = token.to_owned();
            }
        }
        requests
    }
}

#[tokio::test]
async fn the_callers_token_goes_to_the_exchange_and_the_exchanged_one_everywhere_else() {
    let sandbox = sandbox().await;
    let target = sandbox.url().trim_start_matches("http://").to_owned();
    let (url, overheard) = Overheard::relay(target).await;
    let sidecar = exchanging(url.as_str()).await;
    let own = token_for("alice");
    let alice = sidecar.nobody().with_token(&own);
    let note = json!({ "title": "t", "content": "c" });
    let made = alice.calls("create_note", note).await.good();
    let list = alice.calls("list_notes", json!({})).await.good();
    assert_eq!(list["items"][0]["uid"], made["uid"]);
    let requests = overheard.requests();
    let with_own: Vec<_> = requests.iter().filter(|(_, token)| *token == own).collect();
    assert_eq!(with_own.len(), 1);
    assert_eq!(with_own[0].0, "POST /auth/token-exchange");
    let others: Vec<_> = requests.iter().filter(|(_, token)| *token != own).collect();
    assert_eq!(others.len(), 4, "{others:?}");
    assert!(
        others
            .iter()
            .all(|(_, token)| *token == others[0].1 && token.starts_with("eyJ"))
    );
}

#[tokio::test]
async fn two_people_keep_their_own_records_through_the_exchange() {
    let sandbox = sandbox().await;
    let sidecar = exchanging(&sandbox).await;
    let (alice, bob) = (sidecar.alice(), sidecar.bob());
    let note = json!({ "title": "t", "content": "c" });
    alice.calls("create_note", note).await.good();
    let seen = bob.calls("list_notes", json!({})).await.good();
    assert_eq!(seen["items"], json!([]));
}
