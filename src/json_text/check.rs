//! Whether bytes are one JSON value. In: bytes. Out: where the value stands, or nothing, exactly as `serde_json` has it for
//! text that is passed on (to 127 levels; a surrogate may be alone). The one thing not to break: nothing is taken that
//! `serde_json` does not take, because what was taken is looked at no more.

use std::ops::Range;

use super::marks::Marks;

/// One JSON value among bytes.
pub(super) struct Checked {
    /// Where it stands; around it is white space and nothing else.
    pub(super) range: Range<usize>,
    /// Whether there is white space in it, outside of its strings.
    pub(super) has_space: bool,
}

/// Finds the value; `None` where there is something else.
pub(super) fn check(text: &[u8]) -> Option<Checked> {
    let mut check = Check {
        text,
        at: 0,
        marks: Marks::of(text),
        has_space: false,
    };
    check.space();
    check.has_space = false;
    let start = check.at;
    check.value()?;
    let (range, has_space) = (start..check.at, check.has_space);
    check.space();
    let is_text = !check.marks.has_more_than_ascii()
        || simdutf8::basic::from_utf8(text.get(range.clone())?).is_ok();
    let is_all = check.at == text.len();
    (is_text && is_all).then_some(Checked { range, has_space })
}

struct Check<'a> {
    text: &'a [u8],
    at: usize,
    marks: Marks<'a, true>,
    has_space: bool,
}

impl Check<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What is next, white space left out.
    #[inline]
    fn sign(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        if byte > b' ' {
            return Some(byte);
        }
        self.space();
        self.peek()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
            self.has_space = true;
        }
    }

    /// A value with all that is in it.
    fn value(&mut self) -> Option<()> {
        // What it is in, the innermost the lowest bit: 1 is an object. A 1 stands above them all.
        let mut around: u128 = 1;
        loop {
            match self.sign()? {
                b'"' => self.string()?,
                open @ (b'{' | b'[') => {
                    if around >> super::DEEPEST != 0 {
                        return None;
                    }
                    self.at += 1;
                    let is_object = open == b'{';
                    around = around << 1 | u128::from(is_object);
                    let next = self.sign()?;
                    // In ASCII the sign that closes is two behind the one that opens.
                    if next != open + 2 {
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return None,
            }
            if !self.goes_on(&mut around)? {
                return Some(());
            }
        }
    }

    /// Closes what ends behind a value. Whether another value follows.
    #[inline]
    fn goes_on(&mut self, around: &mut u128) -> Option<bool> {
        while *around != 1 {
            let is_object = *around & 1 == 1;
            match self.sign()? {
                b',' => {
                    self.at += 1;
                    if is_object {
                        self.sign()?;
                        self.name()?;
                    }
                    return Some(true);
                }
                b'}' if is_object => {}
                b']' if !is_object => {}
                _ => return None,
            }
            self.at += 1;
            *around >>= 1;
        }
        Some(false)
    }

    /// A member's name and the colon.
    #[inline]
    fn name(&mut self) -> Option<()> {
        (self.peek()? == b'"').then_some(())?;
        self.string()?;
        (self.sign()? == b':').then_some(())?;
        self.at += 1;
        Some(())
    }

    /// Its opening quote is next.
    #[inline]
    fn string(&mut self) -> Option<()> {
        let end = self.marks.next(self.at + 1)?;
        self.at = end + 1;
        (self.text.get(end) == Some(&b'"')).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.takes(|byte| byte == b'-');
        if !self.takes(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.takes(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.takes(|byte| matches!(byte, b'e' | b'E')) {
            self.takes(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Some(())
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.takes(|byte| byte.is_ascii_digit()) {}
        (self.at > start).then_some(())
    }

    #[inline]
    fn takes(&mut self, is: impl Fn(u8) -> bool) -> bool {
        let is_next = self.peek().is_some_and(is);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }
}
