//! A tool, finished: everything a client is shown and everything a call needs, made once at load; only its schema is
//! compiled at its first call. In: arguments. Out: a [`Plan`]. Nothing here is parsed or looked up in the file at call time.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};

use super::{
    arguments::{self, ArgumentError, ArgumentErrors},
    path_template::{ENCODED, PathTemplate},
    plan::{Effect, Plan},
    session::SessionRecipe,
    shape::Property,
    validator::Validator,
};

/// One MCP tool and the request behind it.
pub struct Tool {
    /// `create_note`: `^[a-z0-9_]{1,64}$`.
    pub name: String,
    /// For people.
    pub title: String,
    /// For the model.
    pub description: String,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Hints for clients.
    pub annotations: Annotations,
    /// OAuth scopes a caller needs, all of them.
    pub scopes: Vec<String>,
    /// JSON Schema 2020-12 of the arguments.
    pub input_schema: Arc<Map<String, Value>>,
    /// JSON Schema 2020-12 of the result.
    pub output_schema: Arc<Map<String, Value>>,
    /// How the backend's answer becomes the result.
    pub result: ResultShape,
    /// The entity the tool is about; `None` for free-form tools.
    pub subject: Option<Subject>,
    pub(super) request: Request,
    pub(super) parameters: Vec<Parameter>,
    pub(super) validator: Validator,
}

/// MCP's four tool hints, all said (protocol page B.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May overwrite or remove something.
    pub destructive: bool,
    /// Doing it twice changes nothing more.
    pub idempotent: bool,
    /// Reaches beyond the tenant's own data.
    pub open_world: bool,
}

/// What the backend's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultShape {
    /// One record: `uid, version, updatedAt, deletedAt, payload`.
    Item,
    /// A page of records: `items, nextCursor`.
    List,
    /// Any JSON; what is no object is wrapped as `{"result": …}`.
    Any,
}

/// The entity a tool is about, in the words its messages need.
#[derive(Clone, Debug)]
pub struct Subject {
    /// `chat_message`.
    pub entity: String,
    /// `chat message`.
    pub label: String,
    /// `get_chat_message`, where it exists.
    pub get: Option<String>,
    /// `list_chat_messages`, where it exists.
    pub list: Option<String>,
    /// Names of the parameters that must name an existing record.
    pub references: Vec<String>,
}

/// What every request of the tool has in common.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: PathTemplate,
    pub(super) session: Option<Arc<SessionRecipe>>,
    pub(super) success: Arc<[u16]>,
    /// The key of the body that takes the uid of a new record.
    pub(super) new_uid: Option<Arc<str>>,
}

/// A parameter: a named value with its place in the request.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) property: Property,
    pub(super) place: Place,
    /// Left out of the request when it has this value.
    pub(super) omit: Option<Value>,
    /// Whether an explicit null is sent: a field of a record can be null, a setting of the call is absent then.
    pub(super) keeps_null: bool,
}

/// Where a parameter goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header(HeaderName),
    /// Under its wire name in the JSON body.
    Body,
    /// Its keys become keys of the body, except the reserved ones.
    Merged,
}

impl Tool {
    /// The request these arguments ask for.
    ///
    /// # Errors
    /// Every argument that is unknown, missing or wrong, each by name, in words a model can act on.
    pub fn plan(&self, arguments: Map<String, Value>) -> Result<Plan, ArgumentErrors> {
        let arguments = arguments::checked(self, arguments)?;
        let mut draft = Draft::default();
        for (parameter, value) in &arguments {
            if parameter.omit.as_ref() != Some(value) {
                draft.place(parameter, value)?;
            }
        }
        let new_uid = self.request.new_uid.as_ref();
        Ok(Plan {
            method: self.request.method.clone(),
            target: self.target(&arguments, &draft.query)?,
            // A catalogue may leave the uid to the caller.
            new_uid: new_uid
                .filter(|key| !draft.body.contains_key(&***key))
                .cloned(),
            headers: draft.headers,
            body: self
                .sends_body()
                .then(|| Value::Object(draft.body).to_string().into_bytes()),
            effect: self.effect,
            session: self.request.session.clone(),
            success: Arc::clone(&self.request.success),
        })
    }

    /// Whether it makes records whose uid we choose.
    #[must_use]
    pub fn names_records(&self) -> bool {
        self.request.new_uid.is_some()
    }

    /// Whether clients repeat arguments of it in headers.
    #[must_use]
    pub fn repeats_arguments(&self) -> bool {
        let mut parameters = self.parameters.iter();
        parameters.any(|it| it.property.shape.mcp_header.is_some())
    }

    /// Whether requests of this tool carry a JSON object.
    fn sends_body(&self) -> bool {
        has_body(&self.request.method)
    }

    fn target(
        &self,
        arguments: &[(&Parameter, Value)],
        query: &str,
    ) -> Result<String, ArgumentError> {
        let value_of = |name: &str| {
            arguments
                .iter()
                .find(|(parameter, _)| {
                    parameter.place == Place::Path && parameter.property.name == name
                })
                .map(|(_, value)| scalar(value))
        };
        let path = self.request.path.fill(value_of).ok_or_else(|| {
            let holes: Vec<_> = self.request.path.placeholders().collect();
            ArgumentError::unusable(&holes.join(", "), "it cannot stand in a path")
        })?;
        Ok(if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        })
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({})", self.name)
    }
}

/// Methods whose requests carry a JSON object.
pub(super) fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The parts of a request that arguments fill.
#[derive(Default)]
struct Draft {
    query: String,
    headers: HeaderMap,
    body: Map<String, Value>,
}

impl Draft {
    fn place(&mut self, parameter: &Parameter, value: &Value) -> Result<(), ArgumentError> {
        let wire = &parameter.property.wire;
        match &parameter.place {
            Place::Path => {}
            Place::Query => match value {
                Value::Array(items) => items.iter().for_each(|item| self.query(wire, item)),
                value => self.query(wire, value),
            },
            Place::Header(name) => {
                let value = HeaderValue::from_str(&scalar(value)).map_err(|_| {
                    ArgumentError::unusable(
                        &parameter.property.name,
                        "it has characters that cannot stand in a header",
                    )
                })?;
                self.headers.insert(name.clone(), value);
            }
            Place::Body => {
                self.body.insert(wire.clone(), value.clone());
            }
            Place::Merged => {
                let entries = value.as_object().into_iter().flatten();
                self.body
                    .extend(entries.map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        Ok(())
    }

    fn query(&mut self, name: &str, value: &Value) {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.extend(utf8_percent_encode(name, ENCODED));
        self.query.push('=');
        self.query
            .extend(utf8_percent_encode(&scalar(value), ENCODED));
    }
}

/// A string, number or boolean as the text of a path, query or header.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
