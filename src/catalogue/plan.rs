//! A plan: the one HTTP request a tool call becomes, before any identity is attached to it.
//! Nothing in it came from the client unchecked: segments and values are encoded, headers are ours.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::IF_MATCH};
use uuid::Uuid;

use super::session::SessionRecipe;

/// The name of a write, for backends that know a repeated one by it (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether a tool changes anything at the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads only: may be repeated and may be abandoned.
    Read,
    /// Writes: once sent it runs to its end; see [`Plan::may_be_repeated`].
    Write,
}

/// One request to the backend.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The HTTP method.
    pub method: Method,
    /// Path and query, already encoded, starting with `/`.
    pub target: String,
    /// Headers that come from arguments (`If-Match`) or name the write; never identity headers.
    pub headers: HeaderMap,
    /// JSON text; `None` sends no body and no content type.
    pub body: Option<Vec<u8>>,
    /// What the call may do to the backend's state.
    pub effect: Effect,
    /// The key of the body under which the backend takes the uid of the record that is made; `None` where it chooses
    /// itself, where the caller did, or where no record is made.
    pub new_uid: Option<Arc<str>>,
    /// How the session of its own is opened that the request needs; `None` where it needs none.
    pub session: Option<Arc<SessionRecipe>>,
    /// The statuses that mean success.
    pub success: Arc<[u16]>,
}

impl Plan {
    /// The same write under a name of its own: the backend is told it, and a record that is made has it as its uid. Sent
    /// twice under one name, it makes one record (contract §5.2).
    #[must_use]
    pub fn named(mut self, name: Uuid) -> Self {
        let mut text = Uuid::encode_buffer();
        let text = &*name.hyphenated().encode_lower(&mut text);
        if let Ok(value) = HeaderValue::from_str(text) {
            // A catalogue may let the caller choose it.
            self.headers.entry(IDEMPOTENCY_KEY).or_insert(value);
        }
        if let (Some(key), Some(body)) = (&self.new_uid, &mut self.body) {
            *body = with_member(body, key, text);
        }
        self
    }

    /// Whether doing it twice is doing it once: what only reads, PUT and DELETE (RFC 9110 §9.2.2), a PATCH that names the
    /// version it changes, and a named write that makes a record under its name. Any other write may have to be repeated
    /// only by whoever knows that it did not arrive.
    #[must_use]
    pub fn may_be_repeated(&self) -> bool {
        match self.method {
            Method::PUT | Method::DELETE => true,
            Method::PATCH => self.effect == Effect::Read || self.headers.contains_key(IF_MATCH),
            _ => {
                self.effect == Effect::Read
                    || self.new_uid.is_some() && self.headers.contains_key(IDEMPOTENCY_KEY)
            }
        }
    }
}

/// The text of a JSON object with one more member at its beginning. The key is none of its own.
fn with_member(object: &[u8], key: &str, value: &str) -> Vec<u8> {
    let rest = object.strip_prefix(b"{").unwrap_or(object);
    let comma = if rest.trim_ascii_start().starts_with(b"}") {
        ""
    } else {
        ","
    };
    let key = serde_json::Value::from(key);
    let mut text = format!("{{{key}:\"{value}\"{comma}").into_bytes();
    text.extend_from_slice(rest);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{IDEMPOTENCY_KEY, Plan};
    use crate::catalogue::Catalogue;

    const NAME: Uuid = Uuid::from_u128(7);

    fn plan(tool: &str, arguments: &Value) -> Plan {
        let catalogue = Catalogue::shipped().unwrap();
        let tool = catalogue.find(tool).unwrap();
        tool.plan(arguments.as_object().unwrap().clone()).unwrap()
    }

    fn body(plan: &Plan) -> Value {
        serde_json::from_slice(plan.body.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn a_named_create_may_be_repeated_because_its_name_is_the_uid() {
        let plan = plan("create_note", &json!({ "title": "t", "content": "c" }));
        assert!(!plan.may_be_repeated());
        let named = plan.named(NAME);
        assert!(named.may_be_repeated());
        let uid = NAME.to_string();
        assert_eq!(
            body(&named),
            json!({ "uid": uid, "title": "t", "content": "c" })
        );
        assert_eq!(named.headers[IDEMPOTENCY_KEY], uid.as_str());
    }

    #[test]
    fn another_named_write_is_told_its_name_and_may_not_be_repeated() {
        let uid = NAME.to_string();
        let arguments = json!({ "uid": uid, "updates": { "title": "t" } });
        let named = plan("patch_note", &arguments).named(NAME);
        assert!(!named.may_be_repeated());
        assert_eq!(named.headers[IDEMPOTENCY_KEY], uid.as_str());
        assert_eq!(body(&named), json!({ "title": "t" }));
    }

    #[test]
    fn a_name_that_the_caller_chose_by_the_catalogue_stays() {
        let arguments = json!({ "uid": NAME.to_string(), "updates": { "title": "t" } });
        let mut plan = plan("patch_note", &arguments);
        plan.headers
            .insert(IDEMPOTENCY_KEY, "chosen".parse().unwrap());
        assert_eq!(plan.named(NAME).headers[IDEMPOTENCY_KEY], "chosen");
    }

    #[test]
    fn a_member_is_added_to_any_object() {
        let added = |text: &str| {
            String::from_utf8(super::with_member(text.as_bytes(), "a\"b", "v")).unwrap()
        };
        assert_eq!(added("{}"), r#"{"a\"b":"v"}"#);
        assert_eq!(added(r#"{"x":1}"#), r#"{"a\"b":"v","x":1}"#);
    }
}
