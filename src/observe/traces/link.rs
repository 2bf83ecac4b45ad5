//! One batch to the collector: a POST of a protobuf message, for gRPC with its five bytes before and its status behind. In:
//! the message. Out: how many spans the collector refused, or why it took none. No error holds the collector's address,
//! its words or the headers, which may be keys.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, TE},
};
use http_body_util::{BodyExt, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use url::Url;

use super::{Protocol, TraceSettings};
use crate::outgoing::{self, Timeouts};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    request: Duration::from_secs(10),
};
/// An answer says how many spans were refused, and perhaps why.
const LARGEST_ANSWER: usize = 64 << 10;

const HTTP_PATH: &str = "/v1/traces";
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExportError {
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it does not answer in time")]
    TimedOut,
    #[error("its answer broke off, or is none")]
    Broken,
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("it answers with gRPC status {0}")]
    Grpc(u16),
}

impl ExportError {
    /// Whether the same batch may be taken later (OTLP, "Retryable Response Codes").
    pub(super) fn may_pass(self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut | Self::Broken => true,
            Self::Status(status) => matches!(status, 429 | 502 | 503 | 504),
            Self::Grpc(status) => matches!(status, 1 | 4 | 8 | 10 | 11 | 14 | 15),
        }
    }
}

impl From<reqwest::Error> for ExportError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connect() {
            Self::Unreachable
        } else {
            Self::Broken
        }
    }
}

/// The way to the collector.
#[derive(Debug)]
pub(super) struct Link {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    protocol: Protocol,
}

impl Link {
    pub(super) fn new(settings: &TraceSettings) -> Result<Self, reqwest::Error> {
        let mut headers = settings.headers.clone();
        let mut url = settings.endpoint.clone();
        let client = match settings.protocol {
            Protocol::Http => {
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-protobuf"),
                );
                let path = url.path().trim_end_matches('/');
                if !path.ends_with(HTTP_PATH) {
                    let path = format!("{path}{HTTP_PATH}");
                    url.set_path(&path);
                }
                outgoing::client(TIMEOUTS)?
            }
            Protocol::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                url.set_path(GRPC_PATH);
                outgoing::grpc_client(TIMEOUTS)?
            }
        };
        Ok(Self {
            client,
            url,
            headers,
            protocol: settings.protocol,
        })
    }

    /// Sends a batch; how many of its spans the collector refused.
    pub(super) async fn send(&self, message: &impl Message) -> Result<u64, ExportError> {
        let body = match self.protocol {
            Protocol::Http => message.encode_to_vec(),
            Protocol::Grpc => framed(message),
        };
        let request = self.client.post(self.url.clone());
        let request = request.headers(self.headers.clone()).body(body);
        let answer = request.send().await?;
        if !answer.status().is_success() {
            return Err(ExportError::Status(answer.status().as_u16()));
        }
        let answer = match self.protocol {
            Protocol::Http => outgoing::read_at_most(answer, LARGEST_ANSWER)
                .await
                .map_err(|_| ExportError::Broken)?,
            Protocol::Grpc => grpc_answer(answer).await?,
        };
        // It took the batch, whatever else it says.
        let answer = ExportTraceServiceResponse::decode(&*answer).unwrap_or_default();
        let refused = answer.partial_success.unwrap_or_default().rejected_spans;
        Ok(u64::try_from(refused).unwrap_or(0))
    }
}

/// A message of gRPC: not compressed, its length, itself.
fn framed(message: &impl Message) -> Vec<u8> {
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message.encode_to_vec());
    frame
}

/// The message in an answer of gRPC whose status, behind the body or instead of one, is 0.
async fn grpc_answer(answer: reqwest::Response) -> Result<Vec<u8>, ExportError> {
    let (head, body) = http::Response::from(answer).into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(|_| ExportError::Broken)?;
    let trailers = body.trailers();
    let status = head
        .headers
        .get(GRPC_STATUS)
        .or_else(|| trailers?.get(GRPC_STATUS));
    let status = status.and_then(|status| status.to_str().ok()?.parse().ok());
    match status {
        Some(0) => Ok(body.to_bytes().get(5..).unwrap_or_default().to_vec()),
        Some(status) => Err(ExportError::Grpc(status)),
        None => Err(ExportError::Broken),
    }
}
