//! `/v1/notes/{uid}`: parsed at load, filled at call. Filling can neither add nor remove a segment, whatever the
//! values are.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986's unreserved characters stay; everything else is encoded.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path with named holes.
///
/// ```
/// use toolbridge::catalogue::PathTemplate;
/// let template: PathTemplate = "/v1/notes/{uid}/archive".parse().unwrap();
/// assert_eq!(template.fill(|_| Some("a/../b".to_owned())).unwrap(), "/v1/notes/a%2F..%2Fb/archive");
/// assert!(template.fill(|_| Some("..".to_owned())).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Text that goes out as it stands.
    Literal(String),
    Hole(String),
}

/// Why a text is no path.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPath {
    /// It is relative or a whole URL.
    #[error("a path starts with `/`")]
    NotAbsolute,
    /// It has a query or a fragment.
    #[error("a path has no `?` and no `#`: parameters with `in: query` make the query")]
    Query,
    /// `//`, `/./` or `/../`, or a `/` at the end.
    #[error("a path has no empty, `.` or `..` segment and no `/` at its end")]
    Segment,
    /// A character that is not allowed in a path.
    #[error("`{0}` must not stand in a path")]
    Character(char),
    /// Braces that do not match, or nothing between them, or two holes in one segment.
    #[error("a placeholder is `{{name}}` and fills a whole segment")]
    Placeholder,
}

impl PathTemplate {
    /// The names of the holes, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The path with its holes filled, percent-encoded; `None` where a value is missing, empty, `.` or `..`.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => path.push_str(text),
                Part::Hole(name) => {
                    let value = value(name)?;
                    if matches!(value.as_str(), "" | "." | "..") {
                        return None;
                    }
                    path.extend(utf8_percent_encode(&value, ENCODED));
                }
            }
        }
        Some(path)
    }
}

impl std::str::FromStr for PathTemplate {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(BadPath::NotAbsolute);
        };
        if text.contains(['?', '#']) {
            return Err(BadPath::Query);
        }
        let mut parts = Vec::new();
        for segment in rest.split('/') {
            parts.push(Part::Literal("/".to_owned()));
            parts.push(part(segment)?);
        }
        Ok(Self { parts })
    }
}

fn part(segment: &str) -> Result<Part, BadPath> {
    if matches!(segment, "" | "." | "..") {
        return Err(BadPath::Segment);
    }
    let inner = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(name) = inner {
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(usable) {
            return Err(BadPath::Placeholder);
        }
        return Ok(Part::Hole(name.to_owned()));
    }
    if segment.contains(['{', '}']) {
        return Err(BadPath::Placeholder);
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(*c);
    match segment.chars().find(|c| !allowed(c)) {
        Some(c) => Err(BadPath::Character(c)),
        None => Ok(Part::Literal(segment.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        for (text, why) in [
            ("v1/notes", BadPath::NotAbsolute),
            ("http://evil/v1", BadPath::NotAbsolute),
            ("/v1?x=1", BadPath::Query),
            ("/v1/../admin", BadPath::Segment),
            ("//evil", BadPath::Segment),
            ("/v1/", BadPath::Segment),
            ("/v1/a b", BadPath::Character(' ')),
            ("/v1/%2e%2e", BadPath::Character('%')),
            ("/v1/\n", BadPath::Character('\n')),
            ("/v1/{}", BadPath::Placeholder),
            ("/v1/{a", BadPath::Placeholder),
            ("/v1/x{a}", BadPath::Placeholder),
        ] {
            assert_eq!(text.parse::<PathTemplate>(), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn filling_with_any_text_keeps_the_number_of_segments(value in ".*") {
            let template: PathTemplate = "/v1/notes/{uid}/archive".parse().unwrap();
            if let Some(path) = template.fill(|_| Some(value.clone())) {
                prop_assert_eq!(path.split('/').count(), 5);
                prop_assert!(path.is_ascii() && !path.contains(['?', '#', ' ', '\\']));
                prop_assert!(!path.split('/').any(|segment| segment == ".." || segment == "."));
            } else {
                prop_assert!(matches!(value.as_str(), "" | "." | ".."));
            }
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".*") {
            let _ = text.parse::<PathTemplate>();
        }
    }
}
