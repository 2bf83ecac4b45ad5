//! An entity as the catalogue declares it, reduced to what a backend has to know: the sandbox serves exactly this.

use serde_json::{Map, Value};

/// One kind of record (`note`) with its collection path, its state changes and the records it hangs on.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Singular name, `chat_message`.
    pub name: String,
    /// Plural name, `chat_messages`.
    pub plural: String,
    /// Collection path at the backend, `/v1/chat_messages`.
    pub path: String,
    /// State changes of the `process` operation, in catalogue order.
    pub actions: Vec<Action>,
    /// What `archive` sets in the payload (wire names).
    pub archive: Map<String, Value>,
    /// Fields that must name an existing, living record on every write.
    pub references: Vec<Reference>,
}

impl Entity {
    /// The name in running text: `chat message`.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// A named state change: `complete` sets `status` and `done`.
#[derive(Clone, Debug)]
pub struct Action {
    /// What the caller sends as `action`.
    pub name: String,
    /// For the model; empty where the catalogue says nothing.
    pub description: String,
    /// What it sets in the payload (wire names).
    pub sets: Map<String, Value>,
}

/// A payload field (wire name) that holds the uid of another record.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Wire name of the field that holds the uid, `chatUid`.
    pub wire: String,
    /// Which entity the uid belongs to.
    pub target: ReferenceTarget,
}

/// Where a reference's entity is found.
#[derive(Clone, Debug)]
pub enum ReferenceTarget {
    /// Always this entity (singular name).
    Entity(String),
    /// The entity named by a sibling field: `parentType` holds `note` or `task`.
    Field {
        /// Wire name of the sibling field.
        wire: String,
        /// The entities (singular names) it may name.
        entities: Vec<String>,
    },
}
