//! Connections of the revisions before 2026-07-28: an id (`Mcp-Session-Id`) is worth nothing to anybody but the person
//! who opened the connection, and in nobody's hands does it end somebody else's.

use http::Method;
use serde_json::{Map, Value, json};

use super::{Run, ownership::Look};
use crate::isolation::{
    attempts::{Attempt, Rule, Trick},
    kit::{Kit, Operation},
    people::Person,
    wire::{Door, Ending, Message},
};

const FAMILY: &str = "connections";

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: FAMILY,
        name,
    }
}

impl Run<'_> {
    /// Everybody opens a connection and then uses everybody else's.
    pub(in crate::isolation) async fn connections(&mut self) {
        let mut ids = Vec::new();
        for person in &self.stage.people {
            ids.push(self.open(&person.door).await);
        }
        if ids.iter().all(Option::is_none) {
            // A sidecar without such connections has none to take over.
            return;
        }
        let mut attempts = Vec::new();
        for (attacker, victim) in self.stage.pairs() {
            let id = |person: &Person| ids.get(person.index).cloned().flatten();
            if let (Some(own), Some(foreign)) = (id(attacker), id(victim)) {
                attempts.extend(self.taken_over(attacker, victim, &own, &foreign));
            }
        }
        self.attempt_all(attempts).await;
        for (person, id) in self.stage.people.iter().zip(ids) {
            if let Some(id) = id {
                self.still_open(person, &id).await;
            }
        }
    }

    async fn open(&self, door: &Door) -> Option<String> {
        let id = self
            .send(&Message::initialize(door))
            .await
            .ok()?
            .connection?;
        let ready = Message::legacy(door, Some(&id), "notifications/initialized", Value::Null);
        self.send(&ready).await.ok()?;
        Some(id)
    }

    /// Uses a foreign connection in every way there is, and one's own with the owner's token (a swap in mid-connection).
    fn taken_over(
        &self,
        attacker: &Person,
        victim: &Person,
        own: &str,
        foreign: &str,
    ) -> Vec<Attempt> {
        let at_victims = Door {
            url: victim.door.url.clone(),
            authorization: attacker.door.authorization.clone(),
        };
        let swapped = Door {
            url: attacker.door.url.clone(),
            authorization: victim.door.authorization.clone(),
        };
        let same_door = attacker.door.url == victim.door.url;
        let reads = self.stage.kits.iter().filter_map(|kit| read(kit, victim));
        let mut messages = Vec::new();
        for (tool, params) in reads {
            for (name, door, id) in [
                ("a foreign connection id", &attacker.door, foreign),
                (
                    "a foreign connection id at the owner's sidecar",
                    &at_victims,
                    foreign,
                ),
                ("the token swapped in mid-connection", &swapped, own),
            ] {
                if name.ends_with("sidecar") && same_door {
                    continue;
                }
                let message = Message::legacy(door, Some(id), "tools/call", params.clone());
                messages.push((name, tool.clone(), message, Rule::Refuse));
            }
            // This revision knows no connections: the id says nothing, and the record is still foreign.
            let modern = Message::call(&attacker.door, &tool, arguments(&params));
            let modern = modern.with("mcp-session-id", foreign);
            messages.push((
                "a foreign connection id on a request without connections",
                tool,
                modern,
                Rule::Refuse,
            ));
        }
        for (name, method) in [
            ("the stream of a foreign connection", Method::GET),
            ("the end of a foreign connection", Method::DELETE),
        ] {
            for door in [&attacker.door, &at_victims]
                .into_iter()
                .skip(usize::from(same_door))
            {
                let message = Message::about_connection(door, method.clone(), foreign);
                messages.push((name, method.to_string(), message, Rule::Refuse));
            }
        }
        messages
            .into_iter()
            .map(|(name, tool, message, rule)| Attempt {
                trick: trick(name),
                tool,
                attacker: attacker.index,
                victim: victim.index,
                message,
                rule,
                nobodys: None,
            })
            .collect()
    }

    /// The owner's connection still answers the owner.
    async fn still_open(&mut self, person: &Person, id: &str) {
        let message = Message::legacy(&person.door, Some(id), "tools/list", json!({}));
        let answer = self.send(&message).await;
        let what = match answer.map(|answer| answer.ending()) {
            Ok(Ending::Success(_)) => None,
            Ok(Ending::Refused { how, .. } | Ending::Unanswered(how)) | Err(how) => Some(how),
        };
        let end = Message::about_connection(&person.door, Method::DELETE, id);
        let _ = self.send(&end).await;
        match what {
            None => self.well(FAMILY),
            Some(how) => {
                let look = Look {
                    family: FAMILY,
                    person,
                    tool: "tools/list",
                };
                self.damaged(
                    look,
                    format!("the owner's connection no longer answers: {how}"),
                );
            }
        }
    }
}

/// Reads the victim's record of an entity.
fn read(kit: &Kit<'_>, victim: &Person) -> Option<(String, Value)> {
    let tool = kit.tool(Operation::Get)?.name.clone();
    let uid = victim.living(&kit.entity.name)?.uid();
    let params = json!({ "name": tool, "arguments": { "uid": uid } });
    Some((tool, params))
}

fn arguments(params: &Value) -> Map<String, Value> {
    let arguments = params.get("arguments").and_then(Value::as_object);
    arguments.cloned().unwrap_or_default()
}
