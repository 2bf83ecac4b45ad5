//! The two tools of a caller with several organizations: where am I, and go there. They exist only where organizations
//! are chosen (`tenant.mode` is "workos" or "backend"), beside the catalogue's tools, which cannot have their names then.
//! In: a caller and arguments. Out: outcomes like those of any other tool; the backend is not asked to do anything.

use std::{sync::Arc, time::Instant};

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::{
    outcome::{Code, Failure, Outcome, shown},
    present,
};
use crate::{
    auth::Caller,
    backend::CorrelationId,
    catalogue::Catalogue,
    identity::{Identities, IdentityError},
    json_text::JsonText,
};

/// Chooses an organization.
pub const SELECT: &str = "select_workspace";
/// Says where the caller is.
pub const CURRENT: &str = "current_workspace";

/// The one argument of [`SELECT`].
const ORGANIZATION: &str = "organization";

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkspaceTool {
    Select,
    Current,
}

/// The catalogue has a tool of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the catalogue has `{0}`, the name of a tool of toolbridge's own where `tenant.mode` is \"workos\" or \"backend\": rename it"
)]
pub struct ReservedName(&'static str);

/// Whether the names of these two are free in the catalogue.
///
/// # Errors
/// The first of them that is taken.
pub fn check(catalogue: &Catalogue) -> Result<(), ReservedName> {
    let taken = |name: &&str| catalogue.called(name).is_some();
    let taken = [SELECT, CURRENT].into_iter().find(taken);
    taken.map_or(Ok(()), |name| Err(ReservedName(name)))
}

impl WorkspaceTool {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            SELECT => Some(Self::Select),
            CURRENT => Some(Self::Current),
            _ => None,
        }
    }

    /// Both as clients see them.
    pub(super) fn listed() -> [Tool; 2] {
        [current_tool(), select_tool()]
    }

    /// Runs the tool, and logs it as a call like any other.
    pub(super) async fn run(
        self,
        identities: &Identities,
        caller: &Caller,
        arguments: &Map<String, Value>,
    ) -> Outcome {
        let correlation = CorrelationId::random();
        let begun = Instant::now();
        let result = match self {
            Self::Select => select(identities, caller, arguments).await,
            Self::Current => current(identities, caller, arguments).await,
        };
        let (outcome, ending, cause) = match result {
            Ok(value) => (Outcome::Success(JsonText::of(&value)), "ok", None),
            Err(failed) => {
                let (failure, cause) = failed.told(correlation);
                let ending = failure.code.as_str();
                (Outcome::Failure(failure), ending, cause)
            }
        };
        tracing::info!(
            tool.name = self.name(),
            request.id = %correlation,
            outcome = ending,
            duration_ms = begun.elapsed().as_secs_f64() * 1_000.0,
            error = cause,
            "tool call"
        );
        outcome
    }

    fn name(self) -> &'static str {
        match self {
            Self::Select => SELECT,
            Self::Current => CURRENT,
        }
    }
}

enum Failed {
    Argument(String),
    Identity(IdentityError),
}

impl Failed {
    /// The failure, and its cause for the log.
    fn told(self, correlation: CorrelationId) -> (Failure, Option<String>) {
        let (failure, cause) = match self {
            Self::Argument(message) => {
                let failure = Failure {
                    field: Some(ORGANIZATION.to_owned()),
                    ..present::plain(Code::ValidationError, message)
                };
                (failure, None)
            }
            Self::Identity(error) => (present::identity::refused(&error), Some(error.to_string())),
        };
        let correlation_id = correlation.to_string();
        let failure = Failure {
            correlation_id,
            ..failure
        };
        (failure, cause)
    }
}

async fn select(
    identities: &Identities,
    caller: &Caller,
    arguments: &Map<String, Value>,
) -> Result<Value, Failed> {
    only(arguments, &[ORGANIZATION])?;
    let wanted = arguments.get(ORGANIZATION).and_then(Value::as_str);
    let wanted = wanted.filter(|wanted| !wanted.is_empty()).ok_or_else(|| {
        Failed::Argument(format!(
            "{SELECT} was not run: `{ORGANIZATION}` has to be the id or the exact name of one of your organizations; {CURRENT} lists them"
        ))
    })?;
    let chosen = identities.choose(caller, wanted).await;
    Ok(shown(&chosen.map_err(Failed::Identity)?))
}

async fn current(
    identities: &Identities,
    caller: &Caller,
    arguments: &Map<String, Value>,
) -> Result<Value, Failed> {
    only(arguments, &[])?;
    let workspace = identities.current(caller).await;
    let workspace = workspace.map_err(Failed::Identity)?;
    let organizations: Vec<_> = workspace.organizations.iter().map(shown).collect();
    let current = workspace.current.as_ref().map(shown);
    Ok(json!({ "current": current, "organizations": organizations }))
}

fn only(arguments: &Map<String, Value>, known: &[&str]) -> Result<(), Failed> {
    let odd = arguments.keys().find(|key| !known.contains(&key.as_str()));
    match odd {
        None => Ok(()),
        Some(_) if known.is_empty() => {
            Err(Failed::Argument(format!("{CURRENT} takes no arguments")))
        }
        Some(_) => Err(Failed::Argument(format!(
            "{SELECT} takes one argument, `{ORGANIZATION}`"
        ))),
    }
}

fn select_tool() -> Tool {
    let input = json!({
        "type": "object",
        "properties": {
            ORGANIZATION: { "type": "string", "description": "Id or exact name of one of the person's organizations" },
        },
        "required": [ORGANIZATION],
        "additionalProperties": false,
    });
    let description = "Choose the organization that all following calls are for. Ask the person which one is meant.";
    tool(SELECT, "Select workspace", description, input)
        .with_raw_output_schema(object(organization()))
        .with_annotations(hints(false))
}

fn current_tool() -> Tool {
    let input = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let output = json!({
        "type": "object",
        "properties": {
            "current": { "anyOf": [organization(), { "type": "null" }] },
            "organizations": { "type": "array", "items": organization() },
        },
        "required": ["current", "organizations"],
    });
    let description = "The organization that calls are for (null: it has to be chosen), and those to choose from.";
    tool(CURRENT, "Current workspace", description, input)
        .with_raw_output_schema(object(output))
        .with_annotations(hints(true))
}

fn tool(name: &'static str, title: &str, description: &'static str, input: Value) -> Tool {
    Tool::new(name, description, object(input)).with_title(title)
}

fn organization() -> Value {
    json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "name": { "type": "string" } },
        "required": ["id", "name"],
    })
}

fn object(schema: Value) -> Arc<JsonObject> {
    match schema {
        Value::Object(schema) => Arc::new(schema),
        _ => Arc::default(),
    }
}

fn hints(read_only: bool) -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(read_only)
        .destructive(false)
        .idempotent(true)
        .open_world(false)
}
