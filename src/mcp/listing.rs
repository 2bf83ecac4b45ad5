//! `tools/list`, made once at load: which tools a caller sees, in catalogue order. Where the catalogue asks for scopes,
//! callers see only what they may call, and the answer is no longer the same for everybody.

use std::{collections::HashMap, sync::Arc};

use rmcp::model::{CacheScope, Tool, ToolAnnotations};
use sha2::{Digest, Sha256};

use crate::{
    auth::Caller,
    catalogue::{self, Catalogue},
};

pub(super) struct Listing {
    tools: Vec<(Tool, Vec<String>)>,
    index: HashMap<String, usize>,
    scoped: bool,
}

impl Listing {
    /// `own` are tools of ours, after the catalogue's.
    pub(super) fn of(catalogue: &Catalogue, own: impl IntoIterator<Item = Tool>) -> Self {
        let own = own.into_iter().map(|tool| (tool, Vec::new()));
        let tools: Vec<_> = catalogue
            .tools()
            .iter()
            .map(|tool| (shown(tool), tool.scopes.clone()))
            .chain(own)
            .collect();
        Self {
            index: tools
                .iter()
                .enumerate()
                .map(|(index, (tool, _))| (tool.name.to_string(), index))
                .collect(),
            scoped: tools.iter().any(|(_, scopes)| !scopes.is_empty()),
            tools,
        }
    }

    /// The tools this caller may call, and who may be served a copy of the answer.
    pub(super) fn for_caller(&self, caller: &Caller) -> (Vec<Tool>, CacheScope) {
        let visible = self
            .tools
            .iter()
            .filter(|(_, scopes)| scopes.iter().all(|scope| caller.scopes().contains(scope)))
            .map(|(tool, _)| tool.clone())
            .collect();
        let scope = if self.scoped {
            CacheScope::Private
        } else {
            CacheScope::Public
        };
        (visible, scope)
    }

    /// Of everything a client may be shown.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut digest = Sha256::new();
        for (tool, scopes) in &self.tools {
            // A tool is plain data, which can always be written.
            digest.update(serde_json::to_vec(&(tool, scopes)).unwrap_or_default());
        }
        let digest: [u8; 32] = digest.finalize().into();
        let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_be_bytes(*first)
    }

    pub(super) fn tool(&self, name: &str) -> Option<Tool> {
        let (tool, _) = self.tools.get(*self.index.get(name)?)?;
        Some(tool.clone())
    }
}

/// A tool as clients see it (protocol page B.2); the same as `catalogue::tokens::listed`, which counts it.
fn shown(tool: &catalogue::Tool) -> Tool {
    let hints = tool.annotations;
    Tool::new(
        tool.name.clone(),
        tool.description.clone(),
        Arc::clone(&tool.input_schema),
    )
    .with_title(tool.title.clone())
    .with_raw_output_schema(Arc::clone(&tool.output_schema))
    .with_annotations(
        ToolAnnotations::new()
            .read_only(hints.read_only)
            .destructive(hints.destructive)
            .idempotent(hints.idempotent)
            .open_world(hints.open_world),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_what_was_counted() {
        let catalogue = Catalogue::shipped().expect("the shipped catalogue is valid");
        for tool in catalogue.tools() {
            let shown = serde_json::to_value(shown(tool)).unwrap();
            assert_eq!(shown, catalogue::tokens::listed(tool));
        }
    }
}
