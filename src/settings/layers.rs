//! The layers, weakest first: defaults, file, environment (an alias below the key's own variable), command line.
//! In: the sources. Out: one value a key with the place it came from, by figment's merge. Only known keys get in, so
//! that no stray value can replace a whole section.

use std::{cell::OnceCell, collections::BTreeSet, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    util::nest,
    value::{Dict, Map, Value},
};

use super::{
    environment::Environment,
    file,
    keys::{self, Key, SERVER_LISTEN},
    problem::{Origin, Problem, shown},
};

/// Where the settings are read from.
#[derive(Clone)]
pub struct Sources {
    /// The settings file.
    pub file: SettingsFile,
    /// The variables.
    pub environment: Environment,
    /// What the command line says: dotted name and value, the later one wins.
    pub flags: Vec<(String, String)>,
}

/// The settings file and whether it must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsFile {
    /// None is read.
    None,
    /// Read if there is one: `toolbridge.toml` of the working directory.
    IfPresent(PathBuf),
    /// The person named it, so it has to be readable.
    Required(PathBuf),
}

impl SettingsFile {
    /// What `--config` says, or `toolbridge.toml` in the working directory if it is there.
    #[must_use]
    pub fn of_flag(config: Option<PathBuf>) -> Self {
        config.map_or_else(|| Self::IfPresent("toolbridge.toml".into()), Self::Required)
    }
}

/// One key's value in one layer.
pub(super) struct Entry {
    name: String,
    value: Value,
    origin: Origin,
}

impl Entry {
    pub(super) fn new(name: &str, value: impl Into<Value>, origin: Origin) -> Self {
        let (name, value) = (name.to_owned(), value.into());
        Self {
            name,
            value,
            origin,
        }
    }
}

impl Provider for Entry {
    fn metadata(&self) -> Metadata {
        self.origin.metadata()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let nested = nest(&self.name, self.value.clone());
        Ok(Profile::Default.collect(nested.into_dict().unwrap_or_default()))
    }
}

/// The merged layers.
pub(super) struct Layers {
    values: Figment,
    /// What they come to; figment would put it together again for every key that is asked for.
    merged: OnceCell<Option<Value>>,
    /// Names of the issuers that any layer speaks of.
    issuers: BTreeSet<String>,
}

impl Layers {
    /// Merges the sources; what is in none of the known places becomes a problem.
    pub(super) fn merge(sources: &Sources, problems: &mut Vec<Problem>) -> Self {
        let file = file::entries(&sources.file, problems);
        problems.extend(sources.environment.problems());
        let flags = flag_entries(&sources.flags, problems);
        let written = file.iter().chain(&flags);
        let written = written.filter_map(|entry| Some(keys::issuer_in(&entry.name)?.to_owned()));
        let layers = Self {
            issuers: written.chain(sources.environment.issuers()).collect(),
            values: Figment::new(),
            merged: OnceCell::new(),
        };
        let keys: Vec<_> = layers.keys().collect();
        let defaults = keys.iter().filter_map(|key| {
            let default = key.default?;
            Some(Entry::new(&key.name, default, Origin::Default))
        });
        let layers = layers.with(defaults).with(file);
        layers
            .with_environment(&keys, &sources.environment)
            .with(flags)
    }

    /// The value of a key and its origin; `None` where nothing sets it.
    pub(super) fn find(&self, key: &Key) -> Option<(Value, Origin)> {
        let merged = self.merged.get_or_init(|| self.values.find_value("").ok());
        let value = merged.as_ref()?.find_ref(&key.name)?.clone();
        let origin = self
            .values
            .get_metadata(value.tag())
            .map_or(Origin::Default, Origin::of);
        Some((value, origin))
    }

    /// Names of the further issuers, in alphabetical order.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(String::as_str)
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let issuers = self.issuers.iter();
        let named = issuers.flat_map(|name| keys::all_of_issuer(name));
        keys::ALL.iter().cloned().chain(named)
    }

    fn with(self, entries: impl IntoIterator<Item = Entry>) -> Self {
        Self {
            values: entries.into_iter().fold(self.values, Figment::merge),
            merged: OnceCell::new(),
            ..self
        }
    }

    fn with_environment(self, keys: &[Key], environment: &Environment) -> Self {
        let below = self
            .find(&SERVER_LISTEN)
            .and_then(|(value, _)| value.into_string());
        let address = below
            .as_deref()
            .or(SERVER_LISTEN.default)
            .unwrap_or_default();
        let halves = environment.listen_alias(&SERVER_LISTEN, address);
        let entries = keys.iter().flat_map(|key| environment.of_key(key));
        self.with(halves.into_iter().chain(entries))
    }
}

fn flag_entries(flags: &[(String, String)], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, value) in flags {
        if keys::is_known(name) {
            entries.push(Entry::new(name, value.as_str(), Origin::CommandLine));
        } else {
            problems.push(Problem {
                setting: shown(name).trim_matches('`').to_owned(),
                origin: Origin::CommandLine,
                what: "there is no such setting".to_owned(),
                hint: file::hint_for(name),
            });
        }
    }
    entries
}
