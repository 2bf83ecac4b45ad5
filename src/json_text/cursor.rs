//! A way through JSON text, value by value. In: text that is known to be one JSON value. Out: pieces of it as they are
//! written. The one thing not to break: it checks nothing, so nobody gets one for other bytes.

use super::marks::Marks;

/// A place in JSON text without white space.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    marks: Marks<'a, false>,
}

impl<'a> Cursor<'a> {
    /// Before the first sign.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            marks: Marks::of(text),
        }
    }

    /// Passes the sign where it is next.
    #[inline]
    pub(crate) fn takes(&mut self, sign: u8) -> bool {
        let is_next = self.text.get(self.at) == Some(&sign);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes the name of the next member, and its colon; `None` behind the last one, whose object is passed.
    pub(crate) fn name(&mut self) -> Option<&'a [u8]> {
        self.takes(b',');
        if self.takes(b'}') {
            return None;
        }
        let name = self.value();
        self.takes(b':').then_some(name)
    }

    /// Passes the value that is next.
    pub(crate) fn value(&mut self) -> &'a [u8] {
        let start = self.at;
        let end = self.end_of_value().unwrap_or(self.text.len());
        self.at = end;
        self.text.get(start..end).unwrap_or_default()
    }

    fn end_of_value(&mut self) -> Option<usize> {
        let (mut at, mut depth) = (self.at, 0_usize);
        loop {
            match self.text.get(at)? {
                b'"' => at = self.marks.next(at + 1)?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                // Behind a number or a word.
                b',' | b'}' | b']' if depth == 0 => return Some(at),
                _ if depth == 0 => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// JSON text without the white space that stands outside of strings.
pub(super) fn compact(text: &[u8]) -> Vec<u8> {
    let mut marks = Marks::<false>::of(text);
    let mut compact = Vec::with_capacity(text.len());
    let (mut start, mut at) = (0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {
                compact.extend_from_slice(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            b'"' => at = marks.next(at + 1).unwrap_or(text.len()),
            _ => {}
        }
        at += 1;
    }
    compact.extend_from_slice(text.get(start..).unwrap_or_default());
    compact
}
