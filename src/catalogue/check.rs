//! Raw catalogue → finished catalogue: what entities and operations mean together, and every problem in that.

mod entity;
mod former;
mod session;

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;
use serde_json::Value;

pub(super) use self::former::FormerNames;

use self::entity::Model;
use super::{
    Contents, Server,
    arguments::RESERVED,
    expand::{self, Origin, Scene},
    operations,
    problem::{At, Problem},
    raw::{Named, RawCatalogue, RawEntity, RawOperation, RawScopes, RawServer},
    session::SessionRecipe,
    tool::{Subject, Tool},
    yaml::Placed,
};

/// Fifty times what a model can be shown; each one costs memory and a compiled schema once it is called, so a file cannot ask
/// for any number.
const MOST_TOOLS: usize = 2_000;

/// Checks and expands everything; what comes back is complete only where no problem is an error.
pub(super) fn catalogue(mut raw: RawCatalogue, problems: &mut Vec<Problem>) -> Contents {
    let operations = operations::table(std::mem::take(&mut raw.operations), problems);
    let names: Vec<&str> = raw
        .entities
        .iter()
        .map(|(name, _)| name.value.as_str())
        .collect();
    let session = raw.backend.session.as_ref();
    let stale = raw.backend.stale.as_deref();
    let recipe = session.and_then(|session| session::recipe(session, stale, problems));
    let recipe = recipe.map(Arc::new);
    let mut tools = Tools {
        scopes: &raw.scopes,
        session: recipe.clone(),
        session_headers: session.map(session::session_headers).unwrap_or_default(),
        names: HashMap::new(),
        tools: Vec::new(),
    };
    let mut entities = Vec::new();
    for (name, declared) in &raw.entities {
        if tools.are_too_many(name, problems) {
            break;
        }
        let model = entity::model(name, declared, &names, problems);
        tools.add_entity(&model, declared, &operations, problems);
        entities.push(model.entity);
    }
    for (name, stanza) in &raw.tools {
        if tools.are_too_many(name, problems) {
            break;
        }
        let origin = Origin {
            label: format!("tool `{}`", name.value),
            at: name.at,
        };
        let scene = tools.scene(name.clone(), origin);
        let tool = expand::tool(scene, stanza, problems);
        tools.add(name, tool, problems);
    }
    let former = former::names(&raw, &tools.names, problems);
    if tools.tools.is_empty() && problems.is_empty() {
        problems.push(
            Problem::error(raw.version.at, "the catalogue declares no tool")
                .hint("add `entities:` or `tools:`"),
        );
    }
    Contents {
        server: server(&raw.server),
        session: recipe,
        former,
        entities,
        tools: tools.tools,
    }
}

fn server(raw: &RawServer) -> Server {
    let text = |text: &Option<Placed<String>>| text.as_ref().map(|text| text.value.clone());
    Server {
        name: text(&raw.name).unwrap_or_else(|| "toolbridge".to_owned()),
        title: text(&raw.title),
        instructions: text(&raw.instructions),
    }
}

/// The tools so far, and what all of them share.
struct Tools<'a> {
    scopes: &'a RawScopes,
    session: Option<Arc<SessionRecipe>>,
    session_headers: Vec<HeaderName>,
    names: HashMap<String, At>,
    tools: Vec<Tool>,
}

impl<'a> Tools<'a> {
    fn scene<'s>(&'s self, name: Placed<String>, origin: Origin) -> Scene<'s>
    where
        'a: 's,
    {
        Scene {
            name,
            origin,
            name_fits: true,
            fields: &[],
            takes_fields: false,
            actions: &[],
            words: Vec::new(),
            subject: None,
            scopes: self.scopes,
            session: self.session.as_ref(),
            session_headers: &self.session_headers,
        }
    }

    /// Told once, where it happens.
    fn are_too_many(&self, at: &Placed<String>, problems: &mut Vec<Problem>) -> bool {
        let too_many = self.names.len() > MOST_TOOLS;
        if too_many {
            let what = format!("the catalogue makes more than {MOST_TOOLS} tools");
            problems.push(Problem::error(at.at, what).hint("the rest of the file is not checked"));
        }
        too_many
    }

    fn add(&mut self, name: &Placed<String>, tool: Option<Tool>, problems: &mut Vec<Problem>) {
        if let Some(first) = self.names.get(&name.value) {
            let what = format!("tool `{}` exists already", name.value);
            problems.push(
                Problem::error(name.at, what)
                    .hint(format!("the first one comes from line {}", first.line)),
            );
            return;
        }
        self.names.insert(name.value.clone(), name.at);
        self.tools.extend(tool);
    }

    fn add_entity(
        &mut self,
        model: &Model,
        raw: &RawEntity,
        operations: &Named<RawOperation>,
        problems: &mut Vec<Problem>,
    ) {
        let chosen = chosen(raw, operations, problems);
        let tool_name = |wanted: &str| {
            let (_, operation, _) = chosen.iter().find(|(name, _, _)| name.value == wanted)?;
            Some(tool_name(model, wanted, operation))
        };
        let subject = Subject {
            entity: model.entity.name.clone(),
            label: model.entity.label(),
            get: tool_name("get"),
            list: tool_name("list"),
            references: model.references.clone(),
        };
        let actions: Vec<_> = model
            .entity
            .actions
            .iter()
            .map(|action| (action.name.clone(), action.description.clone()))
            .collect();
        let mut name_fits = model.names_fit;
        for (operation_name, operation, at) in &chosen {
            let Placed {
                value: operation_name,
                at: defined,
            } = operation_name;
            let takes_fields = operation.fields.as_ref().is_some_and(|flag| flag.value);
            clashes(model, operation_name, operation, takes_fields, problems);
            needs_actions(model, operation_name, operation, *at, problems);
            let name = Placed::new(
                self::tool_name(model, operation_name, operation),
                model.name.at,
            );
            let origin = Origin {
                label: format!("operation `{operation_name}`"),
                at: operations::in_file(*defined, model.name.at),
            };
            let scene = Scene {
                name_fits,
                fields: &model.fields,
                takes_fields,
                actions: &actions,
                words: words(model),
                subject: Some(subject.clone()),
                ..self.scene(name.clone(), origin)
            };
            name_fits &= expand::is_tool_name(&name.value);
            let tool = expand::tool(scene, &operation.stanza, problems);
            self.add(&name, tool, problems);
        }
    }
}

