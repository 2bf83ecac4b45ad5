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
    /// Everybody opens a connection and then uses everybody else's. Ends are tried last: were one granted, the attempts
    /// before it would hang.
    pub(in crate::isolation) async fn connections(&mut self) {
        let mut ids = Vec::new();
        for person in &self.stage.people {
            ids.push(self.open(&person.door).await);
        }
        let (mut uses, mut ends) = (Vec::new(), Vec::new());
        for (attacker, victim) in self.stage.pairs() {
            let id = |person: &Person| ids.get(person.index).cloned().flatten();
            // A sidecar without such connections has none to take over.
            if let (Some(own), Some(foreign)) = (id(attacker), id(victim)) {
                uses.extend(self.uses(attacker, victim, &own, &foreign));
                uses.extend(bare(attacker, victim, &foreign, Method::GET));
                ends.extend(bare(attacker, victim, &foreign, Method::DELETE));
            }
        }
        self.attempt_all(uses).await;
        self.attempt_all(ends).await;
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

    /// Reads the victim's records over their connection, and over one's own with their token (a swap in mid-connection).
    fn uses(&self, attacker: &Person, victim: &Person, own: &str, foreign: &str) -> Vec<Attempt> {
        let at_victims = at_the_door_of(victim, attacker);
        let swapped = at_the_door_of(attacker, victim);
        let mut attempts = Vec::new();
        for (tool, params) in self.stage.kits.iter().filter_map(|kit| read(kit, victim)) {
            let legacy = |door, id| Message::legacy(door, Some(id), "tools/call", params.clone());
            // This revision knows no connections: the id says nothing, and the record is still foreign.
            let modern = Message::call(&attacker.door, &tool, arguments(&params));
            let mut messages = vec![
                ("a foreign connection id", legacy(&attacker.door, foreign)),
                ("the token swapped in mid-connection", legacy(&swapped, own)),
                (
                    "a foreign connection id on a request without connections",
                    modern.with("mcp-session-id", foreign),
                ),
            ];
            if attacker.door.url != victim.door.url {
                messages.push((
                    "a foreign connection id at the owner's sidecar",
                    legacy(&at_victims, foreign),
                ));
            }
            attempts.extend(
                messages
                    .into_iter()
                    .map(|(name, message)| refused(name, &tool, (attacker, victim), message)),
            );
        }
        attempts
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

/// Somebody's sidecar, with somebody's token.
fn at_the_door_of(host: &Person, guest: &Person) -> Door {
    Door {
        url: host.door.url.clone(),
        authorization: guest.door.authorization.clone(),
    }
}

/// The stream (GET) or the end (DELETE) of a foreign connection, at one's own and at the owner's sidecar.
fn bare(attacker: &Person, victim: &Person, id: &str, method: Method) -> Vec<Attempt> {
    let name = match method {
        Method::GET => "the stream of a foreign connection",
        _ => "the end of a foreign connection",
    };
    let mut doors = vec![at_the_door_of(victim, attacker)];
    if attacker.door.url != victim.door.url {
        doors.push(attacker.door.clone());
    }
    let message = |door| Message::about_connection(door, method.clone(), id);
    doors
        .iter()
        .map(|door| refused(name, method.as_str(), (attacker, victim), message(door)))
        .collect()
}

fn refused(
    name: &'static str,
    tool: &str,
    (attacker, victim): (&Person, &Person),
    message: Message,
) -> Attempt {
    Attempt {
        trick: trick(name),
        tool: tool.to_owned(),
        attacker: attacker.index,
        victim: victim.index,
        message,
        rule: Rule::Refuse,
        nobodys: None,
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
