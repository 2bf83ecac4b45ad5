//! What the fixtures are: tools, prompts and resources by the names the suite knows, read from `fixtures.json`. In: a
//! name and arguments. Out: data as it goes to the client; `{name}` in its texts stands for an argument. The wording is
//! the suite's (its `list` command and the descriptions of its scenarios), so change it only with the suite.

use std::collections::BTreeMap;

use rmcp::model::{
    ClientCapabilities, InputRequests, Prompt, Resource, ResourceTemplate, ServerCapabilities, Tool,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Everything in `fixtures.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) capabilities: ServerCapabilities,
    pub(crate) tools: Vec<ToolFixture>,
    pub(crate) prompts: Vec<PromptFixture>,
    pub(crate) resources: Vec<ResourceFixture>,
    pub(crate) templates: Vec<ResourceTemplate>,
}

/// A tool, and what it does in this order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolFixture {
    pub(crate) tool: Tool,
    /// What the client has to be able to do.
    pub(crate) needs: Option<ClientCapabilities>,
    /// A list that it says has changed.
    pub(crate) changes: Option<List>,
    /// Notifications on the way.
    #[serde(default)]
    pub(crate) tells: Vec<Value>,
    /// A request to the client, in the revisions that have them.
    pub(crate) asks: Option<Value>,
    /// Requests to the client inside results.
    pub(crate) rounds: Option<Rounds>,
    pub(crate) answer: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptFixture {
    pub(crate) prompt: Prompt,
    pub(crate) rounds: Option<Rounds>,
    pub(crate) answer: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceFixture {
    pub(crate) resource: Resource,
    pub(crate) contents: Value,
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum List {
    Tools,
    Prompts,
}

/// What is asked of the client inside results, one after the other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rounds {
    pub(crate) requests: Vec<InputRequests>,
    /// Whether the client carries a state that we seal.
    pub(crate) sealed: bool,
    /// Whether to leave out what the client cannot do.
    #[serde(default)]
    pub(crate) only_declared: bool,
}

impl Data {
    pub(crate) fn read() -> Self {
        serde_json::from_str(include_str!("fixtures.json")).expect("fixtures.json")
    }

    pub(crate) fn tool(&self, name: &str) -> Option<&ToolFixture> {
        self.tools.iter().find(|fixture| fixture.tool.name == name)
    }

    pub(crate) fn prompt(&self, name: &str) -> Option<&PromptFixture> {
        let mut prompts = self.prompts.iter();
        prompts.find(|fixture| fixture.prompt.name == name)
    }

    /// The contents behind a URI, written out or of a template.
    pub(crate) fn contents(&self, uri: &str) -> Option<Value> {
        let mut resources = self.resources.iter();
        let named = resources.find(|fixture| fixture.resource.uri == uri);
        named
            .map(|fixture| fixture.contents.clone())
            .or_else(|| of_template(uri))
    }
}

fn of_template(uri: &str) -> Option<Value> {
    let id = uri
        .strip_prefix("test://template/")?
        .strip_suffix("/data")?;
    let data =
        serde_json::json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
    Some(
        serde_json::json!({ "uri": uri, "mimeType": "application/json", "text": data.to_string() }),
    )
}

/// The texts to put in for `{name}`; a value that is no text goes in as JSON, or as itself where it is all there is.
pub(crate) type Words = BTreeMap<String, Value>;

pub(crate) fn words(arguments: Option<&Map<String, Value>>) -> Words {
    let arguments = arguments.into_iter().flatten();
    arguments
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// `template` with every `{name}` filled in.
pub(crate) fn filled(template: &Value, words: &Words) -> Value {
    match template {
        Value::String(text) => filled_text(text, words),
        Value::Array(items) => items.iter().map(|item| filled(item, words)).collect(),
        Value::Object(members) => {
            let members = members.iter();
            let filled = members.map(|(name, member)| (name.clone(), filled(member, words)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

fn filled_text(text: &str, words: &Words) -> Value {
    let whole = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(word) = whole
        .and_then(|name| words.get(name))
        .filter(|word| !word.is_object())
    {
        return word.clone();
    }
    let mut text = text.to_owned();
    for (name, word) in words {
        let word = word
            .as_str()
            .map_or_else(|| word.to_string(), str::to_owned);
        text = text.replace(&format!("{{{name}}}"), &word);
    }
    Value::String(text)
}
