//! The changes a dialect can make, each with what speaks for it. A tool is changed in the order of [`Change`]: what is
//! put together first (references, combinators) is what later changes look at.

use std::{borrow::Cow, fmt};

use serde_json::{Map, Value, json};

use super::{flat, keywords, references, walk};

/// One thing that is changed for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What.
    pub change: Change,
    /// Why.
    pub evidence: Evidence,
}

/// What speaks for a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When it was reported, `2026-01-31`.
    pub date: String,
    /// Where it can be looked up.
    pub ground: Ground,
}

/// Where a rule can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// An address.
    Source(String),
    /// Nowhere: we are careful, for this reason.
    Precaution(String),
}

/// What is changed. The order is the order of application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// `$ref` is replaced by what it means.
    InlineRefs,
    /// Keywords later than draft 07 go.
    Draft07,
    /// The arguments as a whole have no combinators.
    PlainRoot,
    /// No part of the arguments has combinators.
    Plain,
    /// A value has one type; null is not said.
    SingleTypes,
    /// A constant is a choice of one.
    NoConst,
    /// "More than 0" becomes "0 or more", or "1 or more" for integers.
    InclusiveBounds,
    /// Only texts are listed as choices; others are told in the description.
    StringEnums,
    /// Formats but these are told in the description.
    Formats(Vec<String>),
    /// Arrays say what they hold, and be it anything.
    ArrayItems,
    /// Every value has a type.
    Typed,
    /// An integer is called a number, also where its type was found out just before.
    IntegersAsNumbers,
    /// These keywords go.
    Without(Vec<String>),
    /// Descriptions are cut after so many characters.
    Descriptions(usize),
    /// The schema of the result goes.
    NoOutputSchema,
    /// Names are shortened, so that what the client makes of server and tool has at most so many characters.
    Names {
        /// So many.
        most: usize,
        /// What the client makes of both.
        around: String,
    },
}

impl Change {
    /// The key in `dialects.yaml`.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::InlineRefs => "inline_refs",
            Self::Draft07 => "draft_07",
            Self::PlainRoot => "plain_root",
            Self::Plain => "plain",
            Self::SingleTypes => "single_types",
            Self::IntegersAsNumbers => "integers_as_numbers",
            Self::NoConst => "no_const",
            Self::InclusiveBounds => "inclusive_bounds",
            Self::StringEnums => "string_enums",
            Self::Formats(_) => "formats",
            Self::ArrayItems => "array_items",
            Self::Typed => "typed",
            Self::Without(_) => "without",
            Self::Descriptions(_) => "descriptions",
            Self::NoOutputSchema => "no_output_schema",
            Self::Names { .. } => "names",
        }
    }

    /// Changes a tool, an entry of `tools/list`. Names are given by [`super::Names`], because they must stay apart.
    pub(super) fn apply(&self, tool: &mut Map<String, Value>) {
        match self {
            Self::InlineRefs => {
                for schema in ["inputSchema", "outputSchema"] {
                    // What refers to itself was refused at load; it stays as it is.
                    if let Some(schema) = tool.get_mut(schema)
                        && let Ok(Cow::Owned(whole)) = references::inlined(schema)
                    {
                        *schema = whole;
                    }
                }
            }
            Self::Draft07 => {
                for schema in ["inputSchema", "outputSchema"] {
                    if let Some(schema) = tool.get_mut(schema) {
                        walk::each_mut(schema, &mut keywords::draft_07);
                    }
                }
            }
            Self::NoOutputSchema => {
                tool.shift_remove("outputSchema");
            }
            Self::Descriptions(most) => {
                if let Some(Value::String(text)) = tool.get_mut("description") {
                    shorten(text, *most);
                }
            }
            Self::Names { .. } => {}
            change => {
                if let Some(schema) = tool.get_mut("inputSchema") {
                    change.apply_to_arguments(schema);
                }
            }
        }
    }

    fn apply_to_arguments(&self, schema: &mut Value) {
        match self {
            Self::PlainRoot => flat::root(schema),
            Self::Plain => flat::everywhere(schema),
            Self::SingleTypes => walk::each_mut(schema, &mut keywords::single_type),
            Self::IntegersAsNumbers => walk::each_mut(schema, &mut keywords::integer_as_number),
            Self::NoConst => walk::each_mut(schema, &mut keywords::no_const),
            Self::InclusiveBounds => walk::each_mut(schema, &mut keywords::inclusive_bounds),
            Self::StringEnums => walk::each_mut(schema, &mut keywords::string_enum),
            Self::Formats(kept) => {
                walk::each_mut(schema, &mut |node| keywords::formats(node, kept));
            }
            Self::ArrayItems => walk::each_mut(schema, &mut keywords::array_items),
            Self::Typed => keywords::typed(schema),
            Self::Without(words) => walk::each_mut(schema, &mut |node| {
                node.retain(|word, _| !words.contains(word));
            }),
            Self::InlineRefs
            | Self::Draft07
            | Self::Descriptions(_)
            | Self::NoOutputSchema
            | Self::Names { .. } => {}
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InlineRefs => f.write_str("references are replaced by what they mean"),
            Self::Draft07 => f.write_str("keywords later than draft 07 are left out"),
            Self::PlainRoot => f.write_str("no oneOf, anyOf, allOf at the top of the arguments"),
            Self::Plain => f.write_str("no oneOf, anyOf, allOf in the arguments"),
            Self::SingleTypes => f.write_str("one type for each value, null unsaid"),
            Self::IntegersAsNumbers => f.write_str("integers are called numbers"),
            Self::NoConst => f.write_str("constants are choices of one"),
            Self::InclusiveBounds => f.write_str("no exclusive bounds"),
            Self::StringEnums => f.write_str("choices that are no texts go into descriptions"),
            Self::Formats(kept) => {
                write!(f, "formats but {} go into descriptions", kept.join(", "))
            }
            Self::ArrayItems => f.write_str("every array has items"),
            Self::Typed => f.write_str("every value has a type"),
            Self::Without(words) => write!(f, "without {}", words.join(", ")),
            Self::Descriptions(most) => write!(f, "descriptions of at most {most} characters"),
            Self::NoOutputSchema => f.write_str("no schema of the result"),
            Self::Names { most, around } => {
                write!(f, "names of at most {most} characters as {around}")
            }
        }
    }
}

/// Cuts a text at the end of a word, so that it has at most `most` characters with its `…`.
fn shorten(text: &mut String, most: usize) {
    if text.chars().count() <= most {
        return;
    }
    let room = most.saturating_sub(1);
    let head: String = text.chars().take(room).collect();
    // A word that is cut may say something else than it did; one that never ends may be cut.
    let words = head.rsplit_once(char::is_whitespace);
    let kept = match words {
        Some((words, _)) if !words.trim_end().is_empty() => words.trim_end(),
        _ => &head,
    };
    *text = format!("{kept}…");
}

/// The description with a remark at its end.
pub(super) fn remark(node: &mut Map<String, Value>, remark: &str) {
    let text = match node.get("description").and_then(Value::as_str) {
        Some(text) if !text.is_empty() => format!("{text} ({remark})"),
        _ => remark.to_owned(),
    };
    node.insert("description".to_owned(), json!(text));
}
