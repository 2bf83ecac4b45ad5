//! Many people call and list while the file is replaced again and again: no call fails, and every list is one of the
//! whole lists, on both wires.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;

use super::{
    file::{self, CatalogueFile, names, names_in, names_of, numbered},
    serving,
};
use crate::harness::{Person, Sidecar};

const REPLACEMENTS: u64 = 20;

/// Every list as it must be, by its first numbered tool.
fn is_whole(listed: &[String]) -> bool {
    (1..=REPLACEMENTS + 1).any(|number| listed == names_of(number))
}

/// Calls and lists until there is nothing more to come; how many different lists this person saw.
async fn busy(person: Person, done: watch::Receiver<bool>) -> usize {
    let mut seen = HashSet::new();
    while !*done.borrow() {
        let listed = names(&person).await;
        assert!(is_whole(&listed), "{listed:?}");
        seen.insert(listed);
        person.calls("list_notes", json!({})).await.good();
    }
    seen.len()
}

/// The same on a connection of the older revisions.
async fn busy_as_before(person: Person, done: watch::Receiver<bool>) -> usize {
    let connection = person.connects().await;
    let mut seen = HashSet::new();
    while !*done.borrow() {
        let list = connection.asks("tools/list", json!({})).await.result();
        let listed = names_in(&list);
        assert!(is_whole(&listed), "{listed:?}");
        seen.insert(listed);
        connection.calls("list_notes", json!({})).await.good();
    }
    seen.len()
}

async fn replace_all(file: &CatalogueFile, sidecar: &Sidecar, done: watch::Sender<bool>) {
    for number in 2..=REPLACEMENTS + 1 {
        file.replace(&numbered(number));
        sidecar.reload.request();
        file::replaced(sidecar, number - 1).await;
    }
    done.send_replace(true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_replacements_under_load_fail_no_call_and_halve_no_list() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let (done, is_done) = watch::channel(false);
    let modern = (0..6).map(|person| {
        let person = sidecar.person(&format!("modern-{person}"));
        tokio::spawn(busy(person, is_done.clone()))
    });
    let legacy = (0..3).map(|person| {
        let person = sidecar.person(&format!("legacy-{person}"));
        tokio::spawn(busy_as_before(person, is_done.clone()))
    });
    let people: Vec<_> = modern.chain(legacy).collect();
    replace_all(&file, &sidecar, done).await;
    for seen in join_all(people).await {
        assert!(seen.unwrap() >= 1);
    }
    assert_eq!(names(&sidecar.alice()).await, names_of(REPLACEMENTS + 1));
    assert!(sidecar.stops().await);
}
