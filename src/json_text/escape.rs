//! Text as the inside of a JSON string. In: JSON text without white space. Out: the same with a backslash before each quote
//! and backslash; no text of ours has anything else to escape. The one thing not to break: what is written is exactly as
//! long as `length` says.

use super::marks::{BLOCK, Block};

/// So much is copied at once, wanted or not: most pieces are shorter, and a copy of a fixed length asks nothing.
const PIECE: usize = 32;

/// What is written is put together here first: room of a fixed length, whatever stood in it before.
const ROOM: usize = 1024;

/// How long the text is when it is escaped.
pub(super) fn length(text: &[u8]) -> usize {
    let (blocks, rest) = text.as_chunks();
    let in_block = |block| Block::of(block).escaped().count_ones() as usize;
    let in_rest = rest.iter().filter(|byte| is_escaped(**byte)).count();
    text.len() + blocks.iter().map(in_block).sum::<usize>() + in_rest
}

/// Appends the text.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) {
    let mut room = [0; ROOM];
    let mut rest = text;
    while rest.len() >= BLOCK + PIECE {
        let Some((read, written)) = blocks(rest, &mut room) else {
            break;
        };
        out.extend_from_slice(room.get(..written).unwrap_or_default());
        rest = rest.get(read..).unwrap_or_default();
    }
    for byte in rest {
        if is_escaped(*byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

/// Writes as many blocks as there is room for: how much of the text was read, and how much written.
fn blocks(text: &[u8], room: &mut [u8; ROOM]) -> Option<(usize, usize)> {
    let (mut at, mut to) = (0, 0);
    // The last piece of a block may be copied from behind it, and to behind it.
    while to + 2 * BLOCK + PIECE <= ROOM && at + BLOCK + PIECE <= text.len() {
        let (start, end) = (at, at + BLOCK);
        let mut bits = Block::of(text.get(at..)?.first_chunk()?).escaped();
        loop {
            let next = if bits == 0 {
                end
            } else {
                start + bits.trailing_zeros() as usize
            };
            while at < next {
                let piece: &[u8; PIECE] = text.get(at..)?.first_chunk()?;
                *room.get_mut(to..)?.first_chunk_mut()? = *piece;
                let length = PIECE.min(next - at);
                at += length;
                to += length;
            }
            if bits == 0 {
                break;
            }
            *room.get_mut(to)? = b'\\';
            to += 1;
            bits &= bits - 1;
        }
    }
    Some((at, to))
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}
