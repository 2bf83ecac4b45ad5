//! What is wrong with a catalogue, where, and how to mend it; printed the way rustc does, in file order.
//! Foreign text goes out only through [`Problems`]'s `Display`, which crops long lines and disarms control characters.

use std::{collections::HashSet, fmt};

/// A place in the file: 1-based line and column, and how many characters the caret line marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// 1-based; 0 means "the file as a whole".
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// In characters, at least 1 when printed.
    pub width: usize,
}

/// Whether a problem stops the catalogue from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The catalogue cannot be used.
    Error,
    /// It works, but a model or a reader is worse off: `check` fails on it, `serve` starts.
    Lint,
}

/// One thing wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// How bad.
    pub severity: Severity,
    /// What, in one line without a full stop.
    pub what: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem that stops the catalogue.
    #[must_use]
    pub fn error(at: At, what: impl Into<String>) -> Self {
        Self {
            at,
            severity: Severity::Error,
            what: what.into(),
            hint: None,
        }
    }

    /// A problem that does not.
    #[must_use]
    pub fn lint(at: At, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Lint,
            ..Self::error(at, what)
        }
    }

    /// The same with a way to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with this hint where it has none yet.
    #[must_use]
    pub fn or_hint(self, hint: impl Into<String>) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.hint(hint),
        }
    }

    /// The same with "did you mean" where a known name is near.
    #[must_use]
    pub fn suggest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        // A name of megabytes is nobody's slip, and comparing it would cost its length in memory for every candidate.
        let wrong: String = wrong.chars().take(64).collect();
        match crate::nearest::nearest(&wrong, known) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// Everything wrong with one file, with the text it points into.
#[derive(Clone)]
pub struct Problems {
    file: String,
    text: String,
    list: Vec<Problem>,
}

impl Problems {
    /// At most this many are printed: a file of nothing but mistakes must not flood a terminal or a log.
    const PRINTED: usize = 200;

    /// Sorted into file order, each said once: an operation's mistake is found again for every entity.
    pub(super) fn new(file: &str, text: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.at);
        let mut said = HashSet::new();
        list.retain(|problem| said.insert((problem.at, problem.what.clone())));
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            list,
        }
    }

    /// The problems in file order.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The text that was read.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether any of them stops the catalogue from being used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    fn write_one(
        &self,
        f: &mut fmt::Formatter<'_>,
        problem: &Problem,
        lines: &[&str],
    ) -> fmt::Result {
        let At {
            line,
            column,
            width,
        } = problem.at;
        let lint = match problem.severity {
            Severity::Error => "",
            Severity::Lint => "lint: ",
        };
        let what = disarmed(&problem.what);
        let file = disarmed(&self.file);
        if line == 0 {
            writeln!(f, "{file}: {lint}{what}")?;
        } else {
            writeln!(f, "{file}:{line}:{column}: {lint}{what}")?;
            if let Some(text) = lines.get(line - 1) {
                let excerpt = Excerpt::of(text, column, width);
                let number = line.to_string();
                writeln!(f, "  {number} | {}", excerpt.text)?;
                let margin = " ".repeat(number.len());
                let pad = " ".repeat(excerpt.before);
                writeln!(f, "  {margin} | {pad}{}", "^".repeat(excerpt.carets))?;
            }
        }
        match &problem.hint {
            Some(hint) => writeln!(f, "hint: {}", disarmed(hint)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = lines(&self.text);
        for (index, problem) in self.list.iter().take(Self::PRINTED).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.write_one(f, problem, &lines)?;
        }
        match self.list.len().saturating_sub(Self::PRINTED) {
            0 => Ok(()),
            more => writeln!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problems({})", self.list.len())
    }
}

impl std::error::Error for Problems {}

/// The part of a line that is shown: at most [`Excerpt::WIDTH`] characters around the caret.
struct Excerpt {
    text: String,
    before: usize,
    carets: usize,
}

impl Excerpt {
    const WIDTH: usize = 110;

    fn of(line: &str, column: usize, width: usize) -> Self {
        let start = column.saturating_sub(1);
        let first = start.saturating_sub(Self::WIDTH / 2);
        let first = if line.chars().count() <= Self::WIDTH {
            0
        } else {
            first
        };
        let shown: String = line.chars().skip(first).take(Self::WIDTH).collect();
        let length = shown.chars().count();
        let before = (start - first).min(length);
        Self {
            carets: width.clamp(1, length.saturating_sub(before).max(1)),
            text: disarmed(&shown),
            before,
        }
    }
}

/// The lines as YAML counts them: `\n`, `\r\n` and `\r` end one.
fn lines(text: &str) -> Vec<&str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
        .collect()
}

/// Control characters (terminal escapes) and those that reorder or hide text, as a visible stand-in; at most 400
/// characters.
fn disarmed(text: &str) -> String {
    text.chars()
        .take(400)
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() || is_deceptive(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Marks that turn the direction of what follows, and characters without width.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
