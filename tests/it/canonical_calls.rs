//! One good call of each of the forty shipped tools: what the golden requests, the wire tests and the walk through all
//! tools share. Records are named by fixed UUIDs.

use serde_json::{Value, json};

pub(crate) const NOTE: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const TASK: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const COMMENT: &str = "33333333-3333-4333-8333-333333333333";
pub(crate) const CHAT: &str = "44444444-4444-4444-8444-444444444444";
pub(crate) const CHAT_MESSAGE: &str = "55555555-5555-4555-8555-555555555555";

/// The tools in catalogue order, each with arguments it accepts.
pub(crate) fn canonical_calls() -> Vec<(&'static str, Value)> {
    [notes(), tasks(), comments(), chats(), chat_messages()].concat()
}

fn notes() -> Vec<(&'static str, Value)> {
    vec![
        ("list_notes", json!({})),
        ("get_note", json!({ "uid": NOTE })),
        (
            "create_note",
            json!({ "title": "Groceries", "content": "- milk\n- größere Äpfel", "tags": ["home", "food"] }),
        ),
        (
            "update_note",
            json!({
                "uid": NOTE, "title": "Groceries", "content": "", "tags": [], "if_match": 3,
                "additional_fields": { "colour": "green" }
            }),
        ),
        (
            "patch_note",
            json!({ "uid": NOTE, "updates": { "title": "Shopping", "tags": null }, "if_match": 4 }),
        ),
        ("delete_note", json!({ "uid": NOTE })),
        ("archive_note", json!({ "uid": NOTE })),
        ("process_note", json!({ "uid": NOTE, "action": "pin" })),
    ]
}

fn tasks() -> Vec<(&'static str, Value)> {
    vec![
        (
            "list_tasks",
            json!({ "limit": 20, "cursor": "MTczNTY4OTYwMDAwMHw-_w", "include_deleted": true }),
        ),
        ("get_task", json!({ "uid": TASK, "include_deleted": true })),
        (
            "create_task",
            json!({
                "title": "Call", "description": "The dentist", "status": "open", "priority": "high",
                "due_date": "2026-12-01", "tags": ["health"]
            }),
        ),
        (
            "update_task",
            json!({ "uid": TASK, "title": "Call", "due_date": null }),
        ),
        (
            "patch_task",
            json!({ "uid": TASK, "updates": { "status": "in_progress", "due_date": "2026-12-02", "estimate": 5 } }),
        ),
        ("delete_task", json!({ "uid": TASK })),
        ("archive_task", json!({ "uid": TASK })),
        (
            "process_task",
            json!({ "uid": TASK, "action": "complete", "metadata": { "by": "phone" } }),
        ),
    ]
}

fn comments() -> Vec<(&'static str, Value)> {
    vec![
        ("list_comments", json!({ "limit": 1000 })),
        ("get_comment", json!({ "uid": COMMENT })),
        (
            "create_comment",
            json!({ "content": "Well said", "parent_type": "note", "parent_uid": NOTE, "author": "Ada" }),
        ),
        (
            "update_comment",
            json!({ "uid": COMMENT, "content": "Said well", "parent_type": "task", "parent_uid": TASK, "if_match": 1 }),
        ),
        (
            "patch_comment",
            json!({ "uid": COMMENT, "updates": { "parent_uid": NOTE, "parent_type": "note" } }),
        ),
        ("delete_comment", json!({ "uid": COMMENT })),
        ("archive_comment", json!({ "uid": COMMENT })),
        (
            "process_comment",
            json!({ "uid": COMMENT, "action": "resolve" }),
        ),
    ]
}

fn chats() -> Vec<(&'static str, Value)> {
    vec![
        ("list_chats", json!({ "include_deleted": false })),
        ("get_chat", json!({ "uid": CHAT })),
        (
            "create_chat",
            json!({ "title": "Team", "participants": ["ada", "grace"] }),
        ),
        (
            "update_chat",
            json!({ "uid": CHAT, "title": "Team", "archived": true }),
        ),
        (
            "patch_chat",
            json!({ "uid": CHAT, "updates": { "description": "All of us" } }),
        ),
        ("delete_chat", json!({ "uid": CHAT })),
        ("archive_chat", json!({ "uid": CHAT })),
        ("process_chat", json!({ "uid": CHAT, "action": "reopen" })),
    ]
}

fn chat_messages() -> Vec<(&'static str, Value)> {
    vec![
        ("list_chat_messages", json!({ "limit": 5 })),
        ("get_chat_message", json!({ "uid": CHAT_MESSAGE })),
        (
            "create_chat_message",
            json!({ "chat_uid": CHAT, "content": "Hello", "sender": "ada", "message_type": "text" }),
        ),
        (
            "update_chat_message",
            json!({ "uid": CHAT_MESSAGE, "chat_uid": CHAT, "content": "Hello all" }),
        ),
        (
            "patch_chat_message",
            json!({ "uid": CHAT_MESSAGE, "updates": { "content": "Hello!", "message_type": "system" } }),
        ),
        ("delete_chat_message", json!({ "uid": CHAT_MESSAGE })),
        ("archive_chat_message", json!({ "uid": CHAT_MESSAGE })),
        (
            "process_chat_message",
            json!({ "uid": CHAT_MESSAGE, "action": "mark_read" }),
        ),
    ]
}
