//! The shape of a value: what `type`, `enum`, `items` … of a field or parameter come to once they are checked.
//! In: raw definitions. Out: [`Shape`]s that make sense, and a problem for each that does not.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{
    dialect::HEADER_ANNOTATION,
    headers,
    problem::{At, Problem},
    raw::{FORMATS, Named, RawParameter, TYPES},
    validator::compile,
    yaml::Placed,
};

/// What a value must look like.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) description: Option<String>,
    /// The allowed values; empty means any of the kind.
    pub(super) choices: Vec<Value>,
    pub(super) format: Option<String>,
    pub(super) default: Option<Value>,
    /// Smallest number, shortest text, fewest items or keys.
    pub(super) min: Option<Value>,
    pub(super) max: Option<Value>,
    /// Clients repeat the value in the header of this name (protocol page A.7).
    pub(super) mcp_header: Option<String>,
}

/// The type of a value, with what belongs to the type.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Array(Box<Shape>),
    Object {
        properties: Vec<Property>,
        /// Whether keys that are not named may be there.
        additional: bool,
    },
}

/// A named value: a field of an entity or a key of an object.
#[derive(Clone, Debug)]
pub(super) struct Property {
    /// Name for the model, `due_date`.
    pub(super) name: String,
    /// Name at the backend, `dueDate`.
    pub(super) wire: String,
    pub(super) required: bool,
    /// Whether an object that changes a record may set it to null.
    pub(super) nullable: bool,
    pub(super) shape: Shape,
}

impl Kind {
    /// The word of the file and of JSON Schema.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array(_) => "array",
            Self::Object { .. } => "object",
        }
    }

    /// The same with its article.
    pub(super) fn a(&self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Array(_) => "an array",
            Self::Object { .. } => "an object",
        }
    }

    /// Whether a value is of this kind, its contents aside.
    pub(super) fn admits(&self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array(_) => value.is_array(),
            Self::Object { .. } => value.is_object(),
        }
    }

    /// What `min` and `max` bound, as JSON Schema's two keywords.
    pub(super) fn bounds(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::String => Some(("minLength", "maxLength")),
            Self::Integer | Self::Number => Some(("minimum", "maximum")),
            Self::Array(_) => Some(("minItems", "maxItems")),
            Self::Object { .. } => Some(("minProperties", "maxProperties")),
            Self::Boolean => None,
        }
    }
}

impl Shape {
    /// A text of any content.
    pub(super) fn text() -> Self {
        Self {
            kind: Kind::String,
            description: None,
            choices: Vec::new(),
            format: None,
            default: None,
            min: None,
            max: None,
            mcp_header: None,
        }
    }

    /// The JSON Schema (2020-12) of the shape.
    pub(super) fn json_schema(&self) -> Value {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!(self.kind.word()));
        match &self.kind {
            Kind::Array(items) => {
                schema.insert("items".to_owned(), items.json_schema());
            }
            Kind::Object {
                properties,
                additional,
            } => object_keywords(&mut schema, properties, *additional),
            Kind::String | Kind::Integer | Kind::Number | Kind::Boolean => {}
        }
        if !self.choices.is_empty() {
            schema.insert("enum".to_owned(), json!(self.choices));
        }
        if let Some(format) = &self.format {
            schema.insert("format".to_owned(), json!(format));
        }
        if let Some((min, max)) = self.kind.bounds() {
            schema.extend(self.min.clone().map(|bound| (min.to_owned(), bound)));
            schema.extend(self.max.clone().map(|bound| (max.to_owned(), bound)));
        }
        if let Some(default) = &self.default {
            schema.insert("default".to_owned(), default.clone());
        }
        if let Some(description) = &self.description {
            schema.insert("description".to_owned(), json!(description));
        }
        if let Some(header) = &self.mcp_header {
            schema.insert(HEADER_ANNOTATION.to_owned(), json!(header));
        }
        Value::Object(schema)
    }
}

