//! Which record, in which version, the arguments of a call name. In: arguments, unchecked. Out: what can be read of them,
//! for the audit; never a reason to do anything.

use http::header::IF_MATCH;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::tool::{Place, Tool};

/// The parameter that names the record.
const UID: &str = "uid";

impl Tool {
    /// The record, where it is named by a UUID in the path or in the body.
    #[must_use]
    pub fn record_named(&self, arguments: &Map<String, Value>) -> Option<Uuid> {
        let mut parameters = self.parameters.iter();
        let takes_uid = parameters.any(|parameter| parameter.property.name == UID);
        let text = takes_uid.then(|| arguments.get(UID)?.as_str())??;
        Uuid::try_parse(text).ok()
    }

    /// The version that the record must have, where the call says so in the header for that (contract §5.5).
    #[must_use]
    pub fn version_named(&self, arguments: &Map<String, Value>) -> Option<u64> {
        let mut parameters = self.parameters.iter();
        let asks = |place: &Place| matches!(place, Place::Header(name) if *name == IF_MATCH);
        let parameter = parameters.find(|parameter| asks(&parameter.place))?;
        match arguments.get(&parameter.property.name)? {
            // Clients put numbers into strings, which is repaired.
            Value::String(text) => text.trim().trim_matches('"').parse().ok(),
            value => value.as_u64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::catalogue::Catalogue;

    const UID: &str = "99999999-9999-4999-8999-999999999999";

    fn named(tool: &str, arguments: &Value) -> (Option<String>, Option<u64>) {
        let catalogue = Catalogue::shipped().unwrap();
        let tool = catalogue.find(tool).unwrap();
        let arguments = arguments.as_object().unwrap();
        let record = tool.record_named(arguments);
        (
            record.map(|it| it.to_string()),
            tool.version_named(arguments),
        )
    }

    #[test]
    fn a_record_and_its_version_are_read_where_the_tool_takes_them() {
        let of = |version: Value| json!({ "uid": UID, "if_match": version });
        assert_eq!(
            named("update_note", &of(json!(4))),
            (Some(UID.to_owned()), Some(4))
        );
        assert_eq!(named("patch_note", &of(json!("5"))).1, Some(5));
        assert_eq!(
            named("delete_note", &of(json!(4))),
            (Some(UID.to_owned()), None)
        );
        assert_eq!(named("create_note", &of(json!(4))), (None, None));
    }

    #[test]
    fn anything_else_under_these_names_is_nothing() {
        for uid in [json!("../admin"), json!(7), json!(null), json!({ "a": 1 })] {
            let arguments = json!({ "uid": uid, "if_match": -1 });
            assert_eq!(
                named("update_note", &arguments),
                (None, None),
                "{arguments}"
            );
        }
    }
}
