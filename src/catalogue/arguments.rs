//! What a model sent → what the request needs, or every reason why not. Repairs what clients are known to get wrong
//! (JSON in a string, `2.0` for `2`, null for "nothing"), checks the rest against the tool's schema, refuses
//! unknown names, and keeps reserved keys out of free-form objects. Absent, empty and null stay three things.

use std::fmt;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Number, Value};

use super::{
    shape::{Kind, Property, Shape},
    tool::{Parameter, Place, Tool},
};
use crate::nearest::nearest;

/// Keys of a record that only the backend sets; no free-form object may carry them.
pub(super) const RESERVED: &[&str] = &["uid", "sync"];

/// At most this many refusals are told at once.
const MOST: usize = 8;

/// One argument that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ArgumentError {
    /// The argument, `updates.priority`; `tags[0]` for an item.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub message: String,
    /// The values it may have, where there is a list of them.
    pub allowed: Vec<Value>,
}

/// At least one argument that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentErrors {
    /// The first; the one whose field names the whole error.
    pub first: ArgumentError,
    /// The others.
    pub others: Vec<ArgumentError>,
}

impl ArgumentError {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            allowed: Vec::new(),
        }
    }

    /// An argument of the right type that cannot be sent.
    pub(super) fn unusable(field: &str, why: &str) -> Self {
        Self::new(field, format!("`{field}` cannot be used: {why}"))
    }
}

impl From<ArgumentError> for ArgumentErrors {
    fn from(first: ArgumentError) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl fmt::Display for ArgumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.message)?;
        self.others
            .iter()
            .try_for_each(|other| write!(f, "; {}", other.message))
    }
}

impl std::error::Error for ArgumentErrors {}

/// The arguments in the order of the tool's parameters, under wire names, with defaults filled in.
pub(super) fn checked(
    tool: &Tool,
    mut arguments: Map<String, Value>,
) -> Result<Vec<(&Parameter, Value)>, ArgumentErrors> {
    let mut errors = unknown_names(tool, &arguments);
    let mut nulls = Vec::new();
    for parameter in &tool.parameters {
        let name = &parameter.property.name;
        if let Some(value) = arguments.get_mut(name) {
            if value.is_null() && !parameter.property.required {
                arguments.shift_remove(name);
                nulls.push(name.clone());
            } else {
                repair(name, value, &parameter.property.shape, &mut errors);
            }
        }
    }
    let arguments = Value::Object(arguments);
    collect(validation(tool, &arguments), &mut errors);
    let Value::Object(mut arguments) = arguments else {
        return Err(ArgumentError::new("", "the arguments must be an object").into());
    };
    let mut checked = Vec::new();
    for parameter in &tool.parameters {
        let name = &parameter.property.name;
        let given = arguments.shift_remove(name);
        let value = match given {
            Some(value) => Some(value),
            None if parameter.keeps_null && nulls.contains(name) => Some(Value::Null),
            None => parameter.property.shape.default.clone(),
        };
        if let Some(mut value) = value {
            if parameter.place == Place::Merged {
                collect(reserved(tool, parameter, &value), &mut errors);
            }
            to_wire(&mut value, &parameter.property.shape);
            checked.push((parameter, value));
        }
    }
    errors.truncate(MOST);
    if errors.is_empty() {
        return Ok(checked);
    }
    let first = errors.remove(0);
    Err(ArgumentErrors {
        first,
        others: errors,
    })
}

/// Adds what is new: one refusal a field.
fn collect(found: Vec<ArgumentError>, errors: &mut Vec<ArgumentError>) {
    for error in found {
        if !errors.iter().any(|known| known.field == error.field) {
            errors.push(error);
        }
    }
}

fn unknown_names(tool: &Tool, arguments: &Map<String, Value>) -> Vec<ArgumentError> {
    let known = || {
        tool.parameters
            .iter()
            .map(|parameter| parameter.property.name.as_str())
    };
    arguments
        .keys()
        .filter(|name| !known().any(|known| known == name.as_str()))
        .map(|name| unknown(name, name, known()))
        .collect()
}

