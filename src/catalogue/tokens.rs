//! What a tool list costs a model: tokens of the JSON a client is sent, counted with a real tokenizer (o200k).

use serde::Serialize;
use serde_json::{Map, Value};

use super::tool::Tool;

mod table;

/// Tokens of a text.
#[must_use]
pub fn count(text: &str) -> usize {
    count_each(&[text.to_owned()]).into_iter().sum()
}

/// Tokens of each text, by a tokenizer that is made for these and dropped again: a sidecar counts once and runs for months.
#[must_use]
pub fn count_each(texts: &[String]) -> Vec<usize> {
    let Some(tokenizer) = table::tokenizer(texts) else {
        return vec![0; texts.len()];
    };
    let each = texts.iter();
    each.map(|text| tokenizer.encode_ordinary(text).len())
        .collect()
}

/// A tool as `tools/list` shows it (protocol page B.2).
#[must_use]
pub fn listed(tool: &Tool) -> Value {
    serde_json::to_value(Listed::of(tool)).unwrap_or_default()
}

/// The same as JSON, without a tree between.
#[must_use]
pub fn listed_json(tool: &Tool) -> Vec<u8> {
    serde_json::to_vec(&Listed::of(tool)).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'t> {
    name: &'t str,
    title: &'t str,
    description: &'t str,
    input_schema: &'t Map<String, Value>,
    output_schema: &'t Map<String, Value>,
    annotations: Hints,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's four hints")]
struct Hints {
    read_only_hint: bool,
    destructive_hint: bool,
    idempotent_hint: bool,
    open_world_hint: bool,
}

impl<'t> Listed<'t> {
    fn of(tool: &'t Tool) -> Self {
        let hints = tool.annotations;
        Self {
            name: &tool.name,
            title: &tool.title,
            description: &tool.description,
            input_schema: &tool.input_schema,
            output_schema: &tool.output_schema,
            annotations: Hints {
                read_only_hint: hints.read_only,
                destructive_hint: hints.destructive,
                idempotent_hint: hints.idempotent,
                open_world_hint: hints.open_world,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_tool_is_listed_the_same_with_and_without_a_tree() {
        let catalogue = Catalogue::shipped().expect("the shipped catalogue is valid");
        for tool in catalogue.tools() {
            let json = String::from_utf8(listed_json(tool)).expect("JSON is UTF-8");
            assert_eq!(json, listed(tool).to_string());
        }
    }

    /// By the whole tokenizer of tiktoken-rs.
    fn theirs(texts: &[String]) -> Vec<usize> {
        let whole = tiktoken_rs::o200k_base_singleton();
        let each = texts.iter();
        each.map(|text| whole.encode_ordinary(text).len()).collect()
    }

    #[test]
    fn texts_count_as_tiktoken_rs_counts_them() {
        let catalogue = Catalogue::shipped().expect("the shipped catalogue is valid");
        let listed = catalogue.tools().iter().map(listed);
        let mut texts: Vec<_> = listed.map(|tool| tool.to_string()).collect();
        texts.push(texts.concat());
        texts.extend([
            String::new(),
            "a".repeat(5_000),
            " \t\r\n \u{a0}\u{3000}  x \n\n".repeat(40),
            "Übergrößenträger naïve ĳ Ångström ǅ ﬁ ß 'S 'll 123456789 <|endoftext|>".to_owned(),
            "汉字かな交じり文 한국어 עברית العربية हिन्दी ไทย 👩‍👩‍👧‍👦 🇩🇪 e\u{301} \u{10ffff}\0"
                .to_owned(),
        ]);
        for file in [
            "README.md",
            "CHANGELOG.md",
            "Cargo.lock",
            "tools.yaml",
            "src/server.rs",
        ] {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            texts.push(std::fs::read_to_string(root.join(file)).expect("a file of ours"));
        }
        assert_eq!(count_each(&texts), theirs(&texts));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn any_texts_count_as_tiktoken_rs_counts_them(texts: Vec<String>, more in "[ -~\\s]{0,300}") {
            let texts: Vec<_> = texts.into_iter().chain([more]).collect();
            prop_assert_eq!(count_each(&texts), theirs(&texts));
        }
    }
}
