//! Who takes part and what belongs to them. In: targets with tokens. Out: a [`Stage`] on which everybody has one living
//! and one deleted record of each entity, read back and marked with a text nobody can guess.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    CannotProve, Target,
    kit::{Aim, Kit, Operation, kits},
    wire::{Door, Ending, Message, Wire},
};
use crate::catalogue::Catalogue;

/// Pages of one list that are read at most; a list that goes on is not the sandbox's.
const MOST_PAGES: usize = 50;

/// Everything an attempt can be made of.
pub(super) struct Stage<'a> {
    pub(super) kits: Vec<Kit<'a>>,
    pub(super) people: Vec<Person>,
    /// Tools of the catalogue or of a sidecar that nothing is tried with.
    pub(super) not_attempted: Vec<String>,
    pub(super) wire: Wire,
}

/// Somebody with records.
pub(super) struct Person {
    /// The place in [`Stage::people`].
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) tenant: String,
    pub(super) door: Door,
    /// The bearer token, for tricks that misplace it.
    pub(super) token: SecretString,
    /// `sub`, as far as the token is a JWT that can be read.
    pub(super) subject: String,
    /// `aud`, likewise.
    pub(super) audience: Option<Value>,
    /// In every text of theirs, and in nobody else's.
    pub(super) marker: String,
    pub(super) records: Vec<Record>,
}

/// A record as its owner reads it.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) entity: String,
    pub(super) is_deleted: bool,
    pub(super) item: Value,
    /// What its owner was given to go on behind it.
    pub(super) cursor: Option<String>,
}

impl Record {
    pub(super) fn uid(&self) -> &str {
        self.item
            .get("uid")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn version(&self) -> u64 {
        let version = self.item.get("version").and_then(Value::as_u64);
        version.unwrap_or_default()
    }

    pub(super) fn updated_at(&self) -> &str {
        let time = self.item.get("updatedAt").and_then(Value::as_str);
        time.unwrap_or_default()
    }
}

impl Person {
    /// Their living record of an entity.
    pub(super) fn living(&self, entity: &str) -> Option<&Record> {
        let mut records = self.records_of(entity);
        records.find(|record| !record.is_deleted)
    }

    /// All their records of an entity.
    pub(super) fn records_of(&self, entity: &str) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |record| record.entity == entity)
    }

    /// Arguments about a record, in this person's words, hanging on their own records.
    pub(super) fn arguments(
        &self,
        kit: &Kit<'_>,
        operation: Operation,
        uid: &str,
    ) -> Map<String, Value> {
        let aim = Aim {
            uid,
            text: &self.marker,
            parent: &|entity| Some(self.living(entity)?.uid().to_owned()),
        };
        kit.arguments(operation, &aim)
    }
}

impl Stage<'_> {
    /// Everybody against everybody else.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Person, &Person)> {
        self.people.iter().flat_map(move |attacker| {
            let others = self.people.iter();
            others
                .filter(move |victim| victim.index != attacker.index)
                .map(move |victim| (attacker, victim))
        })
    }

    /// One pair after the other, for tricks that need not be tried by everybody.
    pub(super) fn pair(&self, turn: usize) -> Option<(&Person, &Person)> {
        let count = self.people.len() * self.people.len().saturating_sub(1);
        self.pairs().nth(turn.checked_rem(count)?)
    }

    /// One result of a tool, or why there is none.
    pub(super) async fn ask(
        &self,
        person: &Person,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<Value, String> {
        let message = Message::call(&person.door, tool, arguments);
        match self.wire.send(&message).await?.ending() {
            Ending::Success(value) => Ok(value),
            Ending::Refused { how, words } => Err(format!("{how} {words}").trim_end().to_owned()),
            Ending::Unanswered(how) => Err(how),
        }
    }

    /// Every record of an entity that a person sees, deleted ones included.
    pub(super) async fn list(&self, person: &Person, kit: &Kit<'_>) -> Result<Vec<Value>, String> {
        let Some(tool) = kit.tool(Operation::List) else {
            return Ok(Vec::new());
        };
        let (mut items, mut cursor) = (Vec::new(), Value::Null);
        for _ in 0..MOST_PAGES {
            let mut arguments = Map::new();
            if kit.takes(Operation::List, "limit") {
                arguments.insert("limit".to_owned(), json!(1000));
            }
            if kit.takes(Operation::List, "include_deleted") {
                arguments.insert("include_deleted".to_owned(), json!(true));
            }
            if !cursor.is_null() {
                arguments.insert("cursor".to_owned(), cursor);
            }
            let page = self.ask(person, &tool.name, arguments).await?;
            let found = page.get("items").and_then(Value::as_array);
            let found = found.ok_or("an answer without items")?;
            cursor = page.get("nextCursor").cloned().unwrap_or_default();
            if found.is_empty() || cursor.is_null() {
                return Ok(items);
            }
            items.extend(found.iter().cloned());
        }
        Err(format!("a list of more than {MOST_PAGES} pages"))
    }
}