/// An operation of an entity: its name, what it is, and the place where the entity names it.
type Chosen<'o> = (&'o Placed<String>, &'o RawOperation, Option<At>);

/// The operations an entity has, each with the place where it was chosen.
fn chosen<'o>(
    raw: &RawEntity,
    operations: &'o Named<RawOperation>,
    problems: &mut Vec<Problem>,
) -> Vec<Chosen<'o>> {
    let Some(wanted) = &raw.operations else {
        let all = operations.iter();
        return all
            .map(|(name, operation)| (name, operation, None))
            .collect();
    };
    let mut chosen: Vec<Chosen<'_>> = Vec::new();
    for want in wanted {
        let known = operations.iter().find(|(name, _)| name.value == want.value);
        match known {
            Some((name, _)) if chosen.iter().any(|(given, _, _)| given.value == name.value) => {
                problems.push(Problem::error(
                    want.at,
                    format!("`{}` is given twice", want.value),
                ));
            }
            Some((name, operation)) => chosen.push((name, operation, Some(want.at))),
            None => problems.push(
                Problem::error(want.at, format!("unknown operation `{}`", want.value))
                    .suggest(
                        &want.value,
                        operations.iter().map(|(name, _)| name.value.as_str()),
                    )
                    .or_hint("`toolbridge operations` prints the ones there are"),
            ),
        }
    }
    chosen
}

/// A field must not have the name of one of the operation's own parameters.
fn clashes(
    model: &Model,
    name: &str,
    operation: &RawOperation,
    takes_fields: bool,
    problems: &mut Vec<Problem>,
) {
    if !takes_fields {
        return;
    }
    for (parameter, _) in &operation.stanza.parameters {
        let field = model
            .field_places
            .iter()
            .find(|(field, _)| *field == parameter.value);
        if let Some((field, at)) = field
            && !RESERVED.contains(&field.as_str())
        {
            problems.push(
                Problem::error(*at, format!("`{field}` is a reserved field name"))
                    .hint(format!("operation `{name}` has a parameter of that name")),
            );
        }
    }
}

fn needs_actions(
    model: &Model,
    name: &str,
    operation: &RawOperation,
    at: Option<At>,
    problems: &mut Vec<Problem>,
) {
    let wants = operation
        .stanza
        .parameters
        .iter()
        .any(|(_, parameter)| parameter.actions);
    if wants && model.entity.actions.is_empty() {
        let entity = &model.entity.name;
        problems.push(
            Problem::error(
                at.unwrap_or(model.name.at),
                format!("entity `{entity}` has operation `{name}` but no `actions`"),
            )
            .hint(format!(
                "add `actions:`, or leave `{name}` out of its `operations`"
            )),
        );
    }
}

fn tool_name(model: &Model, operation_name: &str, operation: &RawOperation) -> String {
    let pattern = match &operation.tool {
        Some(pattern) => pattern.value.clone(),
        None => format!("{operation_name}_{{name}}"),
    };
    pattern
        .replace("{name}", &model.entity.name)
        .replace("{plural}", &model.entity.plural)
}

fn words(model: &Model) -> Vec<(&'static str, String)> {
    let archive: Vec<_> = model
        .entity
        .archive
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    vec![
        ("{name}", model.entity.name.clone()),
        ("{plural}", model.entity.plural.clone()),
        ("{entity}", model.entity.label()),
        ("{entities}", model.entity.plural.replace('_', " ")),
        ("{path}", model.entity.path.clone()),
        ("{about}", model.description.clone()),
        ("{archive}", archive.join(", ")),
    ]
}
