//! `tools/list` from bytes made once, when first asked for: one list for each dialect and era. In: who asks, in which
//! dialect, from where on. Out: the JSON of the result. Order is the catalogue's. Where the catalogue asks for scopes,
//! callers see only what they may call. The one thing not to break: a page is put together from bytes, no tool is
//! serialized again.

mod cursor;
mod list;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use rmcp::model::{ErrorData, Implementation, JsonObject, ListToolsResult, Tool};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::list::{Kept, List, Tools};
use super::{SERVER_INFO, TTL_MS};
use crate::{
    auth::Caller,
    catalogue::{Catalogue, Dialect, dialect, tokens},
};

/// At most so many tools are on a page.
const PAGE: usize = 200;

/// What a result may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// Revisions with connections: the tools, and where the list goes on.
    Legacy,
    /// Since 2026-07-28: also who answers and how long the answer may be kept (protocol page A.7).
    Modern,
}

/// A cursor that leads nowhere: nobody gave it out, or the list has been replaced since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown or outdated cursor: ask for the tool list again without one")]
pub(super) struct BadCursor;

impl From<BadCursor> for ErrorData {
    fn from(error: BadCursor) -> Self {
        Self::invalid_params(error.to_string(), None)
    }
}

/// The lists of one catalogue, each made for the first client that is sent it: most processes ever see one or two dialects.
pub(super) struct Listing {
    catalogue: Arc<Catalogue>,
    /// Tools of ours, as they are listed.
    own: Vec<Map<String, Value>>,
    /// By the dialect's index.
    lists: Vec<OnceLock<Lists>>,
    fingerprint: OnceLock<u64>,
    /// The scopes of each tool, in the order of every list.
    scopes: Vec<Vec<String>>,
    /// Whether any tool asks for any: then the answer is not the same for everybody.
    scoped: bool,
    /// `"_meta":{…},` of the results of an era that has it.
    introduction: String,
    /// Input schemas with arguments that are repeated in headers, by every name the tool is shown under.
    annotated: HashMap<String, Arc<JsonObject>>,
}

#[derive(Clone)]
struct Lists {
    legacy: Arc<List>,
    modern: Arc<List>,
}

