//! A response's body that says when it is over: until then its connection is not idle. In: a body. Out: the same body.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::UnderWay;
use crate::server::Body;

/// A response's body with the request it answers.
#[derive(Debug)]
pub(in crate::server) struct AnswerBytes {
    body: Body,
    /// Over when hyper lets go of the body, sent or not.
    _request: UnderWay,
}

impl AnswerBytes {
    pub(in crate::server) fn new(body: Body, request: UnderWay) -> Self {
        Self {
            body,
            _request: request,
        }
    }
}

impl http_body::Body for AnswerBytes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