fn unknown<'a>(
    field: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> ArgumentError {
    let shown = shortened(field);
    // Shortened: the distance to a name of a megabyte would take hundreds of megabytes to find.
    let help = match nearest(&shortened(name), known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match known.collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => "nothing can be given here".to_owned(),
            names => format!("known: {names}"),
        },
    };
    ArgumentError::new(&shown, format!("`{shown}` is not an argument; {help}"))
}

/// Mends, in place, what is clearly meant.
fn repair(field: &str, value: &mut Value, shape: &Shape, errors: &mut Vec<ArgumentError>) {
    if let Value::String(text) = value
        && !matches!(shape.kind, Kind::String)
    {
        match serde_json::from_str::<Value>(text) {
            Ok(parsed) if meant(&shape.kind, &parsed) => *value = parsed,
            Ok(_) => {}
            Err(error) if matches!(shape.kind, Kind::Array(_) | Kind::Object { .. }) => {
                let word = shape.kind.word();
                errors.push(ArgumentError::new(
                    field,
                    format!("`{field}` must be an {word}; the text given is not JSON ({error})"),
                ));
            }
            Err(_) => {}
        }
    }
    match (&shape.kind, value) {
        (Kind::Integer, value) => whole(field, value, errors),
        (Kind::Array(items), Value::Array(values)) => {
            for (index, value) in values.iter_mut().enumerate() {
                repair(&format!("{field}[{index}]"), value, items, errors);
            }
        }
        (Kind::Object { properties, .. }, Value::Object(entries)) => {
            repair_entries(field, entries, properties, errors);
        }
        _ => {}
    }
}

/// Whether JSON found inside a string is what the parameter wants.
fn meant(kind: &Kind, parsed: &Value) -> bool {
    kind.admits(parsed) || (matches!(kind, Kind::Integer) && parsed.is_f64())
}

/// `2.0` is 2. A float that is no integer we can write down is refused here: JSON Schema would let `1e300` pass, and
/// the backend ignores an `If-Match` it cannot read (contract T22).
fn whole(field: &str, value: &mut Value, errors: &mut Vec<ArgumentError>) {
    let Some(float) = value.as_f64().filter(|_| value.is_f64()) else {
        return;
    };
    let text = format!("{float:.0}");
    match text.parse::<i64>() {
        Ok(integer) if float.fract() == 0.0 && integer.unsigned_abs() < (1 << 53) => {
            *value = Value::Number(Number::from(integer));
        }
        _ => errors.push(wrong(field, "an integer", value)),
    }
}

fn repair_entries(
    field: &str,
    entries: &mut Map<String, Value>,
    properties: &[Property],
    errors: &mut Vec<ArgumentError>,
) {
    for property in properties {
        // The backend's own name is as good as ours where only it is given; of two values neither is the meant one.
        if property.wire != property.name
            && let Some(value) = entries.shift_remove(&property.wire)
        {
            if entries.contains_key(&property.name) {
                let (wire, name) = (&property.wire, &property.name);
                errors.push(ArgumentError::new(
                    format!("{field}.{wire}"),
                    format!("`{field}.{wire}` and `{field}.{name}` are the same field: give one"),
                ));
            } else {
                entries.insert(property.name.clone(), value);
            }
        }
        if let Some(value) = entries.get_mut(&property.name)
            && !value.is_null()
        {
            let field = format!("{field}.{}", property.name);
            repair(&field, value, &property.shape, errors);
        }
    }
}

/// What the compiled schema says, in words. A null where nothing is demanded is a value, not an error.
fn validation(tool: &Tool, arguments: &Value) -> Vec<ArgumentError> {
    let Some(validator) = tool.validator.get() else {
        let message = format!("the arguments of {} cannot be checked", tool.name);
        return vec![ArgumentError::new("", message)];
    };
    validator
        .iter_errors(arguments)
        .take(4 * MOST)
        .filter(|error| !is_permitted_null(tool, error))
        .flat_map(|error| refusals(tool, &error))
        .collect()
}

