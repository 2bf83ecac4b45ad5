//! The body of an answer as it goes out: whole, cut off half-way, or endless filler for the huge answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A response body.
pub(super) struct Wire {
    parts: Vec<Bytes>,
    /// How often the second part is sent again.
    repeats: usize,
    end: End,
}

enum End {
    /// The size is announced.
    Announced(u64),
    /// The size is not announced.
    Silent,
    /// What was sent is flushed, then the connection breaks.
    Broken { flushed: bool },
}

const FILLER: usize = 64 << 10;

impl Wire {
    /// An ordinary body.
    pub(super) fn whole(body: Bytes) -> Self {
        let length = body.len() as u64;
        Self::new(vec![body], 0, End::Announced(length))
    }

    /// These bytes, and then the connection breaks.
    pub(super) fn cut(start: Bytes) -> Self {
        Self::new(vec![start], 0, End::Broken { flushed: false })
    }

    /// A JSON record of at least this many bytes, made while it is sent.
    pub(super) fn record_of(size: usize, chunked: bool) -> Self {
        let head = Bytes::from_static(
            br#"{"uid":"00000000-0000-4000-8000-000000000000","version":1,"updatedAt":"2025-01-01T00:00:00Z","payload":{"content":""#,
        );
        let tail = Bytes::from_static(b"\"}}\n");
        let repeats = size.div_ceil(FILLER);
        let length = head.len() + repeats * FILLER + tail.len();
        let end = if chunked {
            End::Silent
        } else {
            End::Announced(length as u64)
        };
        // Taken from the back.
        Self::new(
            vec![tail, Bytes::from(vec![b'x'; FILLER]), head],
            repeats,
            end,
        )
    }

    fn new(parts: Vec<Bytes>, repeats: usize, end: End) -> Self {
        Self {
            parts,
            repeats,
            end,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.parts.len() == 2 && self.repeats > 0 {
            self.repeats -= 1;
            return self.parts.last().cloned();
        }
        if self.parts.len() == 2 {
            self.parts.pop();
        }
        self.parts.pop()
    }
}

impl Body for Wire {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(part) = self.next() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        match &mut self.end {
            End::Announced(_) | End::Silent => Poll::Ready(None),
            End::Broken { flushed: true } => {
                Poll::Ready(Some(Err(io::Error::other("cut off by a fault switch"))))
            }
            End::Broken { flushed } => {
                // hyper writes out what it has only when the body is not ready.
                *flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, End::Announced(0))
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            End::Announced(length) => SizeHint::with_exact(length),
            End::Silent | End::Broken { .. } => SizeHint::default(),
        }
    }
}
