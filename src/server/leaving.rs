//! The last requests: whoever is still connected when we stop may have sent one already, or be about to. In: what answers.
//! Out: the same, counted until it has answered, and saying `connection: close` once we stop. Closing an idle connection
//! without that would lose the request that is on its way.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, header::CONNECTION};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Answer;
use crate::in_place;

/// Connections may bring one more request for so long: what a client sent before it could know has arrived by then.
pub const LAST_REQUESTS: Duration = Duration::from_millis(500);

/// Answers as `answer` does; each request is one of `running` until the head of its answer is there.
#[must_use]
pub fn until_the_last(answer: Answer, running: TaskTracker, stop: CancellationToken) -> Answer {
    Arc::new(move |request| {
        let (counted, stop) = (running.token(), stop.clone());
        let answering = answer(request);
        in_place::boxed(|| async move {
            let mut response = answering.await;
            if stop.is_cancelled() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            drop(counted);
            response
        })
    })
}
