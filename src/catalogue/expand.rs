//! Stanza → finished tool, once at load: path parsed, places decided, schemas made, texts filled in. In: a raw tool
//! (free-form, or an operation seen from one entity). Out: a [`Tool`], or problems.

mod parameters;

use std::sync::{Arc, LazyLock};

use http::{HeaderName, Method};
use serde_json::{Map, Value, json};

use super::{
    dialect,
    operations::in_file,
    path_template::PathTemplate,
    plan::Effect,
    problem::{At, Problem},
    raw::{EFFECTS, RESULTS, RawScopes, RawTool},
    session::SessionRecipe,
    shape::{Kind, Property, Shape},
    tool::{Annotations, Parameter, Request, ResultShape, Subject, Tool},
    validator::Validator,
    yaml::Placed,
};

/// Where a stanza was written: an operation is written once for the tools of all entities.
pub(super) struct Origin {
    pub(super) label: String,
    pub(super) at: At,
}

/// What surrounds a stanza.
pub(super) struct Scene<'a> {
    /// The tool's name; its place stands in for places in the built-in operations.
    pub(super) name: Placed<String>,
    pub(super) origin: Origin,
    /// Off where a problem is known already that makes the name unfit.
    pub(super) name_fits: bool,
    /// The entity's fields, where the operation takes them.
    pub(super) fields: &'a [Property],
    /// Whether the fields are parameters of the tool itself.
    pub(super) takes_fields: bool,
    /// The entity's actions with their descriptions.
    pub(super) actions: &'a [(String, String)],
    /// Placeholders of texts and the request: `{name}` and what it stands for.
    pub(super) words: Vec<(&'static str, String)>,
    pub(super) subject: Option<Subject>,
    pub(super) scopes: &'a RawScopes,
    pub(super) session: Option<&'a Arc<SessionRecipe>>,
    pub(super) session_headers: &'a [HeaderName],
}

/// The finished tool; `None` where its request cannot be made sense of.
pub(super) fn tool(scene: Scene<'_>, raw: &RawTool, problems: &mut Vec<Problem>) -> Option<Tool> {
    let before = problems.len();
    let name = scene.checked_name(problems);
    let request = scene.request(raw, problems);
    let effect = scene.effect(raw, request.as_ref(), problems);
    let result = scene.result(raw, problems);
    let (title, description) = scene.texts(raw, problems);
    let (method, path) = request?;
    let new_uid = scene.new_uid(raw, &method, effect, problems);
    let parameters = scene.parameters(raw, &method, &path, problems);
    let whole = input_schema(&parameters);
    // Clients that know no references are shown the schema without them.
    if let Err(unfit) = dialect::inlined(&whole) {
        let what = format!("the input schema cannot be shown to every client: {unfit}");
        problems.push(Problem::error(scene.name.at, what));
    }
    let input_schema = map(whole);
    (problems.len() == before || problems.iter().skip(before).all(is_lint)).then_some(())?;
    let success = raw.success.as_ref().map_or_else(
        || vec![200, 201, 202, 204],
        |statuses| statuses.iter().map(|status| status.value).collect(),
    );
    Some(Tool {
        name,
        title,
        description,
        effect,
        annotations: annotations(raw, effect),
        scopes: scene.scopes(raw, effect),
        validator: Validator::new(Arc::clone(&input_schema)),
        input_schema,
        output_schema: output_schema(result),
        result,
        request: Request {
            method,
            path,
            session: scene
                .session
                .filter(|_| raw.session.as_ref().is_none_or(|flag| flag.value))
                .cloned(),
            success: success.into(),
            new_uid,
        },
        subject: scene.subject,
        parameters,
    })
}

fn is_lint(problem: &Problem) -> bool {
    problem.severity == super::problem::Severity::Lint
}

