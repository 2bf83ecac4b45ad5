//! The collections the sandbox serves: the catalogue's entities and the two task-list collections every original
//! backend has, with the few ways in which the original treats some of them differently (contract §5.3 to §5.6).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::catalogue::entity::{Action, Entity};

/// One collection: its entity and how the original words and treats it.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) entity: Entity,
    /// `note`, `chat message`, `task_list`.
    pub(super) label: String,
    /// `notes`, `chat messages`, `task_lists`.
    pub(super) label_plural: String,
    /// Whether it is one of the two task-list collections, whose `process` checks and words things its own way.
    pub(super) is_task_list: bool,
}

impl Kind {
    fn new(entity: Entity) -> Self {
        let is_task_list = matches!(entity.name.as_str(), "task_list" | "task_list_category");
        let (label, label_plural) = if is_task_list {
            (entity.name.clone(), entity.plural.clone())
        } else {
            (entity.label(), entity.plural.replace('_', " "))
        };
        Self {
            entity,
            label,
            label_plural,
            is_task_list,
        }
    }

    /// The singular name, under which records are stored.
    pub(super) fn name(&self) -> &str {
        &self.entity.name
    }

    /// Notes carry flat copies of the server's metadata in their payload.
    pub(super) fn has_flat_metadata(&self) -> bool {
        self.name() == "note"
    }

    /// Deleting a task list removes its tasks' link to it.
    pub(super) fn detaches_tasks(&self) -> bool {
        self.name() == "task_list"
    }

    /// What an action sets; `None` for an unknown one.
    pub(super) fn action(&self, name: &str) -> Option<&Map<String, Value>> {
        let mut actions = self.entity.actions.iter();
        actions
            .find(|action| action.name == name)
            .map(|action| &action.sets)
    }
}

/// Every collection: the declared entities, then those built-in ones that were not declared.
pub(super) fn kinds(entities: Vec<Entity>) -> Vec<Arc<Kind>> {
    let mut all = entities;
    for built_in in [
        task_list("task_list", "task_lists"),
        task_list("task_list_category", "task_list_categories"),
    ] {
        if !all.iter().any(|entity| entity.name == built_in.name) {
            all.push(built_in);
        }
    }
    all.into_iter().map(Kind::new).map(Arc::new).collect()
}

fn task_list(name: &str, plural: &str) -> Entity {
    Entity {
        name: name.to_owned(),
        plural: plural.to_owned(),
        path: format!("/v1/{plural}"),
        actions: vec![Action {
            name: "unarchive".to_owned(),
            description: String::new(),
            sets: Map::from_iter([("archived".to_owned(), Value::Bool(false))]),
        }],
        archive: Map::from_iter([("archived".to_owned(), Value::Bool(true))]),
        references: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_list_collections_are_always_there_and_a_declared_one_wins() {
        let mut declared = task_list("task_list", "task_lists");
        declared.path = "/v2/lists".to_owned();
        let all = kinds(vec![declared]);
        let paths: Vec<_> = all.iter().map(|kind| kind.entity.path.as_str()).collect();
        assert_eq!(paths, ["/v2/lists", "/v1/task_list_categories"]);
    }
}
