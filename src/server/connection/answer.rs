//! A response's body that says when it is over: until then its connection is not idle. In: a body. Out: the same body.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

use super::UnderWay;

/// A response's body with the request it answers.
#[derive(Debug)]
pub(in crate::server) struct AnswerBytes<B> {
    body: B,
    /// Over when hyper lets go of the body, sent or not.
    _request: UnderWay,
}

impl<B> AnswerBytes<B> {
    pub(in crate::server) fn new(body: B, request: UnderWay) -> Self {
        Self {
            body,
            _request: request,
        }
    }
}

impl<B: Body + Unpin> Body for AnswerBytes<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