/// Lets everybody in and makes their records.
pub(super) async fn enter<'a>(
    catalogue: &'a Catalogue,
    targets: &[Target; 2],
) -> Result<Stage<'a>, CannotProve> {
    let (kits, not_attempted) = kits(catalogue);
    if kits.is_empty() {
        return Err(CannotProve::NothingToTry);
    }
    let mut stage = Stage {
        kits,
        people: Vec::new(),
        not_attempted,
        wire: Wire::new()?,
    };
    for target in targets {
        for credentials in &target.people {
            let index = stage.people.len();
            let mut person = person(index, target, &credentials.name, &credentials.token);
            note_foreign_tools(&mut stage, catalogue, &person).await?;
            make_records(&stage, &mut person).await?;
            stage.people.push(person);
        }
    }
    Ok(stage)
}

fn person(index: usize, target: &Target, name: &str, token: &SecretString) -> Person {
    let claims = claims(token.expose_secret());
    let claim = |name: &str| claims.get(name).cloned();
    let subject = claim("sub").and_then(|sub| sub.as_str().map(str::to_owned));
    Person {
        index,
        name: name.to_owned(),
        tenant: target.tenant.clone(),
        door: Door::new(&target.url, token),
        token: token.clone(),
        subject: subject.unwrap_or_else(|| name.to_owned()),
        audience: claim("aud"),
        marker: format!("canary-{}", Uuid::new_v4().simple()),
        records: Vec::new(),
    }
}

/// What a token says of itself, unchecked: it only makes tricks more pointed.
fn claims(token: &str) -> Map<String, Value> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// What a sidecar offers beyond the catalogue cannot be tried, so the report has to say it.
async fn note_foreign_tools(
    stage: &mut Stage<'_>,
    catalogue: &Catalogue,
    person: &Person,
) -> Result<(), CannotProve> {
    let message = Message::modern(&person.door, "tools/list", json!({}));
    let cannot = |why: String| cannot(person, "tools/list", why);
    let answer = stage.wire.send(&message).await.map_err(cannot)?;
    let listed = match answer.ending() {
        Ending::Success(result) => result,
        Ending::Refused { how, .. } | Ending::Unanswered(how) => return Err(cannot(how)),
    };
    let tools = listed.get("tools").and_then(Value::as_array);
    for name in tools
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("name")?.as_str())
    {
        if catalogue.find(name).is_none() && !stage.not_attempted.iter().any(|known| known == name)
        {
            stage.not_attempted.push(name.to_owned());
        }
    }
    Ok(())
}

/// One record that lives and one that was deleted, of each entity.
async fn make_records(stage: &Stage<'_>, person: &mut Person) -> Result<(), CannotProve> {
    for kit in &stage.kits {
        let living = make(stage, person, kit, Operation::Create, "").await?;
        let cursor = cursor(stage, person, kit).await?;
        let doomed = match kit.tool(Operation::Delete) {
            Some(_) => Some(make(stage, person, kit, Operation::Create, "").await?),
            None => None,
        };
        let entity = kit.entity.name.clone();
        person.records.push(Record {
            entity: entity.clone(),
            is_deleted: false,
            item: living,
            cursor,
        });
        if let Some(item) = doomed {
            let uid = item.get("uid").and_then(Value::as_str).unwrap_or_default();
            let item = make(stage, person, kit, Operation::Delete, uid).await?;
            person.records.push(Record {
                entity,
                is_deleted: true,
                item,
                cursor: None,
            });
        }
    }
    Ok(())
}

/// The cursor behind the owner's first page.
async fn cursor(
    stage: &Stage<'_>,
    person: &Person,
    kit: &Kit<'_>,
) -> Result<Option<String>, CannotProve> {
    let Some(tool) = kit.tool(Operation::List) else {
        return Ok(None);
    };
    let page = stage.ask(person, &tool.name, Map::new()).await;
    let page = page.map_err(|why| cannot(person, &tool.name, why))?;
    let cursor = page.get("nextCursor").and_then(Value::as_str);
    Ok(cursor.map(str::to_owned))
}

/// Runs a write that has to succeed, and whose answer has to show the owner's text: without that, silence later would
/// prove nothing.
async fn make(
    stage: &Stage<'_>,
    person: &Person,
    kit: &Kit<'_>,
    operation: Operation,
    uid: &str,
) -> Result<Value, CannotProve> {
    let Some(tool) = kit.tool(operation) else {
        return Err(CannotProve::NothingToTry);
    };
    let arguments = person.arguments(kit, operation, uid);
    let cannot = |why: String| cannot(person, &tool.name, why);
    let item = stage
        .ask(person, &tool.name, arguments)
        .await
        .map_err(cannot)?;
    let is_record = item.get("uid").is_some_and(Value::is_string);
    if is_record && item.to_string().contains(&person.marker) {
        Ok(item)
    } else {
        Err(cannot(
            "the answer does not show the record that was made".to_owned(),
        ))
    }
}

fn cannot(person: &Person, tool: &str, why: String) -> CannotProve {
    CannotProve::Start {
        person: person.name.clone(),
        tenant: person.tenant.clone(),
        tool: tool.to_owned(),
        why,
    }
}
