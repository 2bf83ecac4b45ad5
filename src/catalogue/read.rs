//! Tree → raw catalogue. Every problem of shape is collected and reading goes on: a stanza with a problem is read as
//! far as it goes, so that the checks of meaning can still look at the rest.

use serde_json::Value;

use super::{
    keys::{
        Keys, Read, entries_of, flag, number, some_statuses, statuses, text, texts, values, whole,
    },
    problem::{At, Problem},
    raw::{
        RawAction, RawAnnotations, RawArchive, RawBackend, RawCatalogue, RawEntity, RawOperation,
        RawParameter, RawScopes, RawServer, RawSession, RawTool,
    },
    yaml::{Node, NodeValue, Placed},
};

/// The whole file; `None` where it is not even a map.
pub(super) fn catalogue(node: &Node, problems: &mut Vec<Problem>) -> Option<RawCatalogue> {
    if matches!(node.value, NodeValue::Scalar(Value::Null)) {
        let empty = Problem::error(At::default(), "the catalogue is empty");
        problems.push(empty.hint("it starts with `version: 1`"));
        return None;
    }
    let mut keys = Keys::of(node, "the catalogue", problems)?;
    let version = keys.required("version", whole, problems);
    if let Some(version) = &version
        && version.value != 1
    {
        let what = format!("format version {} is not known here", version.value);
        problems.push(Problem::error(version.at, what).hint("this toolbridge reads version 1"));
    }
    let raw = RawCatalogue {
        version: version.unwrap_or_else(|| Placed::new(1, node.at)),
        server: keys
            .optional("server", server, problems)
            .unwrap_or_default(),
        backend: keys
            .optional("backend", backend, problems)
            .unwrap_or_default(),
        scopes: keys
            .optional("scopes", scopes, problems)
            .unwrap_or_default(),
        operations: keys.named("operations", operation, problems),
        entities: keys.named("entities", entity, problems),
        tools: keys.named("tools", tool, problems),
        aliases: keys.named("aliases", text, problems),
        removed: keys.named("removed", text, problems),
    };
    keys.finish(problems);
    Some(raw)
}

/// The built-in operations: a file that is nothing but the `operations` map.
pub(super) fn operations(
    node: &Node,
    problems: &mut Vec<Problem>,
) -> Vec<(Placed<String>, RawOperation)> {
    entries_of(node, operation, problems)
}

