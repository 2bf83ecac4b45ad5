//! When a listen stream says something that is held without rmcp: heard on a clock that does not wait, from its first event
//! to the end of the token. rmcp itself cannot stand beside it here, because it looks at another clock; that both say the
//! same is compared by `reload::alike`.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until};
use toolbridge::{catalogue::Catalogue, clock};

use super::side::Side;
use crate::dialects::file;

const CATALOGUE: &str = include_str!("tools.yaml");

/// The catalogue is replaced after so many seconds, when a sign of life has just been, and when one is nearly due.
const CHANGES: [u64; 3] = [31, 59, 60];

/// Every event with the second in which it came.
async fn heard(side: &Side) -> Vec<(u64, String)> {
    let begun = Instant::now();
    let mut stream = side.listens().await;
    let hears = async {
        let mut heard = Vec::new();
        while let Some(Ok(frame)) = stream.frame().await {
            let event = frame.into_data().unwrap_or_default();
            let second = begun.elapsed().as_secs();
            heard.push((second, String::from_utf8_lossy(&event).into_owned()));
        }
        heard
    };
    let changes = async {
        for second in CHANGES {
            sleep_until(begun + Duration::from_secs(second)).await;
            let catalogue = Catalogue::parse("test.yaml", CATALOGUE.as_bytes()).unwrap();
            side.calls().publish(Arc::new(catalogue)).unwrap();
        }
    };
    tokio::join!(hears, changes).0
}

#[tokio::test]
async fn a_stream_without_rmcp_shows_signs_of_life_and_ends_with_the_token() {
    let catalogue = file(CATALOGUE);
    let side = Side::new(true, catalogue.path()).await;
    let left = side.token_ends() - clock::unix_now();
    tokio::time::pause();
    let heard = heard(&side).await;
    let changed = |(second, event): &(u64, String)| event.contains("changed\"").then_some(*second);
    assert_eq!(
        heard.iter().filter_map(changed).collect::<Vec<_>>(),
        CHANGES
    );
    let alive = |second| heard.contains(&(second, ":\n\n".to_owned()));
    let first = &heard[..10];
    assert!([15, 30, 46, 75, 90].into_iter().all(alive), "{first:?}");
    assert!(![45, 61, 74].into_iter().any(alive), "{first:?}");
    let (second, last) = heard.last().unwrap();
    assert!(second.abs_diff(left.as_secs()) <= 1, "{second} {left:?}");
    assert!(last.contains("complete"), "{last}");
}
