//! A few records for the developer, so that the first list is not empty. Only where the user has none at all, and only
//! of entities the catalogue has: a catalogue of one's own starts empty.

use serde_json::{Value, json};

use crate::{
    catalogue::Catalogue,
    cli::call::DEVELOPER,
    sandbox::{Sandbox, SandboxError},
};

const WELCOME: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const CHAT: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

/// Makes the records; how many.
pub(super) async fn seed(sandbox: &Sandbox, catalogue: &Catalogue) -> Result<usize, SandboxError> {
    let has = |name: &str| {
        catalogue
            .entities()
            .iter()
            .any(|entity| entity.name == name)
    };
    if !records().iter().all(|(entity, _)| has(entity)) || !sandbox.is_empty(DEVELOPER).await? {
        return Ok(0);
    }
    for (entity, payload) in records() {
        sandbox.seed(DEVELOPER, entity, payload).await?;
    }
    Ok(records().len())
}

fn records() -> [(&'static str, Value); 6] {
    [
        (
            "note",
            json!({
                "uid": WELCOME,
                "title": "Welcome",
                "content": "This note lives in the **sandbox**. Ask your client to change it.",
                "tags": ["welcome"],
            }),
        ),
        (
            "note",
            json!({ "title": "Shopping", "content": "- milk\n- bread", "tags": ["home"] }),
        ),
        (
            "task",
            json!({ "title": "Try toolbridge with Claude", "status": "open", "priority": "high" }),
        ),
        (
            "comment",
            json!({
                "content": "A comment hangs on a note or a task.",
                "parentType": "note",
                "parentUid": WELCOME,
                "author": DEVELOPER,
            }),
        ),
        (
            "chat",
            json!({ "uid": CHAT, "title": "Team", "participants": [DEVELOPER] }),
        ),
        (
            "chat_message",
            json!({ "chatUid": CHAT, "content": "Hello!", "sender": DEVELOPER, "messageType": "text" }),
        ),
    ]
}
