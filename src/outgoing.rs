//! The HTTP client for everything we call but the backend, which is asked by hyper itself under the same rules
//! (`backend::pool`): bounded time, no redirects, no proxy, no decompression.
//! In: limits. Out: a `reqwest::Client`. Do not add a second way to make one: each rule here stops an attack
//! (tokens sent to a redirect's target or to `HTTP_PROXY`, bombs that unpack themselves).

use std::time::Duration;

/// How long one destination may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the TCP (and TLS) connection stands.
    pub connect: Duration,
    /// Until the whole answer has been read.
    pub request: Duration,
}

/// How long a connection that nobody uses is kept, where nothing else is said.
const IDLE: Duration = Duration::from_secs(30);

/// A client for one class of destination.
///
/// # Errors
/// When the TLS back end cannot be set up (no usable root certificates).
pub fn client(timeouts: Timeouts) -> Result<reqwest::Client, reqwest::Error> {
    client_that_keeps(timeouts, IDLE)
}

/// The same, with connections that are kept for so long when nobody uses them.
///
/// # Errors
/// As [`client`].
pub fn client_that_keeps(
    timeouts: Timeouts,
    idle: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    builder(timeouts, idle).http1_only().build()
}

/// A client that speaks HTTP/2 from the first byte, as gRPC needs it.
///
/// # Errors
/// As [`client`].
pub fn grpc_client(timeouts: Timeouts) -> Result<reqwest::Client, reqwest::Error> {
    builder(timeouts, IDLE).http2_prior_knowledge().build()
}

fn builder(timeouts: Timeouts, idle: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.request)
        .pool_idle_timeout(idle)
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The body is larger than the destination may send.
    #[error("body larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection ended or stalled before the body did.
    #[error(transparent)]
    Broken(reqwest::Error),
}

/// The whole body, at most `limit` bytes of it in memory.
///
/// # Errors
/// [`ReadError::TooLarge`] as soon as the limit is passed, [`ReadError::Broken`] for a cut or slow connection.
pub async fn read_at_most(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, ReadError> {
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |length| length > limit) {
        return Err(ReadError::TooLarge { limit });
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Broken)? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
