//! The shape of `tools.yaml`, format version 1, as it stands in the file: every value with its place, nothing checked
//! yet. The comments here are the documentation an editor shows: tools.schema.json holds them.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::yaml::Placed;

/// Entries in file order, each under its name.
pub(super) type Named<T> = Vec<(Placed<String>, T)>;

impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What a REST backend offers, declared once: entities × operations become MCP tools.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, title = "toolbridge catalogue")]
pub(super) struct RawCatalogue {
    /// Version of this format: 1.
    #[schemars(extend("const" = 1))]
    pub(super) version: Placed<u64>,
    /// How the server introduces itself to MCP clients.
    #[schemars(default)]
    pub(super) server: RawServer,
    /// What is true of the backend as a whole.
    #[schemars(default)]
    pub(super) backend: RawBackend,
    /// OAuth scopes a caller needs, by effect; a tool's own `scopes` come on top.
    #[schemars(default)]
    pub(super) scopes: RawScopes,
    /// Changes to the eight built-in operations (`toolbridge operations` prints them) and further ones.
    #[schemars(default, with = "BTreeMap<String, RawOperation>")]
    pub(super) operations: Named<RawOperation>,
    /// Kinds of record; each gets one tool for every operation.
    #[schemars(default, with = "BTreeMap<String, RawEntity>")]
    pub(super) entities: Named<RawEntity>,
    /// Any other endpoint, one tool a stanza.
    #[schemars(default, with = "BTreeMap<String, RawTool>")]
    pub(super) tools: Named<RawTool>,
    /// Former names of tools, `old_name: new_name`: calls under the old name are still run; it is not listed.
    #[schemars(default, with = "BTreeMap<String, String>")]
    pub(super) aliases: Named<Placed<String>>,
    /// Names of tools that are gone, `old_name: use new_name instead`: a call is answered with that.
    #[schemars(default, with = "BTreeMap<String, String>")]
    pub(super) removed: Named<Placed<String>>,
}

/// How the server introduces itself.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Server")]
pub(super) struct RawServer {
    /// Name for programs.
    pub(super) name: Option<Placed<String>>,
    /// Name for people.
    pub(super) title: Option<Placed<String>>,
    /// What a model should know before it uses the tools.
    pub(super) instructions: Option<Placed<String>>,
}

/// What is true of the backend as a whole.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Backend")]
pub(super) struct RawBackend {
    /// How a session is opened; leave out where the backend has none.
    pub(super) session: Option<RawSession>,
    /// Statuses that mean "the session is stale": the call is made once more with a new one. Default: 428, 409.
    #[schemars(default, with = "Option<Vec<RawStatus>>")]
    pub(super) stale: Option<Vec<Placed<u16>>>,
}

/// An HTTP status.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct RawStatus(#[schemars(range(min = 100, max = 599))] u16);

/// A session is opened for every call and used once.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Session")]
pub(super) struct RawSession {
    /// Method and path, `POST /v1/sync/sessions`.
    pub(super) open: Placed<String>,
    /// Header of the later request: JSON Pointer into the session answer.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) headers: Named<Placed<String>>,
    /// Sent after the call: `DELETE /v1/sync/sessions/{/id}`, with JSON Pointers into the session answer.
    pub(super) close: Option<Placed<String>>,
}

/// Scopes by effect.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Scopes")]
pub(super) struct RawScopes {
    /// Needed by every tool that reads.
    #[schemars(default, with = "Vec<String>")]
    pub(super) read: Vec<Placed<String>>,
    /// Needed by every tool that writes.
    #[schemars(default, with = "Vec<String>")]
    pub(super) write: Vec<Placed<String>>,
}

