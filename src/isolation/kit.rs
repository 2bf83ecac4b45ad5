//! The tools of one entity and arguments that suit them, made from their own schemas: what an attacker reads in the
//! tool list too. In: a catalogue. Out: a [`Kit`] an entity.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::catalogue::{Catalogue, Entity, ReferenceTarget, Tool};

/// What is done with an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    List,
    Get,
    Create,
    Update,
    Patch,
    Delete,
    Archive,
    Process,
}

impl Operation {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::List,
        Self::Get,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::Archive,
        Self::Process,
    ];

    /// Those that name a record.
    pub(super) const WITH_UID: [Self; 6] = [
        Self::Get,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::Archive,
        Self::Process,
    ];

    fn tool_of(self, entity: &Entity) -> String {
        let name = &entity.name;
        match self {
            Self::List => format!("list_{}", entity.plural),
            Self::Get => format!("get_{name}"),
            Self::Create => format!("create_{name}"),
            Self::Update => format!("update_{name}"),
            Self::Patch => format!("patch_{name}"),
            Self::Delete => format!("delete_{name}"),
            Self::Archive => format!("archive_{name}"),
            Self::Process => format!("process_{name}"),
        }
    }
}

/// One entity and its tools.
pub(super) struct Kit<'a> {
    pub(super) entity: &'a Entity,
    tools: Vec<(Operation, &'a Tool)>,
    /// Parameters that name another record, with its entity.
    pub(super) parents: Vec<Parent>,
}

/// A parameter that must name a record.
pub(super) struct Parent {
    /// The parameter with the uid.
    pub(super) parameter: String,
    /// The entities it may name, each with the value its sibling parameter then has.
    pub(super) entities: Vec<String>,
    /// The parameter that says which of them, where there are several.
    pub(super) sibling: Option<String>,
}

/// What arguments are about.
pub(super) struct Aim<'a> {
    pub(super) uid: &'a str,
    /// Goes into every text; the record is recognized by it.
    pub(super) text: &'a str,
    /// The uid of a record of that entity, for parents.
    pub(super) parent: &'a dyn Fn(&str) -> Option<String>,
}

/// The entities that can take part, each before those that hang on it, and the tools that then take no part.
pub(super) fn kits(catalogue: &Catalogue) -> (Vec<Kit<'_>>, Vec<String>) {
    let mut waiting: Vec<Kit<'_>> = catalogue
        .entities()
        .iter()
        .map(|entity| Kit::new(catalogue, entity))
        .filter(|kit| kit.tool(Operation::Create).is_some() && kit.tool(Operation::List).is_some())
        .collect();
    let mut kits: Vec<Kit<'_>> = Vec::new();
    loop {
        let known: BTreeSet<&str> = kits.iter().map(|kit| kit.entity.name.as_str()).collect();
        let can_be_made = |kit: &Kit<'_>| {
            kit.parents.iter().all(|parent| {
                parent
                    .entities
                    .iter()
                    .any(|name| known.contains(name.as_str()))
            })
        };
        let Some(next) = waiting.iter().position(can_be_made) else {
            break;
        };
        kits.push(waiting.remove(next));
    }
    let used: BTreeSet<&str> = kits.iter().flat_map(Kit::names).collect();
    let unused = catalogue.tools().iter().map(|tool| tool.name.as_str());
    let unused = unused.filter(|name| !used.contains(name));
    let unused = unused.map(str::to_owned).collect();
    (kits, unused)
}

impl<'a> Kit<'a> {
    fn new(catalogue: &'a Catalogue, entity: &'a Entity) -> Self {
        let tools: Vec<_> = Operation::ALL
            .into_iter()
            .filter_map(|operation| Some((operation, catalogue.find(&operation.tool_of(entity))?)))
            .collect();
        let parents = tools
            .iter()
            .find(|(operation, _)| *operation == Operation::Create)
            .map(|(_, tool)| parents(entity, tool))
            .unwrap_or_default();
        Self {
            entity,
            tools,
            parents,
        }
    }