impl Scene<'_> {
    fn at(&self, at: At) -> At {
        in_file(at, self.name.at)
    }

    fn checked_name(&self, problems: &mut Vec<Problem>) -> String {
        let name = &self.name.value;
        if self.name_fits && !is_tool_name(name) {
            let what = format!("`{name}` is no tool name");
            problems
                .push(Problem::error(self.name.at, what).hint(
                    "1 to 64 lower-case letters, digits and `_`: every client accepts those",
                ));
        }
        name.clone()
    }

    /// `{name}` and its like filled in, one after the other.
    fn filled(&self, text: &str) -> String {
        self.words
            .iter()
            .fold(text.to_owned(), |text, (word, value)| {
                if text.contains(word) {
                    text.replace(word, value)
                } else {
                    text
                }
            })
    }

    fn request(
        &self,
        raw: &RawTool,
        problems: &mut Vec<Problem>,
    ) -> Option<(Method, PathTemplate)> {
        let Some(request) = &raw.request else {
            let what = format!("{} has no `request`", self.origin.label);
            problems.push(Problem::error(self.origin.at, what).hint("request: GET /v1/…"));
            return None;
        };
        let at = self.at(request.at);
        request_line(&self.filled(&request.value))
            .map_err(|what| problems.push(Problem::error(at, what)))
            .ok()
    }

    fn effect(
        &self,
        raw: &RawTool,
        request: Option<&(Method, PathTemplate)>,
        problems: &mut Vec<Problem>,
    ) -> Effect {
        let Some(effect) = &raw.effect else {
            let what = format!("{} does not say its `effect`", self.origin.label);
            problems
                .push(Problem::error(self.origin.at, what).hint("effect: read, or effect: write"));
            return Effect::Write;
        };
        match effect.value.as_str() {
            "read" => Effect::Read,
            "write" if request.is_some_and(|(method, _)| *method == Method::GET) => {
                let what = "a GET request does not write";
                problems.push(Problem::error(self.at(effect.at), what).hint("effect: read"));
                Effect::Write
            }
            "write" => Effect::Write,
            unknown => {
                problems.push(
                    Problem::error(self.at(effect.at), format!("unknown effect `{unknown}`"))
                        .suggest(unknown, EFFECTS.iter().copied())
                        .or_hint("effects: read, write"),
                );
                Effect::Write
            }
        }
    }

    fn result(&self, raw: &RawTool, problems: &mut Vec<Problem>) -> ResultShape {
        match raw.result.as_ref().map(|result| result.value.as_str()) {
            None | Some("any") => ResultShape::Any,
            Some("item") => ResultShape::Item,
            Some("list") => ResultShape::List,
            Some(unknown) => {
                let at = self.at(raw.result.as_ref().map(|r| r.at).unwrap_or_default());
                problems.push(
                    Problem::error(at, format!("unknown result `{unknown}`"))
                        .suggest(unknown, RESULTS.iter().copied())
                        .or_hint("results: item, list, any"),
                );
                ResultShape::Any
            }
        }
    }

    /// Only a request that writes, and has a body to put it in, makes a record under a uid of ours.
    fn new_uid(
        &self,
        raw: &RawTool,
        method: &Method,
        effect: Effect,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<str>> {
        let key = raw.new_uid.as_ref().filter(|key| !key.value.is_empty())?;
        if effect == Effect::Read || *method != Method::POST {
            let what = "`new_uid` is for a POST request that writes";
            problems.push(Problem::error(self.at(key.at), what).hint("remove it"));
        }
        Some(key.value.as_str().into())
    }

    fn texts(&self, raw: &RawTool, problems: &mut Vec<Problem>) -> (String, String) {
        let text = |text: &Option<Placed<String>>| text.as_ref().map(|t| self.filled(&t.value));
        let description = text(&raw.description).filter(|text| !text.trim().is_empty());
        if description.is_none() {
            let what = format!("{} has no description", self.origin.label);
            problems.push(
                Problem::lint(self.origin.at, what).hint(
                    "a model chooses tools by their descriptions: say what it does and returns",
                ),
            );
        }
        let title = text(&raw.title).unwrap_or_else(|| self.name.value.replace('_', " "));
        (title, description.unwrap_or_default().trim().to_owned())
    }

    fn scopes(&self, raw: &RawTool, effect: Effect) -> Vec<String> {
        let by_effect = match effect {
            Effect::Read => &self.scopes.read,
            Effect::Write => &self.scopes.write,
        };
        let mut scopes: Vec<String> = Vec::new();
        for scope in by_effect.iter().chain(&raw.scopes) {
            if !scopes.contains(&scope.value) {
                scopes.push(scope.value.clone());
            }
        }
        scopes
    }
}

