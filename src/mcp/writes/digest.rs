//! What makes two writes the same: the person, the tenant and the request, whatever the order of its keys; or the name
//! that its client gave it. Arguments are seen here and nowhere after: a digest says nothing of them.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{catalogue::Plan, identity::TenantId};

/// In whose name a write is made; three fields, never joined.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Who knows the person.
    pub issuer: &'a str,
    /// The person.
    pub subject: &'a str,
    /// Where.
    pub tenant: &'a TenantId,
}

/// A write, as it is found again.
#[derive(Clone, Copy, Debug)]
pub struct WriteDigest {
    /// Whose it is.
    pub(super) person: [u8; 32],
    /// What it is found by.
    pub(super) key: [u8; 32],
    /// What it asks for.
    pub(super) request: [u8; 32],
    /// Whether its client gave it a name.
    pub(super) is_named: bool,
}

impl WriteDigest {
    /// The write that this plan is, under the name that its client gives it, if any.
    #[must_use]
    pub fn of(who: Who<'_>, tool: &str, plan: &Plan, name: Option<&str>) -> Self {
        let person = [who.issuer, who.subject, who.tenant.as_str()];
        let person = parts(Sha256::new(), person.map(str::as_bytes));
        let person: [u8; 32] = person.finalize().into();
        let request = request(tool, plan);
        let key = match name {
            Some(name) => parts(Sha256::new(), [&person, &b"name"[..], name.as_bytes()]),
            None => parts(Sha256::new(), [&person, &b"request"[..], &request]),
        };
        Self {
            person,
            key: key.finalize().into(),
            request,
            is_named: name.is_some(),
        }
    }
}

/// Sixteen digits for a backend and a tenant.
pub(super) fn short(whose: [&str; 2]) -> String {
    let hash = parts(Sha256::new(), whose.map(str::as_bytes)).finalize();
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn request(tool: &str, plan: &Plan) -> [u8; 32] {
    let mut hash = parts(
        Sha256::new(),
        [tool, plan.method.as_str(), &plan.target].map(str::as_bytes),
    );
    for (name, value) in &plan.headers {
        hash = parts(hash, [name.as_str().as_bytes(), value.as_bytes()]);
    }
    let body = plan.body.as_deref().unwrap_or_default();
    match serde_json::from_slice(body) {
        Ok(mut value) => {
            in_order(&mut value);
            hash = parts(hash, [value.to_string().as_bytes()]);
        }
        Err(_) => hash = parts(hash, [body]),
    }
    hash.finalize().into()
}

/// Keys have no order in JSON.
fn in_order(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort_keys();
            members.values_mut().for_each(in_order);
        }
        Value::Array(items) => items.iter_mut().for_each(in_order),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Each with its length, so that no two lists of parts are alike.
fn parts<const N: usize>(mut hash: Sha256, parts: [&[u8]; N]) -> Sha256 {
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Who, WriteDigest};
    use crate::catalogue::Catalogue;

    fn digest_of(subject: &str, tool: &str, arguments: &Value) -> [u8; 32] {
        let catalogue = Catalogue::shipped().unwrap();
        let tool = catalogue.find(tool).unwrap();
        let plan = tool.plan(arguments.as_object().unwrap().clone()).unwrap();
        let who = Who {
            issuer: "issuer",
            subject,
            tenant: &"acme".parse().unwrap(),
        };
        WriteDigest::of(who, &tool.name, &plan, None).key
    }

    #[test]
    fn the_same_request_is_the_same_write_however_it_is_written() {
        let one = json!({ "title": "t", "content": "c", "additional_fields": { "a": 1, "b": { "x": 1, "y": 2 } } });
        let other = json!({ "additional_fields": "{\"b\": {\"y\": 2, \"x\": 1}, \"a\": 1}", "content": "c", "title": "t" });
        assert_eq!(
            digest_of("alice", "create_note", &one),
            digest_of("alice", "create_note", &other)
        );
    }

    #[test]
    fn another_person_tool_argument_or_version_is_another_write() {
        let note = json!({ "title": "t", "content": "c" });
        let uid = "99999999-9999-4999-8999-999999999999";
        let patch =
            |version: u64| json!({ "uid": uid, "updates": { "title": "t" }, "if_match": version });
        let all = [
            digest_of("alice", "create_note", &note),
            digest_of("bob", "create_note", &note),
            digest_of(
                "alice",
                "create_note",
                &json!({ "title": "t", "content": "d" }),
            ),
            digest_of(
                "alice",
                "create_note",
                &json!({ "title": "tc", "content": "" }),
            ),
            digest_of("alice", "patch_note", &patch(1)),
            digest_of("alice", "patch_note", &patch(2)),
            digest_of("alice", "archive_note", &json!({ "uid": uid })),
            digest_of("alice", "delete_note", &json!({ "uid": uid })),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn a_name_belongs_to_its_person() {
        let catalogue = Catalogue::shipped().unwrap();
        let tool = catalogue.find("create_note").unwrap();
        let arguments = json!({ "title": "t", "content": "c" });
        let plan = tool.plan(arguments.as_object().unwrap().clone()).unwrap();
        let of = |issuer, subject, name| {
            let tenant = &"acme".parse().unwrap();
            let who = Who {
                issuer,
                subject,
                tenant,
            };
            WriteDigest::of(who, &tool.name, &plan, name).key
        };
        assert_eq!(of("i", "alice", Some("n")), of("i", "alice", Some("n")));
        assert_ne!(of("i", "alice", Some("n")), of("i", "bob", Some("n")));
        assert_ne!(of("i", "alice", Some("n")), of("ia", "lice", Some("n")));
        assert_ne!(of("i", "alice", Some("n")), of("i", "alice", None));
    }
}
