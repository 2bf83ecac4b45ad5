//! What `tools.yaml` declares, checked and expanded.

pub mod entity;
pub mod plan;

pub use entity::{Action, Entity, Reference, ReferenceTarget};
pub use plan::{Effect, Plan};
