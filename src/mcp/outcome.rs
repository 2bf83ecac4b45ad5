//! What a tool call ends with, before it is dressed for MCP: a result, or a failure a model can act on (design §8).

use serde_json::{Map, Value, json};

use crate::{identity::Organization, json_text::JsonText};

/// The end of a call.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The result, in the shape the tool's output schema declares: always an object.
    Success(JsonText),
    /// What went wrong.
    Failure(Failure),
}

/// The codes of failures, stable for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An argument is wrong; nothing was sent.
    ValidationError,
    /// There is no such record.
    NotFound,
    /// The record was deleted, or the tool removed.
    Gone,
    /// The record has another version than `if_match` says.
    VersionConflict,
    /// The backend did not accept the caller's token.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// The caller belongs to several organizations and has to choose one.
    TenantSelectionRequired,
    /// Too many requests.
    RateLimited,
    /// The backend did not do it.
    BackendRejected,
    /// The backend could not be reached or its answer could not be read.
    BackendUnavailable,
    /// It took too long.
    Timeout,
    /// The answer is larger than is passed on.
    ResponseTooLarge,
    /// Catalogue and backend, or parts of toolbridge, disagree.
    Internal,
}

impl Code {
    /// As programs read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::NotFound => "NOT_FOUND",
            Self::Gone => "GONE",
            Self::VersionConflict => "VERSION_CONFLICT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::TenantSelectionRequired => "TENANT_SELECTION_REQUIRED",
            Self::RateLimited => "RATE_LIMITED",
            Self::BackendRejected => "BACKEND_REJECTED",
            Self::BackendUnavailable => "BACKEND_UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::ResponseTooLarge => "RESPONSE_TOO_LARGE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A failure in words and fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind.
    pub code: Code,
    /// What happened and what to do next; for the model.
    pub message: String,
    /// The backend's HTTP status, where it answered.
    pub status: Option<u16>,
    /// The argument at fault.
    pub field: Option<String>,
    /// The values it may have.
    pub allowed: Vec<Value>,
    /// Whether the same call, unchanged, may succeed later without doing anything twice.
    pub retryable: bool,
    /// How long to wait before that, in seconds.
    pub retry_after: Option<u64>,
    /// Those the caller has to choose from; only where that is what is missing.
    pub organizations: Vec<Organization>,
    /// Joins this answer with our log and the backend's.
    pub correlation_id: String,
    /// The backend's own words, cleaned.
    pub backend_message: Option<String>,
}

impl Failure {
    /// `{"error": {…}}`, absent fields left out.
    #[must_use]
    pub fn structured(&self) -> Value {
        let mut error = Map::new();
        error.insert("code".to_owned(), json!(self.code.as_str()));
        error.insert("message".to_owned(), json!(self.message));
        error.insert("status".to_owned(), json!(self.status));
        let mut add = |name: &str, value: Option<Value>| {
            error.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("field", self.field.as_ref().map(|field| json!(field)));
        add(
            "allowed",
            (!self.allowed.is_empty()).then(|| json!(self.allowed)),
        );
        add("retryable", Some(json!(self.retryable)));
        add(
            "retry_after_s",
            self.retry_after.map(|seconds| json!(seconds)),
        );
        if !self.organizations.is_empty() {
            let organizations: Vec<_> = self.organizations.iter().map(shown).collect();
            add("organizations", Some(json!(organizations)));
            add("tool", Some(json!(super::workspace::SELECT)));
        }
        add("correlation_id", Some(json!(self.correlation_id)));
        add(
            "backend_message",
            self.backend_message.as_ref().map(|text| json!(text)),
        );
        json!({ "error": error })
    }
}

/// An organization as results and errors show it.
pub(super) fn shown(organization: &Organization) -> Value {
    json!({ "id": organization.id().as_str(), "name": organization.name() })
}