    /// The tool that does it.
    pub(super) fn tool(&self, operation: Operation) -> Option<&'a Tool> {
        let found = self.tools.iter().find(|(known, _)| *known == operation);
        found.map(|(_, tool)| *tool)
    }

    /// The names of its tools.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.tools.iter().map(|(_, tool)| tool.name.as_str())
    }

    /// Whether a tool has this parameter.
    pub(super) fn takes(&self, operation: Operation, parameter: &str) -> bool {
        let tool = self.tool(operation);
        tool.is_some_and(|tool| property(tool, parameter).is_some())
    }

    /// Arguments the tool accepts, as far as its schema tells.
    pub(super) fn arguments(&self, operation: Operation, aim: &Aim<'_>) -> Map<String, Value> {
        let mut arguments = Map::new();
        let Some(tool) = self.tool(operation) else {
            return arguments;
        };
        for (name, schema) in properties(&tool.input_schema) {
            let value = match name.as_str() {
                "uid" => Some(json!(aim.uid)),
                "updates" => Some(json!({ self.text_field(schema): aim.text })),
                "additional_fields" => Some(json!({ "isolation_canary": aim.text })),
                "if_match" | "cursor" | "include_deleted" | "metadata" | "limit" => None,
                _ => sample(schema, aim.text),
            };
            arguments.extend(value.map(|value| (name.clone(), value)));
        }
        for parent in &self.parents {
            if arguments.contains_key(&parent.parameter) {
                self.attach(&mut arguments, parent, aim.parent);
            }
        }
        arguments
    }

    /// Lets the parent parameters name the first record there is.
    fn attach(
        &self,
        arguments: &mut Map<String, Value>,
        parent: &Parent,
        find: &dyn Fn(&str) -> Option<String>,
    ) {
        let found = parent.entities.iter();
        let Some((entity, uid)) = found.filter_map(|name| Some((name, find(name)?))).next() else {
            return;
        };
        arguments.insert(parent.parameter.clone(), json!(uid));
        if let Some(sibling) = &parent.sibling {
            arguments.insert(sibling.clone(), json!(entity));
        }
    }

    /// The first free text of a patch; a field of our own where there is none.
    fn text_field(&self, updates: &Value) -> String {
        let is_free = |name: &str| self.parents.iter().all(|parent| parent.parameter != name);
        updates
            .as_object()
            .into_iter()
            .flat_map(properties)
            .find(|(name, schema)| is_free(name) && is_text(schema))
            .map_or_else(|| "isolation_canary".to_owned(), |(name, _)| name.clone())
    }
}

fn parents(entity: &Entity, create: &Tool) -> Vec<Parent> {
    let names = create
        .subject
        .iter()
        .flat_map(|subject| &subject.references);
    let sibling_of = |wire: &str| {
        properties(&create.input_schema)
            .map(|(name, _)| name)
            .find(|name| {
                name.replace('_', "")
                    .eq_ignore_ascii_case(&wire.replace('_', ""))
            })
            .cloned()
    };
    // The parameters are in the order of the entity's references: both come from the same fields.
    names
        .zip(&entity.references)
        .map(|(parameter, reference)| match &reference.target {
            ReferenceTarget::Entity(name) => Parent {
                parameter: parameter.clone(),
                entities: vec![name.clone()],
                sibling: None,
            },
            ReferenceTarget::Field { wire, entities } => Parent {
                parameter: parameter.clone(),
                entities: entities.clone(),
                sibling: sibling_of(wire),
            },
        })
        .collect()
}

/// The properties an object schema declares.
fn properties(schema: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten()
}

fn property<'a>(tool: &'a Tool, name: &str) -> Option<&'a Value> {
    tool.input_schema.get("properties")?.get(name)
}

fn is_text(schema: &Value) -> bool {
    let plain = schema.get("enum").is_none() && schema.get("format").is_none();
    plain && schema.get("type").is_some_and(|kind| kind == "string")
}

/// A value that a schema accepts, as far as it is a plain one.
fn sample(schema: &Value, text: &str) -> Option<Value> {
    if let Some(first) = schema.pointer("/enum/0") {
        return Some(first.clone());
    }
    match schema.get("type")?.as_str()? {
        "string" => Some(match schema.get("format").and_then(Value::as_str) {
            Some("uuid") => json!(uuid::Uuid::new_v4().to_string()),
            Some("date-time") => json!("2030-01-01T00:00:00Z"),
            Some("date") => json!("2030-01-01"),
            _ => json!(text),
        }),
        "integer" | "number" => Some(schema.get("minimum").cloned().unwrap_or(json!(1))),
        "boolean" => Some(json!(false)),
        "array" => Some(json!([])),
        "object" => Some(json!({})),
        _ => None,
    }
}