/// `properties`, `required` and `additionalProperties`, each only where it says something.
fn object_keywords(schema: &mut Map<String, Value>, properties: &[Property], additional: bool) {
    let required: Vec<_> = properties
        .iter()
        .filter(|property| property.required)
        .map(|property| property.name.as_str())
        .collect();
    if !properties.is_empty() {
        let map: Map<_, _> = properties
            .iter()
            .map(|property| (property.name.clone(), property.shape.json_schema()))
            .collect();
        schema.insert("properties".to_owned(), Value::Object(map));
    }
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if !additional {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// The shape a definition declares; `None` where its type is unusable.
pub(super) fn shape(
    name: &Placed<String>,
    raw: &RawParameter,
    problems: &mut Vec<Problem>,
) -> Option<Shape> {
    let kind = kind(name, raw, problems)?;
    let shape = Shape {
        description: raw.description.as_ref().map(|text| text.value.clone()),
        choices: choices(&kind, raw, problems),
        format: format(&kind, raw, problems),
        default: None,
        min: bound(&kind, raw.min.as_ref(), problems),
        max: bound(&kind, raw.max.as_ref(), problems),
        mcp_header: headers::mcp_header(&kind, raw.mcp_header.as_ref(), problems),
        kind,
    };
    if let (Some(min), Some(max), Some(at)) = (&shape.min, &shape.max, &raw.max)
        && min.as_f64() > max.as_f64()
    {
        problems.push(Problem::error(at.at, "`max` is below `min`"));
    }
    let default = raw.default.as_ref();
    let default = default.and_then(|default| fitting(&shape, "default", default, problems));
    Some(Shape { default, ..shape })
}

/// Named definitions → properties; names and wire names must be usable and unique.
pub(super) fn properties(
    definitions: &Named<RawParameter>,
    problems: &mut Vec<Problem>,
) -> Vec<Property> {
    let mut properties: Vec<Property> = Vec::new();
    let mut wires: HashMap<&str, &str> = HashMap::new();
    for (name, raw) in definitions {
        let Some(shape) = shape(name, raw, problems) else {
            continue;
        };
        if !is_field_name(&name.value) {
            problems.push(
                Problem::error(name.at, format!("`{}` is no usable name", name.value))
                    .hint("1 to 64 letters, digits, `_` or `-`, starting with a letter or `_`"),
            );
        }
        let wire = raw.wire.as_ref().unwrap_or(name);
        if let Some(other) = wires.insert(&wire.value, &name.value) {
            let what = format!("`{}` is already the wire name of `{other}`", wire.value);
            problems.push(Problem::error(wire.at, what));
        }
        properties.push(Property {
            name: name.value.clone(),
            wire: wire.value.clone(),
            required: raw.required,
            nullable: !raw.required,
            shape,
        });
    }
    properties
}

/// Names every client and every model provider accepts for a parameter.
fn is_field_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    name.len() <= 64
        && first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn kind(name: &Placed<String>, raw: &RawParameter, problems: &mut Vec<Problem>) -> Option<Kind> {
    let word = raw.kind.as_ref()?;
    misplaced(&word.value, raw, problems);
    Some(match word.value.as_str() {
        "string" => Kind::String,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        "array" => Kind::Array(Box::new(items(name, raw, word.at, problems))),
        "object" => {
            let properties = properties(&raw.properties, problems);
            let open = properties.is_empty() && !raw.fields;
            let additional = raw.additional.as_ref().map_or(open, |flag| flag.value);
            Kind::Object {
                properties,
                additional,
            }
        }
        unknown => {
            problems.push(
                Problem::error(word.at, format!("unknown type `{unknown}`"))
                    .suggest(unknown, TYPES.iter().copied())
                    .or_hint(type_hint(unknown)),
            );
            return None;
        }
    })
}

/// What people write for a type that has another name here.
fn type_hint(word: &str) -> String {
    match word {
        "int" | "long" => "type: integer".to_owned(),
        "float" | "double" | "decimal" => "type: number".to_owned(),
        "bool" => "type: boolean".to_owned(),
        "str" | "text" => "type: string".to_owned(),
        "list" => "type: array, with `items`".to_owned(),
        "dict" | "map" => "type: object".to_owned(),
        "datetime" | "timestamp" => "type: string, format: date-time".to_owned(),
        _ if FORMATS.contains(&word) => format!("type: string, format: {word}"),
        _ => format!("types: {}", TYPES.join(", ")),
    }
}

fn items(name: &Placed<String>, raw: &RawParameter, at: At, problems: &mut Vec<Problem>) -> Shape {
    let Some(items) = &raw.items else {
        problems.push(
            Problem::error(at, format!("array `{}` has no `items`", name.value))
                .hint("say what it holds: `items: { type: string }`"),
        );
        return Shape::text();
    };
    shape(name, items, problems).unwrap_or_else(Shape::text)
}

/// Keys that mean nothing for the type they stand beside.
fn misplaced(word: &str, raw: &RawParameter, problems: &mut Vec<Problem>) {
    let mut refuse = |at: At, key: &str, of: &str| {
        problems.push(Problem::error(
            at,
            format!("`{key}` belongs to {of}, but the type is {word}"),
        ));
    };
    if word != "array"
        && let Some(at) = raw.items.as_ref().and_then(|items| items.kind.as_ref())
    {
        refuse(at.at, "items", "an array");
    }
    if word != "object" {
        if let Some((name, _)) = raw.properties.first() {
            refuse(name.at, "properties", "an object");
        }
        if let Some(flag) = &raw.additional {
            refuse(flag.at, "additional", "an object");
        }
    }
    if word != "string"
        && let Some(format) = &raw.format
    {
        refuse(format.at, "format", "a string");
    }
}

fn choices(kind: &Kind, raw: &RawParameter, problems: &mut Vec<Problem>) -> Vec<Value> {
    let Some(choices) = &raw.choices else {
        return Vec::new();
    };
    if choices.is_empty()
        && let Some(word) = &raw.kind
    {
        problems.push(Problem::error(word.at, "an empty `enum` admits no value"));
    }
    let mut seen = HashSet::new();
    for choice in choices {
        if !kind.admits(&choice.value) {
            let what = format!("`{}` in `enum` is no {}", choice.value, kind.word());
            problems.push(Problem::error(choice.at, what));
        } else if !seen.insert(choice.value.to_string()) {
            let what = format!("`{}` is in `enum` already", choice.value);
            problems.push(Problem::error(choice.at, what));
        }
    }
    choices.iter().map(|choice| choice.value.clone()).collect()
}

fn format(kind: &Kind, raw: &RawParameter, problems: &mut Vec<Problem>) -> Option<String> {
    let format = raw.format.as_ref()?;
    if !FORMATS.contains(&format.value.as_str()) {
        problems.push(
            Problem::error(format.at, format!("unknown format `{}`", format.value))
                .suggest(&format.value, FORMATS.iter().copied())
                .or_hint(format!("known formats: {}", FORMATS.join(", "))),
        );
    }
    matches!(kind, Kind::String).then(|| format.value.clone())
}

fn bound(kind: &Kind, bound: Option<&Placed<Value>>, problems: &mut Vec<Problem>) -> Option<Value> {
    let bound = bound?;
    match kind {
        Kind::Boolean => {
            problems.push(Problem::error(bound.at, "a boolean has no bounds"));
            None
        }
        Kind::Number => Some(bound.value.clone()),
        Kind::Integer if bound.value.is_f64() => {
            problems.push(Problem::error(
                bound.at,
                "a bound of an integer is an integer",
            ));
            None
        }
        Kind::Integer => Some(bound.value.clone()),
        Kind::String | Kind::Array(_) | Kind::Object { .. } if !bound.value.is_u64() => {
            let what = format!("a bound of {} counts, so it is 0 or more", kind.a());
            problems.push(Problem::error(bound.at, what));
            None
        }
        Kind::String | Kind::Array(_) | Kind::Object { .. } => Some(bound.value.clone()),
    }
}

/// A value given for the shape itself (`default`, `omit`), if it fits.
pub(super) fn fitting(
    shape: &Shape,
    key: &str,
    given: &Placed<Value>,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let word = shape.kind.word();
    let what = if !shape.kind.admits(&given.value) {
        format!("`{key}` is no {word}: {}", given.value)
    } else if !shape.choices.is_empty() && !shape.choices.contains(&given.value) {
        format!("`{key}` is not in `enum`: {}", given.value)
    } else if !fits(shape, &given.value) {
        format!("`{key}` does not fit its own definition: {}", given.value)
    } else {
        return Some(given.value.clone());
    };
    problems.push(Problem::error(given.at, what));
    None
}

/// Whether a value of the kind, and among the choices, keeps format, bounds and items.
fn fits(shape: &Shape, value: &Value) -> bool {
    keeps_bounds(shape, value).unwrap_or_else(|| {
        compile(&shape.json_schema()).is_ok_and(|validator| validator.is_valid(value))
    })
}

/// The same where nothing has to be compiled for it, which is nearly everywhere: a start waits for whatever is compiled.
fn keeps_bounds(shape: &Shape, value: &Value) -> Option<bool> {
    let counts = match (&shape.kind, value) {
        _ if shape.format.is_some() => return None,
        (Kind::Boolean, _) => return Some(true),
        (Kind::String, Value::String(text)) => text.chars().count() as i128,
        (Kind::Integer, value) => integer(value)?,
        _ => return None,
    };
    let bound = |bound: &Option<Value>| match bound {
        None => Some(None),
        Some(bound) => integer(bound).map(Some),
    };
    let (min, max) = (bound(&shape.min)?, bound(&shape.max)?);
    Some(min.is_none_or(|min| counts >= min) && max.is_none_or(|max| counts <= max))
}

fn integer(value: &Value) -> Option<i128> {
    let unsigned = || value.as_u64().map(i128::from);
    value.as_i64().map(i128::from).or_else(unsigned)
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*, sample::select};

    use super::*;

    fn number() -> impl Strategy<Value = Value> {
        select(vec![
            json!(0),
            json!(1),
            json!(3),
            json!(-1),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1.0),
            json!(2.5),
        ])
    }

    proptest! {
        #[test]
        fn what_needs_no_compiling_is_decided_as_the_compiled_schema_does(
            min in option::of(number()),
            max in option::of(number()),
            integer in number(),
            text in "[aäé\u{301}👩]{0,4}",
        ) {
            for (kind, value) in [
                (Kind::Integer, integer.clone()),
                (Kind::Number, integer),
                (Kind::String, json!(text)),
                (Kind::Boolean, json!(true)),
            ] {
                let shape = Shape { kind, min: min.clone(), max: max.clone(), ..Shape::text() };
                // A bound that no schema can have is refused before.
                if let (Some(quick), Ok(validator)) =
                    (keeps_bounds(&shape, &value), compile(&shape.json_schema()))
                {
                    prop_assert_eq!(quick, validator.is_valid(&value), "{:?} {}", shape, value);
                }
            }
        }
    }
}
