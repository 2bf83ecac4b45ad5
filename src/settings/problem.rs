//! What is wrong with the settings, all of it in one message: which setting, where it came from, what, and how to mend
//! it. Values of ordinary settings may appear; secrets, and texts that could hide one (a URL with a password), never.

use std::fmt;

use figment::{Metadata, Source};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it; the built-in default.
    Default,
    /// A file, with the line where it is known: `toolbridge.toml:12`.
    File(String),
    /// A variable of the environment, by name.
    Variable(String),
    /// A flag of the command line.
    CommandLine,
    /// Nowhere: it is missing.
    Unset,
}

const FILE: &str = "file";
const VARIABLE: &str = "variable";
const COMMAND_LINE: &str = "command line";

impl Origin {
    /// The form in which figment carries it beside each value.
    pub(super) fn metadata(&self) -> Metadata {
        match self {
            Self::Default | Self::Unset => Metadata::default(),
            Self::File(place) => Metadata::from(place.clone(), FILE),
            Self::Variable(name) => Metadata::from(name.clone(), VARIABLE),
            Self::CommandLine => Metadata::from(COMMAND_LINE, COMMAND_LINE),
        }
    }

    /// What [`metadata`](Self::metadata) was made of.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let place = || metadata.name.clone().into_owned();
        match metadata.source.as_ref().and_then(Source::custom) {
            Some(FILE) => Self::File(place()),
            Some(VARIABLE) => Self::Variable(place()),
            Some(COMMAND_LINE) => Self::CommandLine,
            _ => Self::Default,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's name, or the variable's or file's where there is no setting.
    pub setting: String,
    /// Where its value came from.
    pub origin: Origin,
    /// What is wrong with it.
    pub what: String,
    /// How to mend it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Variable(name) if *name == self.setting => write!(f, "`{name}` (environment)")?,
            origin => write!(f, "`{}` ({origin})", self.setting)?,
        }
        write!(f, ": {}\n  hint: {}", self.what, self.hint)
    }
}

/// Everything that is wrong with the settings; the process does not start (exit code 64).
#[derive(Debug, thiserror::Error)]
#[error("{}", listed(problems))]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems, first those of the sources as a whole, then setting by setting.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn listed(problems: &[Problem]) -> String {
    let noun = if problems.len() == 1 {
        "problem"
    } else {
        "problems"
    };
    let mut text = format!("{} {noun} in the settings", problems.len());
    for problem in problems {
        text.push_str(&format!("\n\n{problem}"));
    }
    text
}

/// What a parser says of a value; the reader adds the setting's name and origin.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        let (what, hint) = (what.into(), hint.into());
        Self { what, hint }
    }
}

/// A foreign text in a message: in backticks, no control characters, not longer than a line.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!(
        "`{}`",
        short
            .escape_debug()
            .to_string()
            .replace("\\\"", "\"")
            .replace("\\'", "'")
    )
}
