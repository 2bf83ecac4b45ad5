//! `tools/list` from bytes made once at load: one list for each dialect and era. In: who asks, in which dialect, from
//! where on. Out: the JSON of the result. Order is the catalogue's. Where the catalogue asks for scopes, callers see only
//! what they may call. The one thing not to break: a page is put together from bytes, no tool is serialized again.

mod cursor;
mod list;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use rmcp::model::{ErrorData, Implementation, JsonObject, ListToolsResult, Tool};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::list::List;
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

/// The lists of one catalogue.
pub(super) struct Listing {
    /// By the dialect's index.
    lists: Vec<Lists>,
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
        catalogue: &Catalogue,
        own: impl IntoIterator<Item = Tool>,
        server: &Implementation,
    ) -> Self {
        let own = own.into_iter().map(|tool| (entry(json!(tool)), Vec::new()));
        let theirs = catalogue.tools().iter();
        let (tools, scopes): (Vec<_>, Vec<_>) = theirs
            .map(|tool| (entry(tokens::listed(tool)), tool.scopes.clone()))
            .chain(own)
            .unzip();
        let mut listing = Self {
            lists: Vec::new(),
            scoped: scopes.iter().any(|scopes| !scopes.is_empty()),
            scopes,
            introduction: format!("\"_meta\":{},", json!({ SERVER_INFO: server })),
            annotated: HashMap::new(),
        };
        for dialect in dialect::built_in() {
            let lists = listing.lists_of(catalogue, dialect, &tools);
            listing.lists.push(lists);
        }
        listing
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
        let lists = self.lists.get(dialect.index).or_else(|| self.lists.first());
        let lists = lists.ok_or(BadCursor)?;
        let list = lists.of(era);
        let start = match cursor {
            None | Some("") => 0,
            Some(cursor) => cursor::read(cursor, &list.digest)?,
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
        let next = next.map(|index| cursor::write(index, &list.digest));
        Ok(list.page(&page, &self.head(lists, era, next.as_deref())))
    }

    /// Of everything a client may be shown, the same for the same list in every process.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut digest = Sha256::new();
        if let Some(default) = self.lists.first() {
            digest.update(default.modern.digest);
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

    /// The lists of one dialect; what does not differ from the default's is not kept twice.
    fn lists_of(
        &mut self,
        catalogue: &Catalogue,
        dialect: &Dialect,
        tools: &[Map<String, Value>],
    ) -> Lists {
        let shown: Vec<_> = tools
            .iter()
            .map(|tool| catalogue.shown(dialect, tool))
            .collect();
        if let Some(default) = self.lists.first()
            && shown.iter().all(Option::is_none)
        {
            return default.clone();
        }
        let modern: Vec<_> = shown
            .iter()
            .zip(tools)
            .map(|(own, tool)| own.as_ref().unwrap_or(tool))
            .collect();
        let plain: Vec<_> = modern
            .iter()
            .map(|tool| dialect::without_header_annotations(tool))
            .collect();
        let annotated = modern
            .iter()
            .zip(&plain)
            .filter(|(_, plain)| plain.is_some());
        for (tool, _) in annotated {
            if let (Some(name), Some(Value::Object(schema))) =
                (tool["name"].as_str(), tool.get("inputSchema"))
            {
                self.annotated
                    .insert(name.to_owned(), Arc::new(schema.clone()));
            }
        }
        let is_default = self.lists.is_empty();
        let scope = self.cache_scope(is_default);
        let list = |era, tools: &[&Map<String, Value>]| {
            Arc::new(List::of(tools, &self.opening(era, scope, None)))
        };
        let legacy: Vec<_> = plain
            .iter()
            .zip(&modern)
            .map(|(plain, tool)| plain.as_ref().unwrap_or(tool))
            .collect();
        Lists {
            legacy: list(Era::Legacy, &legacy),
            modern: list(Era::Modern, &modern),
        }
    }

    fn head(&self, lists: &Lists, era: Era, next: Option<&str>) -> String {
        let default = self.lists.first();
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

fn entry(listed: Value) -> Map<String, Value> {
    match listed {
        Value::Object(tool) => tool,
        _ => Map::new(),
    }
}