/// A null inside a merged object (`updates`): the backend stores it as null (contract §5.3). Not so for a field that
/// a record must have: a comment whose parent is null is refused with a status 500 that explains nothing (T20).
fn is_permitted_null(tool: &Tool, error: &jsonschema::ValidationError<'_>) -> bool {
    let path = error.instance_path().as_str();
    let mut segments = path.split('/').skip(1);
    let (Some(name), Some(key), None) = (segments.next(), segments.next(), segments.next()) else {
        return false;
    };
    error.instance().is_null()
        && tool.parameters.iter().any(|parameter| {
            parameter.property.name == name
                && parameter.place == Place::Merged
                && matches!(&parameter.property.shape.kind, Kind::Object { properties, .. }
                    if properties.iter().any(|p| p.name == key && p.nullable))
        })
}

fn refusals(tool: &Tool, error: &jsonschema::ValidationError<'_>) -> Vec<ArgumentError> {
    let field = field_of(error.instance_path().as_str());
    let inside = |name: &str| match field.as_str() {
        "" => name.to_owned(),
        field => format!("{field}.{name}"),
    };
    let got = error.instance();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let field = inside(property.as_str().unwrap_or_default());
            let message = format!("`{field}` is missing; {} needs it", tool.name);
            vec![ArgumentError::new(field, message)]
        }
        // The top level is reported by `unknown_names`, with the nearest name.
        ValidationErrorKind::AdditionalProperties { unexpected } if !field.is_empty() => unexpected
            .iter()
            .map(|name| {
                let known = properties_at(tool, error.instance_path().as_str());
                let known = known.iter().map(|property| property.name.as_str());
                unknown(&inside(name), name, known)
            })
            .collect(),
        ValidationErrorKind::AdditionalProperties { .. } => Vec::new(),
        // What the validator makes of an object that names no keys and admits no others.
        ValidationErrorKind::FalseSchema if field.is_empty() => Vec::new(),
        ValidationErrorKind::FalseSchema => {
            let message =
                format!("`{field}` is an object without keys: nothing can be given in it");
            vec![ArgumentError::new(field, message)]
        }
        ValidationErrorKind::Enum { options } => {
            let allowed = options.as_array().cloned().unwrap_or_default();
            let list: Vec<_> = allowed.iter().map(ToString::to_string).collect();
            let what = format!("one of {}", list.join(", "));
            vec![ArgumentError {
                allowed,
                ..wrong(&field, &what, got)
            }]
        }
        kind => vec![wrong(&field, &expectation(kind, error), got)],
    }
}

/// The named keys of the object at this place of the arguments (a JSON Pointer).
fn properties_at<'t>(tool: &'t Tool, pointer: &str) -> &'t [Property] {
    let mut segments = pointer.split('/').skip(1);
    let parameter = segments.next().and_then(|name| {
        let mut parameters = tool.parameters.iter();
        parameters.find(|parameter| parameter.property.name == name)
    });
    let mut shape = parameter.map(|parameter| &parameter.property.shape);
    for segment in segments {
        shape = shape.and_then(|shape| match &shape.kind {
            Kind::Array(items) => Some(&**items),
            Kind::Object { properties, .. } => properties
                .iter()
                .find(|property| property.name == segment)
                .map(|property| &property.shape),
            _ => None,
        });
    }
    match shape.map(|shape| &shape.kind) {
        Some(Kind::Object { properties, .. }) => properties,
        _ => &[],
    }
}

