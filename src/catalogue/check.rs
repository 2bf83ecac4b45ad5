//! Raw catalogue → finished catalogue: what entities and operations mean together, and every problem in that.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderName, Method};
use serde_json::{Map, Value};

use super::{
    Contents, Entity, Server,
    arguments::RESERVED,
    entity::{Action, Reference, ReferenceTarget},
    expand::{self, Origin, Scene},
    headers, operations,
    path_template::PathTemplate,
    problem::{At, Problem},
    raw::{
        Named, RawBackend, RawCatalogue, RawEntity, RawOperation, RawParameter, RawScopes,
        RawServer, RawSession,
    },
    session::{InvalidPointer, SessionClose, SessionRecipe},
    shape::{self, Property},
    tool::{Subject, Tool},
    yaml::Placed,
};

/// The statuses with which the original backend says "your session is stale" (contract §2.2, §2.3).
const STALE: [u16; 2] = [428, 409];

/// Fifty times what a model can be shown; each one costs a compiled schema, so a file cannot ask for any number.
const MOST_TOOLS: usize = 2_000;

/// Checks and expands everything; what comes back is complete only where no problem is an error.
pub(super) fn catalogue(raw: RawCatalogue, problems: &mut Vec<Problem>) -> Contents {
    let operations = operations::table(raw.operations, problems);
    let names: Vec<&str> = raw
        .entities
        .iter()
        .map(|(name, _)| name.value.as_str())
        .collect();
    let session = raw.backend.session.as_ref();
    let mut tools = Tools {
        scopes: &raw.scopes,
        has_sessions: session.is_some(),
        session_headers: session.map(session_headers).unwrap_or_default(),
        names: HashMap::new(),
        tools: Vec::new(),
    };
    let mut entities = Vec::new();
    for (name, entity) in &raw.entities {
        if tools.are_too_many(name, problems) {
            break;
        }
        let model = model(name, entity, &names, problems);
        tools.add_entity(&model, entity, &operations, problems);
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
    if tools.tools.is_empty() && problems.is_empty() {
        problems.push(
            Problem::error(raw.version.at, "the catalogue declares no tool")
                .hint("add `entities:` or `tools:`"),
        );
    }
    Contents {
        server: server(&raw.server),
        session: session.and_then(|session| recipe(session, problems)),
        stale: stale(&raw.backend),
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

fn stale(raw: &RawBackend) -> Vec<u16> {
    match &raw.stale {
        Some(statuses) => statuses.iter().map(|status| status.value).collect(),
        None => STALE.to_vec(),
    }
}

/// An entity with what only its tools need.
struct Model {
    entity: Entity,
    name: Placed<String>,
    description: String,
    /// Whether its names can stand in the name of a tool.
    names_fit: bool,
    fields: Vec<Property>,
    field_places: Vec<(String, At)>,
    /// Names of the parameters that must name an existing record.
    references: Vec<String>,
}

fn model(
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

/// The tools so far, and what all of them share.
struct Tools<'a> {
    scopes: &'a RawScopes,
    has_sessions: bool,
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
            has_sessions: self.has_sessions,
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
        ("name", model.entity.name.clone()),
        ("plural", model.entity.plural.clone()),
        ("entity", model.entity.label()),
        ("entities", model.entity.plural.replace('_', " ")),
        ("path", model.entity.path.clone()),
        ("about", model.description.clone()),
        ("archive", archive.join(", ")),
    ]
}

fn recipe(raw: &RawSession, problems: &mut Vec<Problem>) -> Option<SessionRecipe> {
    let before = problems.len();
    let mut headers = Vec::new();
    for (name, pointer) in &raw.headers {
        let header = headers::of_session(&name.value).ok_or_else(|| {
            let what = format!("`{}` cannot be a session's header", name.value);
            problems.push(
                Problem::error(name.at, what)
                    .hint("identity, tracing and framing headers are the sidecar's own"),
            );
        });
        let pointer = pointer.value.parse().map_err(|error: InvalidPointer| {
            let what = format!("bad JSON Pointer `{}`", pointer.value);
            problems.push(Problem::error(pointer.at, what).hint(error.to_string()));
        });
        if let (Ok(header), Ok(pointer)) = (header, pointer) {
            headers.push((header, pointer));
        }
    }
    let open = session_request(&raw.open, problems);
    let close = raw
        .close
        .as_ref()
        .map(|close| session_close(close, problems));
    (problems.len() == before).then_some(())?;
    let (method, target) = open?;
    Some(SessionRecipe {
        method,
        target,
        success: Arc::new([200, 201]),
        headers,
        close: close.flatten(),
    })
}

/// The headers a session sets: no argument may set them too.
fn session_headers(raw: &RawSession) -> Vec<HeaderName> {
    let names = raw.headers.iter().map(|(name, _)| &name.value);
    names.filter_map(|name| name.parse().ok()).collect()
}

fn session_request(raw: &Placed<String>, problems: &mut Vec<Problem>) -> Option<(Method, String)> {
    if raw.at == At::default() {
        return None; // its absence is reported
    }
    let found = expand::request_line(&raw.value).and_then(|(method, path)| {
        let target = path.fill(|_| None);
        let target = target.ok_or("opening a session takes no placeholders".to_owned())?;
        Ok((method, target))
    });
    found
        .map_err(|what| problems.push(Problem::error(raw.at, what)))
        .ok()
}

fn session_close(raw: &Placed<String>, problems: &mut Vec<Problem>) -> Option<SessionClose> {
    let found = raw
        .value
        .split_once(' ')
        .ok_or("a method and a target, `DELETE /v1/sessions/{/id}`".to_owned())
        .and_then(|(method, target)| {
            Ok(SessionClose {
                method: expand::method(method)?,
                target: target
                    .trim()
                    .parse()
                    .map_err(|error| format!("bad target: {error}"))?,
            })
        });
    found
        .map_err(|what| problems.push(Problem::error(raw.at, what)))
        .ok()
}
