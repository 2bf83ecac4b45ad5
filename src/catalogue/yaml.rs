//! YAML text → a tree in which every value knows its place. Bounded before it is parsed: size, depth, nodes and
//! aliases, so that a hostile file costs a clear error and little else. Nothing here knows what a catalogue is.

use std::{fmt, io::Read, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Spanned};

use super::problem::{At, Problem};

/// A catalogue of 2,000 tools is about 600 KB; more than this is not a catalogue.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
const MAX_DEPTH: usize = 32;
/// The reader recurses once a level; a thread of its own makes the bound above safe wherever it is called from.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    /// The place of its key, where it has one: what a value lacks is told at its name.
    pub(super) named: At,
    pub(super) value: NodeValue,
}

/// What YAML's core schema knows.
#[derive(Clone, Debug)]
pub(super) enum NodeValue {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Placed<String>, Node)>),
}

/// Something read from the file, with its place.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: At,
}

impl<T> Placed<T> {
    pub(super) fn new(value: T, at: At) -> Self {
        Self { value, at }
    }
}

impl Node {
    /// What the node is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Scalar(Value::Null) => "nothing",
            NodeValue::Scalar(Value::Bool(_)) => "true or false",
            NodeValue::Scalar(Value::Number(_)) => "a number",
            NodeValue::Scalar(_) => "a text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }

    /// The same tree with every place wiped.
    pub(super) fn without_places(self) -> Self {
        let value = match self.value {
            NodeValue::Scalar(value) => NodeValue::Scalar(value),
            NodeValue::List(items) => {
                NodeValue::List(items.into_iter().map(Self::without_places).collect())
            }
            NodeValue::Map(entries) => NodeValue::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = Placed::new(key.value, At::default());
                        (key, value.without_places())
                    })
                    .collect(),
            ),
        };
        Self {
            at: At::default(),
            named: At::default(),
            value,
        }
    }

    /// The node as plain JSON, places forgotten.
    pub(super) fn json(&self) -> Value {
        match &self.value {
            NodeValue::Scalar(value) => value.clone(),
            NodeValue::List(items) => items.iter().map(Self::json).collect(),
            NodeValue::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.value.clone(), value.json()))
                    .collect(),
            ),
        }
    }
}

/// The text of a file, or the one problem that stops it from being read.
pub(super) fn read_text(path: &Path) -> Result<String, Problem> {
    let whole = |what: String| Problem::error(At::default(), what);
    let file = std::fs::File::open(path).map_err(|e| whole(format!("cannot be opened: {e}")))?;
    let metadata = file.metadata().map_err(|e| whole(e.to_string()))?;
    if metadata.is_dir() {
        return Err(whole("is a directory, not a catalogue".to_owned())
            .hint("name the file itself, for example `tools.yaml`"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| whole(format!("cannot be read: {e}")))?;
    text_of(bytes)
}

/// Bytes as text: small enough and UTF-8.
pub(super) fn text_of(bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Problem::error(
            At::default(),
            format!(
                "is larger than {} MiB, which no catalogue needs",
                MAX_BYTES >> 20
            ),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::error(
            At::default(),
            format!("is not UTF-8 (first bad byte on line {line})"),
        )
        .hint("save the file as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The tree of one document, or the one problem that stops it from being parsed.
/// Keys given twice are left to [`duplicate_keys`]; the first of them wins here.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let unreadable = |what: &str| Problem::error(At::default(), what);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse_here(text))
            .map_err(|error| unreadable(&format!("cannot be parsed: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(unreadable("cannot be parsed: the YAML reader gave up")))
    })
}

fn parse_here(text: &str) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: 200_000,
            max_events: 500_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 4,
            max_alias_expansions_per_anchor: 500,
        },
        duplicate_keys: DuplicateKeyPolicy::FirstWins,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let at = error.location().map(At::from).unwrap_or_default();
        Problem::error(at, in_words(&error.without_snippet().to_string()))
    })
}

/// The parser's message in one line, without the place it repeats and without its own API's names.
fn in_words(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or_default();
    let line = line.split("; use from_").next().unwrap_or_default();
    let line = line.split(" rejected by the").next().unwrap_or_default();
    if line.starts_with("multiple YAML documents") {
        return "a second YAML document starts here, but a catalogue is one document".to_owned();
    }
    line.to_owned()
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            width: number(location.span().len()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<NodeValue>::deserialize(deserializer)?;
        let at = spanned.referenced.into();
        Ok(Self {
            at,
            named: at,
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for NodeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = NodeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<NodeValue, D::Error> {
        NodeValue::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<NodeValue, E> {
        Ok(NodeValue::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NodeValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(NodeValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<NodeValue, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let key = Placed::new(key.value, key.referenced.into());
            let value: Node = entries.next_value()?;
            let named = key.at;
            map.push((key, Node { named, ..value }));
        }
        Ok(NodeValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text).expect_err("must be refused").what
    }

    #[test]
    fn ten_thousand_levels_are_refused_in_both_styles() {
        let block: String = (0..2_000).map(|i| " ".repeat(i) + "a:\n").collect();
        assert!(!refusal(&block).is_empty());
        assert!(!refusal(&"[".repeat(10_000)).is_empty());
        assert!(!refusal(&"- ".repeat(10_000)).is_empty());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (from, to) in ('a'..'i').zip('b'..='i') {
            let nine = format!("*{from}, ").repeat(9);
            bomb.push_str(&format!("{to}: &{to} [{nine}]\n"));
        }
        assert!(!refusal(&bomb).is_empty());
    }

    #[test]
    fn a_million_values_are_refused() {
        assert!(!refusal(&format!("a: [{}]", "x, ".repeat(1_000_000))).is_empty());
    }

    #[test]
    fn fifty_megabytes_are_refused_unread() {
        let problem = text_of(vec![b'a'; 50 << 20]).expect_err("must be refused");
        assert_eq!(
            problem.what,
            "is larger than 4 MiB, which no catalogue needs"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_line() {
        let problem = text_of(b"version: 1\nname: \xff".to_vec()).expect_err("must be refused");
        assert_eq!(problem.what, "is not UTF-8 (first bad byte on line 2)");
    }

    #[test]
    fn every_value_knows_its_place() {
        let node = parse("a:\n  b: [1, xy]\n").expect("valid");
        let NodeValue::Map(a) = node.value else {
            panic!()
        };
        let NodeValue::Map(b) = &a[0].1.value else {
            panic!()
        };
        let NodeValue::List(items) = &b[0].1.value else {
            panic!()
        };
        assert_eq!(
            items[1].at,
            At {
                line: 2,
                column: 10,
                width: 2
            }
        );
    }
}