/// A kind of record.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Entity")]
pub(super) struct RawEntity {
    /// Plural for tool names, `notes`. Default: the name with an `s`.
    pub(super) plural: Option<Placed<String>>,
    /// Collection path at the backend, `/v1/notes`.
    pub(super) path: Placed<String>,
    /// What a record of this kind is, for the model.
    pub(super) description: Option<Placed<String>>,
    /// The fields of a record.
    #[schemars(default, with = "BTreeMap<String, RawParameter>")]
    pub(super) fields: Named<RawParameter>,
    /// Named state changes, run by the `process` operation.
    #[schemars(default, with = "BTreeMap<String, RawAction>")]
    pub(super) actions: Named<RawAction>,
    /// What archiving does.
    pub(super) archive: Option<RawArchive>,
    /// The operations this entity has. Default: all.
    #[schemars(default, with = "Option<Vec<String>>")]
    pub(super) operations: Option<Vec<Placed<String>>>,
}

/// A named state change.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Action")]
pub(super) struct RawAction {
    /// What it means, for the model.
    pub(super) description: Option<Placed<String>>,
    /// What it sets in the record (names of the wire).
    #[schemars(default, with = "BTreeMap<String, Value>")]
    pub(super) sets: Named<Value>,
}

/// What archiving does.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Archive")]
pub(super) struct RawArchive {
    /// What it sets in the record (names of the wire).
    #[schemars(default, with = "BTreeMap<String, Value>")]
    pub(super) sets: Named<Value>,
}

/// One endpoint as one tool.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Tool")]
pub(super) struct RawTool {
    /// Name for people.
    pub(super) title: Option<Placed<String>>,
    /// What it does, what it returns, what it cannot do; for the model.
    pub(super) description: Option<Placed<String>>,
    /// Method and path, `GET /v1/reports/{year}`.
    pub(super) request: Option<Placed<String>>,
    /// Whether it changes anything.
    #[schemars(with = "Option<RawEffect>")]
    pub(super) effect: Option<Placed<String>>,
    /// Whether the call needs a backend session. Default: true where the backend has sessions.
    pub(super) session: Option<Placed<bool>>,
    /// Statuses that mean success. Default: 200, 201, 202, 204.
    #[schemars(default, with = "Option<Vec<RawStatus>>")]
    pub(super) success: Option<Vec<Placed<u16>>>,
    /// What the answer is. Default: any.
    #[schemars(with = "Option<RawResult>")]
    pub(super) result: Option<Placed<String>>,
    /// The key of the body under which the backend takes a uid for the record it makes, so that a request that is sent
    /// again makes no second one. Default: none (`""`), the backend chooses.
    pub(super) new_uid: Option<Placed<String>>,
    /// What the caller gives, and where it goes.
    #[schemars(default, with = "BTreeMap<String, RawParameter>")]
    pub(super) parameters: Named<RawParameter>,
    /// Hints for clients; what is left out follows from `effect`.
    #[schemars(default)]
    pub(super) annotations: RawAnnotations,
    /// OAuth scopes this tool needs beyond those of its effect.
    #[schemars(default, with = "Vec<String>")]
    pub(super) scopes: Vec<Placed<String>>,
}

/// An operation: a tool for every entity. Its texts and its request may use `{name}`, `{plural}`, `{entity}`,
/// `{entities}` (the entity's names, the latter two as words), `{about}` (its description), `{path}` (its collection
/// path) and `{archive}` (what archiving sets).
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Operation")]
pub(super) struct RawOperation {
    /// The tool's name, `list_{plural}`.
    pub(super) tool: Option<Placed<String>>,
    /// Whether the entity's fields are parameters of the tool.
    pub(super) fields: Option<Placed<bool>>,
    #[schemars(flatten)]
    pub(super) stanza: RawTool,
}

/// Hints for clients.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Annotations")]
pub(super) struct RawAnnotations {
    /// May overwrite or remove something. Default: true for `effect: write`.
    pub(super) destructive: Option<Placed<bool>>,
    /// Doing it twice changes nothing more. Default: true for `effect: read`.
    pub(super) idempotent: Option<Placed<bool>>,
    /// Reaches beyond the tenant's own data. Default: false.
    pub(super) open_world: Option<Placed<bool>>,
}

