//! The tools of one list as bytes, one after the other. In: tools, once, each as JSON. Out: any choice of them as one page.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What stands after the tools.
const CLOSING: &[u8] = b"]}";

/// Tools in the order of their list.
#[derive(Default)]
pub(super) struct Tools {
    /// With a comma after each but the last.
    bytes: Vec<u8>,
    /// Where each is.
    places: Vec<Range<usize>>,
}

impl Tools {
    pub(super) fn push(&mut self, json: &[u8]) {
        if !self.bytes.is_empty() {
            self.bytes.push(b',');
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(json);
        self.places.push(start..self.bytes.len());
    }
}

/// What all eras of a list have in common, where they have.
pub(super) struct Kept {
    tools: Tools,
    digest: [u8; 32],
}

impl Kept {
    pub(super) fn of(mut tools: Tools) -> Arc<Self> {
        tools.bytes.shrink_to_fit();
        let digest = Sha256::digest(&tools.bytes).into();
        Arc::new(Self { tools, digest })
    }
}

pub(super) struct List {
    kept: Arc<Kept>,
    /// The result with all of them, which is the answer in nearly every case.
    pub(super) whole: Bytes,
}

impl List {
    /// `opening` stands before the tools where all of them are on one page.
    pub(super) fn of(kept: Arc<Kept>, opening: &str) -> Self {
        let mut list = Self {
            kept,
            whole: Bytes::new(),
        };
        let tools = list.kept.tools.places.len();
        if tools <= super::PAGE {
            let all: Vec<usize> = (0..tools).collect();
            list.whole = list.page(&all, opening);
        }
        list
    }

    /// Tells this list from others.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.kept.digest
    }

    /// The result with these tools, in this order.
    pub(super) fn page(&self, tools: &[usize], opening: &str) -> Bytes {
        let Tools { bytes, places } = &self.kept.tools;
        let place = |index: &usize| places.get(*index).cloned();
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
            page.extend_from_slice(bytes.get(place).unwrap_or_default());
        }
        page.extend_from_slice(CLOSING);
        page.into()
    }
}
