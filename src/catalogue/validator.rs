//! The compiled form of a tool's input schema, made when the first call of the tool needs it: compiling takes most of what
//! a tool costs at load, and most tools of a large catalogue are never called. In: the schema. Out: its validator, the same
//! for everybody. That every schema of a loaded catalogue can be compiled is the doing of `shape`: no decision is left to
//! a call.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// A schema that is compiled once, at its first use.
pub(super) struct Validator {
    schema: Arc<Map<String, Value>>,
    compiled: OnceLock<Option<jsonschema::Validator>>,
}

impl Validator {
    pub(super) fn new(schema: Arc<Map<String, Value>>) -> Self {
        Self {
            schema,
            compiled: OnceLock::new(),
        }
    }

    /// The validator; `None` would be a schema that nothing can be checked against, so nothing may pass it.
    pub(super) fn get(&self) -> Option<&jsonschema::Validator> {
        let compiled = self.compiled.get_or_init(|| {
            let schema = Value::Object((*self.schema).clone());
            compile(&schema)
                .map_err(|error| tracing::error!(error = %error.masked(), "an input schema cannot be compiled"))
                .ok()
        });
        compiled.as_ref()
    }
}

/// Compiles a schema as every value of a call is checked: formats count.
pub(super) fn compile(
    schema: &Value,
) -> Result<jsonschema::Validator, jsonschema::ValidationError<'static>> {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
}