/// A field of an entity or a parameter of a tool.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Parameter")]
pub(super) struct RawParameter {
    /// Its type.
    #[schemars(rename = "type", with = "RawType")]
    pub(super) kind: Option<Placed<String>>,
    /// What it means, for the model.
    pub(super) description: Option<Placed<String>>,
    /// Whether it must be given. Default: false.
    #[schemars(default)]
    pub(super) required: bool,
    /// The values it may have.
    #[schemars(rename = "enum", default, with = "Option<Vec<Value>>")]
    pub(super) choices: Option<Vec<Placed<Value>>>,
    /// What kind of text it is.
    #[schemars(with = "Option<RawFormat>")]
    pub(super) format: Option<Placed<String>>,
    /// Sent where the caller gives nothing.
    #[schemars(with = "Option<Value>")]
    pub(super) default: Option<Placed<Value>>,
    /// Smallest number, shortest text, fewest items or keys.
    #[schemars(with = "Option<f64>")]
    pub(super) min: Option<Placed<Value>>,
    /// Largest number, longest text, most items or keys.
    #[schemars(with = "Option<f64>")]
    pub(super) max: Option<Placed<Value>>,
    /// What an array holds.
    pub(super) items: Option<Box<Self>>,
    /// What an object holds.
    #[schemars(default, with = "BTreeMap<String, RawParameter>")]
    pub(super) properties: Named<Self>,
    /// Whether an object may hold other keys. Default: only where it names none.
    pub(super) additional: Option<Placed<bool>>,
    /// Its name at the backend, `dueDate`. Default: the same name.
    pub(super) wire: Option<Placed<String>>,
    /// A field that holds the uid of a record: the entity's name, or the field that names the entity.
    pub(super) references: Option<Placed<String>>,
    /// Where it goes. Default: the path where the request names it, else the body.
    #[schemars(rename = "in", with = "Option<RawPlace>")]
    pub(super) place: Option<Placed<String>>,
    /// Clients repeat it in the header `Mcp-Param-` and this, so that proxies need not read bodies: `Region`. For texts,
    /// integers and booleans, never for secrets. Revision 2026-07-28 and later.
    pub(super) mcp_header: Option<Placed<String>>,
    /// Left out of the request when it has this value.
    #[schemars(with = "Option<Value>")]
    pub(super) omit: Option<Placed<Value>>,
    /// An object whose keys become keys of the body.
    #[schemars(default)]
    pub(super) merge: bool,
    /// In an operation: an object that may hold the entity's fields, none of them required.
    #[schemars(default)]
    pub(super) fields: bool,
    /// In an operation: one of the entity's actions.
    #[schemars(default)]
    pub(super) actions: bool,
}

/// Declares the words a text may be, as a list for checks and as an enumeration for the schema.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident = $title:literal, $list:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(JsonSchema)]
        #[schemars(rename = $title)]
        #[expect(dead_code, reason = "only its schema is used")]
        enum $name {
            $(#[schemars(rename = $word)] $variant),+
        }
        pub(super) const $list: &[&str] = &[$($word),+];
    };
}

words!(
    /// Whether a tool changes anything.
    RawEffect = "Effect", EFFECTS: Read = "read", Write = "write"
);
words!(
    /// What the answer is: a record, a page of records, or anything.
    RawResult = "Result", RESULTS: Item = "item", List = "list", Any = "any"
);
words!(
    /// Types of values.
    RawType = "Type", TYPES: String = "string", Integer = "integer", Number = "number", Boolean = "boolean", Array = "array",
    Object = "object"
);
words!(
    /// Kinds of text.
    RawFormat = "Format", FORMATS: Uuid = "uuid", Date = "date", DateTime = "date-time", Email = "email", Uri = "uri"
);
words!(
    /// Places in a request.
    RawPlace = "Place", PLACES: Path = "path", Query = "query", Header = "header", Body = "body"
);
