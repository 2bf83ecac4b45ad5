//! What is carried from step to step: the patient, one HTTP client, and the facts found so far. In: foreign answers,
//! bounded. Out: words fit for a terminal: [`Visit::quote`] is the only way a foreign text gets into the report, and it
//! takes the token out before it cuts.

use std::{error::Error, net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use url::Url;

use crate::{
    catalogue::Catalogue,
    outgoing::{self, ReadError},
};

use super::{Operator, Patience, Patient, token::Claims};

/// Largest document or error page that is read.
pub(super) const DOCUMENT: usize = 1 << 20;

/// Whose page asks: an origin that nobody has on a list.
pub(super) const BROWSER_ORIGIN: &str = "https://client.example";

/// Longest foreign text in the report, in characters.
const LONGEST_QUOTE: usize = 160;

/// Shortest part of a token that is worth hiding.
const SHORTEST_SECRET: usize = 8;

/// An examination under way.
pub(super) struct Visit {
    pub(super) typed: String,
    pub(super) token: Option<SecretString>,
    pub(super) operator: Operator,
    pub(super) now: fn() -> Duration,
    pub(super) patience: Patience,
    pub(super) http: reqwest::Client,
    pub(super) facts: Facts,
}

/// What the steps found out.
#[derive(Default)]
pub(super) struct Facts {
    /// The URL, once it is known to be one that may be asked.
    pub(super) url: Option<Url>,
    pub(super) addresses: Vec<SocketAddr>,
    /// The answer to a request without a token.
    pub(super) first: Option<Answer>,
    /// The documents of RFC 9728, by URL, once they were asked for.
    pub(super) documents: Option<Vec<(Url, Result<Answer, String>)>>,
    /// Where the challenge says that the document is.
    pub(super) metadata_url: Option<Url>,
    /// What the document calls the server.
    pub(super) resource: Option<String>,
    /// `authorization_servers`.
    pub(super) issuers: Vec<String>,
    /// The issuer's own document.
    pub(super) issuer: Option<Value>,
    /// `kid`s of the usable keys of the issuer.
    pub(super) keys: Option<Vec<String>>,
    pub(super) claims: Option<Claims>,
    /// `Mcp-Session-Id` of the legacy handshake, where the server gave one.
    pub(super) connection: Option<String>,
    /// The tools of the server.
    pub(super) tools: Vec<Value>,
    pub(super) catalogue: Option<Catalogue>,
    /// Seconds that the clocks of others are ahead of ours.
    pub(super) clocks: Vec<(&'static str, i64)>,
    /// The backend's answer to the request that opens a session.
    pub(super) opening: Option<Answer>,
    /// With what the backend is asked: the caller's token, or the one that the sidecar would use in its place.
    pub(super) authorization: Option<HeaderValue>,
}

/// An HTTP answer, read whole.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer of at most `limit` bytes.
    pub(super) async fn read(response: reqwest::Response, limit: usize) -> Result<Self, String> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = outgoing::read_at_most(response, limit).await;
        let body = body.map_err(|error| match error {
            ReadError::TooLarge { .. } => error.to_string(),
            ReadError::Broken(error) => cause(error),
        })?;
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The media type without its parameters, in lower case.
    pub(super) fn media_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = value.split(';').next().unwrap_or("");
        essence.trim().to_ascii_lowercase()
    }

    /// Whether a person's browser was meant.
    pub(super) fn is_web_page(&self) -> bool {
        self.media_type() == "text/html" || self.body.trim_ascii_start().starts_with(b"<")
    }
}

impl Visit {
    pub(super) fn new(patient: Patient, http: reqwest::Client) -> Self {
        Self {
            typed: patient.url,
            token: patient.token,
            operator: patient.operator,
            now: patient.now,
            patience: patient.patience,
            http,
            facts: Facts::default(),
        }
    }

