//! Text as the inside of a JSON string. In: JSON text without white space. Out: the same with a backslash before each quote
//! and backslash; no text of ours has anything else to escape. The one thing not to break: what is written is exactly as
//! long as `length` says.

use super::marks::{BLOCK, Block};

/// So much is copied at once, wanted or not: most pieces are shorter, and a copy of a fixed length asks nothing.
const PIECE: usize = 32;

/// How long the text is when it is escaped.
pub(super) fn length(text: &[u8]) -> usize {
    let (blocks, rest) = text.as_chunks();
    let in_block = |block| Block::of(block).escaped().count_ones() as usize;
    let in_rest = rest.iter().filter(|byte| is_escaped(**byte)).count();
    text.len() + blocks.iter().map(in_block).sum::<usize>() + in_rest
}

/// Appends the text.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + length(text), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let (at, to) = blocks(text, room).unwrap_or_default();
    let mut room = room.get_mut(to..).unwrap_or_default().iter_mut();
    for byte in text.get(at..).unwrap_or_default() {
        if is_escaped(*byte) {
            room.next().into_iter().for_each(|to| *to = b'\\');
        }
        room.next().into_iter().for_each(|to| *to = *byte);
    }
}

/// Writes all but the last of it: how much of the text was read, and how much written.
fn blocks(text: &[u8], out: &mut [u8]) -> Option<(usize, usize)> {
    let (mut at, mut to) = (0, 0);
    // The last piece of a block may be copied from behind it.
    while let Some(bytes) = text.get(at..).filter(|rest| rest.len() >= BLOCK + PIECE) {
        let (start, end) = (at, at + BLOCK);
        let mut bits = Block::of(bytes.first_chunk()?).escaped();
        loop {
            let next = if bits == 0 {
                end
            } else {
                start + bits.trailing_zeros() as usize
            };
            while at < next {
                let piece: &[u8; PIECE] = text.get(at..)?.first_chunk()?;
                *out.get_mut(to..)?.first_chunk_mut()? = *piece;
                let length = PIECE.min(next - at);
                at += length;
                to += length;
            }
            if bits == 0 {
                break;
            }
            *out.get_mut(to)? = b'\\';
            to += 1;
            bits &= bits - 1;
        }
    }
    Some((at, to))
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}
