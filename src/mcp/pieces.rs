//! A written message on its way out: one piece, or several where it is so long that putting it together would be dear. In:
//! bytes, one after the other. Out: a body whose length is known, or the whole.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Bytes that follow each other; what is left of them.
pub(super) struct Pieces {
    next: Bytes,
    others: vec::IntoIter<Bytes>,
}

impl Pieces {
    /// All of them.
    pub(super) fn of(pieces: Vec<Bytes>) -> Self {
        let mut others = pieces.into_iter();
        let mut pieces = Self {
            next: Bytes::new(),
            others: vec::IntoIter::default(),
        };
        pieces.next = others.next().unwrap_or_default();
        pieces.others = others;
        pieces
    }

    /// In one piece.
    pub(super) fn whole(self) -> Bytes {
        if self.others.as_slice().is_empty() {
            return self.next;
        }
        let mut whole = Vec::with_capacity(self.length());
        whole.extend_from_slice(&self.next);
        self.others
            .for_each(|piece| whole.extend_from_slice(&piece));
        whole.into()
    }

    fn length(&self) -> usize {
        let others = self.others.as_slice().iter();
        self.next.len() + others.map(Bytes::len).sum::<usize>()
    }
}

impl<B: Into<Bytes>> From<B> for Pieces {
    fn from(piece: B) -> Self {
        Self {
            next: piece.into(),
            others: vec::IntoIter::default(),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let others = self.others.next().unwrap_or_default();
        let next = mem::replace(&mut self.next, others);
        Poll::Ready((!next.is_empty()).then(|| Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn pieces(texts: &[&'static str]) -> Pieces {
        Pieces::of(
            texts
                .iter()
                .map(|text| Bytes::from_static(text.as_bytes()))
                .collect(),
        )
    }

    #[tokio::test]
    async fn as_a_body_or_in_one_piece_it_is_the_same_bytes() {
        for texts in [&[][..], &["a"], &["a", "bc", "d"]] {
            let length = texts.concat().len() as u64;
            assert_eq!(pieces(texts).size_hint().exact(), Some(length));
            assert_eq!(pieces(texts).whole(), texts.concat());
            let body = pieces(texts).collect().await.unwrap();
            assert_eq!(body.to_bytes(), texts.concat());
        }
    }

    #[tokio::test]
    async fn it_is_at_its_end_with_its_last_piece() {
        let mut body = pieces(&["a", "b"]);
        for is_end in [false, true] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), 1);
            assert_eq!(body.is_end_stream(), is_end);
        }
        assert!(body.frame().await.is_none());
    }
}
