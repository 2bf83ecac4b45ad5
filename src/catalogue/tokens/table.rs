//! The tokens of o200k, packed: the table inside tiktoken-rs is 3.6 MB of text, this one 0.7 MB. Out: a tokenizer that
//! knows the tokens that occur in some texts and no others, which counts those texts as the whole one does: it never asks
//! for anything but parts of them. A test holds every token to the one in tiktoken-rs, and writes the file where they differ.

use miniz_oxide::inflate::decompress_to_vec_zlib;
use tiktoken_rs::{CoreBPE, O200K_BASE_PAT_STR, Rank};

/// Compressed: the 256 bytes in the order of their ranks, then each longer token as the two before it that it joins. Six
/// columns: the lowest, middle and highest bytes of the first ones, then of the second ones.
static PACKED: &[u8] = include_bytes!("table.zlib");

/// Tokens that are one byte; they come first.
const SINGLE: usize = 256;

/// No token is longer.
const LONGEST: usize = 128;

/// A tokenizer for these texts alone.
pub(super) fn tokenizer(texts: &[String]) -> Option<CoreBPE> {
    let (bytes, ends) = unpack()?;
    let places = Places::of(texts);
    let known = each(&bytes, &ends)
        .zip(0..)
        .filter(|(token, _)| places.has(token));
    let known = known.map(|(token, rank): (_, Rank)| (token.to_vec(), rank));
    CoreBPE::new(
        known.collect(),
        [].into_iter().collect(),
        O200K_BASE_PAT_STR,
    )
    .ok()
}

/// All tokens in one, by rank, and where each of them ends.
fn unpack() -> Option<(Vec<u8>, Vec<usize>)> {
    let packed = decompress_to_vec_zlib(PACKED).ok()?;
    let (single, joined) = packed.split_at_checked(SINGLE)?;
    let mut columns = joined.chunks_exact(joined.len() / 6);
    let mut ranks = || {
        let (low, middle, high) = (columns.next()?, columns.next()?, columns.next()?);
        let bytes = low.iter().zip(middle).zip(high);
        Some(bytes.map(|((low, middle), high)| {
            usize::from_le_bytes([*low, *middle, *high, 0, 0, 0, 0, 0])
        }))
    };
    let (first, second) = (ranks()?, ranks()?);
    let mut bytes = single.to_vec();
    let mut ends: Vec<_> = (1..=SINGLE).collect();
    for (first, second) in first.zip(second) {
        for rank in [first, second] {
            let start = rank
                .checked_sub(1)
                .map_or(Some(0), |before| ends.get(before).copied())?;
            bytes.extend_from_within(start..*ends.get(rank)?);
        }
        ends.push(bytes.len());
    }
    Some((bytes, ends))
}

fn each<'a>(bytes: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts
        .zip(ends)
        .filter_map(|(start, end)| bytes.get(start..*end))
}

/// What begins at each place of some texts, in order.
struct Places<'a>(Vec<&'a [u8]>);

impl<'a> Places<'a> {
    fn of(texts: &'a [String]) -> Self {
        let places = texts.iter().flat_map(|text| {
            let text = text.as_bytes();
            (0..text.len()).filter_map(move |at| text.get(at..text.len().min(at + LONGEST)))
        });
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        places.dedup();
        Self(places)
    }

    fn has(&self, token: &[u8]) -> bool {
        let first = self.0.partition_point(|place| *place < token);
        self.0
            .get(first)
            .is_some_and(|place| place.starts_with(token))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    /// Every token of tiktoken-rs, by rank.
    fn theirs() -> Vec<Vec<u8>> {
        let whole = tiktoken_rs::o200k_base().unwrap();
        (0..)
            .map_while(|rank| whole.decode_bytes(&[rank]).ok())
            .collect()
    }

    /// What `PACKED` has to be.
    fn packed() -> Vec<u8> {
        let tokens = theirs();
        let ranks: HashMap<_, _> = tokens.iter().map(Vec::as_slice).zip(0u32..).collect();
        let (single, joined) = tokens.split_at(SINGLE);
        let pairs = joined.iter().zip(SINGLE as u32..).map(|(token, rank)| {
            let halves = (1..token.len()).map(|at| token.split_at(at));
            let known = halves.filter_map(|(a, b)| Some([*ranks.get(a)?, *ranks.get(b)?]));
            let earlier = known.filter(|pair| pair.iter().all(|half| *half < rank));
            earlier.min_by_key(|[a, b]| a + b).unwrap()
        });
        let pairs: Vec<_> = pairs.collect();
        let mut columns: Vec<u8> = single.concat();
        for (half, byte) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            columns.extend(pairs.iter().map(|pair| pair[half].to_le_bytes()[byte]));
        }
        compress_to_vec_zlib(&columns, 10)
    }

    #[test]
    fn every_token_is_the_one_in_tiktoken_rs() {
        let (bytes, ends) = unpack().unwrap();
        let ours: Vec<_> = each(&bytes, &ends).collect();
        let theirs = theirs();
        assert_eq!(ours.len(), 199_998);
        assert!(
            ours == theirs,
            "write the table: cargo test write_the_table -- --ignored"
        );
        assert!(ours.iter().all(|token| token.len() <= LONGEST));
    }

    #[test]
    #[ignore = "writes the table, after an update of tiktoken-rs that changes it"]
    fn write_the_table() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/catalogue/tokens/table.zlib"
        );
        std::fs::write(path, packed()).unwrap();
    }
}
