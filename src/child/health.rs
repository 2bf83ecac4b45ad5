//! Whether the child can serve: it takes connections, or answers a path with 200. Asked until it is so, and no more: from
//! then on `/readyz` and the calls themselves tell.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use url::Url;

use crate::outgoing::{self, Timeouts};

/// One look may take so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How it is seen that the child can serve.
#[derive(Clone, Debug)]
pub struct Health(Look);

#[derive(Clone, Debug)]
enum Look {
    Connects(String),
    Answers(reqwest::Client, Url),
}

impl Health {
    /// Well is who takes connections where this URL points to.
    #[must_use]
    pub fn connects(backend: &Url) -> Self {
        let host = backend.host_str().unwrap_or_default();
        let port = backend.port_or_known_default().unwrap_or_default();
        Self(Look::Connects(format!("{host}:{port}")))
    }

    /// Well is who answers `GET` of this URL with 200.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn answers(url: Url) -> Result<Self, reqwest::Error> {
        let client = outgoing::client(Timeouts {
            connect: PATIENCE,
            request: PATIENCE,
        })?;
        Ok(Self(Look::Answers(client, url)))
    }

    /// Ends when the child is well.
    pub(super) async fn appears(self) {
        while !self.is_well().await {
            sleep(PAUSE).await;
        }
    }

    async fn is_well(&self) -> bool {
        match &self.0 {
            Look::Connects(address) => {
                let connection = timeout(PATIENCE, TcpStream::connect(&**address)).await;
                matches!(connection, Ok(Ok(_)))
            }
            Look::Answers(client, url) => {
                let answer = client.get(url.clone()).send().await;
                answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
            }
        }
    }
}
