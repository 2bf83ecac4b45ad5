//! The catalogue of the moment and what MCP shows of it, replaced as a whole while calls run. In: a checked catalogue.
//! Out: one [`Published`] that never changes; whoever holds it sees one catalogue from beginning to end. The one thing
//! not to do: look twice in one call, because the second look may find another catalogue.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use tokio::sync::watch;

use super::{
    listing::Listing,
    workspace::{self, ReservedName, WorkspaceTool},
    written::Answers,
};
use crate::catalogue::Catalogue;

/// A catalogue and all that is made of it once; what only some clients need, when one needs it.
pub struct Published {
    /// What is called.
    pub catalogue: Arc<Catalogue>,
    /// The how-manieth since the start, beginning with 1: part of whatever must not outlive its catalogue.
    pub generation: u64,
    /// What `tools/list` answers with.
    pub(super) listing: Listing,
    /// How calls are answered.
    pub(super) answers: Answers,
    /// How the server introduces itself.
    pub(super) description: ServerConfig,
}

impl Published {
    fn new(catalogue: Arc<Catalogue>, generation: u64, own_tools: bool) -> Self {
        let own = own_tools.then(WorkspaceTool::listed).into_iter().flatten();
        let description = description(&catalogue);
        Self {
            listing: Listing::of(Arc::clone(&catalogue), own, &description.server_info),
            answers: Answers::of(&description),
            description,
            catalogue,
            generation,
        }
    }

    /// Tells tool lists apart, the same for the same list in every process.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.listing.fingerprint()
    }
}

/// Holds what is published now and tells of every replacement.
pub(super) struct Publisher {
    current: ArcSwap<Published>,
    changes: watch::Sender<u64>,
    /// Whether tools of ours stand beside the catalogue's.
    own_tools: bool,
}

impl Publisher {
    pub(super) fn new(catalogue: Arc<Catalogue>, own_tools: bool) -> Result<Self, ReservedName> {
        check(&catalogue, own_tools)?;
        let first = 1;
        Ok(Self {
            current: ArcSwap::from_pointee(Published::new(catalogue, first, own_tools)),
            changes: watch::Sender::new(first),
            own_tools,
        })
    }

    pub(super) fn current(&self) -> Arc<Published> {
        self.current.load_full()
    }

    /// The generation of the moment, seen; each replacement is a change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many would hear of a change.
    pub(super) fn listening(&self) -> usize {
        self.changes.receiver_count()
    }

    /// Puts this catalogue in the place of the one before. Calls under way keep theirs. Returns its generation.
    pub(super) fn publish(&self, catalogue: Arc<Catalogue>) -> Result<u64, ReservedName> {
        check(&catalogue, self.own_tools)?;
        let mut published = 0;
        // The channel's own lock keeps two replacements in order, and whoever hears of one finds it here.
        self.changes.send_modify(|generation| {
            *generation += 1;
            let next = Published::new(catalogue, *generation, self.own_tools);
            next.listing.prepare_as(&self.current().listing);
            self.current.store(Arc::new(next));
            published = *generation;
        });
        Ok(published)
    }
}

fn check(catalogue: &Catalogue, own_tools: bool) -> Result<(), ReservedName> {
    if own_tools {
        workspace::check(catalogue)?;
    }
    Ok(())
}

/// Name, version and capabilities: tools, of whose list clients are told when it changes.
pub(super) fn description(catalogue: &Catalogue) -> ServerConfig {
    let server = catalogue.server();
    let mut implementation = Implementation::new(server.name.clone(), env!("CARGO_PKG_VERSION"));
    if let Some(title) = &server.title {
        implementation = implementation.with_title(title.clone());
    }
    let capabilities = ServerCapabilities::builder()
        .enable_tools()
        .enable_tool_list_changed()
        .build();
    let info = ServerConfig::new(capabilities).with_server_info(implementation);
    match &server.instructions {
        Some(instructions) => info.with_instructions(instructions.clone()),
        None => info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(name: &str) -> Arc<Catalogue> {
        let text = format!(
            "version: 1\nserver: {{ name: {name} }}\ntools:\n  ping: {{ description: Says hello., request: GET /ping, effect: read }}\n"
        );
        let catalogue = Catalogue::parse("test.yaml", text.as_bytes());
        Arc::new(catalogue.unwrap_or_else(|problems| panic!("{problems}")))
    }

    #[test]
    fn who_hears_of_a_change_finds_it_and_who_holds_the_old_one_keeps_it() {
        let publisher = Publisher::new(catalogue("one"), false).unwrap();
        let mut changes = publisher.changes();
        let held = publisher.current();
        assert!(!changes.has_changed().unwrap());
        assert_eq!(publisher.publish(catalogue("two")), Ok(2));
        assert!(changes.has_changed().unwrap());
        assert_eq!(*changes.borrow_and_update(), 2);
        let found = publisher.current();
        assert_eq!((found.generation, held.generation), (2, 1));
        assert_eq!(found.catalogue.server().name, "two");
        assert_eq!(found.description.server_info.name, "two");
        assert_eq!(held.catalogue.server().name, "one");
    }
}
