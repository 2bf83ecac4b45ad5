//! The tools of one list as bytes, one after the other. In: tools, once. Out: any choice of them as one page.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What stands after the tools.
const CLOSING: &[u8] = b"]}";

pub(super) struct List {
    /// The tools, with a comma after each but the last.
    tools: Vec<u8>,
    /// Where each is.
    places: Vec<Range<usize>>,
    /// The result with all of them, which is the answer in nearly every case.
    pub(super) whole: Bytes,
    /// Tells this list from others.
    pub(super) digest: [u8; 32],
}

impl List {
    /// `opening` stands before the tools where all of them are on one page.
    pub(super) fn of(tools: &[&Map<String, Value>], opening: &str) -> Self {
        let mut list = Self {
            tools: Vec::new(),
            places: Vec::with_capacity(tools.len()),
            whole: Bytes::new(),
            digest: [0; 32],
        };
        for tool in tools {
            if !list.tools.is_empty() {
                list.tools.push(b',');
            }
            let start = list.tools.len();
            // A map of JSON values always has a form.
            list.tools
                .extend(serde_json::to_vec(tool).unwrap_or_default());
            list.places.push(start..list.tools.len());
        }
        list.tools.shrink_to_fit();
        list.digest = Sha256::digest(&list.tools).into();
        if tools.len() <= super::PAGE {
            let all: Vec<usize> = (0..tools.len()).collect();
            list.whole = list.page(&all, opening);
        }
        list
    }

    /// The result with these tools, in this order.
    pub(super) fn page(&self, tools: &[usize], opening: &str) -> Bytes {
        let place = |index: &usize| self.places.get(*index).cloned();
        let length: usize = tools
            .iter()
            .filter_map(place)
            .map(|place| place.len() + 1)
            .sum();
        let mut page = Vec::with_capacity(opening.len() + length + CLOSING.len());
        page.extend_from_slice(opening.as_bytes());
        for (position, place) in tools.iter().filter_map(place).enumerate() {
            if position > 0 {
                page.push(b',');
            }
            page.extend_from_slice(self.tools.get(place).unwrap_or_default());
        }
        page.extend_from_slice(CLOSING);
        page.into()
    }
}
