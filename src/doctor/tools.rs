//! The tools, as strict clients want them, and one call that changes nothing.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    protocol::{locked, no_answer, refused},
    report::{Finding, Outcome},
    visit::Visit,
};

const LISTING: &str = "MCP 2025-11-25 server/tools (tools/list)";
const NAMES: &str =
    "MCP 2025-11-25 server/tools (tool names); clients take 1 to 64 of A-Z a-z 0-9 _ -";
const SCHEMAS: &str = "MCP 2025-11-25 server/tools (inputSchema is a JSON Schema of an object)";
const CALLING: &str = "MCP 2025-11-25 server/tools (tools/call)";

/// No list is longer than this many pages.
const MOST_PAGES: u32 = 20;

/// VS Code passes on no more at a time.
const MANY: usize = 128;

/// The whole list, judged.
pub(super) async fn tools(visit: &mut Visit) -> Outcome {
    if let Some(skipped) = locked(visit) {
        return skipped;
    }
    let mut tools = Vec::new();
    let mut cursor = None;
    for page in 0..MOST_PAGES {
        let params = cursor.map_or_else(|| json!({}), |cursor: Value| json!({ "cursor": cursor }));
        let message =
            json!({ "jsonrpc": "2.0", "id": 10 + page, "method": "tools/list", "params": params });
        let reply = match visit.legacy(&message).await {
            Ok(reply) => reply,
            Err(why) => return no_answer(visit, &why, LISTING),
        };
        let Some(listed) = reply
            .result()
            .and_then(|result| result.get("tools")?.as_array())
        else {
            return refused(visit, &reply, LISTING);
        };
        tools.extend(listed.iter().cloned());
        cursor = reply
            .result()
            .and_then(|result| result.get("nextCursor").cloned());
        if cursor.as_ref().is_none_or(Value::is_null) {
            break;
        }
    }
    let findings = judge(visit, &tools);
    let seen = format!("{} tools", tools.len());
    visit.facts.tools = tools;
    Outcome::of(seen, findings)
}

fn judge(visit: &Visit, tools: &[Value]) -> Vec<Finding> {
    if tools.is_empty() {
        return vec![
            Finding::wrong("the list of tools is empty")
                .rule(LISTING)
                .mend("give the catalogue tools, or the caller the scopes that they need"),
        ];
    }
    let mut findings = Vec::new();
    let mut names = HashSet::new();
    for tool in tools {
        let name = tool.get("name").and_then(Value::as_str).unwrap_or("");
        let shown = visit.quote(name);
        let is_plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if name.is_empty() || name.len() > 64 || !is_plain {
            findings.push(
                Finding::wrong(format!("the tool name {shown} does not suit every client"))
                    .rule(NAMES)
                    .mend("rename it in the catalogue"),
            );
        }
        if !names.insert(name) {
            findings.push(
                Finding::wrong(format!("two tools are called {shown}"))
                    .rule(NAMES)
                    .mend("rename one of them"),
            );
        }
        findings.extend(schema(&shown, tool));
    }
    if tools.len() > MANY {
        findings.push(
            Finding::warning(format!(
                "{} tools are more than some clients take ({MANY})",
                tools.len()
            ))
            .rule("VS Code: at most 128 tools a request")
            .mend("leave out operations that nobody needs"),
        );
    }
    findings
}

fn schema(name: &str, tool: &Value) -> Option<Finding> {
    let what = match tool.get("inputSchema") {
        None => "has no `inputSchema`",
        Some(schema) if schema.get("type").is_none_or(|kind| kind != "object") => {
            "has an `inputSchema` that is not of type object"
        }
        Some(schema) if !is_json_schema(schema) => "has an `inputSchema` that is no JSON Schema",
        Some(_) => return None,
    };
    Some(
        Finding::wrong(format!("{name} {what}"))
            .rule(SCHEMAS)
            .mend("correct the parameters of this tool; `toolbridge check` looks at a catalogue"),
    )
}

/// Judged by the dialect it names (MCP's default: 2020-12); one that we do not know is not judged.
fn is_json_schema(schema: &Value) -> bool {
    let dialect = schema.get("$schema").and_then(Value::as_str);
    match dialect.map(|dialect| dialect.trim_end_matches('#')) {
        None | Some("https://json-schema.org/draft/2020-12/schema") => {
            jsonschema::draft202012::meta::is_valid(schema)
        }
        Some("https://json-schema.org/draft/2019-09/schema") => {
            jsonschema::draft201909::meta::is_valid(schema)
        }
        Some("http://json-schema.org/draft-07/schema") => {
            jsonschema::draft7::meta::is_valid(schema)
        }
        Some(_) => true,
    }
}

