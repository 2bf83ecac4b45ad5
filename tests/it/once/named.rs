//! Writes that their clients have named: the same name is the same write, whatever became of the answer.

use serde_json::{Value, json};

use super::retrying::titles;
use crate::harness::{Ended, Person, Sidecar, sandbox};

const META: &str = "dev.toolbridge/idempotency_key";

fn note(title: &str) -> Value {
    json!({ "title": title, "content": "" })
}

async fn creates(person: &Person, title: &str, key: &str) -> Ended {
    let meta = json!({ META: key });
    let answer = person.calls_with("create_note", note(title), &meta).await;
    Ended::of(&answer.result())
}

#[tokio::test]
async fn a_named_write_is_the_same_one_though_its_answer_arrived() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    let first = creates(&alice, "named", "k-1").await.good();
    assert_eq!(creates(&alice, "named", "k-1").await.good(), first);
    let header = alice.with("idempotency-key", "k-1");
    assert_eq!(
        header.calls("create_note", note("named")).await.good(),
        first
    );
    assert_ne!(creates(&alice, "named", "k-2").await.good(), first);
    assert_eq!(titles(&alice).await["named"], 2);
}

#[tokio::test]
async fn a_name_cannot_be_used_for_another_write() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    creates(&alice, "one", "k-1").await.good();
    let refused = creates(&alice, "two", "k-1").await;
    assert_eq!(refused.code(), "VALIDATION_ERROR");
    assert!(
        refused.text().contains("idempotency key"),
        "{}",
        refused.text()
    );
    assert_eq!(titles(&alice).await.len(), 1);
}

#[tokio::test]
async fn nobody_gets_the_answer_of_somebody_elses_write_by_its_name() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let (alice, mallory) = (sidecar.alice(), sidecar.person("mallory"));
    let hers = creates(&alice, "secret", "k-1").await.good();
    let own = creates(&mallory, "secret", "k-1").await.good();
    assert_ne!(hers["uid"], own["uid"]);
    assert_eq!(titles(&mallory).await["secret"], 1);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let alice = sidecar.alice();
    for odd in [json!(""), json!(7), json!("ä"), json!("x".repeat(256))] {
        let answer = alice
            .calls_with("create_note", note("odd"), &json!({ META: odd }))
            .await;
        assert_eq!(answer.error_code(), -32602, "{odd}");
    }
    assert!(titles(&alice).await.is_empty());
}
