//! Names that tools had: an alias is called like the tool it stands for and never listed, a removed tool says what to do
//! instead; both are counted, and the log names them.

use serde_json::{Value, json};

use super::{
    file::{CatalogueFile, names, names_of, numbered, replaced},
    process::Process,
    serving,
};
use crate::harness::{FakeBackend, Person, token_for};

/// Number 1 with former names.
fn with_former_names() -> String {
    numbered(1)
        + "aliases: { all_notes: list_notes, read_note: get_note }\nremoved:\n  sync_notes: use list_notes instead\n"
}

#[tokio::test]
async fn a_renamed_tool_answers_under_both_names_and_is_listed_under_one() {
    let file = CatalogueFile::with(&with_former_names());
    let (_backend, sidecar) = serving(&file).await;
    let alice = sidecar.alice();
    assert_eq!(names(&alice).await, names_of(1));
    let today = alice.calls("list_notes", json!({})).await.good();
    assert_eq!(alice.calls("all_notes", json!({})).await.good(), today);
    let connection = alice.connects().await;
    assert_eq!(connection.calls("all_notes", json!({})).await.good(), today);
    let refused = alice.calls("read_note", json!({ "uid": 5 })).await;
    assert_eq!(refused.code(), "VALIDATION_ERROR");
    assert_eq!(sidecar.calls.former().renamed(), 3);
    assert_eq!(sidecar.calls.former().removed(), 0);
}

#[tokio::test]
async fn a_removed_tool_says_what_to_do_instead_and_asks_nothing_of_the_backend() {
    let file = CatalogueFile::with(&with_former_names());
    let (backend, sidecar) = serving(&file).await;
    let alice = sidecar.alice();
    let connection = alice.connects().await;
    for gone in [
        alice.calls("sync_notes", json!({ "any": 1 })).await,
        connection.calls("sync_notes", json!({})).await,
    ] {
        assert_eq!(
            gone.text(),
            "sync_notes was not run, because there is no such tool any more: use list_notes instead"
        );
        assert_eq!(gone.code(), "GONE");
        assert_eq!(gone.failed()["retryable"], false);
    }
    assert!(backend.seen().is_empty());
    assert_eq!(sidecar.calls.former().removed(), 2);
}

#[tokio::test]
async fn a_tool_can_be_renamed_while_it_is_called_under_its_old_name() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let alice = sidecar.alice();
    alice.calls("ping_1_0", json!({})).await.good();
    file.replace(&(numbered(2) + "aliases: { ping_1_0: ping_2_0 }\n"));
    replaced(&sidecar, 1).await;
    alice.calls("ping_1_0", json!({})).await.good();
    let unknown = json!({ "name": "ping_1_1", "arguments": {} });
    let connection = alice.connects().await;
    let unknown = connection.asks("tools/call", unknown).await;
    assert_eq!(unknown.error_code(), -32602);
}

#[tokio::test]
async fn the_log_names_the_tool_and_the_name_under_which_it_was_called() {
    let file = CatalogueFile::with(&with_former_names());
    let backend = FakeBackend::start();
    let mut process = Process::start(&backend, &file);
    let url = process.url().await;
    let alice = Person::at(&url).with_token(&token_for("alice"));
    for (name, tool, alias, outcome) in [
        ("list_notes", "list_notes", Value::Null, "ok"),
        ("all_notes", "list_notes", json!("all_notes"), "ok"),
        ("sync_notes", "sync_notes", Value::Null, "GONE"),
    ] {
        alice.calls(name, json!({})).await;
        let line = process.says("tool call").await;
        assert_eq!(line["tool.name"], tool);
        assert_eq!(line["tool.alias"], alias);
        assert_eq!(line["outcome"], outcome);
    }
}
