//! One entity of the file: its names, path, fields, actions and the records it hangs on.

use serde_json::{Map, Value};

use crate::catalogue::{
    arguments::RESERVED,
    entity::{Action, Entity, Reference, ReferenceTarget},
    expand,
    path_template::PathTemplate,
    problem::{At, Problem},
    raw::{Named, RawEntity, RawParameter},
    shape::{self, Property},
    yaml::Placed,
};

/// An entity with what only its tools need.
pub(super) struct Model {
    pub(super) entity: Entity,
    pub(super) name: Placed<String>,
    pub(super) description: String,
    /// Whether its names can stand in the name of a tool.
    pub(super) names_fit: bool,
    pub(super) fields: Vec<Property>,
    pub(super) field_places: Vec<(String, At)>,
    /// Names of the parameters that must name an existing record.
    pub(super) references: Vec<String>,
}

/// Checks one entity; what is left of a bad one is still good for checking its tools.
pub(super) fn model(
    name: &Placed<String>,
    raw: &RawEntity,
    entities: &[&str],
    problems: &mut Vec<Problem>,
) -> Model {
    let path = collection_path(&raw.path, problems);
    let description = raw
        .description
        .as_ref()
        .map(|text| text.value.trim().to_owned());
    if description.as_ref().is_none_or(String::is_empty) {
        problems.push(
            Problem::lint(
                name.at,
                format!("entity `{}` has no description", name.value),
            )
            .hint("one line for the model: what a record of this kind is"),
        );
    }
    let fields = shape::properties(&raw.fields, problems);
    reserved_names(&raw.fields, problems);
    let references = references(raw, entities, problems);
    Model {
        entity: Entity {
            name: name.value.clone(),
            plural: plural(name, raw),
            path,
            actions: actions(raw),
            archive: raw
                .archive
                .as_ref()
                .map(|a| sets(&a.sets))
                .unwrap_or_default(),
            references: references
                .iter()
                .map(|(_, reference)| reference.clone())
                .collect(),
        },
        name: name.clone(),
        names_fit: names_fit(name, raw, problems),
        description: description.unwrap_or_default(),
        field_places: raw
            .fields
            .iter()
            .map(|(n, _)| (n.value.clone(), n.at))
            .collect(),
        references: references.into_iter().map(|(name, _)| name).collect(),
        fields,
    }
}

/// A name that cannot be in a tool's name is told once, not for every tool.
fn names_fit(name: &Placed<String>, raw: &RawEntity, problems: &mut Vec<Problem>) -> bool {
    let before = problems.len();
    for (word, what) in [(Some(name), "name"), (raw.plural.as_ref(), "plural")] {
        if let Some(word) = word.filter(|word| !expand::is_tool_name(&word.value)) {
            problems.push(
                Problem::error(
                    word.at,
                    format!("`{}` is no {what} of an entity", word.value),
                )
                .hint("1 to 64 lower-case letters, digits and `_`: tools are named after it"),
            );
        }
    }
    problems.len() == before
}

/// A path without holes. A bad one is reported here, once, and replaced, so that the requests made from it say nothing.
fn collection_path(raw: &Placed<String>, problems: &mut Vec<Problem>) -> String {
    let bad = |why: String| Problem::error(raw.at, format!("bad path `{}`: {why}", raw.value));
    let instead = || "/bad".to_owned();
    if raw.at == At::default() {
        return instead();
    }
    match raw.value.parse::<PathTemplate>() {
        Ok(path) => match path.placeholders().next() {
            Some(hole) => {
                problems.push(bad(format!(
                    "`{{{hole}}}` belongs into an operation's request"
                )));
                instead()
            }
            None => raw.value.clone(),
        },
        Err(error) => {
            problems.push(bad(error.to_string()));
            instead()
        }
    }
}

fn plural(name: &Placed<String>, raw: &RawEntity) -> String {
    match &raw.plural {
        Some(plural) => plural.value.clone(),
        None => format!("{}s", name.value),
    }
}

fn reserved_names(fields: &Named<RawParameter>, problems: &mut Vec<Problem>) {
    for (name, raw) in fields {
        let wire = raw.wire.as_ref().unwrap_or(name);
        if let Some(word) = RESERVED
            .iter()
            .find(|word| name.value == **word || wire.value == **word)
        {
            let at = if name.value == **word {
                name.at
            } else {
                wire.at
            };
            problems.push(
                Problem::error(at, format!("`{word}` is a reserved field name"))
                    .hint("the backend keeps it itself; choose another name"),
            );
        }
    }
}

fn actions(raw: &RawEntity) -> Vec<Action> {
    raw.actions
        .iter()
        .map(|(name, action)| Action {
            name: name.value.clone(),
            description: action
                .description
                .as_ref()
                .map(|d| d.value.clone())
                .unwrap_or_default(),
            sets: sets(&action.sets),
        })
        .collect()
}

fn sets(named: &Named<Value>) -> Map<String, Value> {
    named
        .iter()
        .map(|(name, value)| (name.value.clone(), value.clone()))
        .collect()
}

fn references(
    raw: &RawEntity,
    entities: &[&str],
    problems: &mut Vec<Problem>,
) -> Vec<(String, Reference)> {
    let mut references = Vec::new();
    for (name, field) in &raw.fields {
        let Some(target) = &field.references else {
            continue;
        };
        let sibling = raw
            .fields
            .iter()
            .find(|(sibling, _)| sibling.value == target.value);
        let found = if entities.contains(&target.value.as_str()) {
            Some(ReferenceTarget::Entity(target.value.clone()))
        } else {
            sibling.map(|(sibling, choice)| ReferenceTarget::Field {
                wire: choice.wire.as_ref().unwrap_or(sibling).value.clone(),
                entities: named_entities(target, choice, entities, problems),
            })
        };
        match found {
            Some(target) => references.push((
                name.value.clone(),
                Reference {
                    wire: field.wire.as_ref().unwrap_or(name).value.clone(),
                    target,
                },
            )),
            None => problems.push(
                Problem::error(
                    target.at,
                    format!("`{}` is neither an entity nor a field", target.value),
                )
                .suggest(&target.value, entities.iter().copied())
                .or_hint("name the entity, or the field that says which entity it is"),
            ),
        }
    }
    references
}

/// The entities that a field may name, which is what its `enum` is for then.
fn named_entities(
    target: &Placed<String>,
    choice: &RawParameter,
    entities: &[&str],
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let Some(choices) = &choice.choices else {
        let what = format!("field `{}` names no entities", target.value);
        problems.push(Problem::error(target.at, what).hint("give it an `enum` of entities"));
        return Vec::new();
    };
    let mut named = Vec::new();
    for choice in choices {
        match choice.value.as_str() {
            Some(name) if entities.contains(&name) => named.push(name.to_owned()),
            Some(name) => problems.push(
                Problem::error(choice.at, format!("`{name}` is no entity"))
                    .suggest(name, entities.iter().copied())
                    .or_hint(format!("entities: {}", entities.join(", "))),
            ),
            None => {} // reported as a wrong type
        }
    }
    named
}
