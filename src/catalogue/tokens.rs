//! What a tool list costs a model: tokens of the JSON a client is sent, counted with a real tokenizer (o200k).

use serde_json::{Value, json};

use super::tool::Tool;

/// Tokens of a text.
#[must_use]
pub fn count(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton()
        .encode_ordinary(text)
        .len()
}

/// Tokens of each text, by a tokenizer that is dropped again: a sidecar counts once and runs for months. Its tables are tens
/// of megabytes, which the allocator may keep for what comes later.
#[must_use]
pub fn count_each(texts: &[String]) -> Vec<usize> {
    let Ok(tokenizer) = tiktoken_rs::o200k_base() else {
        return vec![0; texts.len()];
    };
    let each = texts.iter();
    each.map(|text| tokenizer.encode_ordinary(text).len())
        .collect()
}

/// A tool as `tools/list` shows it (protocol page B.2).
#[must_use]
pub fn listed(tool: &Tool) -> Value {
    let hints = tool.annotations;
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": *tool.input_schema,
        "outputSchema": *tool.output_schema,
        "annotations": {
            "readOnlyHint": hints.read_only,
            "destructiveHint": hints.destructive,
            "idempotentHint": hints.idempotent,
            "openWorldHint": hints.open_world,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn the_shipped_tool_list_costs_at_most_6000_tokens() {
        let catalogue = Catalogue::shipped().expect("the shipped catalogue is valid");
        let listed: Vec<_> = catalogue.tools().iter().map(listed).collect();
        let tokens = count(&Value::from(listed).to_string());
        assert_eq!(catalogue.tools().len(), 40);
        assert!(tokens <= 6_000, "{tokens} tokens");
    }
}