/// What a value should have been.
fn expectation(kind: &ValidationErrorKind, error: &jsonschema::ValidationError<'_>) -> String {
    match kind {
        ValidationErrorKind::Type {
            kind: TypeKind::Single(kind),
        } => match kind.to_string().as_str() {
            word @ ("array" | "object" | "integer") => format!("an {word}"),
            word => format!("a {word}"),
        },
        ValidationErrorKind::Format { format } => match format.as_str() {
            "uuid" => "a UUID such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
            "date" => "a date such as 2026-01-31".to_owned(),
            "date-time" => "a time with its zone such as 2026-01-31T12:00:00Z".to_owned(),
            "email" => "an e-mail address".to_owned(),
            "uri" => "a URI such as https://example.com/page".to_owned(),
            other => format!("in the format {other}"),
        },
        ValidationErrorKind::Minimum { limit } => format!("{limit} or more"),
        ValidationErrorKind::Maximum { limit } => format!("{limit} or less"),
        ValidationErrorKind::MinLength { limit } => {
            format!("at least {limit} character{} long", plural(*limit))
        }
        ValidationErrorKind::MaxLength { limit } => {
            format!("at most {limit} character{} long", plural(*limit))
        }
        ValidationErrorKind::MinItems { limit } => format!("a list of at least {limit}"),
        ValidationErrorKind::MaxItems { limit } => format!("a list of at most {limit}"),
        ValidationErrorKind::MinProperties { limit } => {
            format!("an object with at least {limit} key{}", plural(*limit))
        }
        ValidationErrorKind::MaxProperties { limit } => {
            format!("an object with at most {limit} key{}", plural(*limit))
        }
        _ => format!("as the schema says ({})", error.kind().keyword()),
    }
}

fn wrong(field: &str, what: &str, got: &Value) -> ArgumentError {
    ArgumentError::new(
        field,
        format!("`{field}` must be {what}, not {}", described(got)),
    )
}

/// A JSON Pointer as a model writes a field: `/updates/tags/0` → `updates.tags[0]`.
fn field_of(pointer: &str) -> String {
    let mut field = String::new();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !field.is_empty() {
            field.push_str(&format!("[{segment}]"));
        } else {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(&segment);
        }
    }
    shortened(&field)
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the text {}", Value::from(shortened(text))),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(entries) if entries.is_empty() => "an empty object".to_owned(),
        Value::Object(entries) => {
            format!(
                "an object with {} key{}",
                entries.len(),
                plural(entries.len() as u64)
            )
        }
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Keys a free-form object must not carry: those only the backend sets, and those that have a parameter of their own.
fn reserved(tool: &Tool, parameter: &Parameter, value: &Value) -> Vec<ArgumentError> {
    let name = &parameter.property.name;
    let own: &[Property] = match &parameter.property.shape.kind {
        Kind::Object { properties, .. } => properties,
        _ => &[],
    };
    let keys = value.as_object().into_iter().flat_map(Map::keys);
    keys.filter_map(|key| {
        let field = format!("{name}.{}", shortened(key));
        if RESERVED.contains(&key.as_str()) {
            let message = format!("`{field}` is reserved: only the backend sets it");
            return Some(ArgumentError::new(field, message));
        }
        let twin = tool.parameters.iter().find(|other| {
            other.place == Place::Body
                && (other.property.name == *key || other.property.wire == *key)
        })?;
        let twin = &twin.property.name;
        let message = format!("`{field}` has an argument of its own: use `{twin}`");
        (!own.iter().any(|p| p.name == *key)).then(|| ArgumentError::new(field, message))
    })
    .collect()
}

/// Renames keys, at every depth, to what the backend calls them, and fills in the defaults of nested objects.
fn to_wire(value: &mut Value, shape: &Shape) {
    match (&shape.kind, value) {
        (Kind::Array(items), Value::Array(values)) => {
            values.iter_mut().for_each(|value| to_wire(value, items));
        }
        (Kind::Object { properties, .. }, Value::Object(entries)) => {
            let taken = std::mem::take(entries);
            for (key, mut value) in taken {
                let property = properties.iter().find(|property| property.name == key);
                if let Some(property) = property {
                    to_wire(&mut value, &property.shape);
                    entries.insert(property.wire.clone(), value);
                } else {
                    entries.insert(key, value);
                }
            }
            for property in properties {
                if let Some(default) = &property.shape.default
                    && !entries.contains_key(&property.wire)
                {
                    entries.insert(property.wire.clone(), default.clone());
                }
            }
        }
        _ => {}
    }
}
