//! The settings file: TOML text → one entry a known key, with its line. What is not TOML, not a known key or not in its
//! section becomes a problem that names line and nearest key; values are never shown here, one could be a secret.

use std::{fs, io, path::Path};

use figment::{
    Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Value},
};
use toml_edit::ImDocument;

use crate::nearest::nearest;

use super::{
    keys,
    layers::{Entry, SettingsFile},
    problem::{Origin, Problem, shown},
};

/// The known keys of the file; everything else goes to `problems`.
pub(super) fn entries(file: &SettingsFile, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let (path, text) = match file {
        SettingsFile::None => return Vec::new(),
        SettingsFile::IfPresent(path) | SettingsFile::Required(path) => {
            (path, fs::read_to_string(path))
        }
    };
    match text {
        Ok(text) => read(path, &text, problems),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && matches!(file, SettingsFile::IfPresent(_)) =>
        {
            Vec::new()
        }
        Err(error) => {
            let what = format!("cannot be read: {error}");
            let hint = "name a readable TOML file with `--config`";
            problems.push(of_file(
                &path.display().to_string(),
                "settings file",
                what,
                hint,
            ));
            Vec::new()
        }
    }
}

fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let data = Toml::string(text).data();
    let mut file = File {
        path,
        entries: Vec::new(),
        problems,
    };
    match (ImDocument::parse(text), data) {
        (Ok(document), Ok(mut data)) => {
            let lines = Lines {
                document: &document,
                text,
            };
            file.section(
                "",
                data.remove(&Profile::Default).unwrap_or_default(),
                &lines,
            );
        }
        (Err(error), _) => {
            let at = error.span().map(|span| place(text, span.start));
            let at = at.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
            let what = format!("not valid TOML: {}", error.message().replace('\n', "; "));
            let place = format!("{}{at}", path.display());
            let hint = "write `key = value` under `[section]`, text in double quotes";
            file.problems
                .push(of_file(&place, "settings file", what, hint));
        }
        (Ok(_), Err(_)) => {
            let place = path.display().to_string();
            let hint = "compare it with `toolbridge.example.toml`";
            file.problems.push(of_file(
                &place,
                "settings file",
                "not valid TOML".into(),
                hint,
            ));
        }
    }
    file.entries
}

fn of_file(place: &str, setting: &str, what: String, hint: impl Into<String>) -> Problem {
    Problem {
        setting: setting.to_owned(),
        origin: Origin::File(place.to_owned()),
        what,
        hint: hint.into(),
    }
}

/// A file while it is walked.
struct File<'a> {
    path: &'a Path,
    entries: Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl File<'_> {
    fn section(&mut self, prefix: &str, section: Dict, lines: &Lines<'_>) {
        for (name, value) in section {
            let name = format!("{prefix}{name}");
            let place = match lines.of(&name) {
                Some(line) => format!("{}:{line}", self.path.display()),
                None => self.path.display().to_string(),
            };
            if keys::is_known(&name) {
                self.entries
                    .push(Entry::new(&name, value, Origin::File(place)));
            } else if !keys::is_section(&name) {
                let what = "there is no such setting".to_owned();
                let setting = shown(&name);
                self.problems.push(of_file(
                    &place,
                    setting.trim_matches('`'),
                    what,
                    hint_for(&name),
                ));
            } else if let Value::Dict(_, inner) = value {
                self.section(&format!("{name}."), inner, lines);
            } else {
                let what = "a section, not a value".to_owned();
                let hint = format!("write `[{name}]` and its keys below");
                self.problems.push(of_file(&place, &name, what, hint));
            }
        }
    }
}

/// How to mend an unknown key: the key of the same section that looks like it, the section that does, or the same
/// word in another section.
pub(super) fn hint_for(name: &str) -> String {
    let (section, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    if keys::issuer_of_section(section).is_some() {
        let leaves = keys::ISSUER_LEAVES.iter().map(|(leaf, _)| *leaf);
        let near = nearest(leaf, leaves).unwrap_or("issuer");
        return format!("did you mean `{section}.{near}`?");
    }
    if section == "auth.issuers" {
        return "name an issuer with lower-case letters, digits and `_`".to_owned();
    }
    if name.starts_with("identity.") && name.ends_with("client_secret") {
        return only_variables(keys::EXCHANGE_CLIENT_SECRET);
    }
    if name.starts_with("identity.mint.") && (name.ends_with(".key") || name.ends_with("secret")) {
        let [key, _] = keys::MINT_KEY;
        return only_variables(key);
    }
    if name.to_ascii_lowercase().contains("secret") {
        let [signing, _] = keys::SIGNING_SECRET;
        return format!(
            "secrets are only read from variables: `{signing}`, `{}`, or these names with `_FILE`",
            keys::JWT_SECRET
        );
    }
    let split = |key: &'static str| key.rsplit_once('.').unwrap_or(("", key));
    let names = || keys::ALL.iter().map(|key| &*key.name);
    let siblings = names()
        .map(split)
        .filter(|(of, _)| *of == section)
        .map(|(_, leaf)| leaf);
    if let Some(near) = nearest(leaf, siblings) {
        let dot = if section.is_empty() { "" } else { "." };
        return format!("did you mean `{section}{dot}{near}`?");
    }
    let (top, rest) = name.split_once('.').unwrap_or((name, ""));
    if !keys::is_section(top)
        && let Some(near) = nearest(top, names().map(|key| split(key).0))
    {
        return match rest {
            "" => format!("did you mean `[{near}]`?"),
            rest => format!("did you mean `{near}.{rest}`?"),
        };
    }
    match names().find(|key| split(key).1 == leaf) {
        Some(elsewhere) => format!("did you mean `{elsewhere}`?"),
        None => "remove it; `toolbridge.example.toml` lists what there is".to_owned(),
    }
}

fn only_variables(name: &str) -> String {
    format!("secrets are only read from variables: `{name}`, or `{name}_FILE`")
}

/// Finds the line of a key.
struct Lines<'a> {
    document: &'a ImDocument<&'a str>,
    text: &'a str,
}

impl Lines<'_> {
    fn of(&self, name: &str) -> Option<usize> {
        let mut item = self.document.as_item();
        let mut start = None;
        for part in name.split('.') {
            let (key, inner) = item.as_table_like()?.get_key_value(part)?;
            start = key.span().or_else(|| inner.span()).map(|span| span.start);
            item = inner;
        }
        Some(place(self.text, start?).0)
    }
}

/// Line and column, both from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|char| *char != '\n')
        .count()
        + 1;
    (line, column)
}