fn server(node: &Node, problems: &mut Vec<Problem>) -> Option<RawServer> {
    let mut keys = Keys::of(node, "`server`", problems)?;
    let raw = RawServer {
        name: keys.optional("name", text, problems),
        title: keys.optional("title", text, problems),
        instructions: keys.optional("instructions", text, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn backend(node: &Node, problems: &mut Vec<Problem>) -> Option<RawBackend> {
    let mut keys = Keys::of(node, "`backend`", problems)?;
    let raw = RawBackend {
        session: keys.optional("session", session, problems),
        stale: keys.optional("stale", statuses, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn session(node: &Node, problems: &mut Vec<Problem>) -> Option<RawSession> {
    let mut keys = Keys::of(node, "`session`", problems)?;
    let raw = RawSession {
        // A session that is not opened is reported once; the rest of it is still worth checking.
        open: keys
            .required("open", text, problems)
            .unwrap_or_else(|| Placed::new(String::new(), At::default())),
        headers: keys.required_named("headers", text, problems),
        close: keys.optional("close", text, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn scopes(node: &Node, problems: &mut Vec<Problem>) -> Option<RawScopes> {
    let mut keys = Keys::of(node, "`scopes`", problems)?;
    let raw = RawScopes {
        read: keys
            .optional("read", scope_names, problems)
            .unwrap_or_default(),
        write: keys
            .optional("write", scope_names, problems)
            .unwrap_or_default(),
    };
    keys.finish(problems);
    Some(raw)
}

/// Scopes. They stand in challenges, so one that could break out of a quoted parameter is refused (RFC 6749 §3.3).
fn scope_names(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Placed<String>>> {
    let names = texts(node, problems)?;
    let allowed = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\';
    for name in &names {
        let text = &name.value;
        if text.is_empty() || !text.bytes().all(allowed) {
            let what = format!("{text:?} is no scope");
            let hint = "a scope is printable ASCII without spaces, `\"` and `\\`";
            problems.push(Problem::error(name.at, what).hint(hint));
        }
    }
    Some(names)
}

fn entity(node: &Node, problems: &mut Vec<Problem>) -> Option<RawEntity> {
    let mut keys = Keys::of(node, "an entity", problems)?;
    let plural = keys.optional("plural", text, problems);
    let path = keys.required("path", text, problems);
    let raw = RawEntity {
        plural,
        // An entity without a path is reported once; the rest of it is still worth checking.
        path: path.unwrap_or_else(|| Placed::new("/".to_owned(), At::default())),
        description: keys.optional("description", text, problems),
        fields: keys.named("fields", field, problems),
        actions: keys.named("actions", action, problems),
        archive: keys.optional("archive", archive, problems),
        operations: keys.optional("operations", texts, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn action(node: &Node, problems: &mut Vec<Problem>) -> Option<RawAction> {
    let mut keys = Keys::of(node, "an action", problems)?;
    let raw = RawAction {
        description: keys.optional("description", text, problems),
        sets: keys.named("sets", any, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn archive(node: &Node, problems: &mut Vec<Problem>) -> Option<RawArchive> {
    let mut keys = Keys::of(node, "`archive`", problems)?;
    let raw = RawArchive {
        sets: keys.named("sets", any, problems),
    };
    keys.finish(problems);
    Some(raw)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape every reader has")]
fn any(node: &Node, _problems: &mut Vec<Problem>) -> Option<Value> {
    Some(node.json())
}

fn operation(node: &Node, problems: &mut Vec<Problem>) -> Option<RawOperation> {
    let mut keys = Keys::of(node, "an operation", problems)?;
    let raw = RawOperation {
        tool: keys.optional("tool", text, problems),
        fields: keys.optional("fields", flag, problems),
        stanza: stanza(&mut keys, operation_parameter, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn tool(node: &Node, problems: &mut Vec<Problem>) -> Option<RawTool> {
    let mut keys = Keys::of(node, "a tool", problems)?;
    let raw = stanza(&mut keys, tool_parameter, problems);
    keys.finish(problems);
    Some(raw)
}

fn stanza(
    keys: &mut Keys<'_>,
    parameter: Read<RawParameter>,
    problems: &mut Vec<Problem>,
) -> RawTool {
    RawTool {
        title: keys.optional("title", text, problems),
        description: keys.optional("description", text, problems),
        request: keys.optional("request", text, problems),
        effect: keys.optional("effect", text, problems),
        session: keys.optional("session", flag, problems),
        success: keys.optional("success", some_statuses, problems),
        result: keys.optional("result", text, problems),
        new_uid: keys.optional("new_uid", text, problems),
        parameters: keys.named("parameters", parameter, problems),
        annotations: keys
            .optional("annotations", annotations, problems)
            .unwrap_or_default(),
        scopes: keys
            .optional("scopes", scope_names, problems)
            .unwrap_or_default(),
    }
}

fn annotations(node: &Node, problems: &mut Vec<Problem>) -> Option<RawAnnotations> {
    let mut keys = Keys::of(node, "`annotations`", problems)?;
    let raw = RawAnnotations {
        destructive: keys.optional("destructive", flag, problems),
        idempotent: keys.optional("idempotent", flag, problems),
        open_world: keys.optional("open_world", flag, problems),
    };
    keys.finish(problems);
    Some(raw)
}

fn field(node: &Node, problems: &mut Vec<Problem>) -> Option<RawParameter> {
    definition(node, "a field", &REQUEST_KEYS, problems)
}

fn operation_parameter(node: &Node, problems: &mut Vec<Problem>) -> Option<RawParameter> {
    definition(node, "a parameter", &["references"], problems)
}

fn tool_parameter(node: &Node, problems: &mut Vec<Problem>) -> Option<RawParameter> {
    let foreign = ["references", "fields", "actions"];
    definition(node, "a parameter", &foreign, problems)
}

fn property(node: &Node, problems: &mut Vec<Problem>) -> Option<RawParameter> {
    let foreign = [&REQUEST_KEYS[..], &["references"]].concat();
    definition(node, "a property", &foreign, problems)
}

fn items(node: &Node, problems: &mut Vec<Problem>) -> Option<RawParameter> {
    let named = ["references", "default", "required", "wire"];
    let foreign = [&REQUEST_KEYS[..], &named].concat();
    definition(node, "`items`", &foreign, problems)
}

/// Keys that say how a value enters a request: only a parameter does.
const REQUEST_KEYS: [&str; 6] = ["in", "mcp_header", "omit", "merge", "fields", "actions"];

/// A field, parameter, property or item: one shape, of which each place knows all keys but some.
fn definition(
    node: &Node,
    what: &'static str,
    foreign: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<RawParameter> {
    let mut keys = Keys::of(node, what, problems)?;
    let raw = RawParameter {
        kind: keys.required("type", text, problems),
        description: keys.optional("description", text, problems),
        required: on(&mut keys, "required", problems),
        choices: keys.optional("enum", values, problems),
        format: keys.optional("format", text, problems),
        default: keys.value("default"),
        min: keys.optional("min", number, problems),
        max: keys.optional("max", number, problems),
        items: keys.optional("items", items, problems).map(Box::new),
        properties: keys.named("properties", property, problems),
        additional: keys.optional("additional", flag, problems),
        wire: keys.optional("wire", text, problems),
        references: keys.optional("references", text, problems),
        place: keys.optional("in", text, problems),
        mcp_header: keys.optional("mcp_header", text, problems),
        omit: keys.value("omit"),
        merge: on(&mut keys, "merge", problems),
        fields: on(&mut keys, "fields", problems),
        actions: on(&mut keys, "actions", problems),
    };
    keys.disown(foreign, problems);
    keys.finish(problems);
    Some(raw)
}

/// A flag that is off unless it says `true`.
fn on(keys: &mut Keys<'_>, key: &'static str, problems: &mut Vec<Problem>) -> bool {
    keys.optional(key, flag, problems)
        .is_some_and(|flag| flag.value)
}

#[cfg(test)]
mod tests {
    use crate::catalogue::Catalogue;

    #[test]
    fn a_scope_that_could_break_out_of_a_challenge_is_refused() {
        for (scope, sound) in [
            ("notes:read", true),
            (r#"a\", b=\""#, false),
            (r"a\r\nSet-Cookie: x", false),
            ("two words", false),
            ("", false),
            ("ä", false),
        ] {
            let text = format!(
                "version: 1\nscopes: {{ read: [\"{scope}\"] }}\ntools:\n  info:\n    description: About.\n    request: GET /info\n    effect: read\n"
            );
            let catalogue = Catalogue::parse("tools.yaml", text.as_bytes());
            assert_eq!(
                catalogue.is_ok(),
                sound,
                "{scope}: {:?}",
                catalogue.err().map(|it| it.to_string())
            );
        }
    }
}
