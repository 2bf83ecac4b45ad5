//! The two golden files: the forty tools as listed, the forty canonical calls as requests.

use super::*;

#[test]
fn the_forty_tools_are_listed_as_the_golden_file_says() {
    let catalogue = Catalogue::shipped().unwrap();
    let listed: Vec<_> = catalogue.tools().iter().map(tokens::listed).collect();
    assert_eq!(listed.len(), 40);
    let tokens = tokens::count(&Value::from(listed.clone()).to_string());
    assert!(tokens <= 6_000, "{tokens} tokens");
    golden(
        "../snapshots",
        "tools_list",
        &serde_json::to_string_pretty(&listed).unwrap(),
    );
}

#[test]
fn the_forty_canonical_calls_become_the_requests_of_the_golden_file() {
    let catalogue = Catalogue::shipped().unwrap();
    let requests: Vec<_> = canonical_calls()
        .iter()
        .map(|(tool, arguments)| written(tool, &plan(&catalogue, tool, arguments)))
        .collect();
    golden("../snapshots", "planned_requests", &requests.join("\n"));
}

#[test]
fn every_shipped_tool_has_its_canonical_call_in_catalogue_order() {
    let catalogue = Catalogue::shipped().unwrap();
    let tools: Vec<_> = catalogue
        .tools()
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    let calls: Vec<_> = canonical_calls()
        .into_iter()
        .map(|(tool, _)| tool)
        .collect();
    assert_eq!(tools, calls);
}

#[test]
fn the_shipped_catalogue_has_nothing_to_improve() {
    assert_eq!(Catalogue::shipped().unwrap().lints().to_string(), "");
}

/// A request as one reads it: tool, request line, headers, body.
fn written(tool: &str, plan: &Plan) -> String {
    let mut text = format!(
        "{tool} ({:?})\n  {} {}\n",
        plan.effect, plan.method, plan.target
    );
    for (name, value) in &plan.headers {
        text.push_str(&format!("  {name}: {}\n", value.to_str().unwrap()));
    }
    if let Some(body) = &plan.body {
        text.push_str(&format!("  {}\n", String::from_utf8(body.clone()).unwrap()));
    }
    assert!(plan.session.is_some(), "{tool} needs a session");
    text
}
