//! Every owner reads what is theirs: nothing may be missing, changed or added by somebody else. And at the end the
//! records that were made go away again.

use serde_json::{Map, Value, json};

use super::{Run, own_records};
use crate::isolation::{
    kit::{Kit, Operation},
    people::Person,
    report::Finding,
};

/// What of a record must stay as it was.
const KEPT: [&str; 4] = ["version", "updatedAt", "deletedAt", "payload"];

impl Run<'_> {
    /// Every owner lists their records; what differs from the last time is damage done by this family.
    pub(in crate::isolation) async fn compare(&mut self, family: &'static str) {
        for person in &self.stage.people {
            for kit in &self.stage.kits {
                match self.stage.list(person, kit).await {
                    Ok(items) => self.compare_items(family, person, kit, &items),
                    Err(why) => self.unreadable(family, person, kit, Operation::List, why),
                }
            }
        }
    }

    /// Every owner reads every record by itself.
    pub(in crate::isolation) async fn read_all(&mut self) {
        let family = "at the end";
        for person in &self.stage.people {
            for kit in &self.stage.kits {
                let Some(tool) = kit.tool(Operation::Get) else {
                    continue;
                };
                for record in person.records_of(&kit.entity.name) {
                    let mut arguments = person.arguments(kit, Operation::Get, record.uid());
                    if kit.takes(Operation::Get, "include_deleted") {
                        arguments.insert("include_deleted".to_owned(), json!(true));
                    }
                    match self.stage.ask(person, &tool.name, arguments).await {
                        Ok(item) => {
                            self.compare_one(family, person, kit, record.uid(), Some(&item))
                        }
                        Err(why) => self.unreadable(family, person, kit, Operation::Get, why),
                    }
                }
            }
        }
    }

    fn compare_items(
        &mut self,
        family: &'static str,
        person: &Person,
        kit: &Kit<'_>,
        items: &[Value],
    ) {
        for record in person.records_of(&kit.entity.name) {
            let found = items
                .iter()
                .find(|item| item.get("uid").and_then(Value::as_str) == Some(record.uid()));
            self.compare_one(family, person, kit, record.uid(), found);
        }
        for other in self
            .stage
            .people
            .iter()
            .filter(|other| other.index != person.index)
        {
            if items
                .iter()
                .any(|item| item.to_string().contains(&other.marker))
            {
                let what = format!("the list holds a text of {}", self.name(other.index));
                self.damaged(family, person, kit, Operation::List, what);
            }
        }
    }

    fn compare_one(
        &mut self,
        family: &'static str,
        person: &Person,
        kit: &Kit<'_>,
        uid: &str,
        found: Option<&Value>,
    ) {
        let key = (person.index, uid.to_owned());
        let Some((_, before)) = self.known.get(&key) else {
            return;
        };
        let what = match found {
            None => format!("record {uid} is gone"),
            Some(found) => {
                let part = |item: &Value, name: &str| item.get(name).cloned().unwrap_or_default();
                let changed: Vec<_> = KEPT
                    .into_iter()
                    .filter(|name| part(before, name) != part(found, name))
                    .collect();
                if changed.is_empty() {
                    self.tally.harmless(own_records(family));
                    return;
                }
                format!("{} of record {uid} changed", changed.join(", "))
            }
        };
        // What was found once is not found again.
        if let Some((_, known)) = self.known.get_mut(&key) {
            *known = found.cloned().unwrap_or_default();
        }
        self.damaged(family, person, kit, Operation::Get, what);
    }

    fn unreadable(
        &mut self,
        family: &'static str,
        person: &Person,
        kit: &Kit<'_>,
        operation: Operation,
        why: String,
    ) {
        let what = format!("the owner cannot read what is theirs: {why}");
        self.damaged(family, person, kit, operation, what);
    }

    fn damaged(
        &mut self,
        family: &'static str,
        person: &Person,
        kit: &Kit<'_>,
        operation: Operation,
        what: String,
    ) {
        let trick = own_records(family);
        let tool = kit.tool(operation).map(|tool| tool.name.clone());
        self.tally.damaged(
            trick,
            Finding {
                kind: "damage".to_owned(),
                family: family.to_owned(),
                trick: trick.name.to_owned(),
                tool: tool.unwrap_or_default(),
                attacker: None,
                victim: self.name(person.index),
                what,
            },
        );
    }

    /// Deletes every living record that this run made. Tombstones stay, as they do after any delete.
    pub(in crate::isolation) async fn clean_up(&mut self) {
        // Children first: some backends refuse to leave them without a parent.
        for kit in self.stage.kits.iter().rev() {
            let Some(delete) = kit.tool(Operation::Delete) else {
                continue;
            };
            for person in &self.stage.people {
                let items = self.stage.list(person, kit).await.unwrap_or_default();
                for item in items.iter().filter(|item| is_ours(item, person)) {
                    let uid = item.get("uid").cloned().unwrap_or_default();
                    let arguments = Map::from_iter([("uid".to_owned(), uid)]);
                    // What cannot be deleted stays; it proves nothing either way.
                    let _ = self.stage.ask(person, &delete.name, arguments).await;
                }
            }
        }
    }
}

fn is_ours(item: &Value, person: &Person) -> bool {
    item.get("deletedAt").is_none_or(Value::is_null) && item.to_string().contains(&person.marker)
}