    /// A foreign text for the report: in backticks, without the token, on one line, not long.
    pub(super) fn quote(&self, text: &str) -> String {
        let text = match &self.token {
            Some(token) => without(text, token.expose_secret()),
            None => text.to_owned(),
        };
        let mut short: String = text.chars().take(LONGEST_QUOTE).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        let escaped = short.escape_debug().to_string();
        format!("`{}`", escaped.replace("\\\"", "\"").replace("\\'", "'"))
    }

    /// Sends a request and reads the answer; remembers what the answer says about the clock of `who`.
    pub(super) async fn ask(
        &mut self,
        who: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, String> {
        let response = request.send().await.map_err(cause)?;
        self.note_clock(who, response.headers());
        Answer::read(response, DOCUMENT).await
    }

    /// A public document.
    /// The same as a page of [`BROWSER_ORIGIN`] asks it, so that what CORS needs is answered.
    pub(super) async fn get_as_browser(
        &mut self,
        who: &'static str,
        url: Url,
    ) -> Result<Answer, String> {
        let request = self
            .http
            .get(url)
            .header(header::ACCEPT, "application/json")
            .header(header::ORIGIN, BROWSER_ORIGIN);
        self.ask(who, request).await
    }

    pub(super) async fn get(&mut self, who: &'static str, url: Url) -> Result<Answer, String> {
        let request = self
            .http
            .get(url)
            .header(header::ACCEPT, "application/json");
        self.ask(who, request).await
    }

    /// Compares the `Date` of an answer with our clock; the first one of each counts.
    pub(super) fn note_clock(&mut self, who: &'static str, headers: &HeaderMap) {
        let date = headers
            .get(header::DATE)
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
        let now = i64::try_from((self.now)().as_secs()).unwrap_or(i64::MAX);
        if let Some(date) = date
            && !self.facts.clocks.iter().any(|(known, _)| *known == who)
        {
            let ahead = date.unix_timestamp().saturating_sub(now);
            self.facts.clocks.push((who, ahead));
        }
    }

    /// Whether the server lets everybody in.
    pub(super) fn is_open(&self) -> bool {
        self.facts
            .first
            .as_ref()
            .is_some_and(|first| first.status == 200)
    }
}

/// The text without the token and without any longer piece of it, wherever somebody cut it.
fn without(text: &str, token: &str) -> String {
    const HIDDEN: &str = "(the token)";
    if token.is_empty() {
        return text.to_owned();
    }
    let mut text = text.replace(token, HIDDEN);
    let parts = token
        .split('.')
        .filter(|part| part.len() >= SHORTEST_SECRET);
    for part in parts {
        text = text.replace(part, HIDDEN);
    }
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let pieces: Vec<String> = text
        .split(|c| !is_inside(c))
        .filter(|piece| piece.len() >= SHORTEST_SECRET && token.contains(piece))
        .map(str::to_owned)
        .collect();
    for piece in pieces {
        text = text.replace(&piece, HIDDEN);
    }
    text
}

/// Why there was no answer: the innermost cause, which names no URL.
pub(super) fn cause(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Whether nobody can listen or interfere on the way: https, or this machine.
pub(super) fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether a URL leads to this machine only.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXRoaXM";

    #[test]
    fn a_token_is_taken_out_whole_in_parts_and_cut_anywhere() {
        assert_eq!(
            without(&format!("no: Bearer {TOKEN}."), TOKEN),
            "no: Bearer (the token)."
        );
        for start in 0..TOKEN.len() {
            for end in start + 24..=TOKEN.len() {
                let said = without(&format!("bad `{}`", &TOKEN[start..end]), TOKEN);
                for secret in TOKEN.as_bytes().windows(9) {
                    let secret = std::str::from_utf8(secret).unwrap();
                    assert!(!said.contains(secret), "{said}");
                }
            }
        }
    }

    #[test]
    fn other_words_stay() {
        let words = "wrong audience: expected https://t1.example.com/mcp";
        assert_eq!(without(words, TOKEN), words);
        assert_eq!(without(words, ""), words);
    }
}
