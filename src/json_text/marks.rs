//! Where strings end, found for 64 bytes at a time. In: text and places in it. Out: the places of quotes that close a
//! string and, in text that is not checked yet, of what no string may hold. Asked for from the beginning of a text to its
//! end, and for places in strings only. The one thing not to break: no byte of a string is passed without a look.

use wide::u8x16;

/// So many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

/// Sixty-four bytes.
#[derive(Clone, Copy)]
pub(super) struct Block([u8x16; 4]);

impl Block {
    #[inline]
    pub(super) fn of(bytes: &[u8; BLOCK]) -> Self {
        let part = |bytes: &[u8; 16]| u8x16::new(*bytes);
        match bytes.as_chunks() {
            ([a, b, c, d], _) => Self([part(a), part(b), part(c), part(d)]),
            // There are always four; the compiler leaves this out.
            _ => Self([u8x16::splat(0); 4]),
        }
    }

    /// Which bytes are so, as bits, the first byte the lowest. Written out: the loop would stay a loop.
    #[inline]
    fn bits(self, is: impl Fn(u8x16) -> u8x16) -> u64 {
        let bits = |part| u64::from(is(part).to_bitmask());
        let [a, b, c, d] = self.0;
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }

    /// Quotes and backslashes.
    #[inline]
    pub(super) fn escaped(self) -> u64 {
        self.bits(is_escaped)
    }
}

#[inline]
fn equal(part: u8x16, byte: u8) -> u8x16 {
    part.simd_eq(u8x16::splat(byte))
}

#[inline]
fn is_escaped(part: u8x16) -> u8x16 {
    equal(part, b'"') | equal(part, b'\\')
}

/// Signs that no string may hold as they are.
#[inline]
fn is_control(part: u8x16) -> u8x16 {
    part.min(u8x16::splat(0x1f)).simd_eq(part)
}

/// What may stand behind a backslash.
#[inline]
fn is_escape(part: u8x16) -> u8x16 {
    let breaks = equal(part, b'n') | equal(part, b'r') | equal(part, b't');
    let others = equal(part, b'u') | equal(part, b'/') | equal(part, b'b') | equal(part, b'f');
    is_escaped(part) | breaks | others
}

/// The marked places of a text: where strings end and, where it `CHECKS`, what no string may hold.
#[derive(Clone, Copy)]
pub(super) struct Marks<'a, const CHECKS: bool> {
    text: &'a [u8],
    /// Where the block begins that was looked at last, and its marks.
    start: usize,
    bits: u64,
    /// Whether the byte behind that block has a backslash before it that counts.
    is_escaped: bool,
    has_more_than_ascii: bool,
}

impl<'a, const CHECKS: bool> Marks<'a, CHECKS> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        let mut marks = Self {
            text,
            start: 0,
            bits: 0,
            is_escaped: false,
            has_more_than_ascii: false,
        };
        marks.look_at(0);
        marks
    }

    /// Of all strings that were passed. Known where it `CHECKS`.
    pub(super) fn has_more_than_ascii(&self) -> bool {
        self.has_more_than_ascii
    }

    /// The first one at this place, which is in a string, or behind it.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> Option<usize> {
        let within = at.wrapping_sub(self.start);
        if within < BLOCK {
            let bits = self.bits >> within;
            if bits != 0 {
                return Some(at + bits.trailing_zeros() as usize);
            }
        }
        self.further(at)
    }

    fn further(&mut self, at: usize) -> Option<usize> {
        // Where a block is passed over there is no string in it, so no backslash at its end either.
        let mut at = at.max(self.start + BLOCK);
        while at < self.text.len() {
            self.look_at(at);
            if self.bits != 0 {
                return Some(at + self.bits.trailing_zeros() as usize);
            }
            at += BLOCK;
        }
        None
    }

    #[inline]
    fn look_at(&mut self, start: usize) {
        let rest = self.text.get(start..).unwrap_or_default();
        if let Some(block) = rest.first_chunk() {
            self.look(start, block);
        } else {
            let mut last = [b' '; BLOCK];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.look(start, &last);
        }
    }

    fn look(&mut self, start: usize, block: &[u8; BLOCK]) {
        let block = Block::of(block);
        let escaped = self.escaped(block.bits(|part| equal(part, b'\\')));
        self.start = start;
        self.bits = block.bits(|part| equal(part, b'"')) & !escaped;
        if CHECKS {
            self.has_more_than_ascii |= block.bits(|part| part) != 0;
            self.bits |= block.bits(is_control);
            if escaped != 0 {
                self.bits |= self.no_escapes(block, escaped);
            }
        }
    }

    /// The bytes that have a backslash before them that counts: one that has none such before it.
    #[inline]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        // simdjson's way: a sum carries through a run of backslashes, and comes out at an odd or an even place.
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        let before = u64::from(self.is_escaped);
        if backslashes == 0 {
            self.is_escaped = false;
            return before;
        }
        let starts = backslashes & !before;
        let ends = (starts << 1 | ODD).wrapping_sub(starts) ^ ODD;
        self.is_escaped = (ends & backslashes) >> 63 != 0;
        ends ^ (backslashes | before)
    }

    /// Those of the escaped bytes of the block that make no escape.
    fn no_escapes(&self, block: Block, escaped: u64) -> u64 {
        let mut none = escaped & !block.bits(is_escape);
        let mut numbers = escaped & block.bits(|part| equal(part, b'u'));
        while numbers != 0 {
            let within = numbers.trailing_zeros();
            let digits = self.text.get(self.start + within as usize + 1..);
            let digits = digits.and_then(<[u8]>::first_chunk::<4>);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                none |= 1 << within;
            }
            numbers &= numbers - 1;
        }
        none
    }
}
