//! Names that fit where a client puts its own word for the server around them. A name that is too long keeps its
//! beginning and ends in a digest of the whole, so it is the same after every restart, and no two tools share one. In: the
//! tools' names. Out: what each client is shown, and which tool is meant when it calls.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{Change, built_in};

/// A name is not shortened below this, however long the server's is: then the client has to be told a shorter one.
const SHORTEST: usize = 24;

/// The names that differ from the tools' own.
#[derive(Debug, Default)]
pub(in crate::catalogue) struct Names {
    /// By dialect and tool.
    shown: HashMap<(usize, String), String>,
    /// By the name that is shown.
    meant: HashMap<String, String>,
}

impl Names {
    /// The names of these tools for every dialect.
    pub(in crate::catalogue) fn of<'t>(
        server: &str,
        tools: impl Iterator<Item = &'t str> + Clone,
    ) -> Self {
        let mut names = Self::default();
        for dialect in built_in() {
            let room = dialect.rules.iter().find_map(|rule| match &rule.change {
                Change::Names { most, around } => Some(room(server, *most, around)),
                _ => None,
            });
            let Some(room) = room else { continue };
            for tool in tools.clone().filter(|tool| tool.len() > room) {
                let taken = |short: &str, names: &Self| {
                    let meant = names.meant.get(short);
                    tools.clone().any(|other| other == short)
                        || meant.is_some_and(|other| other != tool)
                };
                let short = (0..)
                    .map(|attempt| shortened(tool, room, attempt))
                    .find(|short| !taken(short, &names))
                    .unwrap_or_default();
                names.meant.insert(short.clone(), tool.to_owned());
                names.shown.insert((dialect.index, tool.to_owned()), short);
            }
        }
        names
    }

    /// What a client of this dialect is shown, where it is not the tool's own name.
    pub(in crate::catalogue) fn shown(&self, dialect: usize, tool: &str) -> Option<&str> {
        if self.shown.is_empty() {
            return None;
        }
        let name = self.shown.get(&(dialect, tool.to_owned()));
        name.map(String::as_str)
    }

    /// The tool that is meant by a name which some client is shown.
    pub(in crate::catalogue) fn meant(&self, name: &str) -> Option<&str> {
        self.meant.get(name).map(String::as_str)
    }
}

/// How long a tool's name may be, so that the whole has at most `most` characters.
fn room(server: &str, most: usize, around: &str) -> usize {
    let whole = around.replace("{server}", server).replace("{tool}", "");
    most.saturating_sub(whole.chars().count()).max(SHORTEST)
}

/// The beginning of the name, as far as a digest leaves room for it.
fn shortened(tool: &str, room: usize, attempt: u32) -> String {
    let mut digest = Sha256::new();
    digest.update(tool);
    if attempt > 0 {
        digest.update(attempt.to_be_bytes());
    }
    let digest = hex::encode(digest.finalize());
    let digest: String = digest.chars().take(8).collect();
    // Names are ASCII, so characters are bytes.
    let head: String = tool.chars().take(room.saturating_sub(9)).collect();
    format!("{}_{digest}", head.trim_end_matches('_'))
}
