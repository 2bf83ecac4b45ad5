//! One person's walk through all forty tools: a record of each kind is made, read, changed in every way and deleted. In:
//! something that calls a tool. Out: how many calls there were, or the first that failed. Shared by the load test and
//! the soak.

use serde_json::{Value, json};

/// The calls of one walk.
pub(crate) const CALLS: usize = 40;

/// Calls a tool as somebody; the structured result, or what went wrong.
pub(crate) trait Caller {
    fn call(
        &self,
        tool: &str,
        arguments: Value,
    ) -> impl Future<Output = Result<Value, String>> + Send;
}

/// What all kinds of records have in common.
struct Kind {
    name: &'static str,
    new: Value,
    /// What replaces it.
    other: Value,
    patch: Value,
    action: &'static str,
}

/// From the first call to the last.
pub(crate) async fn walk(caller: &impl Caller) -> Result<(), String> {
    let mut uids: Vec<(&str, Value)> = Vec::new();
    for at in 0..5 {
        let kind = kind(at, &uids);
        let uid = lives(caller, &kind).await?;
        uids.push((kind.name, uid));
    }
    for (name, uid) in uids.iter().rev() {
        let arguments = json!({ "uid": uid });
        caller.call(&format!("delete_{name}"), arguments).await?;
    }
    Ok(())
}

/// Seven calls; the uid of the record.
async fn lives(caller: &impl Caller, kind: &Kind) -> Result<Value, String> {
    let tool = |operation: &str| format!("{operation}_{}", kind.name);
    let made = caller.call(&tool("create"), kind.new.clone()).await?;
    let uid = made["uid"].clone();
    let with = |more: &Value| {
        let mut arguments = more.as_object().cloned().unwrap_or_default();
        arguments.insert("uid".to_owned(), uid.clone());
        Value::Object(arguments)
    };
    let read = caller.call(&tool("get"), with(&json!({}))).await?;
    if read["uid"] != uid {
        return Err(format!("{} is another record", tool("get")));
    }
    let page = json!({ "limit": 10 });
    let list = caller.call(&format!("{}s", tool("list")), page).await?;
    // Nobody else writes in this person's name.
    if list["items"].as_array().map(Vec::len) != Some(1) {
        return Err(format!("{}s does not show the one record", tool("list")));
    }
    caller.call(&tool("update"), with(&kind.other)).await?;
    let updates = json!({ "updates": kind.patch });
    caller.call(&tool("patch"), with(&updates)).await?;
    let action = json!({ "action": kind.action });
    caller.call(&tool("process"), with(&action)).await?;
    caller.call(&tool("archive"), with(&json!({}))).await?;
    Ok(uid)
}

fn kind(at: usize, uids: &[(&str, Value)]) -> Kind {
    let uid = |at: usize| uids.get(at).map_or(Value::Null, |(_, uid)| uid.clone());
    let of = |name, new, other, patch, action| Kind {
        name,
        new,
        other,
        patch,
        action,
    };
    match at {
        0 => of(
            "note",
            json!({ "title": "Shopping", "content": "Milk, *bread*", "tags": ["home"] }),
            json!({ "title": "Shopping", "content": "Milk" }),
            json!({ "content": "Milk and eggs" }),
            "pin",
        ),
        1 => of(
            "task",
            json!({ "title": "Bake", "description": "A cake", "priority": "high" }),
            json!({ "title": "Bake a cake", "priority": "low" }),
            json!({ "description": "With cherries" }),
            "complete",
        ),
        2 => of(
            "comment",
            json!({ "content": "Two", "parent_type": "note", "parent_uid": uid(0) }),
            json!({ "content": "Three", "parent_type": "note", "parent_uid": uid(0) }),
            json!({ "content": "Four of them" }),
            "resolve",
        ),
        3 => of(
            "chat",
            json!({ "title": "Kitchen", "participants": ["ann", "bob"] }),
            json!({ "title": "The kitchen" }),
            json!({ "description": "Who cooks what" }),
            "resolve",
        ),
        _ => of(
            "chat_message",
            json!({ "chat_uid": uid(3), "content": "Who bakes?", "sender": "ann" }),
            json!({ "chat_uid": uid(3), "content": "Who bakes today?" }),
            json!({ "content": "I do" }),
            "mark_read",
        ),
    }
}