/// Whether every client accepts a tool of this name.
pub(super) fn is_tool_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed)
}

/// `GET /v1/notes/{uid}`.
pub(super) fn request_line(text: &str) -> Result<(Method, PathTemplate), String> {
    let mut words = text.split_ascii_whitespace();
    let (Some(verb), Some(path), None) = (words.next(), words.next(), words.next()) else {
        return Err(format!(
            "`{text}` is no request: a method and a path, `GET /v1/notes`"
        ));
    };
    let path = path
        .parse()
        .map_err(|error| format!("bad path `{path}`: {error}"))?;
    Ok((method(verb)?, path))
}

/// The methods a request may have.
pub(super) fn method(word: &str) -> Result<Method, String> {
    [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ]
    .into_iter()
    .find(|known| known.as_str() == word)
    .ok_or_else(|| format!("unknown method `{word}`: GET, POST, PUT, PATCH or DELETE"))
}

fn annotations(raw: &RawTool, effect: Effect) -> Annotations {
    let read = effect == Effect::Read;
    let flag =
        |flag: &Option<Placed<bool>>, otherwise| flag.as_ref().map_or(otherwise, |f| f.value);
    Annotations {
        read_only: read,
        destructive: !read && flag(&raw.annotations.destructive, true),
        idempotent: flag(&raw.annotations.idempotent, read),
        open_world: flag(&raw.annotations.open_world, false),
    }
}

fn input_schema(parameters: &[Parameter]) -> Value {
    let object = Shape {
        kind: Kind::Object {
            properties: parameters.iter().map(|p| p.property.clone()).collect(),
            additional: false,
        },
        ..Shape::text()
    };
    object.json_schema()
}

/// The three shapes of a result, or an error: strict clients check failures against this schema too. Roots are objects:
/// revisions before 2026-07-28 accept nothing else. It promises the keys a program builds on and no more: each further
/// word, said forty times, costs a model some hundred tokens of every tool list.
fn output_schema(result: ResultShape) -> Arc<Map<String, Value>> {
    static ITEM: LazyLock<Arc<Map<String, Value>>> = LazyLock::new(|| made(ResultShape::Item));
    static LIST: LazyLock<Arc<Map<String, Value>>> = LazyLock::new(|| made(ResultShape::List));
    static ANY: LazyLock<Arc<Map<String, Value>>> = LazyLock::new(|| made(ResultShape::Any));
    Arc::clone(match result {
        ResultShape::Item => &ITEM,
        ResultShape::List => &LIST,
        ResultShape::Any => &ANY,
    })
}

fn made(result: ResultShape) -> Arc<Map<String, Value>> {
    let item = json!(["uid", "version", "payload"]);
    let schema = match result {
        ResultShape::Item => json!({
            "type": "object",
            "anyOf": [{ "required": item }, { "required": ["error"] }]
        }),
        ResultShape::List => json!({
            "type": "object",
            "properties": {
                "items": { "type": "array", "items": { "type": "object", "required": item } }
            },
            "anyOf": [{ "required": ["items", "nextCursor"] }, { "required": ["error"] }]
        }),
        ResultShape::Any => json!({ "type": "object" }),
    };
    map(schema)
}

fn map(schema: Value) -> Arc<Map<String, Value>> {
    match schema {
        Value::Object(schema) => Arc::new(schema),
        _ => Arc::default(),
    }
}
