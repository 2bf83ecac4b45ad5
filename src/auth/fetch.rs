//! One GET to an issuer: bounded in time and size, no redirects, no proxy. In: a URL. Out: a body, or why not in words
//! that hold no address: a URL's query may be a secret.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use url::{Host, Url};

use crate::outgoing::{self, ReadError, Timeouts};

/// Largest document that is read, in bytes.
const LARGEST_BODY: usize = 256 * 1024;

/// A document says at most that it holds for so long.
const LONGEST_MAX_AGE: u64 = 3600;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    request: Duration::from_secs(5),
};

/// The client for all issuers, made at its first use: it reads the system's certificates, and who only has a shared
/// secret need not wait for that.
#[derive(Clone, Debug, Default)]
pub(super) struct Http(Arc<OnceLock<reqwest::Client>>);

/// Why a document could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    /// The innermost cause only: the outer ones repeat the URL.
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("status {0}")]
    Status(u16),
    #[error("larger than {LARGEST_BODY} bytes")]
    TooLarge,
    /// It came, and is not what it should be.
    #[error("{0}")]
    Unusable(String),
}

/// What came.
pub(super) struct Got {
    pub(super) body: Vec<u8>,
    /// `max-age` of the answer, at most one hour; zero without one.
    pub(super) max_age: Duration,
}

impl Http {
    /// The client.
    ///
    /// # Errors
    /// When the TLS back end cannot be set up.
    pub(super) fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        if let Some(client) = self.0.get() {
            return Ok(client.clone());
        }
        let client = outgoing::client(TIMEOUTS)?;
        Ok(self.0.get_or_init(|| client).clone())
    }

    /// The document at `url`.
    pub(super) async fn get(&self, url: &Url) -> Result<Got, FetchError> {
        let request = self.client()?.get(url.clone());
        let response = request
            .header(header::ACCEPT, "application/json")
            .send()
            .await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let max_age = max_age(response.headers());
        let body = outgoing::read_at_most(response, LARGEST_BODY).await?;
        Ok(Got { body, max_age })
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Unreachable(cause.to_string())
    }
}

impl From<ReadError> for FetchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { .. } => Self::TooLarge,
            ReadError::Broken(error) => error.into(),
        }
    }
}

/// `https`, or `http` to this machine; no credentials and no fragment in it.
pub(super) fn check_url(url: &Url) -> Result<(), &'static str> {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("has no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        _ => return Err("must be https (http only to this machine)"),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must not contain a user, a password or a fragment");
    }
    Ok(())
}

fn max_age(headers: &HeaderMap) -> Duration {
    let control = headers
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok());
    let age = control
        .unwrap_or_default()
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age="));
    let seconds = age.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_secs(seconds.min(LONGEST_MAX_AGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::fixtures::KeyServer;

    #[tokio::test]
    async fn a_failed_fetch_is_described_without_the_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}/jwks?key=canary", listener.local_addr().unwrap());
        drop(listener);
        let http = Http::default();
        let error = http.get(&closed.parse().unwrap()).await.err().unwrap();
        let error = error.to_string();
        assert!(error.starts_with("unreachable: "), "{error}");
        assert!(
            !error.contains("127.0.0.1") && !error.contains("canary"),
            "{error}"
        );
        let server = KeyServer::start(String::new()).await;
        server.fail();
        let error = http.get(&server.url).await.err().unwrap();
        assert_eq!(error.to_string(), "status 502");
    }

    #[test]
    fn max_age_is_at_most_an_hour_and_nothing_if_unreadable() {
        let age = |text: &str| {
            max_age(&HeaderMap::from_iter([(
                header::CACHE_CONTROL,
                text.parse().unwrap(),
            )]))
            .as_secs()
        };
        assert_eq!(age("max-age=99999999"), 3600);
        assert_eq!(age("no-store"), 0);
        assert_eq!(age("max-age=-1"), 0);
        assert_eq!(age("max-age=99999999999999999999999"), 0);
        assert_eq!(max_age(&HeaderMap::new()), Duration::ZERO);
    }
}
