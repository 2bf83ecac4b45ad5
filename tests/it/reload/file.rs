//! A catalogue's file that tests replace, catalogues that can be told apart by every single tool, and waiting for a
//! sidecar to have looked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tempfile::TempDir;
use toolbridge::reload::Record;

use crate::harness::{Person, Sidecar, in_time};

pub(super) struct CatalogueFile(TempDir);

impl CatalogueFile {
    pub(super) fn with(text: &str) -> Self {
        let file = Self(TempDir::new().unwrap());
        file.replace(text);
        file
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("tools.yaml")
    }

    /// As most editors do it: there is no moment without a whole file.
    pub(super) fn replace(&self, text: &str) {
        let beside = self.0.path().join(".tools.yaml.swp");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, self.path()).unwrap();
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }
}

/// How many tools of a catalogue bear its number.
const NUMBERED: u64 = 30;

/// A catalogue whose list differs from that of any other number in all but two tools.
pub(super) fn numbered(number: u64) -> String {
    let mut text = format!(
        "version: 1
server: {{ name: reloaded }}
backend:
  session:
    open: POST /v1/sync/sessions
    headers: {{ X-Sync-Session: /id, X-Sync-Epoch: /epoch }}
entities:
  note:
    path: /v1/notes
    description: a Markdown text with a title.
    fields:
      title: {{ type: string, description: Its title in number {number} }}
    operations: [list, get]
tools:
"
    );
    for tool in 0..NUMBERED {
        text.push_str(&format!(
            "  ping_{number}_{tool}: {{ description: Says hello., request: GET /v1/notes, effect: read }}\n"
        ));
    }
    text
}

/// The names in its list.
pub(super) fn names_of(number: u64) -> Vec<String> {
    let own = (0..NUMBERED).map(|tool| format!("ping_{number}_{tool}"));
    let notes = ["list_notes", "get_note"].map(str::to_owned);
    notes.into_iter().chain(own).collect()
}

/// What a person is listed.
pub(super) async fn names(person: &Person) -> Vec<String> {
    let list = person.asks("tools/list", json!({})).await.result();
    names_in(&list)
}

pub(super) fn names_in(list: &serde_json::Value) -> Vec<String> {
    let tools = list["tools"].as_array().unwrap();
    let name = |tool: &serde_json::Value| tool["name"].as_str().unwrap().to_owned();
    tools.iter().map(name).collect()
}

/// Waits until the sidecar's record is so.
pub(super) async fn wait(sidecar: &Sidecar, is_so: impl FnMut(&Record) -> bool) -> Record {
    let mut record = sidecar.reload.record();
    in_time(record.wait_for(is_so)).await.unwrap().clone()
}

/// Waits until the catalogue was replaced so often.
pub(super) async fn replaced(sidecar: &Sidecar, times: u64) -> Record {
    wait(sidecar, |record| record.replaced == times).await
}
