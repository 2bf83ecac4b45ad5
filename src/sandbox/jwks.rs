//! The key set of RSA tokens: fetched when needed, kept for an hour, kept longer while its source is down
//! (contract §3.1). Only keys with `kty` RSA and `use` sig count.

use std::{collections::HashMap, time::Duration};

use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::outgoing::{self, Timeouts};

const KEPT: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: usize = 1 << 20;

/// One JWKS document behind a URL.
pub(super) struct Jwks {
    url: Url,
    client: reqwest::Client,
    /// The lock is held over the fetch, so that there is one at a time.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, DecodingKey>,
    fetched: Option<Duration>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwks {
    /// Nothing is fetched yet.
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let client = outgoing::client(Timeouts {
            connect: PATIENCE,
            request: PATIENCE,
        })?;
        Ok(Self {
            url,
            client,
            known: Mutex::default(),
        })
    }

    /// The key with this id; an unknown id or an old document asks the source again.
    pub(super) async fn key(&self, kid: &str, now: Duration) -> Option<DecodingKey> {
        let mut known = self.known.lock().await;
        let is_fresh = known
            .fetched
            .is_some_and(|fetched| now.saturating_sub(fetched) < KEPT);
        if !(is_fresh && known.keys.contains_key(kid))
            && let Some(keys) = self.fetch().await
        {
            known.keys = keys;
            known.fetched = Some(now);
        }
        known.keys.get(kid).cloned()
    }

    async fn fetch(&self) -> Option<HashMap<String, DecodingKey>> {
        let response = self.client.get(self.url.clone()).send().await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let body = outgoing::read_at_most(response, LARGEST).await.ok()?;
        let document: Document = serde_json::from_slice(&body).ok()?;
        Some(document.keys.into_iter().filter_map(Key::usable).collect())
    }
}

impl Key {
    fn usable(self) -> Option<(String, DecodingKey)> {
        if self.kty != "RSA" || self.purpose.as_deref() != Some("sig") {
            return None;
        }
        let key = DecodingKey::from_rsa_components(&self.n?, &self.e?).ok()?;
        Some((self.kid?, key))
    }
}
