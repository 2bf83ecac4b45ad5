//! A catalogue of as many tools as there may be: notes under 250 names, one of which is the backend's own.

use std::fmt::Write;

/// The text of `tools.yaml` with 2,000 tools; `get_note` is in the middle of them.
#[must_use]
pub fn of_2000_tools() -> String {
    let mut text = String::from(
        "version: 1
server: { name: bench }
backend:
  session:
    open: POST /v1/sync/sessions
    headers: { X-Sync-Session: /id, X-Sync-Epoch: /epoch }
  stale: [428, 409]
entities:
",
    );
    for number in 1..=250 {
        let (name, plural) = match number {
            125 => ("note".to_owned(), "notes".to_owned()),
            _ => (format!("note_{number}"), format!("notes_{number}")),
        };
        let _ = write!(
            text,
            "  {name}:
    plural: {plural}
    path: /v1/{plural}
    description: a Markdown text with a title.
    fields:
      title: {{ type: string, required: true }}
      content: {{ type: string, required: true, description: Markdown }}
      tags: {{ type: array, items: {{ type: string }} }}
    actions:
      pin: {{ description: Keep the note on top, sets: {{ pinned: true }} }}
      unpin: {{ sets: {{ pinned: false }} }}
    archive: {{ sets: {{ status: archived }} }}
"
        );
    }
    text
}