/// One call of a tool that reads and needs nothing.
pub(super) async fn read(visit: &mut Visit) -> Outcome {
    if let Some(skipped) = locked(visit) {
        return skipped;
    }
    let Some(tool) = harmless(&visit.facts.tools) else {
        return Outcome::skipped("no tool only reads and needs no arguments");
    };
    let name = tool
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    let takes_limit = tool.pointer("/inputSchema/properties/limit").is_some();
    let arguments = if takes_limit {
        json!({ "limit": 1 })
    } else {
        json!({})
    };
    let message = json!({
        "jsonrpc": "2.0", "id": 100, "method": "tools/call",
        "params": { "name": name, "arguments": arguments },
    });
    let reply = match visit.legacy(&message).await {
        Ok(reply) => reply,
        Err(why) => return no_answer(visit, &why, CALLING),
    };
    let Some(result) = reply.result() else {
        return refused(visit, &reply, CALLING);
    };
    let name = visit.quote(&name);
    if result.get("isError") == Some(&Value::Bool(true)) {
        return failed(visit, &name, result);
    }
    Outcome::passed(format!("{name} answers"))
}

/// A tool that says it changes nothing and asks for nothing, a list before others.
fn harmless(tools: &[Value]) -> Option<&Value> {
    let mut candidates = tools.iter().filter(|tool| {
        let required = tool
            .pointer("/inputSchema/required")
            .and_then(Value::as_array);
        tool.pointer("/annotations/readOnlyHint") == Some(&Value::Bool(true))
            && required.is_none_or(Vec::is_empty)
    });
    let is_list = |tool: &&Value| {
        let name = tool.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name.starts_with("list_"))
    };
    candidates
        .clone()
        .find(is_list)
        .or_else(|| candidates.next())
}

fn failed(visit: &Visit, name: &str, result: &Value) -> Outcome {
    let error = result
        .pointer("/structuredContent/error")
        .cloned()
        .unwrap_or_default();
    let text = |key: &str| {
        error
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let words = match text("message") {
        empty if empty.is_empty() => {
            let text = result.pointer("/content/0/text").and_then(Value::as_str);
            text.unwrap_or("").to_owned()
        }
        message => message,
    };
    let code = text("code");
    let mend = match code.as_str() {
        "BACKEND_UNAVAILABLE" | "TIMEOUT" => {
            "start the backend, or correct backend.url; the steps of the operator below say more"
        }
        "UNAUTHENTICATED" => {
            "the backend refuses what the sidecar accepts: give both the same issuer, audience, keys and TENANT_HEADER_SECRET"
        }
        "FORBIDDEN" => {
            "this person has no access to the tenant, or the tenant.id is not the backend's"
        }
        "RATE_LIMITED" => "wait, and try again",
        _ => "look at the log under the correlation id",
    };
    let code = if code.is_empty() {
        "an error".to_owned()
    } else {
        visit.quote(&code)
    };
    Outcome::failed(
        format!("{name} fails"),
        Finding::wrong(format!("{name} answers {code}: {}", visit.quote(&words)))
            .rule("a read without arguments works for every caller")
            .mend(mend),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, read_only: bool, required: &[&str]) -> Value {
        json!({ "name": name, "annotations": { "readOnlyHint": read_only }, "inputSchema": { "type": "object", "required": required } })
    }

    #[test]
    fn only_a_tool_that_reads_and_needs_nothing_is_called() {
        let name = |tools: &[Value]| Some(harmless(tools)?.get("name")?.as_str()?.to_owned());
        let write = tool("list_purge", false, &[]);
        let get = tool("list_one", true, &["uid"]);
        let info = tool("info", true, &[]);
        let unsaid = json!({ "name": "list_unsaid", "inputSchema": { "type": "object" } });
        assert_eq!(name(&[write.clone(), get.clone(), unsaid]), None);
        assert_eq!(name(&[write, info.clone()]).as_deref(), Some("info"));
        assert_eq!(
            name(&[info, get, tool("list_notes", true, &[])]).as_deref(),
            Some("list_notes")
        );
    }

    #[test]
    fn a_schema_is_judged_by_its_dialect_and_no_dialect_is_fetched_or_crashes() {
        let of = |dialect: Value, kind: &str| {
            is_json_schema(
                &json!({ "$schema": dialect, "type": kind, "properties": { "a": { "$ref": "http://127.0.0.1:1/x" } } }),
            )
        };
        for dialect in [
            "https://json-schema.org/draft/2020-12/schema",
            "https://json-schema.org/draft/2019-09/schema",
            "http://json-schema.org/draft-07/schema#",
        ] {
            assert!(of(json!(dialect), "object"), "{dialect}");
            assert!(!of(json!(dialect), "objekt"), "{dialect}");
        }
        assert!(of(json!("http://127.0.0.1:1/own"), "objekt"));
        assert!(!of(json!(5), "object"));
    }
}
