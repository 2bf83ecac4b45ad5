//! Connections of the older revisions hear of a new list on their stream: once, and also who was away meanwhile.

use serde_json::json;

use super::{
    file::{self, CatalogueFile, numbered},
    serving,
};
use crate::harness::legacy::Stream;

/// The id of the next event, and whether it tells of a new list.
async fn next(stream: &mut Stream) -> (String, bool) {
    let event = stream.event().await;
    let id = event.lines().find_map(|line| line.strip_prefix("id: "));
    let changed = event.contains("notifications/tools/list_changed");
    (id.unwrap_or_default().to_owned(), changed)
}

#[tokio::test]
async fn an_older_connection_hears_of_each_new_list() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    let connection = sidecar.alice().connects().await;
    let capabilities = &connection.opened["capabilities"]["tools"];
    assert_eq!(*capabilities, json!({ "listChanged": true }));
    let mut stream = connection.listens().await;
    let (first, _) = next(&mut stream).await;
    for number in 2..4 {
        file.replace(&numbered(number));
        file::replaced(&sidecar, number - 1).await;
        let (id, changed) = next(&mut stream).await;
        assert!(changed && id != first);
    }
    drop(stream);
    // Who was away hears of it at once; who knows the list of now hears nothing.
    let person = connection.person.with("accept", "text/event-stream");
    let mut back = person
        .with("last-event-id", &first)
        .streams("GET", "")
        .await;
    assert!(!next(&mut back).await.1, "the priming event comes first");
    let (last, changed) = next(&mut back).await;
    assert!(changed);
    let mut knows = person.with("last-event-id", &last).streams("GET", "").await;
    assert_eq!(next(&mut knows).await, (last, false));
    file.replace(&numbered(4));
    file::replaced(&sidecar, 3).await;
    assert!(next(&mut knows).await.1);
}
