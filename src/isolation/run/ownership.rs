//! Every owner uses what is theirs: nothing may be missing, changed or added by somebody else, and every tool has to
//! work, or the refusals before would prove nothing. At the end the records that were made go away again.

use serde_json::{Map, Value, json};

use super::{Run, own_records};
use crate::isolation::{
    kit::{Kit, Operation},
    people::Person,
    report::Finding,
};

/// Every operation but create, the one that ends a record last.
const IN_ORDER: [Operation; 7] = [
    Operation::List,
    Operation::Get,
    Operation::Update,
    Operation::Patch,
    Operation::Process,
    Operation::Archive,
    Operation::Delete,
];

/// What of a record must stay as it was.
const KEPT: [&str; 4] = ["version", "updatedAt", "deletedAt", "payload"];

const AT_THE_END: &str = "at the end";

/// An owner's call: after which family, who, with which tool.
#[derive(Clone, Copy)]
pub(super) struct Look<'l> {
    pub(super) family: &'static str,
    pub(super) person: &'l Person,
    pub(super) tool: &'l str,
}

impl Run<'_> {
    /// Every owner lists their records and reads each by itself; what differs from the last time is damage done by this
    /// family. It also leaves everybody's records in whatever remembers answers.
    pub(in crate::isolation) async fn compare(&mut self, family: &'static str) {
        for person in &self.stage.people {
            for kit in &self.stage.kits {
                self.compare_list(family, person, kit).await;
                self.compare_records(family, person, kit).await;
            }
        }
    }

    async fn compare_list(&mut self, family: &'static str, person: &Person, kit: &Kit<'_>) {
        let Some(tool) = kit.tool(Operation::List) else {
            return;
        };
        let look = Look {
            family,
            person,
            tool: &tool.name,
        };
        match self.stage.list(person, kit).await {
            Ok(items) => self.compare_items(look, kit, &items),
            Err(why) => self.unusable(look, &why),
        }
    }

    async fn compare_records(&mut self, family: &'static str, person: &Person, kit: &Kit<'_>) {
        let Some(tool) = kit.tool(Operation::Get) else {
            return;
        };
        let look = Look {
            family,
            person,
            tool: &tool.name,
        };
        for record in person.records_of(&kit.entity.name) {
            let mut arguments = person.arguments(kit, Operation::Get, record.uid());
            if kit.takes(Operation::Get, "include_deleted") {
                arguments.insert("include_deleted".to_owned(), json!(true));
            }
            match self.stage.ask(person, &tool.name, arguments).await {
                Ok(item) => self.compare_one(look, record.uid(), Some(&item)),
                Err(why) => self.unusable(look, &why),
            }
        }
    }

    /// Every owner runs every tool on one more record of their own.
    pub(in crate::isolation) async fn use_everything(&mut self) {
        for person in &self.stage.people {
            for kit in &self.stage.kits {
                let Some(create) = kit.tool(Operation::Create) else {
                    continue;
                };
                let arguments = person.arguments(kit, Operation::Create, "");
                let made = self.stage.ask(person, &create.name, arguments).await;
                let uid = made.map(|item| item.get("uid").cloned().unwrap_or_default());
                for operation in IN_ORDER {
                    let Some(tool) = kit.tool(operation) else {
                        continue;
                    };
                    let look = Look {
                        family: AT_THE_END,
                        person,
                        tool: &tool.name,
                    };
                    let done = match &uid {
                        Ok(uid) => {
                            let uid = uid.as_str().unwrap_or_default();
                            let arguments = person.arguments(kit, operation, uid);
                            self.stage.ask(person, &tool.name, arguments).await
                        }
                        Err(why) => Err(why.clone()),
                    };
                    match done {
                        Ok(_) => self.well(AT_THE_END),
                        Err(why) => self.unusable(look, &why),
                    }
                }
            }
        }
    }

    /// Deletes every living record that this run made. Tombstones stay, as they do after any delete.
    pub(in crate::isolation) async fn clean_up(&self) {
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

    fn compare_items(&mut self, look: Look<'_>, kit: &Kit<'_>, items: &[Value]) {
        for record in look.person.records_of(&kit.entity.name) {
            let found = items
                .iter()
                .find(|item| item.get("uid").and_then(Value::as_str) == Some(record.uid()));
            self.compare_one(look, record.uid(), found);
        }
        let others = self.stage.people.iter();
        for other in others.filter(|other| other.index != look.person.index) {
            if items
                .iter()
                .any(|item| item.to_string().contains(&other.marker))
            {
                let what = format!("the list holds a text of {}", self.name(other.index));
                self.damaged(look, what);
            }
        }
    }

    fn compare_one(&mut self, look: Look<'_>, uid: &str, found: Option<&Value>) {
        let Some(known) = self.known.get_mut(&(look.person.index, uid.to_owned())) else {
            return;
        };
        // What was found once is not found again.
        let before = std::mem::replace(known, found.cloned().unwrap_or_default());
        match difference(&before, found) {
            None => self.well(look.family),
            Some(what) => self.damaged(look, format!("record {uid} {what}")),
        }
    }

    fn unusable(&mut self, look: Look<'_>, why: &str) {
        let what = format!("the owner cannot use what is theirs: {why}");
        self.damaged(look, what);
    }

    pub(super) fn well(&mut self, family: &'static str) {
        self.tally.harmless(own_records(family));
    }

    pub(super) fn damaged(&mut self, look: Look<'_>, what: String) {
        let trick = own_records(look.family);
        let finding = Finding {
            kind: "damage".to_owned(),
            family: look.family.to_owned(),
            trick: trick.name.to_owned(),
            tool: look.tool.to_owned(),
            attacker: None,
            victim: self.name(look.person.index),
            what,
        };
        self.tally.damaged(trick, finding);
    }
}

/// What became of a record.
fn difference(before: &Value, found: Option<&Value>) -> Option<String> {
    let Some(found) = found else {
        return Some("is gone".to_owned());
    };
    let changed: Vec<_> = KEPT
        .into_iter()
        .filter(|name| before.get(*name) != found.get(*name))
        .collect();
    (!changed.is_empty()).then(|| format!("was changed: {}", changed.join(", ")))
}

fn is_ours(item: &Value, person: &Person) -> bool {
    item.get("deletedAt").is_none_or(Value::is_null) && item.to_string().contains(&person.marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_gone_or_changed_is_told_from_one_that_is_as_it_was() {
        let before = json!({ "uid": "u", "version": 1, "payload": { "title": "t" } });
        let later = json!({ "uid": "u", "version": 2, "payload": { "title": "x" } });
        assert_eq!(difference(&before, Some(&before)), None);
        assert_eq!(difference(&before, None).unwrap(), "is gone");
        let changed = difference(&before, Some(&later)).unwrap();
        assert_eq!(changed, "was changed: version, payload");
    }
}