impl Lists {
    fn of(&self, era: Era) -> &List {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

impl Listing {
    /// `own` are tools of ours, after the catalogue's; `server` is who answers.
    pub(super) fn of(
        catalogue: Arc<Catalogue>,
        own: impl IntoIterator<Item = Tool>,
        server: &Implementation,
    ) -> Self {
        let own: Vec<_> = own.into_iter().map(|tool| entry(json!(tool))).collect();
        let theirs = catalogue.tools().iter().map(|tool| tool.scopes.clone());
        let scopes: Vec<_> = theirs.chain(own.iter().map(|_| Vec::new())).collect();
        Self {
            lists: dialect::built_in()
                .iter()
                .map(|_| OnceLock::new())
                .collect(),
            fingerprint: OnceLock::new(),
            scoped: scopes.iter().any(|scopes| !scopes.is_empty()),
            scopes,
            introduction: format!("\"_meta\":{},", json!({ SERVER_INFO: server })),
            annotated: annotated(&catalogue),
            own,
            catalogue,
        }
    }

    /// Makes at once what another was asked for: where it takes its place, nobody waits.
    pub(super) fn prepare_as(&self, before: &Self) {
        for dialect in dialect::built_in() {
            let is_made = |lists: &OnceLock<Lists>| lists.get().is_some();
            if before.lists.get(dialect.index).is_some_and(is_made) {
                self.lists(dialect);
            }
        }
    }

    /// A page of the list: the JSON of the result. An empty cursor is none: no list of ours goes on there, and some
    /// clients ask so for its beginning.
    pub(super) fn page(
        &self,
        dialect: &Dialect,
        era: Era,
        caller: &Caller,
        cursor: Option<&str>,
    ) -> Result<Bytes, BadCursor> {
        let lists = self.lists(dialect).ok_or(BadCursor)?;
        let list = lists.of(era);
        let start = match cursor {
            None | Some("") => 0,
            Some(cursor) => cursor::read(cursor, list.digest())?,
        };
        let sees = |index: &usize| {
            let scopes = self.scopes.get(*index);
            scopes.is_none_or(|scopes| scopes.iter().all(|scope| caller.scopes().contains(scope)))
        };
        let mut visible = (start..self.scopes.len()).filter(sees);
        let page: Vec<usize> = visible.by_ref().take(PAGE).collect();
        let next = visible.next();
        if start == 0 && page.len() == self.scopes.len() {
            return Ok(list.whole.clone());
        }
        let next = next.map(|index| cursor::write(index, list.digest()));
        Ok(list.page(&page, &self.head(lists, era, next.as_deref())))
    }

    /// Of everything a client may be shown, the same for the same list in every process.
    pub(super) fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut digest = Sha256::new();
            if let Some(default) = self.lists(dialect::default()) {
                digest.update(default.modern.digest());
            }
            for scopes in &self.scopes {
                for scope in scopes {
                    digest.update(scope);
                    digest.update([0]);
                }
                digest.update([1]);
            }
            let digest: [u8; 32] = digest.finalize().into();
            digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
        })
    }

    /// The same for those who want it as rmcp has it.
    pub(super) fn typed_page(
        &self,
        dialect: &Dialect,
        era: Era,
        caller: &Caller,
        cursor: Option<&str>,
    ) -> Result<ListToolsResult, ErrorData> {
        let page = self.page(dialect, era, caller, cursor)?;
        serde_json::from_slice(&page).map_err(|error| {
            tracing::error!(%error, "a page of the tool list is no tool list");
            ErrorData::internal_error("the tool list cannot be shown", None)
        })
    }

    /// The tool as far as rmcp needs it to compare headers with arguments; others have none to compare.
    pub(super) fn annotated(&self, name: &str) -> Option<Tool> {
        let schema = self.annotated.get(name)?;
        Some(Tool::new(name.to_owned(), "", Arc::clone(schema)))
    }

    /// Whether clients repeat arguments of this tool in headers.
    pub(super) fn repeats_arguments(&self, name: &str) -> bool {
        self.annotated.contains_key(name)
    }

    /// The lists of one dialect.
    fn lists(&self, dialect: &Dialect) -> Option<&Lists> {
        let is_known = dialect.index < self.lists.len();
        let dialect = if is_known {
            dialect
        } else {
            dialect::default()
        };
        let lists = self.lists.get(dialect.index)?;
        Some(lists.get_or_init(|| self.made(dialect)))
    }

    /// What does not differ from the default's is not kept twice.
    fn made(&self, dialect: &Dialect) -> Lists {
        let is_default = dialect.index == 0;
        let shown = self.shown(dialect);
        if shown.is_none()
            && !is_default
            && let Some(default) = self.lists(dialect::default())
        {
            return default.clone();
        }
        let tools = shown.unwrap_or_else(|| self.strict());
        let scope = self.cache_scope(is_default);
        let list = |kept, era| Arc::new(List::of(kept, &self.opening(era, scope, None)));
        Lists {
            legacy: list(tools.legacy, Era::Legacy),
            modern: list(tools.modern, Era::Modern),
        }
    }

    /// The tools as they are.
    fn strict(&self) -> Eras {
        let mut eras = Building::default();
        for tool in self.catalogue.tools() {
            if tool.repeats_arguments() {
                eras.push(&entry(tokens::listed(tool)));
            } else {
                eras.push_plain(&tokens::listed_json(tool));
            }
        }
        self.own.iter().for_each(|tool| eras.push(tool));
        eras.done()
    }

    /// The tools as a dialect shows them; `None` where that is what they are.
    fn shown(&self, dialect: &Dialect) -> Option<Eras> {
        if dialect.rules.is_empty() {
            return None;
        }
        let mut eras = Building::default();
        let mut differs = false;
        let theirs = self.catalogue.tools().iter();
        let theirs = theirs.map(|tool| entry(tokens::listed(tool)));
        for tool in theirs.chain(self.own.iter().cloned()) {
            let shown = self.catalogue.shown(dialect, &tool);
            differs |= shown.is_some();
            eras.push(&shown.unwrap_or(tool));
        }
        differs.then(|| eras.done())
    }

    fn head(&self, lists: &Lists, era: Era, next: Option<&str>) -> String {
        let default = self.lists(dialect::default());
        let is_default = default.is_some_and(|it| Arc::ptr_eq(&it.modern, &lists.modern));
        self.opening(era, self.cache_scope(is_default), next)
    }

    /// Who may be served a copy: the same for all pages of a list. A list that was made for one client is not everybody's.
    fn cache_scope(&self, is_default: bool) -> &'static str {
        if self.scoped || !is_default {
            "private"
        } else {
            "public"
        }
    }

    /// What stands before the tools, in rmcp's order.
    fn opening(&self, era: Era, scope: &str, next: Option<&str>) -> String {
        let next = next.map_or(String::new(), |next| format!("\"nextCursor\":\"{next}\","));
        match era {
            Era::Legacy => format!("{{{next}\"tools\":["),
            Era::Modern => format!(
                "{{\"resultType\":\"complete\",{}{next}\"ttlMs\":{TTL_MS},\"cacheScope\":\"{scope}\",\"tools\":[",
                self.introduction
            ),
        }
    }
}

/// The tools of a list, as far as they differ by era.
struct Eras {
    legacy: Arc<Kept>,
    modern: Arc<Kept>,
}

#[derive(Default)]
struct Building {
    legacy: Tools,
    modern: Tools,
    differs: bool,
}

impl Building {
    fn push(&mut self, tool: &Map<String, Value>) {
        // A map of JSON values always has a form.
        let json = |tool| serde_json::to_vec(tool).unwrap_or_default();
        let modern = json(tool);
        self.modern.push(&modern);
        match dialect::without_header_annotations(tool) {
            Some(plain) => {
                self.differs = true;
                self.legacy.push(&json(&plain));
            }
            None => self.legacy.push(&modern),
        }
    }

    /// A tool that is the same in every era.
    fn push_plain(&mut self, json: &[u8]) {
        self.modern.push(json);
        self.legacy.push(json);
    }

    fn done(self) -> Eras {
        let modern = Kept::of(self.modern);
        let legacy = if self.differs {
            Kept::of(self.legacy)
        } else {
            Arc::clone(&modern)
        };
        Eras { legacy, modern }
    }
}

fn annotated(catalogue: &Catalogue) -> HashMap<String, Arc<JsonObject>> {
    let mut annotated = HashMap::new();
    let tools = catalogue.tools().iter();
    for tool in tools.filter(|tool| tool.repeats_arguments()) {
        let listed = entry(tokens::listed(tool));
        for dialect in dialect::built_in() {
            let shown = catalogue.shown(dialect, &listed);
            let shown = shown.as_ref().unwrap_or(&listed);
            if dialect::without_header_annotations(shown).is_some()
                && let (Some(Value::String(name)), Some(Value::Object(schema))) =
                    (shown.get("name"), shown.get("inputSchema"))
            {
                annotated.insert(name.clone(), Arc::new(schema.clone()));
            }
        }
    }
    annotated
}

fn entry(listed: Value) -> Map<String, Value> {
    match listed {
        Value::Object(tool) => tool,
        _ => Map::new(),
    }
}
